"""Misuse of greedy selection is refused before any work, in one line, and nothing is changed."""

from collections.abc import Callable

import pytest
import torch

from pruneproof.errors import PruneproofError
from pruneproof.kernels import Gram, greedy_select

GOOD = torch.eye(3)
NAN, INF = torch.tensor([[torch.nan] * 3] * 3), torch.tensor([[torch.inf] * 3] * 3)

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no steps": (lambda: greedy_select((GOOD, GOOD[0]), 0), "of at least 1, got 0"),
    "negative steps": (lambda: greedy_select((GOOD, GOOD[0]), -2), "of at least 1"),
    "fractional steps": (lambda: greedy_select((GOOD, GOOD[0]), 1.5), "steps must be a whole number"),  # pyright: ignore[reportArgumentType]
    "steps as text": (lambda: greedy_select((GOOD, GOOD[0]), "2"), "got '2' (str)"),  # pyright: ignore[reportArgumentType]
    "too many distinct": (lambda: greedy_select((GOOD, GOOD[0]), 4, replacement=False), "at most 3 steps"),
    "too many corrected": (lambda: greedy_select((GOOD, GOOD[0]), 4, rule="corrective"), "at most 3 steps"),
    "unknown rule": (lambda: greedy_select((GOOD, GOOD[0]), 1, rule="best"), "rule must be one of"),
    "unknown method": (lambda: greedy_select((GOOD, GOOD[0]), 1, method="fast"), "method must be one of"),
    "NaN features": (lambda: greedy_select((NAN, GOOD[0]), 1), "features (neurons, points) must be finite"),
    "infinite features": (lambda: greedy_select((INF, GOOD[0]), 1), "features (neurons, points) must be finite"),
    "NaN target": (lambda: greedy_select((GOOD, NAN[0]), 1), "target (points,) must be finite"),
    "overflowing squares": (lambda: greedy_select((GOOD * 1e30, GOOD[0]), 1), "squares that can be summed"),
    "squares beyond any float": (
        lambda: greedy_select((GOOD.double() * 1e200, GOOD[0].double()), 1),
        "squares that can be summed",
    ),
    "a Gram beyond any float": (
        lambda: Gram.from_features(GOOD.double() * 1e200, GOOD[0].double()),
        "squares that can be summed",
    ),
    "no neurons": (lambda: greedy_select((GOOD[:0], GOOD[0]), 1), "not be empty"),
    "no points": (lambda: greedy_select((GOOD[:, :0], GOOD[0, :0]), 1), "not be empty"),
    "target of other length": (lambda: greedy_select((GOOD, torch.ones(2)), 1), "target (points,) must have shape 3"),
    "one-dimensional features": (lambda: greedy_select((GOOD[0], GOOD[0]), 1), "features (neurons, points)"),
    "integer features": (
        lambda: greedy_select((GOOD.int(), GOOD[0]), 1),
        "floating point, got torch.int32",
    ),
    "not a problem": (lambda: greedy_select(GOOD, 1), "a Gram or a pair"),  # pyright: ignore[reportArgumentType]
    "stream of a Gram": (lambda: greedy_select(Gram.from_features(GOOD, GOOD[0]), 1, method="stream"), "the pair"),
    "naive on a Gram": (lambda: greedy_select(Gram.from_features(GOOD, GOOD[0]), 1, method="naive"), "the pair"),
    "an empty Gram": (lambda: greedy_select(Gram.empty(3), 1), "has no points yet"),
    "a Gram that is not square": (
        lambda: greedy_select(Gram(NAN[:2], GOOD[0], 1.0, 3), 1),
        "matrix (neurons, neurons)",
    ),
    "a Gram of other size": (lambda: greedy_select(Gram(GOOD, GOOD[0, :2], 1.0, 3), 1), "must have shape 2 x 2"),
    "a Gram of two dtypes": (lambda: greedy_select(Gram(GOOD, GOOD[0].double(), 1.0, 3), 1), "both be float64 or both"),
    "a Gram on two devices": (lambda: greedy_select(Gram(GOOD, GOOD[0].to("meta"), 1.0, 3), 1), "on meta"),
    "a Gram with NaN": (lambda: greedy_select(Gram(NAN, GOOD[0], 1.0, 3), 1), "must be finite"),
    "a Gram that overflowed": (lambda: greedy_select(Gram(GOOD, GOOD[0], float("inf"), 3), 1), "must be finite"),
    "a Gram of no neurons": (lambda: Gram.empty(0), "at least 1, got 0"),
    "a Gram of integers": (lambda: Gram.empty(2, dtype=torch.int64), "float64 or float32"),
    "outgoing of other length": (lambda: Gram.from_rank_one(GOOD, torch.ones(2, 2), torch.ones(3, 2)), "outgoing"),
    "target of other outputs": (lambda: Gram.from_rank_one(GOOD, torch.ones(3, 2), torch.ones(3, 1)), "target"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_misuse_is_told_in_one_line(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(PruneproofError) as caught:
        call()
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [(NAN, GOOD[0]), (GOOD, INF[0]), (GOOD[:2], GOOD[0]), (GOOD[:, :0], GOOD[0, :0])])
def test_a_refused_batch_changes_nothing(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    gram = Gram.from_features(GOOD, GOOD[0])
    with pytest.raises(PruneproofError):
        gram.update(*batch)
    assert (
        gram.matrix.equal(torch.eye(3)) and gram.correlation.equal(GOOD[0]) and (gram.energy, gram.points) == (1.0, 3)
    )
