"""The criteria of PT1 … PT7 accept rows that satisfy them and refuse doctored ones."""

import math
from dataclasses import replace
from typing import Any

import pytest

from pruneproof.claims.claim import Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.pretraining import (
    pt1_selection_bounds,
    pt2_descent_rate,
    pt3_threshold_bounds,
    pt4_dataset_size,
    pt5_digits,
    pt6_direct_training,
    pt7_generic_data,
    pt8_pruned_size,
)
from pruneproof.claims.pretraining.growth import fit_all
from pruneproof.claims.pretraining.pt5_digits import CurvesRow, mean_slope, threshold

Row = dict[str, Any]
DIGITS = digits_label()


def _selection_row(**changes: Any) -> Row:
    row: Row = {
        "data": DIGITS,
        "scaling": "ntk",
        "images": "few",
        "iterations": 300,
        "seed": 0,
        "k": [1, 10],
        "average": [1.0, 0.1],
    }
    row |= {"line_search": [1.0, 0.01], "bounds": {"G1": [2.0, 0.3], "G2": [9.0, 0.2]}, "zero": 0.5, "V": 1.0}
    row |= {"excess": {"G1": -0.1, "G2": -0.1}, "D_y": 1.0, "gamma_s": 0.1, "gamma_y": 0.1, "dense": 0.0}
    return row | changes


def test_pt1_is_violated_by_one_loss_above_a_bound() -> None:
    rows = [_selection_row(), _selection_row(seed=1)]
    assert pt1_selection_bounds.judge(rows).verdict is Verdict.HOLDS
    doctored = [rows[0], _selection_row(excess={"G1": -0.1, "G2": 1e-15})]
    assert pt1_selection_bounds.judge(doctored).verdict is Verdict.VIOLATED


def test_pt1_names_the_active_bound_and_the_vacuous_sizes() -> None:
    line = pt1_selection_bounds.judge([_selection_row()]).table[0]
    assert line["active bound at k=1000"] == "G2" and line["vacuous below k"] == 10


def _descent_row(**changes: Any) -> Row:
    row: Row = {"m": 6, "d": 30, "width": 9, "seed": 0, "t": [0, 10], "residual": [1.0, 0.1], "bound": [1.0, 0.2]}
    row |= {"movement": [0.0, 0.5], "movement_bound": 1.0, "applies": True, "required_width": 5.0, "condition": 2.0}
    return row | {"eigenvalue": 0.5, "norm_squared": 1.0} | changes


@pytest.mark.parametrize("twin", [{"residual": [1.0, 0.2 * (1 + 1e-9)]}, {"movement": [0.0, 1.0 + 1e-9]}])
def test_pt2_is_violated_by_a_slower_descent_or_a_longer_way(twin: Row) -> None:
    assert pt2_descent_rate.judge([_descent_row()]).verdict is Verdict.HOLDS
    assert pt2_descent_rate.judge([_descent_row(**twin)]).verdict is Verdict.VIOLATED


def test_pt2_claims_nothing_about_narrow_networks() -> None:
    slow = _descent_row(applies=False, residual=[1.0, 0.9])
    assert pt2_descent_rate.judge([slow]).verdict is Verdict.NOT_APPLICABLE
    assert pt2_descent_rate.judge([slow, _descent_row()]).verdict is Verdict.HOLDS


def _threshold_row(**changes: Any) -> Row:
    row: Row = {
        "m": 8,
        "width": 512,
        "labels": "random",
        "scaling": "ntk",
        "fraction": 1.0,
        "iterations": 9,
        "seed": 0,
        "k": 64,
        "V": 1.0,
        "D_y": 2.0,
    }
    row |= {"gamma_s": 0.1, "eigenvalue": 0.5, "norm_squared": 1.0, "q": 0.9, "contraction": "measured", "L_0": 0.5}
    row |= {"excess_t1": -0.1, "excess_t1_regime": -0.1, "excess_t2": None, "predicted_t1": 9, "measured_t1": 3}
    row |= {"vacuous_t1": False, "predicted_t2": None, "predicted_t3": 20, "measured_t3": 4, "checked_t3": 2}
    return row | {"lost_t3": 0, "vacuous_t2_below": None, "condition": 2.0} | changes


def test_pt3_says_how_much_later_than_measured_its_thresholds_are() -> None:
    measured = pt3_threshold_bounds.judge([_threshold_row(), _threshold_row(measured_t1=0, measured_t3=0)]).measured
    ratios = [value for name, value in measured.items() if "predicted / measured" in name]
    assert ratios == ["3 [3, 3], 1 cases", "5 [5, 5], 1 cases"]  # 9 of 3 and 20 of 4; 0 is no threshold


@pytest.mark.parametrize("twin", [{"excess_t1": 1e-9}, {"excess_t1_regime": 1e-9}, {"excess_t2": 1e-9}, {"lost_t3": 1}])
def test_pt3_is_violated_by_each_kind_of_exception(twin: Row) -> None:
    assert pt3_threshold_bounds.judge([_threshold_row()]).verdict is Verdict.HOLDS
    assert pt3_threshold_bounds.judge([_threshold_row(), _threshold_row(**twin)]).verdict is Verdict.VIOLATED


SIZES = (40, 56, 80, 112, 160, 224, 320)
CONDITION = {"generic": lambda m: 5.0 + m**0.5, "conditioned": lambda m: 9.0}
GROWTH = {
    "logarithm": lambda m: 30 * math.log(m / 20),
    "power": lambda m: 0.2 * m**1.2,
    "flat": lambda m: 50.0,
    "theorem": lambda m: 2 * (5.0 + m**0.5) * math.log(4 * m),
}
PT4, PT7 = pt4_dataset_size.judge, pt7_generic_data.judge


def _series(growth: str, family: str = "generic", subject: str = "k=64", labels: str = "random") -> list[Row]:
    noise = (1.02, 0.98)
    return [
        {
            "family": family,
            "width": 256,
            "labels": labels,
            "scaling": "ntk",
            "target": "loss",
            "subject": subject,
            "m": m,
        }
        | {"seed": seed, "threshold": GROWTH[growth](m) * noise[(seed + i) % 2], "condition": CONDITION[family](m)}
        | {"eigenvalue": 0.5, "norm_squared": 1.0}
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
@pytest.mark.parametrize(("judge", "family"), [(PT4, "conditioned"), (PT7, "generic")])
def test_logarithmic_growth_is_told_from_other_growth(
    judge: Any, family: str, growth: str, says: str, verdict: Verdict
) -> None:
    outcome = judge(_series(growth, family))
    assert outcome.table[0]["says"] == says and outcome.verdict is verdict


def test_the_theorems_own_curve_contradicts_a_plain_logarithm_where_conditioning_worsens() -> None:
    assert PT7(_series("theorem")).verdict is Verdict.NOT_REPRODUCED


def test_growth_is_decided_by_the_pruned_network_alone() -> None:
    rows = _series("power") + _series("logarithm", subject="dense")
    assert PT7(rows).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize("threshold", [None, 0])
def test_sizes_without_a_threshold_and_series_with_too_few_are_left_out(threshold: int | None) -> None:
    rows = _series("logarithm")
    for row in rows:
        if row["m"] in SIZES[:2] and row["seed"] == 0:
            row["threshold"] = threshold
    outcome = PT7(rows)
    assert outcome.table[0]["says"] == "not entered" and outcome.verdict is Verdict.INCONCLUSIVE


def test_the_four_fits_recover_their_own_parameters() -> None:
    kappa = [3.0 * m**0.5 for m in SIZES]
    sizes = [float(m) for m in SIZES]
    logarithm = fit_all(sizes, kappa, [7 + 12 * math.log(m) for m in SIZES])["logarithm"].parameters
    assert logarithm["a"].value == pytest.approx(7, rel=1e-5) and logarithm["b"].value == pytest.approx(12, rel=1e-5)
    assert fit_all(sizes, kappa, [2 * m**0.7 for m in SIZES])["power"].parameters["p"].value == pytest.approx(0.7)
    fits = fit_all(sizes, kappa, [4 * value for value in kappa])
    assert math.exp(fits["condition"].parameters["log a"].value) == pytest.approx(4)
    assert fits["condition"].aic < fits["logarithm"].aic
    times = [5 * value * math.log(4 * m) for m, value in zip(SIZES, kappa, strict=True)]
    assert math.exp(fit_all(sizes, kappa, times)["theorem"].parameters["log a"].value) == pytest.approx(5)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 400 samples with Gaussian noise at most 40 miss at 95 %: P(Bin(400, .05) > 40) < 3e-5; fixed seed."""
    import numpy as np

    rng = np.random.default_rng(5)
    sizes = np.repeat(SIZES, 3).astype(float)
    misses = 0
    for _ in range(400):
        times = (20 + 15 * np.log(sizes)) * np.exp(0.1 * rng.standard_normal(len(sizes)))
        b = fit_all(sizes.tolist(), sizes.tolist(), times.tolist())["logarithm"].parameters["b"]
        misses += not b.low <= 15 <= b.high
    assert misses <= 40


def _curve(kind: str, m: int, seed: int, errors: list[float], k: int = 256, times: list[int] | None = None) -> Row:
    own = {
        "data": DIGITS,
        "kind": kind,
        "m": m,
        "seed": seed,
        "width": 2048,
        "k": k,
        "t": times or list(range(len(errors))),
    }
    return own | {"pruned_error": errors, "dense_error": errors}


def _curves(growth: float, largest: float | None = None) -> list[Row]:
    """Binarised runs whose thresholds grow as m to some power, another one for k = 256; ten classes never grow."""
    rows: list[Row] = []
    for k, power in ((64, growth), (128, growth), (256, growth if largest is None else largest)):
        for m in (50, 150, 500, 1437):
            for seed in range(3):
                reached = round(40 * (m / 500) ** power) + seed
                rows.append(_curve("binarised", m, seed, [0.5] * reached + [0.01] * (200 - reached), k))
                rows.append(_curve("ten classes", m, seed, [0.5] * 40 + [0.01] * 160, k))
    return rows


def _threshold(kind: str, errors: list[float]) -> int | None:
    return threshold(CurvesRow(**_curve(kind, 50, 0, errors, times=[0, 1, 10, 100, 1000])))


def test_pt5_judges_the_growth_of_binarised_labels() -> None:
    assert pt5_digits.judge(_curves(0.5)).verdict is Verdict.HOLDS
    assert pt5_digits.judge(_curves(-0.5)).verdict is Verdict.NOT_REPRODUCED
    assert pt5_digits.judge(_curves(0.5, largest=-0.3)).verdict is Verdict.NOT_REPRODUCED


def test_a_network_that_breaks_again_has_no_threshold() -> None:
    """The pruned error is below the target of 10 % once, then 80 % to the end: no threshold was reached."""
    assert _threshold("ten classes", [0.9, 0.5, 0.05, 0.4, 0.8]) is None


def test_the_threshold_is_where_the_error_stays_below_the_target() -> None:
    assert _threshold("ten classes", [0.9, 0.05, 0.4, 0.06, 0.02]) == 100
    assert _threshold("binarised", [0.01, 0.5, 0.02, 0.02, 0.0]) == 10
    assert _threshold("binarised", [0.02, 0.01, 0.02, 0.02, 0.0]) == 0


def test_images_that_the_user_brings_have_a_target_of_their_own() -> None:
    """5 % is too much for digits, and enough for other images; 7 % is too much for both."""
    errors = [0.5, 0.07, 0.05, 0.05, 0.05]
    row = CurvesRow(**_curve("binarised", 50, 0, errors, times=[0, 1, 10, 100, 1000]))
    assert threshold(row) is None
    assert threshold(replace(row, data="Fashion-MNIST (60000 + 10000 images, SHA-256 0)")) == 10


def test_a_claim_whose_every_run_relapses_does_not_hold() -> None:
    """All runs meet the target early, later for larger data, and end at 50 % error."""
    rows = [
        _curve(kind, m, seed, [0.5 if t != first else 0.0 for t in range(20)], k)
        for kind in ("binarised", "ten classes")
        for k in (64, 128, 256)
        for m, first in {50: 2, 100: 4, 200: 8, 400: 16}.items()
        for seed in range(3)
    ]
    assert pt5_digits.judge(rows).verdict is Verdict.INCONCLUSIVE


def test_pt5_does_not_hold_on_small_sizes_alone() -> None:
    """k = 256 misses its target in most runs: the smaller k decide nothing by themselves."""
    rows = [row if row["k"] < 256 else row | {"pruned_error": [0.5] * 200} for row in _curves(0.5)]
    assert pt5_digits.judge(rows).verdict is Verdict.INCONCLUSIVE


def test_pt5_leaves_out_the_runs_that_needed_no_training() -> None:
    rows = [CurvesRow(**row) for row in _curves(0.5) if (row["kind"], row["k"]) == ("binarised", 256)]
    untrained = [CurvesRow(**_curve("binarised", m, seed, [0.01] * 200)) for m in (10, 20) for seed in range(3)]
    assert mean_slope(rows + untrained) == mean_slope(rows)


def _losses(selected: float, direct: float, noise: float = 0.01) -> list[Row]:
    """Losses n^slope, one line per seed; the noise is of the slopes."""
    return [
        {"subject": subject, "seed": seed, "iterations": 9, "n": n, "loss": n ** (power + noise * deviation)}
        | {"dense": 1e-9, "V": 1.0}
        for subject, power in (("selected", selected), ("direct", direct), (pt6_direct_training.CONTROL, -3.0))
        for seed, deviation in enumerate((1.0, -1.0, 0.5, -0.5) if subject == "direct" else (-1.0, 0.5, 1.0, -0.5))
        for n in pt6_direct_training.SIZES
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
    assert pt6_direct_training.judge(_losses(selected, direct)).verdict is verdict


def test_pt6_is_inconclusive_when_the_intervals_overlap() -> None:
    outcome = pt6_direct_training.judge(_losses(-1.6, -1.4, noise=0.5))
    assert outcome.verdict is Verdict.INCONCLUSIVE and "would decide" in outcome.scope


def _sizes(power: float | None) -> list[Row]:
    """Thresholds over k of four series: a + b·log k, or a power of k; 3 % scatter between seeds."""
    return [
        {"m": m, "labels": labels, "seed": seed, "k": k, "V": 20.0}
        | {"threshold": round((1 + 0.03 * seed) * (400 * math.log(k / 100) if power is None else 20 * k**power))}
        for m in (64, 128)
        for labels in ("random", "teacher")
        for seed in (-1, 0, 1)
        for k in (256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096)
    ]


def test_pt8_tells_a_logarithm_from_a_power_of_k() -> None:
    assert pt8_pruned_size.judge(_sizes(None)).verdict is Verdict.HOLDS
    assert pt8_pruned_size.judge(_sizes(0.8)).verdict is Verdict.NOT_REPRODUCED
    constant = [row | {"threshold": 50 + row["seed"]} for row in _sizes(None)]
    assert pt8_pruned_size.judge(constant).verdict is Verdict.NOT_REPRODUCED


def test_pt8_leaves_out_sizes_that_needed_no_training_and_series_with_too_few_sizes() -> None:
    rows = [row | ({"threshold": 0} if row["k"] < 724 else {}) for row in _sizes(None)]
    outcome = pt8_pruned_size.judge(rows)
    assert outcome.verdict is Verdict.HOLDS and {line["sizes k"] for line in outcome.table} == {6}
    rows = [row | ({"threshold": None} if row["k"] > 724 else {}) for row in _sizes(None)]
    assert pt8_pruned_size.judge(rows).verdict is Verdict.INCONCLUSIVE
