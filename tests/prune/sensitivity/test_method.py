"""`sipp` on whole models: budgets, bounds on the sample, invariances, layers of every kind, bad input."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pruneproof import PruneproofError
from pruneproof.prune import prunable, sipp
from pruneproof.prune.sensitivity.choices import KEPT, NAMES, least_error
from pruneproof.prune.sensitivity.measuring import layers, measure

VARIANTS = ("poisson", "det", "rand", "hybrid", "best")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mlp(seed: int = 0) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10)), torch.rand(48, 64)


def _conv() -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(32, 3),
    )  # fmt: skip
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
    return model, torch.randn(24, 2, 8, 8)


def _relative_errors(original: nn.Linear, pruned: nn.Linear, points: Tensor) -> Tensor:
    """max over points of |ẑ−z|/z for W⁺ and W⁻, (2, outputs), in float64."""
    result: list[Tensor] = []
    for sign in (1, -1):
        old, new = (points.double() @ (sign * m.weight.detach().double()).clamp(min=0).T for m in (original, pruned))
        result.append(((new - old).abs() / old.clamp(min=1e-300)).amax(0))
    return torch.stack(result)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("density", [0.2, 0.7])
def test_the_budget_is_respected(variant: str, density: float) -> None:
    model, inputs = _mlp()
    result = sipp(model, inputs, density=density, variant=variant, generator=_generator())
    total = sum(w.numel() for w in prunable(model).values())
    if variant == "det":
        assert result.masks.count == round(density * total)
    elif variant == "poisson":  # expected exactly; a sum of independent bits deviates by 6 of its standard deviations
        assert abs(result.masks.count - density * total) < 6 * (total / 4) ** 0.5  # with probability below 2e-9
    else:  # a pilot draw settles the count to .002; the variance of a count of different draws is at most their number
        draws = sum(float(b.budget.sum()) for b in result.bounds.values())
        assert abs(result.masks.count - density * total) < 0.002 * density * total + 6 * (2 * draws) ** 0.5
    for name, weight in prunable(result.model).items():
        assert torch.equal(weight != 0, result.masks[name])


@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
def test_det_bounds_hold_on_the_sample(density: float) -> None:
    model, inputs = _mlp()
    result = sipp(model, inputs, density=density, variant="det")
    before, after = model[0], result.model[0]
    assert isinstance(before, nn.Linear) and isinstance(after, nn.Linear)
    errors = _relative_errors(before, after, inputs)
    bound = result.bounds["0.weight"].epsilon
    assert (errors <= bound + 1e-5).all()  # the bound is computed in float32 over 64 terms: 64·2⁻²⁴ = 4e-6
    assert (errors >= bound - 1e-5).all()  # on S the max of the sum is exactly the worst relative error


def test_best_is_never_worse_than_any_variant() -> None:
    for seed in range(3):
        model, inputs = _mlp(seed)
        for density in (0.3, 0.5, 0.8):
            merits = {
                v: sipp(model, inputs, density=density, variant=v, generator=_generator()).merit for v in VARIANTS
            }
            assert merits["best"] == min(merits.values())


def test_every_variant_reaches_the_epsilon_asked_for() -> None:
    model, inputs = _mlp()
    budgets: dict[str, float] = {}
    for variant in VARIANTS:
        result = sipp(model, inputs, epsilon=0.4, variant=variant, generator=_generator())
        assert all((bound.epsilon <= 0.4).all() for bound in result.bounds.values())
        budgets[variant] = sum(float(b.budget.sum()) for b in result.bounds.values())
    assert budgets["best"] == min(budgets.values())


def test_poisson_needs_at_most_seven_tenths_of_rands_epsilon() -> None:
    """512-wide ReLU rows, half the budget, δ' = 0.1 in each half-row of a single output."""
    ratios: list[float] = []
    for seed in range(5):
        torch.manual_seed(seed)
        model, inputs = nn.Linear(512, 1), torch.randn(256, 512).relu()
        layer = measure(model, inputs, layers(model)[0][0])
        budget = torch.stack([(layer.weight > 0).sum(1), (layer.weight < 0).sum(1)]).double() / 2
        both = [
            least_error(layer, layer.blocks(model, inputs), budget, variant, math.log(2 / 0.1), 1.0).epsilon
            for variant in ("poisson", "rand")
        ]
        ratios.append(float(both[0].max() / both[1].max()))
    assert max(ratios) <= 0.7


@pytest.mark.parametrize("variant", VARIANTS)
def test_convolutions_groups_and_batch_norm(variant: str) -> None:
    model, inputs = _conv()
    before = copy.deepcopy(model.state_dict())
    result = sipp(model, inputs, density=0.5, variant=variant, generator=_generator())
    assert not result.exact
    assert result.masks.density <= 0.56
    assert result.model(inputs).shape == (24, 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training and result.model.training


def test_folding_batch_norm_first_changes_nothing() -> None:
    """Sensitivities do not change when a filter is scaled; a negative scale swaps W⁺ and W⁻."""
    model, inputs = _conv()
    model.eval()
    convolution, norm, *rest = model
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    folded = nn.Sequential(fuse_conv_bn_eval(convolution, norm), nn.Identity(), *rest)
    masks = [sipp(m, inputs, density=0.5, variant="det").masks for m in (model, folded)]
    for name in masks[0]:
        assert torch.equal(masks[0][name], masks[1][name])


def test_mixed_signs_are_met_as_two_points() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(32, 8), torch.randn(40, 32)
    result = sipp(layer, inputs, density=0.5, variant="det")
    for points in (inputs.clamp(min=0), (-inputs).clamp(min=0)):
        assert (_relative_errors(layer, result.model, points) <= result.bounds["weight"].epsilon + 1e-5).all()


def test_dead_half_rows_are_kept_whole_and_named() -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(8, 4), torch.zeros(10, 8)
    inputs[:, :4] = torch.rand(10, 4)
    layer.weight.data[0, :4] = layer.weight.data[0, :4].abs()
    layer.weight.data[0, 4:] = -layer.weight.data[0, 4:].abs()  # W⁻ of row 0 never meets an activation
    result = sipp(layer, inputs, density=0.6, variant="det")
    assert torch.equal(result.model.weight[0, 4:], layer.weight[0, 4:])
    assert int(result.bounds["weight"].variant[1, 0]) == KEPT
    assert "1 dead" in result.summary()


def test_unsupported_layers_are_kept_and_named() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(24, 5))
    result = sipp(model, torch.rand(12, 2, 8), density=0.7, variant="det")
    assert result.exact == ("0.weight",)
    assert result.masks["0.weight"].all() and not result.masks["2.weight"].all()


def test_same_generator_same_network() -> None:
    model, inputs = _mlp()
    first, second = (sipp(model, inputs, density=0.5, generator=_generator(7)).model for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_variants_are_named_in_the_result() -> None:
    model, inputs = _mlp()
    result = sipp(model, inputs, density=0.5, variant="best", generator=_generator())
    used = {NAMES[int(code)] for code in result.bounds["0.weight"].variant.unique() if int(code) < KEPT}
    assert used <= set(NAMES) and used


def _overflowing(value: float) -> nn.Sequential:
    first = nn.Linear(4, 4)
    first.weight.data.fill_(value)
    return nn.Sequential(first, nn.Linear(4, 2))


LAYER = nn.Linear(4, 2)
X = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
BAD: dict[str, tuple[Callable[[], object], str]] = {
    "empty batch": (lambda: sipp(LAYER, torch.rand(0, 4), density=0.5, variant="det"), "not empty"),
    "constant batch": (lambda: sipp(LAYER, torch.ones(3, 4), density=0.5, variant="det"), "copies of one"),
    "zero batch": (lambda: sipp(LAYER, torch.zeros(1, 4), density=0.5, variant="det"), "zero"),
    "nan inputs": (lambda: sipp(LAYER, X * torch.nan, density=0.5, variant="det"), "NaN or inf"),
    "nan weight": (lambda: sipp(_overflowing(torch.nan), X, density=0.5, variant="det"), "0.weight"),
    "inf activations": (lambda: sipp(_overflowing(3e38), X, density=0.5, variant="det"), "1.weight"),
    "delta 0": (lambda: sipp(LAYER, X, density=0.5, delta=0.0, variant="det"), "delta"),
    "delta 1": (lambda: sipp(LAYER, X, density=0.5, delta=1.0, variant="det"), "delta"),
    "epsilon 0": (lambda: sipp(LAYER, X, epsilon=0.0, variant="det"), "epsilon"),
    "epsilon < 0": (lambda: sipp(LAYER, X, epsilon=-1.0, variant="det"), "epsilon"),
    "density 0": (lambda: sipp(LAYER, X, density=0.0, variant="det"), "density"),
    "density > 1": (lambda: sipp(LAYER, X, density=1.5, variant="det"), "density must lie in"),
    "both": (lambda: sipp(LAYER, X, density=0.5, epsilon=0.5, variant="det"), "both|one of the two"),
    "neither": (lambda: sipp(LAYER, X, variant="det"), "one of the two"),
    "variant": (lambda: sipp(LAYER, X, density=0.5, variant="magic"), "one of"),
    "no generator": (lambda: sipp(LAYER, X, density=0.5), "Generator"),
    "stretch < 1": (lambda: sipp(LAYER, X, density=0.5, variant="det", stretch=0.5), "stretch"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_work(case: str) -> None:
    call, message = BAD[case]
    before = LAYER.weight.clone()
    with pytest.raises(PruneproofError, match=message):
        call()
    assert torch.equal(before, LAYER.weight)
