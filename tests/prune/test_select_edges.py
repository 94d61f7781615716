"""Numbers without a dimension, layers without weights, many layers, and what is no score, density or schedule."""

from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pruneproof import PruneproofError, prune
from pruneproof.errors import InvalidValueError
from pruneproof.prune import balanced_batch, magnitude, random, select
from pruneproof.prune.selection import schedules
from pruneproof.prune.selection.budget import erk, uniform


def test_a_single_number_counts_as_one_by_one_for_erk() -> None:
    assert erk([(), (3,)], 2) == erk([(1,), (3,)], 2) == [1, 1]
    scores = {"gain": torch.tensor(1.0), "w": torch.arange(3.0)}
    assert select(scores, count=2, scope="erk").counts == {"gain": 1, "w": 1}
    assert select({"gain": torch.tensor(1.0)}, count=1, scope="erk").count == 1


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_a_layer_without_weights_is_owed_none(scope: str) -> None:
    """One weight in all is one for each layer that has any."""
    net = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3), nn.Linear(4, 4))
    assert magnitude(net, density=0.5, scope=scope).counts == {"0.weight": 0, "1.weight": 0, "2.weight": 8}
    assert random(net, density=1 / 16, scope=scope, generator=torch.Generator()).count == 1


def test_budgets_of_very_many_layers_are_immediate() -> None:
    """Rounding gives each layer one weight too few, or too many: 4000 are given or taken back one at a time.

    That took a minute when each of them looked at all layers; it takes a fraction of a second.
    """
    started, half = process_time(), [1] * 4000 + [0] * 4000
    assert uniform([3] * 8000, 12_000) == [1 + extra for extra in half]  # 1.5 are due, rounded up
    assert uniform([10] * 8000, 8000 + 3200) == [1 + extra for extra in half[800:] + [0] * 800]  # 1.4, rounded down
    assert process_time() - started < 10


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("scope", ["global", "layer", "1:2"])
def test_scores_of_eight_bits_are_refused(dtype: torch.dtype, scope: str) -> None:
    budget: dict[str, Any] = {} if scope == "1:2" else {"count": 1}
    with pytest.raises(PruneproofError, match=f"scores of w are {dtype}, not floating-point numbers of 16 bits"):
        select({"w": torch.ones(4).to(dtype)}, scope=scope, **budget)


@pytest.mark.parametrize("density", [torch.tensor([0.5, 0.5]), np.array([0.5, 0.5]), [0.5]])
def test_several_densities_are_none_of_a_pattern(density: Any) -> None:
    for call in (
        lambda: magnitude(nn.Linear(4, 4), scope="2:4", density=density),
        lambda: select({"w": torch.ones(4)}, scope="2:4", density=density),
    ):
        with pytest.raises(PruneproofError, match="fixes the density at 2/4"):
            call()


@pytest.mark.parametrize("density", ["0.1", None, True, torch.tensor([0.5, 0.5])])
def test_a_schedule_needs_a_number(density: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: schedules.one_shot(density),
        lambda: schedules.linear(density, 2),
        lambda: schedules.exponential(density, 2),
        lambda: schedules.cubic(density, 2),
    ]
    for call in calls:
        with pytest.raises(PruneproofError, match=r"density must lie in \(0, 1\], got"):
            call()


X, Y, G = torch.zeros(8, 2), torch.arange(8) % 2, torch.Generator()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:0], Y[:0], 1, G), r"one integer label per input.*got inputs \(0, 2\)"),
        ((torch.tensor(1.0), Y, 1, G), "one integer label per input"),
        ((X, Y.tolist(), 1, G), "inputs and labels must be tensors, got"),
        ((X.tolist(), Y, 1, G), "inputs and labels must be tensors, got"),
        ((X, Y, 1.5, G), "whole number of at least 1, got 1.5"),
        ((X, Y, 0, G), "whole number of at least 1, got 0"),
        ((X, Y[[0, 0, 1, 0, 0, 1, 0, 1]], 4, G), "there are 3 examples of class 1, fewer than per_class=4"),
        ((X, Y, True, G), "whole number of at least 1, got True"),
        ((X, Y, 1, None), r"a torch.Generator, got None \(NoneType\). Pass torch.Generator\(\).manual_seed"),
        ((X, Y, 1, 0), "a torch.Generator, got 0"),
    ],
)
def test_a_batch_that_cannot_be_balanced(arguments: tuple[Any, ...], message: str) -> None:
    inputs, labels, per_class, generator = arguments
    with pytest.raises(PruneproofError, match=f"balanced_batch.*{message}"):
        balanced_batch(inputs, labels, per_class, generator=generator)


@pytest.mark.parametrize("scope", ["global", "layer", "erk", "row", "2:4"])
@pytest.mark.parametrize("method", ["magnitude", "wanda", "progressively"])
def test_a_layer_with_nan_is_refused_by_name_in_every_scope(method: str, scope: str) -> None:
    """In rows and groups NaN used to be kept, with a count that was not the one asked for."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    inputs = torch.randn(8, 8)
    actions: dict[str, Callable[[], object]] = {
        "magnitude": lambda: prune.magnitude(model, density=0.5, scope=scope),
        "wanda": lambda: prune.wanda(model, inputs, density=0.5, scope=scope),
        "progressively": lambda: prune.prune_progressively(model, prune.scores.magnitude, [0.5], scope=scope),
    }
    actions[method]()
    with torch.no_grad():
        model[1].get_parameter("weight")[1, 2] = torch.nan
    with pytest.raises(InvalidValueError, match=r"1\.weight (contain|are) NaN"):
        actions[method]()
