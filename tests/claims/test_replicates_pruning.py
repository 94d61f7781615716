"""Iterative pruning of many replicates keeps exact counts, and each retraining rule starts where it says."""

from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import Tensor

from pruneproof import PruneproofError
from pruneproof.claims.training.iterative_pruning import Retraining, Score, geometric_densities, prune_iteratively
from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.trainer import Recipe, Trainer
from pruneproof.kernels.top_k import top_k_masks

RECIPE = Recipe(epochs=4, batch=16, rate=0.2, drops=(3,))


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(50, 6, generator=generator)
    return inputs, (inputs[:, 0] > 0).long()


@pytest.fixture
def nets() -> Replicates:
    return initial_replicates([(6, 10, 2), (6, 7, 2), (6, 10, 2)], seeds=[0, 1, 2])


@pytest.mark.parametrize("retraining", get_args(Retraining))
@pytest.mark.parametrize("score", get_args(Score))
def test_counts_are_exact_down_to_one_weight(
    nets: Replicates, data: tuple[Tensor, Tensor], score: Score, retraining: Retraining
) -> None:
    path = geometric_densities(0.5, 0.005)
    levels = list(prune_iteratively(nets, data, RECIPE, path, score=score, retraining=retraining, rewind_to=3))
    for level in levels:
        alive = level.nets.parameters.ne(0) & nets.prunable
        assert level.kept.tolist() == [max(1, round(level.density * total)) for total in (80, 56, 80)]
        assert torch.equal((level.mask & nets.prunable).sum(1), level.kept)
        assert bool((alive <= level.mask).all())
    assert levels[-1].kept.tolist() == [1, 1, 1]


def test_masks_are_nested_and_the_initial_networks_untouched(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    before = nets.parameters.clone()
    masks = [level.mask for level in prune_iteratively(nets, data, RECIPE, geometric_densities(0.3, 0.05))]
    assert all(bool((small <= large).all()) for large, small in pairwise(masks))
    assert torch.equal(nets.parameters, before)


def test_magnitude_keeps_what_top_k_keeps(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    dense, pruned = prune_iteratively(nets, data, RECIPE, [1.0, 0.25])
    for row, prunable, mask, kept in zip(dense.nets.parameters, nets.prunable, pruned.mask, pruned.kept, strict=True):
        (expected,) = top_k_masks([row.abs().where(prunable, -1.0)], int(kept))
        assert torch.equal(mask & prunable, expected)


def test_a_ticket_starts_from_the_dense_weights_of_its_iteration(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    early = nets.over(nets.parameters.clone())
    Trainer(early, *data, RECIPE).run(0, 5)
    _, level = prune_iteratively(nets, data, RECIPE, [1.0, 0.5], rewind_to=5)
    replayed = nets.over(early.parameters.clone())
    Trainer(replayed, *data, RECIPE).run(5, mask=level.mask)
    assert torch.equal(replayed.parameters, level.nets.parameters)


def test_the_four_rules_give_four_networks(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    results = [
        list(prune_iteratively(nets, data, RECIPE, [1.0, 0.5], retraining=rule, rewind_to=2))[1].nets.parameters
        for rule in get_args(Retraining)
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


def test_learning_distance_counts_pruned_weights_as_zero(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    *_, level = prune_iteratively(nets, data, RECIPE, [1.0, 0.1])
    initial, trained = nets.parameters, level.nets.parameters
    kept = ((trained - initial) * level.mask).square().sum(1)
    pruned = (initial * ~level.mask).square().sum(1)
    torch.testing.assert_close(level.distance, (kept + pruned).sqrt())
    assert bool((level.distance > kept.sqrt()).all())  # the false twin: leaving pruned weights out is smaller


@pytest.mark.parametrize("densities", [[], [0.5, 0.5], [0.2, 0.4], [1.1, 0.5], [0.5, 0.0]])
def test_densities_that_do_not_decrease_are_refused(
    nets: Replicates, data: tuple[Tensor, Tensor], densities: list[float]
) -> None:
    with pytest.raises(PruneproofError, match="decrease strictly"):
        prune_iteratively(nets, data, RECIPE, densities)


def test_a_rewinding_point_outside_the_schedule_is_refused(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(PruneproofError, match="rewind_to must lie in"):
        prune_iteratively(nets, data, RECIPE, [1.0], rewind_to=16)
