"""The label-noise claims judge by their criteria: made-up paths that meet them hold, others do not."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest

from pruneproof.claims.claim import Claim, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import Estimate
from pruneproof.claims.label_noise import CLAIMS, PAPER
from pruneproof.claims.label_noise.measure import LevelRow, measure_path, path_of
from pruneproof.claims.label_noise.setting import noisy_task

BY_ID = {claim.id: claim for claim in CLAIMS}
SHAPE = [0.30, 0.32, 0.36, 0.33, 0.20, 0.14, 0.16, 0.40, 0.70]  # double descent: peak at level 2, trough at level 5
FLAT = [0.02, 0.02, 0.02, 0.02, 0.02, 0.03, 0.05, 0.20, 0.60]
TABLES = {"reliability": [[0.3, 0.4, 100.0], [0.9, 0.8, 300.0]], "posterior_map": [[0.1, 0.2, 0.1, 0.3]] * 3}
Curves = dict[str, list[float]]


def _rows(cell: dict[str, Any], curves: Curves, weights: int = 10_000, noise: float = 0.0) -> list[Row]:
    """One row per seed and level; curves not given are flat. Noise beyond the dense level has mean zero over seeds."""
    sample = np.random.default_rng(0).standard_normal(len(cell["seeds"]))
    deviations = dict(zip(cell["seeds"], noise * (sample - sample.mean()), strict=True))
    columns = {field.name for field in fields(LevelRow)} - {"seed", "level", "density", "kept"} - set(TABLES)
    filled: Curves = {name: [0.1] * len(SHAPE) for name in columns} | curves
    return [
        cell
        | TABLES
        | {"seed": seed, "level": level, "density": 0.5**level, "kept": round(weights * 0.5**level)}
        | {
            name: values[level] + 0.0001 * (seed - 200) * (1 + level % 2) + deviations[seed] * (level > 0)
            for name, values in filled.items()
        }
        for seed in cell["seeds"]
        for level in range(len(SHAPE))
    ]


def _judged(claim: Claim, curves: Callable[[dict[str, Any]], tuple[Curves, int]], noise: float = 0.0) -> Verdict:
    cells = claim.grid(Scale.QUICK, None)
    outcome = claim.judge([row for cell in cells for row in _rows(cell, *curves(cell), noise)])
    assert all(isinstance(value, float | int | str | Estimate) for value in outcome.measured.values())
    return outcome.verdict


def _errors(curve: list[float]) -> Curves:
    return {"validation_error": curve, "test_error": curve}


def test_every_claim_belongs_to_the_paper_and_fixes_its_criterion() -> None:
    assert list(BY_ID) == ["LN1", "LN2", "LN3", "LN4", "LN5", "LN6"]
    assert all(claim.paper == PAPER.key and claim.criterion and not claim.theorem for claim in CLAIMS)


@pytest.mark.parametrize("scale", list(Scale))
def test_grids_are_data_and_follow_the_seeds(scale: Scale) -> None:
    for claim in CLAIMS:
        cells = claim.grid(scale, 2)
        assert json.loads(json.dumps(cells)) == cells
        assert all(cell["seeds"] == [200, 201] for cell in cells)  # pilots used the seeds below 200


def test_double_descent_holds_only_with_peak_trough_and_a_clean_control() -> None:
    def noisy(shape: list[float], control: list[float] = FLAT, noise: float = 0.0) -> Verdict:
        return _judged(BY_ID["LN1"], lambda cell: (_errors(shape if cell["noise"] else control), 10_000), noise)

    assert noisy(SHAPE) is Verdict.HOLDS
    assert noisy([0.30, 0.30, 0.31, 0.31, *SHAPE[4:]]) is Verdict.NOT_REPRODUCED  # no visible peak
    assert noisy([*SHAPE[:4], 0.29, 0.28, 0.29, 0.4, 0.7]) is Verdict.NOT_REPRODUCED  # no trough
    assert noisy(SHAPE, control=SHAPE) is Verdict.NOT_REPRODUCED  # the control peaks too
    assert noisy([0.30, 0.31, 0.33, 0.31, *SHAPE[4:]], noise=0.02) is Verdict.INCONCLUSIVE  # a peak of 3 ± 2 points


def test_sizes_hold_when_they_move_less_than_the_starts() -> None:
    """A start four times as large reaches the same size two levels later; at the same level it has four times the
    size."""
    shapes = {10: [*SHAPE[4:], 0.7, 0.8, 0.9, 0.9], 50: [*SHAPE[2:], 0.8, 0.9], 200: SHAPE}

    def same(cell: dict[str, Any]) -> tuple[Curves, int]:
        return _errors(shapes[cell["hidden"][0]]), 100 * {10: 1, 50: 4, 200: 16}[cell["hidden"][0]]

    def growing(cell: dict[str, Any]) -> tuple[Curves, int]:
        return _errors(SHAPE), 100 * cell["hidden"][0]

    assert _judged(BY_ID["LN2"], same) is Verdict.HOLDS
    assert _judged(BY_ID["LN2"], growing) is Verdict.NOT_REPRODUCED


def test_difficulty_needs_a_larger_size_for_the_harder_task() -> None:
    later = [0.30, *SHAPE[:-1]]  # the trough one level later: half the size

    def judged(harder: str | None) -> Verdict:
        return _judged(BY_ID["LN3"], lambda cell: (_errors(later if cell["task"] == harder else SHAPE), 8000))

    assert judged("linear") is Verdict.HOLDS
    assert judged("xor") is Verdict.NOT_REPRODUCED
    assert judged(None) is Verdict.INCONCLUSIVE


def test_probabilities_must_improve_on_both_tasks() -> None:
    better = [0.4, 0.4, 0.4, 0.3, 0.2, 0.05, 0.1, 0.2, 0.3]
    worse = [0.4, 0.4, 0.4, 0.3, 0.2, 0.50, 0.2, 0.2, 0.3]

    def judged(xor: list[float], noise: float = 0.0) -> Verdict:
        def curves(cell: dict[str, Any]) -> tuple[Curves, int]:
            own = {"divergence": better if cell["task"] == "linear" else xor, "posterior_distance": better}
            return _errors(SHAPE) | own, 9000

        return _judged(BY_ID["LN4"], curves, noise)

    assert judged(better) is Verdict.HOLDS
    assert judged(worse) is Verdict.NOT_REPRODUCED
    assert judged([0.4, 0.4, 0.4, 0.3, 0.2, 0.38, 0.2, 0.2, 0.3], noise=0.05) is Verdict.INCONCLUSIVE


def test_calibration_is_judged_on_noisy_labels() -> None:
    falling = [0.2, 0.2, 0.2, 0.15, 0.1, 0.05, 0.05, 0.05, 0.05]
    rising = falling[::-1]
    for noisy, clean, verdict in ((falling, rising, Verdict.HOLDS), (rising, falling, Verdict.NOT_REPRODUCED)):
        curves = _errors(SHAPE) | {f"{name}_noisy": noisy for name in ("ece", "overconfidence")}
        curves |= {f"{name}_clean": clean for name in ("ece", "overconfidence")}
        assert _judged(BY_ID["LN5"], lambda cell, curves=curves: (curves, 9000)) is verdict


def test_distances_must_peak_near_the_error() -> None:
    for peak, verdict in ((3, Verdict.HOLDS), (6, Verdict.NOT_REPRODUCED)):
        distance = [float(-abs(level - peak)) for level in range(len(SHAPE))]
        curves = _errors(SHAPE) | {"distance": distance}
        assert _judged(BY_ID["LN6"], lambda cell, curves=curves: (curves, 9000)) is verdict


def test_one_seed_decides_nothing() -> None:
    for claim in CLAIMS:
        cells = claim.grid(Scale.QUICK, 1)
        rows = [row for cell in cells for row in _rows(cell, _errors(SHAPE), 100 * cell["hidden"][0])]
        outcome = claim.judge(rows)
        assert outcome.verdict is Verdict.INCONCLUSIVE and "one seed has no interval" in outcome.scope


def test_figures_can_be_drawn() -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    for claim in CLAIMS:
        rows = [row for cell in claim.grid(Scale.QUICK, None) for row in _rows(cell, _errors(SHAPE))]
        assert claim.figures is not None
        for figure in claim.figures(rows):
            figure.draw(canvas := matplotlib.Figure(layout="constrained"))
            assert canvas.axes and all(axes.lines and axes.get_visible() for axes in canvas.axes)


def test_a_cell_is_deterministic_and_scores_every_level() -> None:
    cell = {
        "task": "xor", "noise": 0.25, "kind": "permuted", "seeds": [3, 5], "hidden": [6], "bias": False, "share": 0.5,
        "lowest": 0.1, "epochs": 3, "batch": 64, "rate": 0.1, "momentum": 0.9, "drops": [], "examples": 200,
        "features": 10, "nu": 0.5,
    }  # fmt: skip
    rows = measure_path(cell)
    assert rows == measure_path(cell)
    assert [LevelRow(**json.loads(json.dumps(asdict(row)))) for row in rows] == rows
    assert [row.kept for row in rows] == [72, 72, 36, 36, 18, 18, 9, 9]
    assert all(row.reliability is None and row.posterior_map for row in rows)
    assert all(np.isfinite(value).all() for row in rows for value in asdict(row).values() if value is not None)


def test_noise_is_in_every_part_but_the_clean_labels() -> None:
    task = noisy_task({"task": "digits", "data": digits_label(), "noise": 0.4, "kind": "flipped", "seeds": [0, 1]})
    for part, examples in ((task.train, 1000), (task.validation, 437), (task.test, 360)):
        assert (part.noisy != part.clean).sum(1).tolist() == [round(0.4 * examples)] * 2
    assert not (task.train.noisy[0] == task.train.noisy[1]).all()
    shared = {tuple(row) for row in task.train.inputs[0].tolist()} & {
        tuple(row) for row in task.test.inputs[0].tolist()
    }
    assert not shared


def test_paths_are_sorted_whatever_the_order_of_the_rows() -> None:
    cell = BY_ID["LN5"].grid(Scale.QUICK, None)[0]
    rows = _rows(cell, _errors(SHAPE))
    assert np.array_equal(path_of(rows).column("test_error"), path_of(rows[::-1]).column("test_error"))
