"""`greedy_subnetwork` returns a smaller dense network whose function is the selected combination, layer by layer."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from pruneproof import PruneproofError
from pruneproof.errors import InvalidValueError
from pruneproof.kernels import greedy_select
from pruneproof.prune import Masks, greedy_subnetwork, make_permanent

GENERATOR = torch.Generator().manual_seed(5)
INPUTS = torch.randn(30, 6, generator=GENERATOR, dtype=torch.float64)
OTHERS = torch.randn(40, 6, generator=GENERATOR, dtype=torch.float64)
# Rounding: a product sum of at most 20 terms and of size at most 1e2 carries at most 20·2⁻⁵³·1e2 per layer, and two
# further layers of spectral norm below 1e2 multiply it by at most 1e4: together below 3e-9.
ROUNDING = 3e-9


@pytest.fixture
def deep() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 15, bias=False), nn.ReLU(), nn.Dropout(0.5), nn.Linear(15, 3)]
    return nn.Sequential(*layers).double()


def combined(model: nn.Sequential, weights: tuple[Tensor, ...], inputs: Tensor) -> Tensor:
    """The definition: in every layer after the first the mean over units of N·weight·contribution, written out."""
    values = inputs
    remaining = list(weights)
    for index, module in enumerate(model):
        if isinstance(module, nn.Linear) and index:
            weight = remaining.pop(0)
            features = [len(weight) * values[:, unit, None] * module.weight[:, unit] for unit in range(len(weight))]
            values = sum((w * phi for w, phi in zip(weight, features, strict=True)), torch.zeros(()))
            values = values if module.bias is None else values + module.bias  # pyright: ignore[reportUnnecessaryComparison]
        else:
            values = module.eval()(values)
    return values


@pytest.mark.parametrize("rule", ["average", "line_search", "corrective"])
@torch.no_grad()
def test_its_function_is_the_selected_combination(deep: nn.Sequential, rule: str) -> None:
    small = greedy_subnetwork(deep, INPUTS, [9, 7], rule=rule)
    small.model.eval()
    for data in (INPUTS, OTHERS):
        difference = (small.model(data) - combined(deep, small.weights, data)).abs().max()
        assert difference <= ROUNDING
    assert (small.model(INPUTS) - deep.eval()(INPUTS)).abs().max() > 1e-3  # it is another function than the dense one


def test_average_gives_multiples_of_one_over_steps(deep: nn.Sequential) -> None:
    small = greedy_subnetwork(deep, INPUTS, [40, 7])
    for weights, steps in zip(small.weights, (40, 7), strict=True):
        assert torch.equal((weights * steps).round() / steps, weights)
        assert abs(weights.sum().item() - 1) <= len(weights) * 2**-53
    assert small.weights[0].max() > 1 / 40  # some unit was chosen twice: multiplicity is folded, not lost


def test_the_network_is_smaller_and_dense(deep: nn.Sequential) -> None:
    small = greedy_subnetwork(deep, INPUTS, [9, 7])
    first, second, last = (module for module in small.model if isinstance(module, nn.Linear))
    kept = [len(units) for units in small.units]
    assert kept[0] <= 9 and kept[1] <= 7
    assert [tuple(layer.weight.shape) for layer in (first, second, last)] == [
        (kept[0], 6),
        tuple(reversed(kept)),
        (3, kept[1]),
    ]
    assert (first.out_features, second.in_features, second.out_features, last.in_features) == (
        *kept[:1] * 2,
        *kept[1:] * 2,
    )
    assert second.bias is None and first.bias is not None and first.bias.shape == (kept[0],)  # pyright: ignore[reportUnnecessaryComparison]
    assert all(
        torch.equal(units, weights.nonzero()[:, 0]) for units, weights in zip(small.units, small.weights, strict=True)
    )
    assert torch.equal(first.weight, deep[0].weight[small.units[0]])  # pyright: ignore[reportArgumentType, reportIndexIssue]


@torch.no_grad()
def test_selection_is_greedy_on_the_definition(deep: nn.Sequential) -> None:
    """Explicit features, selected by the naive method, give the same choices and losses."""
    small = greedy_subnetwork(deep, INPUTS, [9, 7])
    hidden = deep[1](deep[0](INPUTS))
    for layer, (position, weights, losses) in enumerate(zip((2, 5), small.weights, small.losses, strict=True)):
        module = deep[position]
        assert isinstance(module, nn.Linear)
        features = torch.stack([len(weights) * hidden[:, [u]] * module.weight[:, u] for u in range(len(weights))])
        features = features.flatten(1) / len(INPUTS) ** 0.5
        naive = greedy_select((features, features.mean(0)), (9, 7)[layer], method="naive")
        assert torch.equal(naive.weights, weights)
        assert torch.allclose(naive.losses, losses, rtol=1e-9, atol=1e-12 * float(features.square().sum()))
        hidden = deep[3](module(hidden))


def test_losses_obey_g1(deep: nn.Sequential) -> None:
    """ℓ(u_k) ≤ V/(2k)·H_k at most: the dense output is the mean of the features, so ℓ(s̄) = 0 and √ℓ ≤ √(V/(2k))."""
    small = greedy_subnetwork(deep, INPUTS, 25)
    with torch.no_grad():
        hidden = deep[1](deep[0](INPUTS))
        outgoing = deep[2].weight
        assert isinstance(outgoing, Tensor)
        features = torch.einsum("mi,oi->imo", hidden, outgoing).flatten(1) * (20 / len(INPUTS) ** 0.5)
        variance = (features - features.mean(0)).square().sum(1).mean()
    k = torch.arange(1, 26)
    assert (small.losses[0] <= variance / (2 * k)).all()
    assert (small.losses[0] > variance / (2 * k) / 1000).any()


def test_all_units_of_a_layer_of_equals(deep: nn.Sequential) -> None:
    """Equal units: one choice is the whole layer, and its outgoing weight is N times as large."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    small = greedy_subnetwork(model, torch.rand(10, 2, dtype=torch.float64, generator=GENERATOR), 3)
    assert small.units[0].tolist() == [0] and small.model.state_dict()["2.weight"].tolist() == [[2.0]]
    assert torch.equal(small.model(torch.ones(1, 2).double()), model(torch.ones(1, 2).double()))


def test_nothing_changes_in_the_model(deep: nn.Sequential) -> None:
    deep[2].weight.requires_grad_(False)  # pyright: ignore[reportCallIssue]
    before = copy.deepcopy(deep.state_dict())
    state = torch.get_rng_state()
    small = greedy_subnetwork(deep, INPUTS, 5)
    assert all(torch.equal(value, before[name]) for name, value in deep.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and deep.training and small.model.training
    assert [p.requires_grad for p in small.model.parameters()] == [p.requires_grad for p in deep.parameters()]
    assert all(p.grad is None for p in deep.parameters())
    small.model(INPUTS).sum().backward()  # it trains


def test_each_module_keeps_its_mode(deep: nn.Sequential) -> None:
    deep[4].eval()  # a dropout that is off while the rest trains
    small = greedy_subnetwork(deep, INPUTS, 5)
    assert [m.training for m in small.model.modules()] == [m.training for m in deep.modules()]


@pytest.mark.parametrize("kind", ["the same layer", "the same weight"])
def test_refuses_layers_that_share_a_weight(kind: str) -> None:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    model = nn.Sequential(first, nn.ReLU(), first if kind == "the same layer" else second, nn.ReLU(), nn.Linear(6, 2))
    with pytest.raises(PruneproofError, match="linear layers share a weight"):
        greedy_subnetwork(model, INPUTS.float(), 2)


def test_refuses_weights_that_are_computed(deep: nn.Sequential) -> None:
    torch_prune.identity(deep[2], "weight")  # pyright: ignore[reportArgumentType]
    with pytest.raises(PruneproofError, match="by make_permanent"):
        greedy_subnetwork(deep, INPUTS, 2)
    pruned = make_permanent(deep)
    assert isinstance(pruned, nn.Sequential)
    greedy_subnetwork(pruned, INPUTS, 2)


def test_an_enforced_model_gives_a_free_subnetwork(deep: nn.Sequential) -> None:
    Masks({"0.weight": torch.ones(20, 6, dtype=torch.bool)}).enforce(deep)
    small = greedy_subnetwork(deep, INPUTS, 5)
    small.model.load_state_dict(small.model.state_dict())
    small.model(INPUTS).sum().backward()
    assert all(parameter.grad is not None for parameter in small.model.parameters())


def test_float32_images_and_a_model_in_a_larger_frame() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.GELU(), nn.Linear(30, 4), nn.Softmax(dim=1))
    images = torch.rand(12, 1, 4, 4, generator=GENERATOR)
    small = greedy_subnetwork(model, images, 20)
    assert small.model[3].weight.dtype == torch.float32
    assert (small.model(images) - model(images)).abs().max() < 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(6, 2), "Linear with 0"),
        (nn.Sequential(nn.Linear(6, 2)), "Sequential with 1"),
        (nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), "got BatchNorm1d"),
        (nn.Sequential(nn.Linear(6, 4), nn.Softmax(1), nn.Linear(4, 2)), "got Softmax"),
        (nn.Sequential(nn.Linear(6, 4), nn.Sequential(nn.ReLU()), nn.Linear(4, 2)), "got Sequential"),
    ],
)
def test_refuses_other_models(model: nn.Module, message: str) -> None:
    with pytest.raises(PruneproofError, match=message):
        greedy_subnetwork(model, INPUTS.float(), 2)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("steps", [0, -1, True, 2.0, [2, 0]])
def test_refuses_fewer_steps_than_one(deep: nn.Sequential, steps: int) -> None:
    with pytest.raises(PruneproofError, match="a whole number of at least 1"):
        greedy_subnetwork(deep, INPUTS, steps)


@pytest.mark.parametrize("steps", [[2], [2, 2, 2], []])
def test_refuses_steps_for_other_layers(deep: nn.Sequential, steps: list[int]) -> None:
    with pytest.raises(PruneproofError, match=f"or 2: one per hidden layer, got {len(steps)} numbers"):
        greedy_subnetwork(deep, INPUTS, steps)


def test_refuses_data_that_does_not_fit(deep: nn.Sequential) -> None:
    for data in (INPUTS[:0], torch.tensor(1.0).double()):
        with pytest.raises(PruneproofError, match="there is no example"):
            greedy_subnetwork(deep, data, 2)
    with pytest.raises(PruneproofError, match="examples, units"):
        greedy_subnetwork(deep, INPUTS.view(5, 6, 6), 2)
    with pytest.raises(PruneproofError):
        greedy_subnetwork(deep, INPUTS / 0, 2)


def test_without_replacement_each_unit_is_chosen_once_as_in_the_released_code() -> None:
    """As many units as steps, with equal weights; all of them give the dense network back."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    inputs = torch.randn(40, 6, dtype=torch.float64)
    small = greedy_subnetwork(net, inputs, steps=[5, 4], replacement=False)
    assert [len(units) for units in small.units] == [5, 4]
    for weights, count in zip(small.weights, (5, 4), strict=True):
        assert torch.allclose(weights[weights > 0], torch.tensor(1 / count, dtype=torch.float64))
    whole = greedy_subnetwork(net, inputs, steps=[12, 8], replacement=False)
    assert torch.allclose(whole.model(inputs), net(inputs))
    with pytest.raises(ValueError, match="without replacement, 9 choices need as many units, but layer 2 has 8"):
        greedy_subnetwork(net, inputs, steps=[9, 9], replacement=False)


@torch.no_grad()
def test_an_excluded_layer_keeps_its_units_and_their_weights(deep: nn.Sequential) -> None:
    small, both = (greedy_subnetwork(deep, INPUTS, [9, 7], exclude=pattern) for pattern in ("0", "5"))
    assert [len(units) for units in small.units] == [20, int((small.weights[1] > 0).sum())]
    assert (
        torch.equal(small.model.get_parameter("0.weight"), deep.get_parameter("0.weight")) and len(small.losses[0]) == 0
    )
    assert torch.equal(small.weights[1], both.weights[1])  # layers imitate the dense network, each by itself
    small.model.eval()
    assert (small.model(OTHERS) - combined(deep, small.weights, OTHERS)).abs().max() <= ROUNDING
    with pytest.raises(PruneproofError, match="matches no parameter"):
        greedy_subnetwork(deep, INPUTS, 9, exclude="head")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_weight_that_cannot_carry_its_units_share_is_refused(dtype: torch.dtype) -> None:
    """One of three units is kept, and what leaves it is to weigh three times as much."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).to(dtype)
    net.get_parameter("2.weight").data.fill_(torch.finfo(dtype).max / 2)
    with pytest.raises(InvalidValueError, match="carries its unit's share is larger than torch"):
        greedy_subnetwork(net, 1e-3 * torch.ones(5, 2, dtype=dtype), 1)
