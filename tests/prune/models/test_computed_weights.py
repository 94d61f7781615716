# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportDeprecated=false
"""A weight that is computed from other parameters is a weight: it is followed, or refused by name with a remedy."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import pytest
import torch
from torch import nn
from torch.ao.pruning.sparsifier.weight_norm_sparsifier import WeightNormSparsifier
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.nn.utils.parametrize import register_parametrization

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, inspect_model, magnitude, make_permanent, prunable, scores

T = TypeVar("T")


def network(norm: Callable[[nn.Module], nn.Module], width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    layers = {"encoder": norm(nn.Linear(width, width)), "relu": nn.ReLU(), "head": nn.Linear(width, 3, bias=False)}
    return nn.Sequential(OrderedDict(layers))


def outcome(action: Callable[[], T], layer: str) -> tuple[T | None, bool]:
    """What an action returns, and whether a refusal or a warning named the layer."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = action()
        except PruneproofError as error:
            assert layer in str(error)
            return None, True
    return result, any(layer in str(warning.message) for warning in caught)


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_the_density_is_of_all_linear_weights(norm: Callable[[nn.Module], nn.Module]) -> None:
    """A user prunes a normed network to 10 %: of all its 4288 weights, or he is told which layer stays dense."""
    masks, named = outcome(lambda: magnitude(network(norm, 64), density=0.1), "encoder")
    assert named or (masks is not None and (masks.total, masks.count) == (4288, 429))


@pytest.mark.parametrize("norm", [spectral_norm, orthogonal])
def test_a_dense_network_is_connected(norm: Callable[[nn.Module], nn.Module]) -> None:
    """A user asks whether a network of which nothing is pruned is connected: it is, with every weight live."""
    full = Masks({"head.weight": torch.ones(3, 8, dtype=torch.bool)})
    path, _ = outcome(lambda: connectivity(network(norm), full, (1, 8)), "encoder")
    assert path is None or (path.connected, path.cut, path.live.count) == (True, (), 24)


def test_the_flow_is_that_of_the_computed_weight() -> None:
    """A user scores by SynFlow: the scores of the last layer add up to the flow through absolute computed weights."""
    model = network(orthogonal)
    with torch.no_grad():
        entering = model.encoder.weight.abs().double().sum(1) + model.encoder.bias.abs().double()
        flow = float((model.head.weight.abs().double() @ entering).sum())
    found, _ = outcome(lambda: scores.synflow(model, (1, 8)), "encoder")
    assert found is None or float(found["head.weight"].sum()) == pytest.approx(flow)


class Reader(nn.Module):
    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.embedding, self.recurrent, self.head = nn.Embedding(50, 16), recurrent, nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(self.embedding(x))[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_weights_of_recurrent_layers_are_part_of_the_density(kind: type[nn.Module]) -> None:
    model = Reader(kind(16, 32, num_layers=2, bidirectional=False, batch_first=True))
    recurrent = sum(p.numel() for name, p in model.recurrent.named_parameters() if "weight" in name)
    masks = magnitude(model, density=0.5)
    assert masks.total == recurrent + 160 and masks.count == masks.total // 2
    batch = torch.arange(20).reshape(4, 5), torch.arange(4)
    scored = scores.snip(model, nn.functional.cross_entropy, batch)
    assert all(bool(scored[name].any()) for name in masks)
    with masks.enforce(model):
        optimizer = torch.optim.Adam(model.parameters())
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
        assert not any(bool(model.get_parameter(name)[~mask].any()) for name, mask in masks.items())


def test_cells_and_projected_recurrences_are_named() -> None:
    model = nn.ModuleList([nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.LSTM(3, 4, proj_size=2)])
    assert [name.rpartition(".")[2] for name in prunable(model)] == [
        *("weight_ih", "weight_hh") * 2,
        *("weight_ih_l0", "weight_hh_l0", "weight_hr_l0"),
    ]


@pytest.mark.parametrize("action", ["connectivity", "synflow"])
def test_gates_of_recurrent_layers_are_not_followed(action: str) -> None:
    model = Reader(nn.LSTM(16, 32, batch_first=True))
    tokens = torch.zeros(1, 5, dtype=torch.long)
    with pytest.raises(NotImplementedError, match=rf"{action}: the gates of the recurrent layer recurrent \(LSTM\)"):
        if action == "synflow":
            scores.synflow(model, (tokens,))
        else:
            connectivity(model, magnitude(model, density=0.5), (tokens,))


def half_sparse(layer: nn.Module) -> nn.Module:
    """As torch.ao.pruning leaves it in training: the weight times a mask."""
    sparsifier = WeightNormSparsifier(sparsity_level=0.5, sparse_block_shape=(1, 1), zeros_per_block=1)
    sparsifier.prepare(nn.Sequential(layer), [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    assert int(layer.weight.count_nonzero()) == 32
    return layer


COMPUTED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "orthogonal": orthogonal,
    "the older weight_norm": torch.nn.utils.weight_norm,
    "the older spectral_norm": torch.nn.utils.spectral_norm,
    "torch prune": lambda layer: torch_prune.l1_unstructured(layer, "weight", amount=0.5),
    "torch.ao.pruning": half_sparse,
    "a parametrization of one's own": lambda layer: register_parametrization(layer, "weight", nn.Tanh()),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_the_remedy_of_the_refusal_works(kind: str) -> None:
    """The layer is named; excluding it works; and so does what the message says, with equal outputs."""
    model = network(COMPUTED[kind]).eval()
    inputs = torch.rand(5, 8)
    with pytest.raises(NotImplementedError, match=r"encoder\.weight is computed by") as refused:
        magnitude(model, density=0.5)
    assert list(magnitude(model, density=0.5, exclude="encoder")) == ["head.weight"]
    outputs = model(inputs)
    remedy = str(refused.value)
    if "make_permanent" in remedy:
        model = make_permanent(model)
    else:
        (call,) = re.findall(r"Call (torch\S+?\(model\.encoder, 'weight'\)) first", remedy)
        exec(call, {"torch": torch, "model": model})
    assert torch.allclose(model(inputs), outputs, atol=1e-6)
    assert magnitude(model, density=0.5).total == 88


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_a_permanent_copy_computes_the_same(kind: str) -> None:
    model = network(COMPUTED[kind]).eval()
    inputs = torch.rand(5, 8)
    outputs = model(inputs)
    assert torch.allclose(make_permanent(model)(inputs), outputs, atol=1e-6)
    assert torch.allclose(model(inputs), outputs, atol=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", COMPUTED)
def test_paths_lead_through_computed_weights_and_nothing_changes(kind: str) -> None:
    model = network(COMPUTED[kind]).train()
    model(torch.rand(5, 8))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    full = Masks({"head.weight": torch.ones(3, 8, dtype=torch.bool)})
    path = connectivity(model, full, (1, 8))
    live = 12 if kind == "torch prune" else 24
    assert path.connected and path.live.count >= live
    report = inspect_model(model, input_shape=(1, 8))
    assert report.macs is not None and report.macs[1] == 88 and sum(layer.total for layer in report.layers) == 88
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch's own quantisation
def test_a_quantised_model_is_called_so() -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear})
    with pytest.raises(PruneproofError, match=r"are quantised.*Prune the model first"):
        magnitude(model, density=0.5)
