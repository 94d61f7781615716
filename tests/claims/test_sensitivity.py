"""The sensitivity claims: their criteria refuse what they should, their cells repeat bit for bit, figures draw."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from matplotlib.figure import Figure as Canvas

from pruneproof.claims.claim import Claim, Scale, Verdict
from pruneproof.claims.sensitivity import CLAIMS

Rows = list[dict[str, Any]]
SP1, SP2, SP3, SP4, SP5, SP6, SP7 = CLAIMS


def _rows(claim: Claim, cells: list[dict[str, Any]]) -> Rows:
    return [{**cell, **asdict(row)} for cell in cells for row in claim.measure(cell)]


SMALL: dict[str, list[dict[str, Any]]] = {
    "SP1": [{"instance": "block", "layer": 0, "delta": 0.2, "fraction": 0.5, "draws": 2000, "seed": 0}],
    "SP2": [
        {"kind": "conformal", "repeats": 200, "seed": 0, "network": "mlp"},
        {"kind": "clopper-pearson", "repeats": 200, "seed": 0, "network": "mlp"},
    ],
    "SP3": [
        {"kind": "pair", "network": "mlp", "density": 0.8, "method": "sipp det", "seed": 0, "images": 4},
        {"kind": "constants", "network": "mlp", "seed": 0},
    ],
    "SP4": [{"network": "mlp", "density": 0.5, "seed": 0}],
    "SP6": [{"network": "mlp", "epsilon": 2.0, "seed": 0}],
}


@pytest.mark.parametrize("claim", [SP1, SP2, SP3, SP4, SP6], ids=lambda claim: claim.id)
def test_a_small_run_is_judged_repeats_and_draws(claim: Claim) -> None:
    cells = SMALL[claim.id]
    rows = _rows(claim, cells)
    outcome = claim.judge(rows)
    assert outcome.verdict in (Verdict.HOLDS, Verdict.INCONCLUSIVE)
    assert json.dumps(_rows(claim, cells[:1]), allow_nan=False) == json.dumps(_rows(claim, cells[:1]))
    for figure in claim.figures(rows) if claim.figures else []:
        figure.draw(Canvas())


def test_grids_grow_with_the_scale_and_are_json() -> None:
    for claim in CLAIMS:
        sizes = [len(json.dumps(claim.grid(scale, None))) for scale in Scale]
        assert sizes == sorted(sizes)
        assert {cell["seed"] for cell in claim.grid(Scale.QUICK, 2)} <= {0, 1}


def test_sp1_is_violated_by_too_many_failures() -> None:
    row = {"variant": "rand", "epsilon": 0.1, "trials": 1000, "twin_failures": 900, "slack": 1.0, "law": None}
    row |= {"delta": 0.05, "seed": 0}
    quiet = [{**row, "variant": v, "failures": 0} for v in ("rand", "hybrid", "poisson", "det", "symmetric")]
    assert SP1.judge(quiet).verdict is Verdict.HOLDS
    assert SP1.judge([*quiet, {**row, "failures": 97}]).verdict is Verdict.VIOLATED
    assert SP1.judge([*quiet, {**row, "failures": 96}]).verdict is Verdict.HOLDS
    assert SP1.judge([*quiet, {**row, "failures": 0, "law": 1e-12}]).verdict is Verdict.VIOLATED
    assert SP1.judge([{**r, "twin_failures": 0} for r in quiet]).verdict is Verdict.INCONCLUSIVE


def test_sp2_is_violated_by_lost_coverage() -> None:
    kinds = ("conformal", "clopper-pearson")
    base = {"trials": 1000, "failures": 100, "twin_failures": 400, "outside_sample": 990, "seed": 0}
    rows: Rows = [{**base, "kind": kind} for kind in kinds]
    assert SP2.judge(rows).verdict is Verdict.HOLDS
    assert SP2.judge([{**rows[0], "failures": 200}, rows[1]]).verdict is Verdict.VIOLATED
    assert SP2.judge([rows[0], {**rows[1], "twin_failures": 100}]).verdict is Verdict.INCONCLUSIVE


def test_sp3_is_violated_by_one_point() -> None:
    rows = _rows(SP3, SMALL["SP3"])
    assert SP3.judge(rows).verdict is Verdict.HOLDS
    for key in ("violations", "n2_below"):
        assert SP3.judge([{**rows[0], key: 1}, *rows[1:]]).verdict is Verdict.VIOLATED


def test_sp4_and_sp5_are_not_reproduced_when_the_other_is_better() -> None:
    rows = [
        {"network": "mlp", "density": 0.5, "seed": seed, "variant": v, "merit": 1.0, "epsilon": 0.1, "vacuous": 0.0,
         "error": (2.0 if v == "best" else 1.0) + 0.01 * seed}
        for seed in range(4) for v in ("rand", "det", "hybrid", "poisson", "best")
    ]  # fmt: skip
    assert SP4.judge(rows).verdict is Verdict.NOT_REPRODUCED
    assert SP4.judge([{**row, "error": 1.0} for row in rows]).verdict is Verdict.HOLDS


def test_sp5_needs_every_comparison() -> None:
    from pruneproof.claims.sensitivity.setting import DATA_FREE, INFORMED

    def rows(worst: float) -> Rows:
        levels = dict.fromkeys((*INFORMED, *DATA_FREE), 2.0) | {"sipp best": 1.0, "magnitude": worst}
        place = {"network": "mlp", "density": 0.5, "accuracy": 0.9, "certified": 0.5}
        return [
            {**place, "seed": seed, "method": m, "error": level + 0.01 * (seed % 2) * (m == "magnitude")}
            for seed in range(5)
            for m, level in levels.items()
        ]

    assert SP5.judge(rows(2.0)).verdict is Verdict.HOLDS
    assert SP5.judge(rows(0.5)).verdict is Verdict.NOT_REPRODUCED
    assert SP5.judge(rows(0.996)).verdict is Verdict.INCONCLUSIVE


def test_sp6_is_violated_above_and_vacuous_at_the_size() -> None:
    row = {"network": "mlp", "layer": "0.weight", "epsilon": 1.0, "seed": 0, "over": 0, "half_rows": 4, "vacuous": 2}
    row |= {"bound": 10.0, "found": 8}
    assert SP6.judge([row]).verdict is Verdict.HOLDS
    assert SP6.judge([{**row, "over": 1}]).verdict is Verdict.VIOLATED
    assert SP6.judge([{**row, "vacuous": 4}]).verdict is Verdict.VACUOUS


def test_sp7_is_not_reproduced_below_random() -> None:
    from pruneproof.claims.sensitivity.sp7_isolation import METHODS

    def rows(sipp: float) -> Rows:
        return [
            {
                "density": 0.05,
                "method": m,
                "seed": seed,
                "kept": 9,
                "accuracy": (sipp if m.startswith("sipp") else 90) + seed,
            }
            for m in METHODS
            for seed in range(4)
        ]

    assert SP7.judge(rows(95.0)).verdict is Verdict.HOLDS
    assert SP7.judge(rows(60.0)).verdict is Verdict.NOT_REPRODUCED
    assert SP7.judge(rows(90.0)).verdict is Verdict.INCONCLUSIVE
