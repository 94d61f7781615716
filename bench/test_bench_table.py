"""The table of `pruneproof bench` held to its goals: the upper limit of each ratio within 5 % of it."""

from typing import Any

import pytest

from pruneproof.comparisons import COMPARISONS, Comparison, measure

JOBS = [(comparison, shape) for comparison in COMPARISONS for shape in comparison.shapes]


@pytest.mark.parametrize(("comparison", "shape"), JOBS, ids=lambda job: getattr(job, "name", str(job)))
def test_within_its_goal(benchmark: Any, comparison: Comparison, shape: tuple[int, ...]) -> None:
    if comparison.needs is not None:
        pytest.importorskip(comparison.needs)
    rows = benchmark.pedantic(measure, args=(comparison, shape, 5.0), rounds=1)
    for row in rows:
        assert row.goal is not None and row.ratio.high <= 1.05 * row.goal, row
