"""Certified screening chooses what float64 chooses; its intervals hold, survivors are few, a broken bound is caught."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruneproof.kernels.greedy import screening as greedy_screen
from pruneproof.kernels.greedy.rules import average_path
from pruneproof.kernels.greedy.screening import COPIES, FeatureProducts, Screen, screened_path

KINDS = list(COPIES)


def features_like(kind: int, generator: torch.Generator, neurons: int, points: int) -> torch.Tensor:
    """Rectified, signed, nearly tied, and badly scaled features."""
    plain = torch.randn(neurons, points, generator=generator)
    if kind == 2:  # differences far below what a low-precision copy resolves
        return plain[:1].relu() + 1e-5 * plain
    if kind == 3:
        return plain * torch.logspace(-18, 18, neurons)[:, None]
    return plain.relu() if kind == 0 else plain


@given(st.integers(0, 3), st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.booleans())
def test_takes_the_path_of_float64(kind: int, seed: int, copy: str, replacement: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    features, target = features_like(kind, generator, 40, 65), torch.rand(65, generator=generator)
    expected = average_path(FeatureProducts(features.double(), target.double()), 8, replacement)
    found = screened_path(FeatureProducts(features, target), target, 8, replacement, copy)
    assert found.indices == expected.indices
    assert torch.equal(found.weights, expected.weights)


@given(st.integers(0, 3), st.integers(0, 2**32 - 1), st.sampled_from(KINDS))
def test_intervals_contain_the_exact_products(kind: int, seed: int, copy: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    features, r = features_like(kind, generator, 30, 65), torch.randn(65, generator=generator).double()
    estimate, width = Screen.of(features, copy).intervals(r)
    assert torch.all((features.double() @ r - estimate).abs() <= width)


def test_a_bound_without_the_copy_error_is_refused() -> None:
    """The false twin: counting rounding only, and not the error of the copy, contradicts both tests above."""
    generator = torch.Generator().manual_seed(0)
    features, r = torch.randn(200, 65, generator=generator), torch.randn(65, generator=generator).double()
    for copy in KINDS:
        screen = Screen.of(features, copy)
        broken = Screen(screen.copy, screen.scale, 0 * screen.error, screen.length)
        estimate, width = broken.intervals(r)
        assert torch.any((features.double() @ r - estimate).abs() > width)


def test_a_screen_that_drops_the_winner_changes_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    features, target = features_like(2, generator, 60, 65), torch.rand(65, generator=generator)
    expected = average_path(FeatureProducts(features.double(), target.double()), 8, True)
    intervals = Screen.intervals

    def too_narrow(self: Screen, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        estimate, width = intervals(self, r)
        return estimate, 0 * width

    monkeypatch.setattr(Screen, "intervals", too_narrow)
    assert screened_path(FeatureProducts(features, target), target, 8, True).indices != expected.indices


def test_few_neurons_are_scored_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """On rectified random features fewer than one in ten must survive, or screening would save nothing."""
    generator = torch.Generator().manual_seed(2)
    features = (torch.randn(1000, 16, generator=generator) @ torch.randn(16, 512, generator=generator)).relu()
    target = features[:50].mean(0)
    survivors: list[int] = []
    rescore = greedy_screen.rescore

    def counting(features: torch.Tensor, r: torch.Tensor, half: torch.Tensor, *ends: torch.Tensor) -> torch.Tensor:
        survivors.append(int((ends[0] <= ends[1]).sum()))
        return rescore(features, r, half, *ends)

    monkeypatch.setattr(greedy_screen, "rescore", counting)
    screened_path(FeatureProducts(features, target), target, 20, True)
    assert len(survivors) == 20 and sum(survivors) < 0.1 * 20 * 1000


def test_columns_are_remembered_up_to_a_quarter_of_the_features() -> None:
    features = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    products = FeatureProducts(features, torch.ones(12))
    first, second = ([products.column(neuron) for neuron in range(6)] for _ in range(2))
    assert [a is b for a, b in zip(first, second, strict=True)] == [True, True, True, False, False, False]
    assert all(torch.equal(column, features @ features[i]) for i, column in enumerate(second))
