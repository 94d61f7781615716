"""A `FitReport` in words: constants, rival curves, extrapolation, warnings, the smallest network."""

from math import isfinite

from ...theory.smallest_network import Candidate
from .fit_report import FitReport, warnings


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
