"""Inverting reverses the order of the scores and nothing else; replacing it by the identity turns this file red."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, invert, prune_progressively, scores, select
from pruneproof.prune.selection.schedules import exponential


@given(seed=st.integers(0, 2**31), count=st.integers(1, 59))
def test_the_inverted_selection_is_the_complement_of_the_rest(seed: int, count: int) -> None:
    """Without ties the k lowest are what the n − k highest leave."""
    values = torch.randperm(60, generator=torch.Generator().manual_seed(seed)).double() - 30
    kept = select(invert({"w": values}), count=count)["w"]
    assert torch.equal(kept, ~select({"w": values}, count=60 - count)["w"])
    assert float(values[kept].max()) < float(values[~kept].min())


def test_zero_scores_give_no_nan() -> None:
    """The reciprocal, which others use, is infinite at zero and NaN once multiplied by a mask."""
    inverted = invert({"w": torch.tensor([0.0, 1.0, 2.0])}, Masks({"w": torch.tensor([False, True, True])}))["w"]
    assert not inverted.isnan().any()
    assert select({"w": inverted}, count=2)["w"].tolist() == [False, True, True]
    assert select({"w": inverted}, count=1)["w"].tolist() == [False, True, False]


def test_an_infinite_score_is_last_among_the_kept_and_before_the_pruned() -> None:
    inverted = invert({"w": torch.tensor([0.0, 1.0, torch.inf])}, Masks({"w": torch.tensor([False, True, True])}))
    assert select(inverted, count=1)["w"].tolist() == [False, True, False]
    assert select(inverted, count=2)["w"].tolist() == [False, True, True]


def test_pruned_weights_stay_pruned_through_inverted_iterations() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.Linear(20, 5))
    levels = prune_progressively(net, lambda m: invert(scores.magnitude(m)), exponential(0.1, 5))
    assert all((earlier & later) == later for earlier, later in pairwise(levels))
    weights = scores.magnitude(net)
    kept = torch.cat([weights[name][mask] for name, mask in levels[-1].items()])
    assert torch.equal(kept.sort().values, torch.cat([w.flatten() for w in weights.values()]).sort().values[:30])


def test_snip_inverted_keeps_the_lowest() -> None:
    torch.manual_seed(0)
    net, batch = torch.nn.Linear(8, 4), (torch.randn(12, 8), torch.arange(12) % 4)
    score = scores.snip(net, cross_entropy, batch)
    kept = select(invert(score), density=0.25)["weight"]
    assert float(score["weight"][kept].max()) <= float(score["weight"][~kept].min())


def test_masks_of_another_model_are_refused() -> None:
    with pytest.raises(PruneproofError, match="masks must be of the parameters that were scored"):
        invert({"w": torch.ones(3)}, Masks({"v": torch.ones(3, dtype=torch.bool)}))
