"""The scaling claims judge by their criteria: errors made by the law hold, others do not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruneproof.claims.claim import Claim, Scale, Verdict
from pruneproof.claims.data.images import digits_label
from pruneproof.claims.engine.cell import Row, read_rows
from pruneproof.claims.estimates import Estimate
from pruneproof.claims.scaling import CLAIMS, PAPER
from pruneproof.claims.scaling.measure import PathRow, measure_path, points_of
from pruneproof.claims.scaling.residual import residual_network
from pruneproof.claims.scaling.setting import RESIDUAL
from pruneproof.claims.scaling.sl1_algebra import measure as measure_algebra
from pruneproof.claims.scaling.smallest import measured_density, targets
from pruneproof.prune import prunable
from pruneproof.theory.scaling.models import CLIPPED, LAW, LOG_HILL, Model
from pruneproof.theory.scaling.points import points_from_rows
from tests.claims.idx_files import write_idx

BY_ID = {claim.id: claim for claim in CLAIMS}
TRUTH = {"p": 0.9, "gamma": 1.4, "upper_error": 0.8, "phi": 0.6, "psi": 1.1}


def _rows(cell: dict[str, Any], model: Model = LAW, noise: float = 0.0, **changes: float) -> list[Row]:
    """The errors that a model gives a network, with noise."""
    dense = 0.25 * cell["width"] ** -0.4 * (2000 / cell["examples"]) ** 0.3
    densities = [0.8**level for level in range(cell["levels"] + 1)]
    base = {"network": "a", "width": cell["width"], "depth": cell["depth"], "dense_error": dense, "error": 0.5}
    points = points_from_rows([base | {"density": density} for density in densities])
    error = np.exp(model.log_error(TRUTH | changes, points))
    error[0] = dense
    generator = np.random.default_rng(cell["width"] + 1000 * cell["depth"] + 10_000 * cell["examples"])
    error *= 1 + noise * generator.standard_normal(len(error))
    total = 16 * cell["width"] + cell["width"] ** 2 * (cell["depth"] - 1) + 10 * cell["width"]
    return [
        cell | {"seed": seed, "density": density, "kept": round(density * total), "error": float(value)}
        for seed in cell["seeds"]
        for density, value in zip(densities, error, strict=True)
    ]


def _judged(claim: Claim, model: Model = LAW, noise: float = 0.02, **changes: float) -> Verdict:
    rows = [row for cell in claim.grid(Scale.QUICK, None) for row in _rows(cell, model, noise, **changes)]
    outcome = claim.judge(rows)
    assert all(isinstance(value, float | int | str | list | Estimate) for value in outcome.measured.values())
    return outcome.verdict


def test_every_claim_belongs_to_the_paper_and_only_the_algebra_is_a_theorem() -> None:
    assert list(BY_ID) == ["SL1", "SL2", "SL3", "SL4", "SL5", "SL6", "SL7", "SL8"]
    assert all(claim.paper == PAPER.key and claim.criterion for claim in CLAIMS)
    assert [claim.id for claim in CLAIMS if claim.theorem] == ["SL1"]


@pytest.mark.parametrize("scale", list(Scale))
def test_grids_are_data(scale: Scale) -> None:
    for claim in CLAIMS:
        cells = claim.grid(scale, 2)
        assert json.loads(json.dumps(cells)) == cells


def test_the_algebra_holds_and_a_broken_identity_violates_it() -> None:
    cells = [{"check": "identities"}, {"check": "inverse", "seed": 0, "repeats": 50}]
    rows = [cell | asdict(row) for cell in cells for row in measure_algebra(cell)]
    rows += [{"check": "recovery", "p": 0.02, "gamma": 0.02, "upper_error": 0.005}] * 3
    assert BY_ID["SL1"].judge(rows).verdict is Verdict.HOLDS
    broken = [row | {"true": False} if row.get("name") == "d → 0 gives ε↑" else row for row in rows]
    assert BY_ID["SL1"].judge(broken).verdict is Verdict.VIOLATED
    imprecise = [row | {"p": 0.2} if row["check"] == "recovery" else row for row in rows]
    assert BY_ID["SL1"].judge(imprecise).verdict is Verdict.NOT_REPRODUCED


def test_the_fit_holds_for_the_law_and_not_for_noise() -> None:
    assert _judged(BY_ID["SL2"]) is Verdict.HOLDS
    assert _judged(BY_ID["SL2"], noise=0.15) is Verdict.NOT_REPRODUCED


def test_extrapolation_fails_when_wider_networks_follow_another_law() -> None:
    claim = BY_ID["SL3"]
    cells = claim.grid(Scale.QUICK, None)
    assert _judged(claim) is Verdict.HOLDS
    rows = [row for cell in cells for row in _rows(cell, LAW, 0.02, p=0.9 if cell["width"] <= 32 else 1.8)]
    assert claim.judge(rows).verdict is Verdict.NOT_REPRODUCED


def test_the_smallest_network_is_found_when_the_law_holds() -> None:
    assert _judged(BY_ID["SL4"]) is Verdict.HOLDS


def test_the_smallest_network_is_wrong_when_one_network_is_far_better_than_the_law_says() -> None:
    cells = BY_ID["SL4"].grid(Scale.QUICK, None)
    rows = [row for cell in cells for row in _rows(cell, LAW, 0.0, p=0.1 if cell["width"] == 32 else 0.9)]
    assert BY_ID["SL4"].judge(rows).verdict is Verdict.NOT_REPRODUCED
    assert BY_ID["SL6"].judge(rows).verdict is Verdict.NOT_REPRODUCED


def test_the_best_network_is_named_when_the_errors_follow_the_law_exactly() -> None:
    assert _judged(BY_ID["SL6"], noise=0.0) is Verdict.HOLDS


def test_one_seed_decides_nothing_about_the_smallest_network() -> None:
    for name in ("SL4", "SL6"):
        rows = [row for cell in BY_ID[name].grid(Scale.QUICK, 1) for row in _rows(cell, noise=0.02)]
        assert BY_ID[name].judge(rows).verdict is Verdict.INCONCLUSIVE


def test_the_curve_that_made_the_errors_decides_the_comparison() -> None:
    assert _judged(BY_ID["SL5"]) is Verdict.HOLDS
    assert _judged(BY_ID["SL5"], CLIPPED) is Verdict.NOT_REPRODUCED
    assert _judged(BY_ID["SL8"]) is Verdict.HOLDS
    assert _judged(BY_ID["SL8"], LOG_HILL, q=1.2) is Verdict.NOT_REPRODUCED


def test_sizes_of_the_training_set_enter_through_the_dense_error() -> None:
    claim = BY_ID["SL7"]
    cells = claim.grid(Scale.QUICK, None)
    whole = max(cell["examples"] for cell in cells)
    assert _judged(claim) is Verdict.HOLDS
    rows = [row for cell in cells for row in _rows(cell, LAW, 0.02, p=0.9 if cell["examples"] == whole else 3.0)]
    assert claim.judge(rows).verdict is Verdict.NOT_REPRODUCED


def test_measured_densities_are_interpolated_before_the_first_crossing() -> None:
    cell = BY_ID["SL2"].grid(Scale.QUICK, None)[0]
    rows = _rows(cell, noise=0.0)
    points = points_of(read_rows(PathRow, rows), "teacher")
    (name,) = points.networks()
    for target in targets(points):
        density = measured_density(points, name, target)
        below = points.error[points.density >= density]
        assert below.max() <= target <= points.error[points.density < density].min()


def test_figures_can_be_drawn() -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    for claim in CLAIMS:
        if claim.figures is None:
            continue
        rows = [row for cell in claim.grid(Scale.QUICK, None) for row in _rows(cell, noise=0.02)]
        for figure in claim.figures(rows):
            figure.draw(canvas := matplotlib.Figure(layout="constrained"))
            assert canvas.axes


@pytest.mark.parametrize("data", [{"task": "teacher"}, {"task": "digits", "data": digits_label()}])
def test_a_cell_is_deterministic(data: dict[str, Any]) -> None:
    cell = data | {
        "width": 8, "depth": 2, "seeds": [0, 4], "examples": 100, "epochs": 4, "batch": 64, "rate": 0.1,
        "momentum": 0.9, "rewind_epochs": 1, "share": 0.5, "levels": 3,
    }  # fmt: skip
    rows = measure_path(cell)
    assert rows == measure_path(cell)
    assert [PathRow(**json.loads(json.dumps(asdict(row)))) for row in rows] == rows
    assert [row.density for row in rows] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_residual_networks_on_images_are_printed_at_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their cells exist only at full with images; every level keeps its exact count of weights, those of the dense one
    in it; and the judges take them beside the images."""
    assert not any(cell["task"] == RESIDUAL for cell in BY_ID["SL2"].grid(Scale.FULL, None))
    monkeypatch.setenv("PRUNEPROOF_DATA_ROOT", str(write_idx(tmp_path, 0, train=120)))
    assert not any(cell["task"] == RESIDUAL for cell in BY_ID["SL2"].grid(Scale.STANDARD, None))
    cells = [cell for cell in BY_ID["SL2"].grid(Scale.FULL, 2) if cell["task"] == RESIDUAL]
    assert {(cell["width"], cell["depth"]) for cell in cells} == {(w, d) for w in (64, 32, 16) for d in (2, 1)}
    small: dict[str, Any] = cells[-1] | {
        "width": 4,
        "examples": 60,
        "epochs": 3,
        "rewind_epochs": 1,
        "levels": 3,
        "device": "cpu",
    }
    rows = measure_path(small)
    assert rows == measure_path(small)
    total = sum(weight.numel() for weight in prunable(residual_network(4, small["depth"], 0)).values())
    assert [(row.density, row.kept) for row in rows[:4]] == [(0.8**n, round(0.8**n * total)) for n in range(4)]
    assert all(0 <= row.error <= 1 for row in rows)


@pytest.mark.parametrize("claim", ["SL2", "SL3", "SL5", "SL8"])
def test_the_judged_task_stays_the_images_when_residual_networks_are_measured(claim: str) -> None:
    cells = BY_ID[claim].grid(Scale.QUICK, None)
    brought = {"data": "Fashion-MNIST (60000 + 10000 images, SHA-256 0)"}
    images = [row | brought | {"task": "images"} for cell in cells for row in _rows(cell, noise=0.02)]
    others = [row | {"task": RESIDUAL} for row in images]
    alone, both = BY_ID[claim].judge(images), BY_ID[claim].judge(images + others)
    assert both.verdict is alone.verdict
    assert any(name.startswith(f"{RESIDUAL}: ") for name in both.measured)
    if figures := BY_ID[claim].figures:
        assert len(figures(images + others)) == len(figures(images))
