"""Counts, scores and draws of every level of iterative pruning are what their formulas say, at any size."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from pruneproof import PruneproofError
from pruneproof.claims.training import iterative_pruning
from pruneproof.claims.training import trainer as replicate_training
from pruneproof.claims.training.iterative_pruning import Level, geometric_densities, prune_iteratively
from pruneproof.claims.training.replicates import Replicates, initial_replicates
from pruneproof.claims.training.trainer import Recipe, Trainer

RECIPE = Recipe(epochs=2, batch=16, rate=0.2)


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    return inputs, (inputs[:, 0] > 0).long()


@pytest.fixture
def nets() -> Replicates:
    return initial_replicates([(6, 10, 2), (6, 7, 2)], seeds=[0, 1], dtype=torch.float64)


@pytest.mark.parametrize(("weights", "density"), [(1_000_003, 0.9**8), (16_777_221, 1.0), (5, 0.01)])
def test_counts_are_exact_at_any_size(weights: int, density: float) -> None:
    counts = iterative_pruning._counts  # pyright: ignore[reportPrivateUsage]
    assert (
        counts(torch.ones(1, 1, dtype=torch.bool).expand(2, weights), density).tolist()
        == [max(1, round(density * weights))] * 2
    )


NAN = float("nan")
ENDLESS = [(0, 0.1), (-0.5, 0.1), (1, 0.1), (NAN, 0.1), (0.5, 0), (0.5, -1), (0.5, 1.5), (0.5, NAN)]


@pytest.mark.parametrize(("share", "lowest"), ENDLESS)
def test_a_path_that_would_not_end_is_refused(share: float, lowest: float) -> None:
    with pytest.raises(PruneproofError, match=r"share must lie in \(0, 1\) and the lowest density in \(0, 1\]"):
        geometric_densities(share, lowest)


def test_densities_may_be_an_array(nets: Replicates, data: tuple[Tensor, Tensor]) -> None:
    densities: Any = np.array([1.0, 0.5])
    levels = list(prune_iteratively(nets, data, RECIPE, densities))
    assert [(type(level.density), level.density) for level in levels] == [(float, 1.0), (float, 0.5)]


def test_the_gradient_score_is_that_of_all_examples_without_their_buffers(
    nets: Replicates, data: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: set[int] = set()

    class Watched(replicate_training.ReplicateGradients):
        def __init__(self, *arguments: Any) -> None:
            batches.add(arguments[-1])
            super().__init__(*arguments)

    monkeypatch.setattr(replicate_training, "ReplicateGradients", Watched)
    dense, pruned = prune_iteratively(nets, data, RECIPE, [1.0, 0.3], score="gradient")
    assert max(batches) == RECIPE.batch
    parameters = dense.nets.parameters.clone().requires_grad_()
    for logits in dense.nets.over(parameters).logits(data[0]):
        cross_entropy(logits.mT, data[1]).backward(retain_graph=True)
    assert parameters.grad is not None
    scores = (parameters * parameters.grad).abs().where(nets.prunable, 0.0)
    for row, kept, count in zip(scores, pruned.mask & nets.prunable, pruned.kept, strict=True):
        assert set(row.topk(int(count)).indices.tolist()) == set(kept.nonzero().flatten().tolist())


def test_every_level_from_scratch_starts_from_a_draw_of_its_own(
    nets: Replicates, data: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Tensor] = []
    restart = Trainer.restart

    def watched(self: Trainer, parameters: Tensor) -> None:
        started.append(parameters.clone())
        restart(self, parameters)

    monkeypatch.setattr(Trainer, "restart", watched)
    levels: list[Level] = list(prune_iteratively(nets, data, RECIPE, [0.8, 0.5, 0.2], retraining="from-scratch"))
    draws = [nets.parameters, *started]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
    for level, draw in zip(levels, started, strict=True):
        assert torch.equal(level.distance, torch.linalg.vector_norm(level.nets.parameters - draw, dim=1))


@pytest.mark.parametrize(("number", "received"), [(50, r"labels in 0 … 7\."), (0, r"no examples\.")])
def test_labels_out_of_range_are_told_in_one_line(nets: Replicates, number: int, received: str) -> None:
    labels = torch.arange(number) % 8
    with pytest.raises(PruneproofError, match=received) as caught:
        Trainer(nets, torch.zeros(number, 6), labels, RECIPE)
    assert "\n" not in str(caught.value)
