"""LN1 and LN6: the error of a pruned network descends twice, and the learning distance peaks where the error does."""

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row

from .curves import Path, interval, path_of
from .figures import descent_figures, distance_figures
from .path import measure_path
from .settings import DIGITS_NOISE, HIDDEN, WIDE, digits_cell

PEAK, TROUGH = 0.02, 0.05
LEVELS = 2


def _descent_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return [digits_cell(scale, seeds), digits_cell(scale, seeds, noise=0.0)]


def _judge_descent(rows: list[Row]) -> Outcome:
    noisy, clean = (path_of(rows, noise=noise, hidden=HIDDEN) for noise in (DIGITS_NOISE, 0.0))
    rise, fall = _changes(noisy)
    control, _ = _changes(clean)
    descends = rise[0] >= PEAK and fall[0] >= TROUGH
    return Outcome(
        verdict=Verdict.HOLDS if descends and control[0] < PEAK else Verdict.NOT_REPRODUCED,
        measured={
            "peak above dense": rise,
            "dense above trough": fall,
            "control: peak above dense at 0 % noise": control,
            "density of the peak": float(noisy.densities[noisy.descent.peak]),
            "density of the trough": float(noisy.densities[noisy.trough]),
        },
        seeds=noisy.seeds,
        scope="digits, 64-100-50-10, 40 % of labels flipped; peak and trough located on validation, errors on test",
        table=_table(noisy, clean),
    )


def _changes(path: Path) -> tuple[list[float], list[float]]:
    """Rise to the peak and fall to the trough against the dense network, on clean test labels, paired by seed."""
    dense = path.at("test_error", 0)
    return interval(path.at("test_error", path.descent.peak) - dense), interval(
        dense - path.at("test_error", path.trough)
    )


def _table(noisy: Path, clean: Path) -> list[Row]:
    errors = [path.column("test_error").mean(0) for path in (noisy, clean)]
    phases = noisy.descent.phases
    return [
        {
            "density": float(density),
            "error, 40 % noise": float(errors[0][level]),
            "error, no noise": float(errors[1][level]),
            "phase": phases[level],
        }
        for level, density in enumerate(noisy.densities)
    ]


def _distance_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return [digits_cell(scale, seeds, hidden=WIDE[scale]), digits_cell(scale, seeds)]


def _judge_distance(rows: list[Row]) -> Outcome:
    path = path_of(rows, hidden=HIDDEN)
    wide = path_of(rows, hidden=next(row["hidden"] for row in rows if row["hidden"] != HIDDEN))
    gaps = {name: _peak_gap(each) for name, each in (("narrow", path), ("wide", wide))}
    peaked = path.descent.peak > 0
    close = peaked and abs(gaps["narrow"]) <= LEVELS
    return Outcome(
        verdict=Verdict.HOLDS if close else Verdict.NOT_REPRODUCED,
        measured={
            "levels from the peak of the error to that of the distance": gaps["narrow"],
            "density at the peak of the error": float(path.densities[_test_peak(path)]),
            "density at the peak of the distance": float(path.densities[path.column("distance").mean(0).argmax()]),
            "the same gap for the wide network": gaps["wide"],
            "rise of the wide network's error to its peak": _changes(wide)[0],
        },
        seeds=path.seeds,
        scope="digits, 40 % of labels flipped, 64-100-50-10 judged; the wide network is printed, not judged",
    )


def _peak_gap(path: Path) -> int:
    return int(path.column("distance").mean(0).argmax()) - _test_peak(path)


def _test_peak(path: Path) -> int:
    """The highest mean test error before the trough."""
    return int(path.column("test_error").mean(0)[: path.trough + 1].argmax())


DESCENT = Claim(
    "LN1",
    "With noisy labels the test error of iteratively pruned networks descends twice: it rises to a peak, falls below "
    "the dense error, then rises for good; without noise there is no peak.",
    "He et al., Sparse double descent, ICML 2022; definitions in theory/statistics/double_descent.md",
    f"Digits, 40 % flipped labels: mean test error at the peak ≥ dense + {PEAK:.0%}, at the trough ≤ dense − "
    f"{TROUGH:.0%}; control with clean labels: peak < dense + {PEAK:.0%}.",
    measure_path,
    paper="label_noise",
    grid=_descent_grid,
    judge=_judge_descent,
    figures=descent_figures,
    says_not="That every network or kind of noise shows it; wide networks may not.",
)

DISTANCE = Claim(
    "LN6",
    "The learning distance $‖w_0 - w‖_2$, pruned weights counted as zero, peaks where the test error does.",
    "He et al., Sparse double descent, ICML 2022",
    f"Digits, 40 % flipped labels: the error has a peak, the densities of the two peaks differ by ≤ {LEVELS} levels.",
    measure_path,
    paper="label_noise",
    grid=_distance_grid,
    judge=_judge_distance,
    figures=distance_figures,
    says_not="That a larger distance causes a larger error; wide networks can have one without the other.",
)
