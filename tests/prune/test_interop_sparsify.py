"""Sparse and masked layers compute what the masked model computes, and become ordinary layers again."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidValueError, PruneproofError, UnsupportedError
from pruneproof.prune import MaskedLinear, Masks, SparseLinear, make_permanent, random, sparse_layers, sparsify
from pruneproof.prune import magnitude as magnitude_masks
from tests.prune.hugging_face import transformers

X = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 8))


def masks() -> Masks:
    return random(network(), density=0.1, generator=torch.Generator().manual_seed(0))


def magnitude(net: nn.Module, x: Tensor) -> float:
    """The largest output of three layers if nothing cancelled, to which rounding errors are relative."""
    magnitude = x.abs().double()
    state = {name: tensor.abs().double() for name, tensor in net.state_dict().items()}
    for layer in (0, 2, 4):
        magnitude = magnitude @ state[f"{layer}.weight"].T + state.get(f"{layer}.bias", 0)
    return float(magnitude.max())


def rounding(net: nn.Module, x: Tensor) -> float:
    """Three layers of float32 inner products: γ₆₅ of the magnitudes, layer on layer."""
    return 3 * 66 * 2.0**-24 * magnitude(net, x)


@pytest.mark.parametrize("format", ["masked", "csr16", "bsr64", "dense", "auto"])
def test_outputs_are_those_of_the_masked_model(format: str) -> None:
    net, kept = network(), masks()
    dense = kept.apply_(copy.deepcopy(net))
    sparse = sparsify(net, kept, format=format)
    assert float((sparse(X) - dense(X)).abs().max().detach()) <= rounding(dense, X)
    assert float((sparse(X) - net(X)).abs().max().detach()) > 1e-3  # the unmasked model is another function
    swapped = [type(layer) for layer in sparse.modules() if isinstance(layer, MaskedLinear | SparseLinear)]
    expected = {"masked": [MaskedLinear] * 3, "dense": []}.get(format, [SparseLinear] * 3)
    assert swapped == expected or format == "auto"
    permanent = make_permanent(sparse)
    assert [type(layer) for layer in permanent.modules()] == [type(layer) for layer in net.modules()]
    for name, weight in dense.state_dict().items():
        assert torch.equal(permanent.state_dict()[name], weight)


def test_a_masked_layer_trains_and_stays_masked() -> None:
    sparse = sparsify(network(), masks(), format="masked")
    optimizer = torch.optim.AdamW(sparse.parameters(), lr=0.1, weight_decay=0.1)
    before = make_permanent(sparse).state_dict()
    for _ in range(3):
        optimizer.zero_grad()
        sparse(X).square().mean().backward()
        optimizer.step()
    after = make_permanent(sparse).state_dict()
    for name, mask in masks().items():
        assert not after[name][~mask].any() and not torch.equal(before[name][mask], after[name][mask])


def test_a_sparse_layer_saves_and_loads() -> None:
    sparse, other = (sparsify(net, masks(), format="csr16") for net in (network(), network()))
    with torch.no_grad():
        other.get_buffer("0.part0").zero_()
    other.load_state_dict(sparse.state_dict())
    assert torch.equal(other(X), sparse(X))
    assert torch.equal(copy.deepcopy(sparse)(X), sparse(X))


def test_the_model_is_unchanged_and_others_are_refused() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    sparsify(net, masks(), format="csr16")
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with pytest.raises(PruneproofError, match="ake the masks from this model"):
        sparsify(net, Masks({"7.weight": torch.ones(2, 2, dtype=torch.bool)}))
    with pytest.raises(PruneproofError, match="the format must be one of"):
        sparsify(net, masks(), format="zip")


def test_convolutions_and_tied_weights_stay_dense_zeros() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 16), nn.Linear(16, 16))
    net[3].weight = net[2].weight
    kept = random(net, density=0.5, generator=torch.Generator().manual_seed(0))
    sparse = sparsify(net, kept, format="csr16")
    assert [type(layer) for layer in sparse.children()] == [nn.Conv2d, nn.Flatten, nn.Linear, nn.Linear]
    assert torch.equal(sparse.get_parameter("0.weight") != 0, kept["0.weight"])
    assert sparse.get_parameter("2.weight") is sparse.get_parameter("3.weight")


INPUTS_FIRST = {
    "Conv1D": (lambda: transformers.pytorch_utils.Conv1D(8, 8), (3, 8)),  # square, so that no shape tells
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(8, 8, 2), (3, 8, 5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(8, 8, 2, groups=2), (3, 8, 4, 4)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(8, 8, 2), (3, 8, 2, 2, 2)),
}


@pytest.mark.parametrize("format", ["masked", "csr16", "auto"])
@pytest.mark.parametrize("kind", INPUTS_FIRST)
def test_layers_that_store_inputs_first_stay_what_they_are(kind: str, format: str) -> None:
    """Their weight, read as (outputs, inputs), would be another layer's."""
    torch.manual_seed(0)
    make, shape = INPUTS_FIRST[kind]
    layer = make()
    nn.init.normal_(layer.weight)
    net, x = nn.Sequential(layer), torch.randn(shape)
    kept = random(net, density=0.5, generator=torch.Generator().manual_seed(0))
    sparse = sparsify(net, kept, format=format)
    assert type(sparse.get_submodule("0")) is type(layer)
    assert torch.equal(sparse.get_parameter("0.weight"), layer.weight * kept["0.weight"])
    assert torch.equal(sparse(x), kept.apply_(copy.deepcopy(net))(x)) and not torch.equal(sparse(x), net(x))


def test_a_single_layer() -> None:
    layer = nn.Linear(8, 4)
    sparse = sparsify(layer, Masks({"weight": torch.eye(4, 8) > 0}), format="csr16")
    assert isinstance(sparse, SparseLinear) and isinstance(make_permanent(sparse), nn.Linear)


def test_make_permanent_ends_enforcement_on_the_copy_only() -> None:
    net, kept = network(), masks()
    kept.enforce(net)
    free = make_permanent(net)
    for model, held in ((net, True), (free, False)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(X).square().mean().backward()
        optimizer.step()
        weight = model.get_parameter("0.weight").detach()
        assert bool((weight[~kept["0.weight"]] == 0).all()) == held


@pytest.mark.parametrize("format", ["masked", "csr16"])
def test_modes_and_gradients_are_those_of_the_model_there_and_back(format: str) -> None:
    net = network()
    net[0].eval()
    for name in ("0.weight", "4.bias"):
        net.get_parameter(name).requires_grad_(False)
    state = torch.get_rng_state()
    sparse = sparsify(net, masks(), format=format)
    permanent = make_permanent(sparse)
    assert torch.equal(state, torch.get_rng_state())
    for model in (sparse, permanent):
        assert [m.training for m in model.modules()] == [m.training for m in net.modules()]
        named = model.named_parameters()
        assert all(p.requires_grad == net.get_parameter(name).requires_grad for name, p in named)
    assert [name for name, _ in permanent.named_parameters()] == [name for name, _ in net.named_parameters()]


@pytest.mark.parametrize("format", ["masked", "csr16", "bsr64"])
def test_under_autocast_a_layer_rounds_as_an_ordinary_one(format: str) -> None:
    """Both networks round operands alike and three outputs to bfloat16, at most twice (the product, then the bias), by
    2⁻⁸ each; (1 + 2⁻⁸)¹² < 1.05 covers the growth of what is rounded, and 3·γ₆₅ of float32 in it.
    """
    net, kept = network(), masks()
    sparse, dense = sparsify(net, kept, format=format), kept.apply_(copy.deepcopy(net))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = sparse(X), dense(X)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert float((found - expected).abs().max().detach()) <= 2 * 3 * 2 * 2**-8 * 1.05 * magnitude(dense, X)
    if format == "masked":
        found.float().sum().backward()
        assert not sparse.get_parameter("0.weight").grad[~kept["0.weight"]].any()  # pyright: ignore[reportOptionalSubscript]
    layer = sparsify(nn.Linear(8, 4).double(), Masks({"weight": torch.eye(4, 8) > 0}), format="csr16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(1, 8).double()).dtype == torch.float64  # which autocast leaves alone


def test_code_that_reads_the_weight_finds_the_dense_one() -> None:
    """The fast path of a transformer does; gradients off, it hands `linear1.weight` to a fused operation."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.randn(2, 5, 16)
    kept = random(encoder, density=0.5, generator=torch.Generator().manual_seed(0))
    sparse = sparsify(encoder, kept, format="csr16")
    with torch.no_grad():
        assert torch.equal(sparse(x), kept.apply_(encoder)(x))


@pytest.mark.parametrize("shared", [False, True], ids=["a weight", "a layer"])
def test_masks_may_go_by_the_second_name_of_a_tied_weight(shared: bool) -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    net = nn.Sequential(first, first if shared else second)
    mask = torch.eye(4) > 0
    sparse = sparsify(net, Masks({"1.weight": mask}), format="csr16")
    assert torch.equal(sparse.state_dict()["0.weight"] != 0, mask)


def test_a_sparse_layer_used_twice_becomes_one_ordinary_layer() -> None:
    layer = sparsify(nn.Linear(4, 4), Masks({"weight": torch.eye(4) > 0}), format="csr16")
    permanent = make_permanent(nn.Sequential(layer, layer))
    assert isinstance(permanent[0], nn.Linear) and permanent[0] is permanent[1]  # pyright: ignore[reportIndexIssue]


def test_a_layer_with_hooks_is_not_replaced() -> None:
    net, kept = network(), masks()
    handle = net[2].register_forward_hook(lambda module, inputs, output: -output)
    with pytest.raises(PruneproofError, match=r"sparsify: 2 has hooks"):
        sparsify(net, kept, format="csr16")
    sparsify(net, Masks({name: mask for name, mask in kept.items() if name != "2.weight"}), format="csr16")
    handle.remove()
    sparse = sparsify(net, kept, format="csr16")
    sparse[0].register_full_backward_hook(lambda module, inputs, outputs: None)  # pyright: ignore[reportIndexIssue]
    with pytest.raises(PruneproofError, match=r"make_permanent: 0 has hooks"):
        make_permanent(sparse)


TWO_OF_FOUR = magnitude_masks(network(), density=0.5, scope="2:4")


def test_semi_structured_tensors_are_refused_off_cuda() -> None:
    with pytest.raises(UnsupportedError, match=r"CUDA devices alone, and 0\.weight lies on cpu"):
        sparsify(network(), TWO_OF_FOUR, format="torch-2:4")


def test_semi_structured_tensors_hold_what_is_kept_or_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the device check patched: another pattern, of which torch would lose weights, and what torch itself says."""
    monkeypatch.setattr(sparse_layers, "_on_cuda", lambda weight: True)
    with pytest.raises(InvalidValueError, match=r"0\.weight keeps more than two of four"):
        sparsify(network(), magnitude_masks(network(), density=0.5), format="torch-2:4")
    with pytest.raises(UnsupportedError, match=r"torch cannot store 0\.weight, torch\.float32 of shape \(64, 32\)"):
        sparsify(network(), TWO_OF_FOUR, format="torch-2:4")
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", torch.clone)
    sparse, net = sparsify(network(), TWO_OF_FOUR, format="torch-2:4"), network()
    assert torch.equal(sparse(X), TWO_OF_FOUR.apply_(net)(X))
    assert [sparse.get_parameter(name).requires_grad for name in TWO_OF_FOUR] == [False] * 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="semi-structured tensors need a CUDA device")
def test_semi_structured_tensors_compute_the_masked_model() -> None:
    """Both round to bfloat16: by 2⁻⁸ of the magnitude each, the float32 sums of 129 terms by far less."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(128, 128)).to("cuda", torch.bfloat16)
    kept = magnitude_masks(net, density=0.5, scope="2:4")
    sparse, dense = sparsify(net, kept, format="torch-2:4"), kept.apply_(copy.deepcopy(net))
    x = torch.randn(64, 128, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        weight, bias = dense.get_parameter("0.weight").abs().double(), dense.get_parameter("0.bias").abs().double()
        assert bool(((sparse(x) - dense(x)).double().abs() <= 2 * 2**-8 * (x.abs().double() @ weight.T + bias)).all())
        assert not torch.equal(sparse(x), net(x))


@pytest.mark.parametrize("format", ["csr16", "bsr64"])
def test_a_sparse_model_that_is_differentiated_compiles_without_a_warning(format: str) -> None:
    """Without `fullgraph`, a compiler that cannot go on breaks the graph and only warns."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 320), nn.ReLU(), nn.Linear(320, 64))
    sparse = sparsify(model, magnitude_masks(model, density=0.05), format=format)
    x = torch.randn(40, 256, requires_grad=True)
    torch.compile(sparse, backend="aot_eager")(x).sum().backward()
