"""What `pruneproof fit` finds in a table, as data and in words.

A `FitReport` holds the law or the simplest curve that the points carry, its rivals, the test of
extrapolation, warnings, and the smallest network for a target error.
"""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

from pruneproof.checks import require_fraction
from pruneproof.errors import InvalidValueError

from .comparison import Comparison, compare, leave_large_out, simplest
from .fitting import FittedLaw, fit
from .intervals import ConfidenceInterval, profile_intervals
from .models import LAW, carries, joint
from .points import Points, read_points
from .smallest_network import Candidate, recommend

POOR_EXTRAPOLATION = 0.10  # above this deviation on the larger networks, predictions for others are warned against


@dataclass(frozen=True)
class FitReport:
    """The answer to one table.

    Args:
        fitted: The law, or the simplest curve the points carry.
        intervals: 95 % profile intervals.
        comparison: All curves, best AICc first.
        extrapolation: "width", "depth" → root mean square relative deviation on the widest
            (deepest) networks, predicted from the others; None where the others say too little.
        candidates: Networks at the density that meets the target, as `recommend` orders them; empty
            without a target.
        target: The allowed error, or None.
    """

    fitted: FittedLaw
    intervals: dict[str, ConfidenceInterval]
    comparison: list[Comparison]
    extrapolation: dict[str, float | None]
    candidates: list[Candidate]
    target: float | None


def fit_report(path: Path, target: float | None, *, generator: np.random.Generator) -> FitReport:
    """Read, fit, compare and recommend.

    Args:
        path: CSV of results.
        target: Allowed error in (0, 1), or None.
        generator: Of the folds and the bootstrap.

    Raises:
        PruneproofError: For a table that cannot be fitted, a target outside (0, 1), or a target
            when the points do not carry the law.
    """
    if target is not None:
        require_fraction("fit", "the target error", target)
    points = read_points(path)
    model = simplest(points)
    if target is not None and model is not LAW:
        raise InvalidValueError(
            "fit: it needs enough densities for the scaling law to answer a target, got "
            f"{points.places}, which carry a {model.name}. Measure more, or drop --target-error."
        )
    fitted = fit(points, model)
    candidates = [] if target is None else recommend(fitted, target, generator=generator)
    return FitReport(
        fitted,
        profile_intervals(fitted),
        compare(points, generator=generator),
        _extrapolation(fitted),
        candidates,
        target,
    )


def _extrapolation(fitted: FittedLaw) -> dict[str, float | None]:
    return {by: _deviation(fitted, by) for by in ("width", "depth")}


def _deviation(fitted: FittedLaw, by: Literal["width", "depth"]) -> float | None:
    """Deviation on the largest networks; the rest must still carry the law with the same exponents."""
    points = fitted.points
    column = points.width if by == "width" else points.depth
    rest = points.where(column < column.max())
    if not len(rest) or fitted.model.name != LAW.name or not carries(rest, LAW):
        return None
    if joint(LAW, rest).parameters != fitted.model.parameters:
        return None  # with one width left nothing is known about ψ, with one depth left nothing about φ
    _, deviation = leave_large_out(points, float(column[column < column.max()].max()), LAW, by=by)
    return float(np.sqrt(np.mean(deviation**2)))


def warnings(report: FitReport) -> list[str]:
    """What a reader of the numbers must know, one sentence each."""
    model = report.fitted.model.name
    found: list[str] = []
    if model != LAW.name:
        found.append(f"too few points for the scaling law: {model} is the simplest curve that they carry")
    if _rises_with_density(report.fitted.points):
        found.append("the error rises with the density: does that column hold sparsities (density = 1 - sparsity)?")
    if report.fitted.at_bound:
        found.append(f"at the limit of the search, hence not determined: {', '.join(report.fitted.at_bound)}")
    worst = float(report.fitted.points.dense_error.max())
    if model == LAW.name and report.fitted.parameters["upper_error"] <= worst:
        found.append(f"ε↑ is not above the largest dense error, {worst:.4g}: by this fit pruning improves a network")
    tested = [each for each in report.comparison if isfinite(each.held_out)]
    best = min(tested, key=lambda each: each.held_out, default=None)
    if best is not None and best.name != model:
        found.append(f"{best.name} predicts held-out points better than the {model}")
    return found + [
        f"do not use this fit for networks of larger {by} than those measured"
        for by, deviation in report.extrapolation.items()
        if deviation is not None and deviation > POOR_EXTRAPOLATION
    ]


def _rises_with_density(points: Points) -> bool:
    """Whether, in most networks with three densities or more, the pruned error mostly rises with the density."""
    trends: list[float] = []
    for name in points.networks():
        rows = (points.network == name) & (points.density < 1)
        if len(set(points.density[rows].tolist())) >= 3 and np.ptp(points.error[rows]) > 0:
            trend: Any = spearmanr(points.density[rows], points.error[rows])
            trends.append(float(trend.statistic))
    return bool(trends) and float(np.median(trends)) > 0.5


def as_json(report: FitReport) -> dict[str, Any]:
    """The report for programs; open interval ends and densities that do not exist are null."""
    fitted = report.fitted
    return {
        "model": fitted.model.name,
        "points": len(fitted.points),
        "sigma": fitted.spread,
        "mu": fitted.mean,
        "reference": {"depth": fitted.reference[0], "width": fitted.reference[1]},
        "constants": {
            name: {
                "value": value,
                "low": _finite(report.intervals[name].low),
                "high": _finite(report.intervals[name].high),
                "identified": report.intervals[name].identified,
                "at_bound": name in fitted.at_bound,
            }
            for name, value in fitted.parameters.items()
        },
        "comparison": [
            {
                "curve": each.name,
                "sigma": each.fitted.spread,
                "held_out": _finite(each.held_out),
                "aicc": _finite(each.fitted.criterion),
            }
            for each in report.comparison
        ],
        "extrapolation": report.extrapolation,
        "target_error": report.target,
        "warnings": warnings(report),
        "candidates": [_candidate(each) for each in report.candidates],
    }


def _candidate(each: Candidate) -> dict[str, Any]:
    fields = asdict(each) | {"interval": [_finite(end) for end in each.interval]}
    return fields | {"density": _finite(each.density), "size": _finite(each.size)}


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def as_text(report: FitReport) -> str:
    """The report for people."""
    cautions = "\n".join(f"warning: {each}" for each in warnings(report))
    parts = [_heading(report), _constants(report), _curves(report), _larger(report), cautions, _answer(report)]
    return "\n\n".join(part for part in parts if part)


def _heading(report: FitReport) -> str:
    fitted = report.fitted
    shapes = f"{len(fitted.points)} points, {len(fitted.points.networks())} network(s)"
    text = f"{fitted.model.name}: {shapes}, σ = {fitted.spread:.2%}, μ = {fitted.mean:+.2%} of the error"
    depth, width = fitted.reference
    if {"phi", "psi"} & set(fitted.parameters):
        text += f"\ndepth and width are relative to {depth:.4g} and {width:.4g}, their geometric means"
    return text


def _constants(report: FitReport) -> str:
    lines = ["constant       value  95 % interval"]
    for name, value in report.fitted.parameters.items():
        lines.append(f"{name:<11} {value:>8.4g}  {report.intervals[name]}")
    return "\n".join(lines)


def _curves(report: FitReport) -> str:
    lines = ["curve                    σ  held out      AICc"]
    for each in report.comparison:
        held_out, criterion = _shown(each.held_out, ".2%"), _shown(each.fitted.criterion, ".1f")
        lines.append(f"{each.name:<18} {each.fitted.spread:>7.2%} {held_out:>9} {criterion:>9}")
    return "\n".join(lines)


def _shown(value: float, form: str) -> str:
    return format(value, form) if isfinite(value) else "–"


def _larger(report: FitReport) -> str:
    lines: list[str] = []
    for by, largest in (("width", "widest"), ("depth", "deepest")):
        found = report.extrapolation[by]
        if found is None:
            needs = f"at least three {by}s, and enough points without the {largest}, are needed"
            lines.append(f"extrapolation in {by}: cannot be tested ({needs})")
        else:
            lines.append(f"extrapolation in {by}: the {largest} networks deviate by {found:.2%} from a fit to the rest")
    return "\n".join(lines)


def _answer(report: FitReport) -> str:
    if report.target is None:
        return ""
    lines = [f"target error {report.target:g}:", "network        density  95 % interval      relative size"]
    return "\n".join([*lines, *map(_line, report.candidates), _smallest(report)])


def _line(each: Candidate) -> str:
    if each.feasibility == "every density":
        return f"{each.network:<12} every density (extrapolated)"
    if isfinite(each.density):
        interval = f"{each.interval[0]:.4f} … {each.interval[1]:.4f}"
        return f"{each.network:<12} {each.density:>9.4f}  {interval:<18} {each.size:>12.4g}{_restriction(each)}"
    return f"{each.network:<12} {each.feasibility}"


def _restriction(each: Candidate) -> str:
    if each.feasibility == "dense only":
        return "  (dense only: the law allows no pruning)"
    return "  (beyond the measured densities)" if each.extrapolated else ""


def _smallest(report: FitReport) -> str:
    best = report.candidates[0]
    if best.feasibility == "every density":
        upper, lowest = report.fitted.parameters["upper_error"], report.fitted.points.density.min()
        where = f"the target lies at or above ε↑ = {upper:.4g}: by the law every density meets it (extrapolated)"
        return f"smallest: unknown; {where}; the lowest measured density is {lowest:.4g}"
    if not isfinite(best.density):
        return "no measured network reaches the target"
    if best.feasibility == "dense only":
        return f"smallest: train {best.network}{_restriction(best)}"
    return f"smallest: train {best.network} and prune it to density {best.density:.4f}{_restriction(best)}"
