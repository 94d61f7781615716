"""Population certificates cover as often as they promise; refusals; nothing of the networks changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import certify_population
from pruneproof.theory.statistics.exact_tests import falsified

ALPHA = 1e-9  # false-alarm rate of each frequency test


class Shift(nn.Module):
    """Outputs (x, 0); the pruned one (x + shift(x), 0): the error of a point is |shift(x)|."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x + self.scale * x**2, torch.zeros_like(x)], dim=1)


@pytest.mark.alpha(3 * ALPHA)
def test_quantile_and_conformal_bounds_cover(salted: Callable[..., int]) -> None:
    """x uniform on [−1, 1]: |f̂−f| = x² has its 1−β quantile at (1−β)²."""
    generator = torch.Generator().manual_seed(salted("quantile"))
    original, pruned = Shift(0.0), Shift(-1.0)  # x − x² ≤ 0 < x nowhere; below 0 both negative: no disagreement
    failures = conformal = 0
    runs, beta, alpha = 2000, 0.1, 0.1
    for _ in range(runs):
        points = 2 * torch.rand(101, 1, generator=generator, dtype=torch.float64) - 1
        record = certify_population(original, pruned, points[:100], alpha=alpha, beta=beta)
        failures += record.quantile_bound < (1 - beta) ** 2
        conformal += float(points[100] ** 2) > record.conformal_bound
    assert not falsified(failures, runs, alpha, ALPHA)
    assert not falsified(conformal, runs, beta, ALPHA)
    # The false twin, a quarter of β: misses are Bin(2000, 10/101), and fewer than the test's threshold of 98 have
    # probability below 1e-16.
    assert falsified(conformal, runs, beta / 4, ALPHA)


@pytest.mark.alpha(ALPHA)
def test_the_disagreement_bound_covers(salted: Callable[..., int]) -> None:
    """x uniform: classes differ for x in (−1/2, 0), a quarter of the time."""
    generator = torch.Generator().manual_seed(salted("disagreement"))
    original, runs, alpha = Shift(0.0), 2000, 0.1
    pruned = nn.Sequential(Shift(0.0), nn.Linear(2, 2))
    layer = pruned[1]
    assert isinstance(layer, nn.Linear)
    layer.weight.data, layer.bias.data = torch.eye(2), torch.tensor([0.5, 0.0])
    failures = sum(
        certify_population(
            original, pruned, 2 * torch.rand(60, 1, generator=generator) - 1, alpha=alpha
        ).disagreement_bound < 0.25
        for _ in range(runs)
    )  # fmt: skip
    assert not falsified(failures, runs, alpha, ALPHA)


def test_too_few_points_say_nothing() -> None:
    record = certify_population(Shift(0.0), Shift(1.0), torch.rand(5, 1), alpha=0.05, beta=0.05)
    assert record.quantile_bound == record.conformal_bound == float("inf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"alpha": 0.0}, "alpha"), ({"beta": 1.0}, "beta"), ({"held_out": torch.rand(0, 1)}, "points")],
)
def test_bad_input_is_refused(arguments: dict[str, object], message: str) -> None:
    values: dict[str, object] = {"held_out": torch.rand(5, 1), **arguments}
    with pytest.raises(PruneproofError, match=message):
        certify_population(Shift(0.0), Shift(1.0), **values)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("outputs", [(2, 3), (3, 2)])
def test_outputs_of_two_shapes_are_refused(outputs: tuple[int, int]) -> None:
    first, second = (nn.Linear(1, count) for count in outputs)
    with pytest.raises(PruneproofError, match="of one shape"):
        certify_population(first, second, torch.rand(5, 1))


class Overwriting(nn.Module):
    """Normalises its input in place, and keeps one part in evaluation mode whatever the rest is in."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.frozen = nn.Linear(1, 2), nn.BatchNorm1d(2).eval()

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        return self.frozen(self.head(x))


def test_networks_and_points_are_left_as_they_are() -> None:
    network, points = Overwriting(), torch.rand(60, 1)
    before = points.clone()
    record = certify_population(network, network, points)
    assert record.disagreements == record.quantile_bound == 0
    assert torch.equal(points, before)
    assert network.training and network.head.training and not network.frozen.training
