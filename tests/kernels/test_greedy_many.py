"""`greedy_select_many` gives each problem what `greedy_select` gives it alone, whatever else is in the list."""

import pytest
import torch
from torch import Tensor

from pruneproof.errors import PruneproofError
from pruneproof.kernels import Gram, Selection, greedy_select, greedy_select_many

Problem = Gram | tuple[Tensor, Tensor]


def pair(neurons: int, points: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(neurons, points, generator=generator, dtype=torch.float64).relu()
    return features.to(dtype), torch.rand(points, generator=generator, dtype=torch.float64).to(dtype)


def mixture() -> list[Problem]:
    """Grams of two sizes and dtypes in turn, pairs between them, one matrix with three targets."""
    problems: list[Problem] = []
    for seed, (neurons, dtype) in enumerate([(9, torch.float64), (13, torch.float64), (9, torch.float32)] * 2):
        features, target = pair(neurons, 11, dtype, seed)
        problems += [Gram.from_features(features, target), (features, target)]
    features, target = pair(9, 11, torch.float64, 7)
    first = Gram.from_features(features, target)
    others = [Gram(first.matrix, features @ y, float(y @ y), 11) for y in (0 * target, target.flip(0))]
    return [*problems, first, *others]


def same(found: Selection, expected: Selection) -> bool:
    return all(torch.equal(getattr(found, part), getattr(expected, part)) for part in ("indices", "losses", "weights"))


@pytest.mark.parametrize("rule", ["average", "line_search", "corrective"])
@pytest.mark.parametrize("replacement", [True, False])
def test_equals_selecting_one_by_one(rule: str, replacement: bool) -> None:
    problems = mixture()
    found = greedy_select_many(problems, 6, rule=rule, replacement=replacement)
    alone = [greedy_select(problem, 6, rule=rule, replacement=replacement) for problem in problems]
    assert len(found) == len(problems) and all(map(same, found, alone))
    assert not all(map(same, found, alone[1:] + alone[:1]))  # the false twin: one place off


def test_no_problems_and_one_problem() -> None:
    problem = pair(5, 6, torch.float64, 0)
    assert greedy_select_many([], 3) == []
    (found,) = greedy_select_many([problem], 3)
    assert same(found, greedy_select(problem, 3))


GOOD = (torch.eye(3), torch.ones(3))


@pytest.mark.parametrize(
    ("problems", "steps", "said"),
    [
        ([GOOD, (torch.eye(3), torch.ones(2))], 1, "problem 1: target"),
        ([GOOD, torch.eye(3)], 1, "problem 1: the problem must be a Gram or a pair"),
        (GOOD, 1, "problem 0: the problem must be a Gram or a pair"),
        (Gram.from_features(*GOOD), 1, "a list of problems, got Gram"),
        ([GOOD], 0, "problem 0: steps must be a whole number"),
        ([Gram.empty(3)], 1, "problem 0: the Gram has no points"),
        ([GOOD, (torch.full((3, 3), torch.nan), torch.ones(3))], 1, "must be finite"),
        ([Gram(torch.eye(3), torch.tensor([1.0, torch.nan, 0.0]), 1.0, 3)], 1, "must be finite"),
    ],
)
def test_refuses(problems: list[Problem], steps: int, said: str) -> None:
    with pytest.raises(PruneproofError, match=said):
        greedy_select_many(problems, steps)


def test_refuses_more_distinct_choices_than_the_smallest_problem_has() -> None:
    problems: list[Problem] = [pair(5, 6, torch.float64, 0), pair(3, 6, torch.float64, 1)]
    with pytest.raises(PruneproofError, match="problem 1: without replacement at most 3 steps"):
        greedy_select_many(problems, 4, replacement=False)
