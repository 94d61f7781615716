"""The criteria of PT1 … PT6 accept rows that satisfy them and refuse doctored ones."""

import math
from typing import Any

import pytest

from pruneproof.claims.claim import Verdict
from pruneproof.claims.pretraining import (
    dataset_size_verdict,
    descent_rate,
    digits_curves_verdict,
    direct_training,
    selection_bounds,
    threshold_bounds_verdict,
)
from pruneproof.claims.pretraining.fits import fit_all

Row = dict[str, Any]


def _selection_row(**changes: Any) -> Row:
    row: Row = {"scaling": "ntk", "images": "few", "iterations": 300, "seed": 0, "k": [1, 10], "average": [1.0, 0.1]}
    row |= {"line_search": [1.0, 0.01], "bounds": {"G1": [2.0, 0.3], "G2": [9.0, 0.2]}, "zero": 0.5, "V": 1.0}
    row |= {"excess": {"G1": -0.1, "G2": -0.1}, "D_y": 1.0, "gamma_s": 0.1, "gamma_y": 0.1, "dense": 0.0}
    return row | changes


def test_pt1_is_violated_by_one_loss_above_a_bound() -> None:
    rows = [_selection_row(), _selection_row(seed=1)]
    assert selection_bounds.judge(rows).verdict is Verdict.HOLDS
    doctored = [rows[0], _selection_row(excess={"G1": -0.1, "G2": 1e-15})]
    assert selection_bounds.judge(doctored).verdict is Verdict.VIOLATED


def test_pt1_names_the_active_bound_and_the_vacuous_sizes() -> None:
    line = selection_bounds.judge([_selection_row()]).table[0]
    assert line["active bound at k=1000"] == "G2" and line["vacuous below k"] == 10


def _descent_row(**changes: Any) -> Row:
    row: Row = {"m": 6, "d": 30, "width": 9, "seed": 0, "t": [0, 10], "residual": [1.0, 0.1], "bound": [1.0, 0.2]}
    row |= {"movement": [0.0, 0.5], "movement_bound": 1.0, "applies": True, "required_width": 5.0, "condition": 2.0}
    return row | {"eigenvalue": 0.5, "norm_squared": 1.0} | changes


@pytest.mark.parametrize("twin", [{"residual": [1.0, 0.2 * (1 + 1e-9)]}, {"movement": [0.0, 1.0 + 1e-9]}])
def test_pt2_is_violated_by_a_slower_descent_or_a_longer_way(twin: Row) -> None:
    assert descent_rate.judge([_descent_row()]).verdict is Verdict.HOLDS
    assert descent_rate.judge([_descent_row(**twin)]).verdict is Verdict.VIOLATED


def test_pt2_claims_nothing_about_narrow_networks() -> None:
    slow = _descent_row(applies=False, residual=[1.0, 0.9])
    assert descent_rate.judge([slow]).verdict is Verdict.NOT_APPLICABLE
    assert descent_rate.judge([slow, _descent_row()]).verdict is Verdict.HOLDS


def _threshold_row(**changes: Any) -> Row:
    row: Row = {"m": 8, "width": 512, "labels": "random", "scaling": "ntk", "seed": 0, "k": 64, "V": 1.0, "D_y": 2.0}
    row |= {"gamma_s": 0.1, "eigenvalue": 0.5, "norm_squared": 1.0, "q": 0.9, "contraction": "measured", "L_0": 0.5}
    row |= {"excess T1": -0.1, "excess T1 regime": -0.1, "excess T2": None, "predicted T1": 9, "measured T1": 3}
    row |= {"vacuous T1": False, "predicted T2": None, "predicted T3": 20, "measured T3": 4, "checked T3": 2}
    return row | {"lost T3": 0} | changes


@pytest.mark.parametrize("twin", [{"excess T1": 1e-9}, {"excess T1 regime": 1e-9}, {"excess T2": 1e-9}, {"lost T3": 1}])
def test_pt3_is_violated_by_each_kind_of_exception(twin: Row) -> None:
    assert threshold_bounds_verdict.judge([_threshold_row()]).verdict is Verdict.HOLDS
    assert threshold_bounds_verdict.judge([_threshold_row(), _threshold_row(**twin)]).verdict is Verdict.VIOLATED


SIZES = (40, 56, 80, 112, 160, 224, 320)
GROWTH = {
    "logarithm": lambda m: 30 * math.log(m / 20),
    "power": lambda m: 0.2 * m**1.2,
    "flat": lambda m: 50.0,
}


def _series(growth: str, subject: str = "k=64", labels: str = "random") -> list[Row]:
    noise = (1.02, 0.98)
    return [
        {"family": "generic", "labels": labels, "scaling": "ntk", "target": "loss", "subject": subject, "m": m}
        | {"seed": seed, "threshold": GROWTH[growth](m) * noise[(seed + i) % 2], "condition": 5.0 + m**0.5}
        for i, m in enumerate(SIZES)
        for seed in range(2)
    ]


@pytest.mark.parametrize(
    ("growth", "says", "verdict"),
    [
        ("logarithm", "supports", Verdict.HOLDS),
        ("power", "contradicts", Verdict.NOT_REPRODUCED),
        ("flat", "contradicts", Verdict.NOT_REPRODUCED),
    ],
)
def test_pt4_tells_logarithmic_growth_from_other_growth(growth: str, says: str, verdict: Verdict) -> None:
    outcome = dataset_size_verdict.judge(_series(growth))
    assert outcome.table[0]["says"] == says and outcome.verdict is verdict


def test_pt4_is_decided_by_the_pruned_network_alone() -> None:
    rows = _series("power") + _series("logarithm", subject="dense")
    assert dataset_size_verdict.judge(rows).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize("threshold", [None, 0])
def test_pt4_leaves_out_sizes_without_a_threshold_and_series_with_too_few(threshold: int | None) -> None:
    rows = _series("logarithm")
    for row in rows:
        if row["m"] in SIZES[:2] and row["seed"] == 0:
            row["threshold"] = threshold
    outcome = dataset_size_verdict.judge(rows)
    assert outcome.table[0]["says"] == "not entered" and outcome.verdict is Verdict.INCONCLUSIVE


def test_the_three_fits_recover_their_own_parameters() -> None:
    kappa = [3.0 * m**0.5 for m in SIZES]
    sizes = [float(m) for m in SIZES]
    logarithm = fit_all(sizes, kappa, [7 + 12 * math.log(m) for m in SIZES])["logarithm"].parameters
    assert logarithm["a"][0] == pytest.approx(7, rel=1e-5) and logarithm["b"][0] == pytest.approx(12, rel=1e-5)
    assert fit_all(sizes, kappa, [2 * m**0.7 for m in SIZES])["power"].parameters["p"][0] == pytest.approx(0.7)
    fits = fit_all(sizes, kappa, [4 * value for value in kappa])
    assert math.exp(fits["condition"].parameters["log a"][0]) == pytest.approx(4)
    assert fits["condition"].aic < fits["logarithm"].aic


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 400 samples with Gaussian noise at most 40 miss at 95 %: P(Bin(400, .05) > 40) < 3e-5; fixed seed."""
    import numpy as np

    rng = np.random.default_rng(5)
    sizes = np.repeat(SIZES, 3).astype(float)
    misses = 0
    for _ in range(400):
        times = (20 + 15 * np.log(sizes)) * np.exp(0.1 * rng.standard_normal(len(sizes)))
        _, low, high = fit_all(sizes.tolist(), sizes.tolist(), times.tolist())["logarithm"].parameters["b"]
        misses += not low <= 15 <= high
    assert misses <= 40


def _curve(kind: str, m: int, seed: int, threshold: int) -> Row:
    times = [0, *range(1, 100)]
    error = [0.5 if t < threshold else 0.01 for t in times]
    return {"kind": kind, "m": m, "seed": seed, "t": times, "pruned error": error, "dense error": error}


def _curves(growth: float, ten: float | None = None) -> list[Row]:
    kinds = {"binarised": growth, "ten classes": growth if ten is None else ten}
    return [
        _curve(kind, m, seed, round(40 * (m / 500) ** power) + seed)
        for kind, power in kinds.items()
        for m in (50, 150, 500, 1437)
        for seed in range(3)
    ]


def test_pt5_needs_growth_for_both_kinds_of_labels() -> None:
    assert digits_curves_verdict.judge(_curves(0.5)).verdict is Verdict.HOLDS
    assert digits_curves_verdict.judge(_curves(-0.5)).verdict is Verdict.NOT_REPRODUCED
    assert digits_curves_verdict.judge(_curves(0.5, ten=-0.3)).verdict is Verdict.NOT_REPRODUCED


def test_pt5_leaves_out_the_runs_that_needed_no_training() -> None:
    rows = [row for row in _curves(0.5) if row["kind"] == "binarised"]
    untrained = [_curve("binarised", m, seed, 0) for m in (10, 20) for seed in range(3)]
    assert digits_curves_verdict.slope(rows + untrained) == digits_curves_verdict.slope(rows)


def test_pt5_is_inconclusive_if_the_target_is_rarely_reached() -> None:
    rows = _curves(0.5)
    for row in rows[::2]:
        row["pruned error"] = [0.5] * len(row["t"])
    assert digits_curves_verdict.judge(rows).verdict is Verdict.INCONCLUSIVE


def _direct(selected: float, direct: float, noise: float = 0.02) -> list[Row]:
    subjects = {"selected": (5.0, selected), "direct": (0.1, direct), direct_training.CONTROL: (1.0, 0.0)}
    return [
        {"subject": subject, "seed": seed, "n": n, "iterations": 10, "dense": 0.0, "V": 1.0}
        | {"loss": scale * n**power * (1 + noise * (-1) ** (seed + i))}
        for subject, (scale, power) in subjects.items()
        for i, n in enumerate(direct_training.SIZES)
        for seed in range(3)
    ]


@pytest.mark.parametrize(
    ("selected", "direct", "verdict"),
    [
        (-2.0, -1.0, Verdict.HOLDS),
        (-1.0, -1.0, Verdict.NOT_REPRODUCED),
        (-2.0, -3.0, Verdict.NOT_REPRODUCED),
        (-1.0, -2.0, Verdict.NOT_REPRODUCED),
    ],
)
def test_pt6_compares_both_slopes_with_their_published_values(selected: float, direct: float, verdict: Verdict) -> None:
    assert direct_training.judge(_direct(selected, direct)).verdict is verdict


def test_pt6_is_inconclusive_when_the_intervals_overlap() -> None:
    assert direct_training.judge(_direct(-1.6, -1.4, noise=0.5)).verdict is Verdict.INCONCLUSIVE
