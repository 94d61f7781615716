"""Calibrated pruning keeps what the published definitions keep, on any wiring of any model."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.errors import InvalidValueError
from pruneproof.kernels.sensitivity.op import sensitivities
from pruneproof.prune import calibrated, calibrated_sweep, scores, select, wanda
from pruneproof.prune.calibration.sparsegpt import inverse_factor, invert_triangular_


def stack(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5))


def batches(count: int = 3, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(16, 12, generator=generator) for _ in range(count)]


def published_wanda(weight: Tensor, inputs: Tensor, sparsity: float) -> Tensor:
    """The mask of the published code: int(columns · sparsity) of a row are pruned, after an ascending stable sort."""
    metric = weight.abs() * inputs.square().mean(0).sqrt()
    order = metric.sort(dim=1, stable=True).indices[:, : int(metric.shape[1] * sparsity)]
    return torch.ones_like(weight, dtype=torch.bool).scatter_(1, order, False)


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75])
def test_wanda_keeps_what_the_published_code_keeps_behind_pruned_layers(sparsity: float) -> None:
    model, data = stack(), torch.cat(batches())
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for layer in (reference[0], reference[2], reference[4]):
            assert isinstance(layer, nn.Linear)
            inputs = data
            for module in reference:
                if module is layer:
                    break
                inputs = module(inputs)
            layer.weight.mul_(published_wanda(layer.weight, inputs, sparsity))
    calibrated(model, batches(), density=1 - sparsity)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def published_sparsegpt(
    weight: Tensor, gram: Tensor, choose: Callable[[Tensor, int], Tensor], block: int, m: int
) -> Tensor:
    """The loop of the published code: three factorisations, columns one by one; `choose` gives what is pruned."""
    w, size = weight.clone(), len(gram)
    h = gram + 0.01 * gram.diagonal().mean() * torch.eye(size, dtype=gram.dtype)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, size, block):
        stop = min(start + block, size)
        w1, errors = w[:, start:stop].clone(), torch.zeros(len(w), stop - start, dtype=w.dtype)
        h1 = inverse[start:stop, start:stop]
        pruned = torch.zeros_like(w1, dtype=torch.bool)
        for i in range(stop - start):
            if i % m == 0:
                ahead = slice(i, i + m)
                pruned[:, ahead] = choose(w1[:, ahead] ** 2 / h1.diagonal()[ahead] ** 2, start + i)
            q = w1[:, i].masked_fill(pruned[:, i], 0)
            errors[:, i] = (w1[:, i] - q) / h1[i, i]
            w1[:, i:] -= errors[:, i : i + 1] @ h1[i : i + 1, i:]
            w1[:, i] = q
        w[:, start:stop] = w1
        w[:, stop:] -= errors @ inverse[start:stop, stop:]
    return w


def smallest(count: int) -> Callable[[Tensor, int], Tensor]:
    """Prune the `count` lowest scores of each row."""

    def choose(scores: Tensor, start: int) -> Tensor:
        order = scores.argsort(dim=1, stable=True)[:, :count]
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True)

    return choose


@pytest.mark.parametrize(("scope", "block", "m", "count"), [("row", 8, 8, 4), ("2:4", 16, 4, 2), ("row", 128, 32, 16)])
def test_sparsegpt_updates_as_the_published_loop_does(scope: str, block: int, m: int, count: int) -> None:
    torch.manual_seed(0)
    layer, data = nn.Linear(32, 10, dtype=torch.float64), torch.randn(200, 32, dtype=torch.float64)
    data[:, 1:] += data[:, :-1]  # inputs that depend on each other, so that updates matter
    expected = published_sparsegpt(layer.weight.detach(), data.T @ data, smallest(count), block, m)
    result = calibrated(layer, [data], method="sparsegpt", density=0.5, scope=scope, block_size=block)
    assert result.masks.density == 0.5
    assert torch.allclose(layer.weight, expected, rtol=1e-9, atol=1e-12)


def test_sparsegpt_errs_less_than_its_own_mask_without_the_update() -> None:
    torch.manual_seed(0)
    data = torch.randn(400, 32) @ torch.randn(32, 32)
    layer = nn.Linear(32, 16, bias=False)
    dense = layer.weight.detach().clone()
    masks = calibrated(layer, [data], method="sparsegpt", density=0.5).masks

    def error(weight: Tensor) -> float:
        return float(functional.linear(data, weight - dense).norm() / functional.linear(data, dense).norm())

    assert error(layer.weight.detach()) < 0.9 * error(dense * masks["weight"])


def test_the_factor_inverts_the_damped_gram_matrix() -> None:
    torch.manual_seed(0)
    rows = torch.randn(300, 40, dtype=torch.float64)
    rows[:, 7] = 0
    gram = rows.T @ rows
    factor = inverse_factor(gram.clone(), 0.05, name="weight", block_size=16)
    mean = gram.diagonal().sum() / 39
    damped = gram + 0.05 * mean * torch.eye(40)
    damped[7, 7] = 1.05 * mean
    assert factor.silent.nonzero().tolist() == [[7]]
    assert torch.allclose(factor.upper.T @ factor.upper @ damped, torch.eye(40, dtype=torch.float64), atol=1e-9)
    assert torch.equal(factor.upper, factor.upper.triu())


def test_weights_that_read_a_silent_input_go_first_and_are_otherwise_left() -> None:
    torch.manual_seed(0)
    layer, data = nn.Linear(8, 4), torch.randn(64, 8)
    data[:, :4] = 0
    dense = layer.weight.detach().clone()
    masks = calibrated(layer, [data], method="sparsegpt", density=0.75).masks
    assert bool(masks["weight"][:, 4:].all())
    assert torch.equal(layer.weight, dense * masks["weight"])  # nothing that was pruned had an effect


@pytest.mark.parametrize("method", ["wanda", "sipp", "magnitude"])
def test_methods_keep_the_highest_of_their_scores_in_a_single_layer(method: str) -> None:
    torch.manual_seed(0)
    layer, data = nn.Linear(10, 6), torch.rand(40, 10)
    masks = calibrated(copy.deepcopy(layer), [data[:20], data[20:]], method=method, density=0.3).masks
    if method == "sipp":
        expected = {"weight": sensitivities(layer.weight, data)}
    else:
        expected = scores.wanda(layer, data) if method == "wanda" else scores.magnitude(layer)
    assert masks == select(expected, density=0.3, scope="row")


def test_several_densities_share_dense_inputs_and_leave_the_model() -> None:
    model, data = stack(), batches()
    before = copy.deepcopy(model.state_dict())
    results = calibrated_sweep(model, data, [0.5, 0.25], method="wanda")
    for density, result in results.items():
        assert result.masks == wanda(model, torch.cat(data), density=density)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_a_sweep_with_updates_equals_single_layers_pruned_on_dense_inputs() -> None:
    model, data = stack(), batches()
    results = calibrated_sweep(model, data, [0.5, 0.25], method="sparsegpt")
    hidden = [model[:2](batch).detach() for batch in data]
    for density, result in results.items():
        alone = copy.deepcopy(model[2])
        assert isinstance(alone, nn.Linear)
        calibrated(alone, hidden, method="sparsegpt", density=density)
        assert torch.allclose(result.weights["2.weight"], alone.weight, atol=1e-6)
        assert result.masks.density == pytest.approx(density, abs=0.01)


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "sipp", "magnitude"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (8, 4, 6, 6)),
        (lambda: nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect"), (8, 4, 6, 6)),
        (lambda: nn.Conv1d(4, 8, 3, stride=2), (8, 4, 20)),
        (lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), (8, 4, 5, 5)),
    ],
    ids=["groups", "reflected", "one-dimensional", "transposed"],
)
def test_convolutions_keep_exact_counts_in_every_row(
    method: str, layer: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module, data = layer(), torch.randn(shape)
    if isinstance(module, nn.ConvTranspose2d) and method in ("sparsegpt", "sipp"):
        with pytest.raises(NotImplementedError, match=r"0\.weight"):
            calibrated(nn.Sequential(module), [data], method=method, density=0.5)
        return
    mask = calibrated(module, [data], method=method, density=0.5).masks["weight"]
    if isinstance(module, nn.ConvTranspose2d):
        rows = mask.reshape(2, 2, 3, 4).permute(0, 2, 1, 3).reshape(6, -1)
    else:
        rows = mask.flatten(1)
    assert set(rows.sum(1).tolist()) == {rows.shape[1] // 2}


def test_wanda_of_a_convolution_is_that_of_its_patches() -> None:
    torch.manual_seed(0)
    layer, data = nn.Conv2d(3, 5, 3, padding=1), torch.randn(6, 3, 7, 7)
    masks = calibrated(copy.deepcopy(layer), [data[:2], data[2:]], density=0.4).masks
    patches = functional.unfold(data, 3, padding=1).transpose(1, 2).flatten(0, 1)
    expected = layer.weight.detach().flatten(1).abs() * patches.norm(dim=0)
    kept = select({"weight": expected}, density=0.4, scope="row")["weight"].reshape(layer.weight.shape)
    assert torch.equal(masks["weight"], kept)


class Conv1D(nn.Module):
    """A linear layer of language models: the weight is (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@pytest.mark.parametrize("method", ["wanda", "sparsegpt", "sipp", "magnitude"])
@pytest.mark.parametrize("scope", ["row", "2:4", "layer"])
def test_a_layer_that_stores_inputs_first_is_pruned_as_its_transpose(method: str, scope: str) -> None:
    torch.manual_seed(0)
    linear, data = nn.Linear(16, 6), torch.randn(50, 16)
    twin = Conv1D(6, 16)
    twin.load_state_dict({"weight": linear.weight.T.detach().clone(), "bias": linear.bias.detach()})
    first = calibrated(linear, [data], method=method, density=0.5, scope=scope)
    second = calibrated(twin, [data], method=method, density=0.5, scope=scope)
    assert torch.equal(first.masks["weight"], second.masks["weight"].T)
    assert torch.allclose(linear.weight, twin.weight.T, atol=1e-6)


@pytest.mark.parametrize("density", [0.1, 0.25, 0.45, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("scope", ["row", "layer"])
@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_counts_are_the_nearest_whole_numbers(method: str, scope: str, density: float) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(37, 11)
    masks = calibrated(layer, [torch.randn(64, 37)], method=method, density=density, scope=scope, block_size=16).masks
    rows = masks["weight"].sum(1)
    if scope == "row":
        assert rows.tolist() == [int(37 * density + 0.5)] * 11
    assert int(rows.sum()) == (int(37 * density + 0.5) * 11 if scope == "row" else int(37 * 11 * density + 0.5))
    assert int((layer.weight != 0).sum()) <= int(rows.sum())
    assert bool((layer.weight[~masks["weight"]] == 0).all())


@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_the_inverse_of_a_triangle_takes_its_place(size: int) -> None:
    torch.manual_seed(0)
    upper = torch.randn(size, size, dtype=torch.float64).triu() + 4 * torch.eye(size)
    inverse = upper.clone()
    invert_triangular_(inverse, 8)
    assert torch.allclose(inverse @ upper, torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert torch.equal(inverse, inverse.triu())


class Shared(nn.Module):
    """Two layers that read one tensor, or its copy in every other batch; the first's input may be overwritten after."""

    def __init__(self, *, overwrites: bool) -> None:
        super().__init__()
        self.first, self.second, self.overwrites = nn.Linear(8, 6), nn.Linear(8, 6), overwrites

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.0
        y = self.first(x)
        if self.overwrites:
            x = x.mul_(torch.linspace(0.1, 3, 8)).relu_()
        return y + self.second(x if len(x) % 2 else x.clone())


@pytest.mark.parametrize("overwrites", [False, True])
def test_inputs_that_layers_share_at_times_or_overwrite_are_added_up_for_each(overwrites: bool) -> None:
    torch.manual_seed(0)
    model, batches = Shared(overwrites=overwrites), [torch.randn(n, 8) @ torch.randn(8, 8) for n in (31, 40)]
    first = torch.cat(batches)
    second = (first * torch.linspace(0.1, 3, 8)).relu() if overwrites else first
    alone = {name: copy.deepcopy(getattr(model, name)) for name in ("first", "second")}
    calibrated(nn.Sequential(model), batches, method="sparsegpt", density=0.5, blocks=["0"])
    for (name, layer), inputs in zip(alone.items(), (first, second), strict=True):
        calibrated(layer, [inputs], method="sparsegpt", density=0.5)
        assert torch.allclose(getattr(model, name).weight, layer.weight, atol=1e-4), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_an_update_that_the_weight_cannot_hold_is_refused_and_nothing_is_changed(dtype: torch.dtype) -> None:
    """Of equal inputs, the one that is kept takes over from the one before it: more than the largest number."""
    torch.manual_seed(0)
    layer, inputs = nn.Linear(4, 2, bias=False).to(dtype), 1e-4 * torch.randn(16, 1).expand(16, 4).to(dtype)
    layer.weight.data.fill_(0.9 * torch.finfo(dtype).max)
    before = layer.weight.detach().clone()
    with pytest.raises(InvalidValueError, match=r"the update of weight overflows at damping=0\.01"):
        calibrated(layer, [inputs], method="sparsegpt", density=0.5, block_size=2)
    assert torch.equal(layer.weight, before)
    layer.weight.data.mul_(1 / 16)
    assert calibrated(layer, [inputs], method="sparsegpt", density=0.5, block_size=2).weights["weight"].isfinite().all()
