"""The pictures: certified agreement, ε against budget, failures against δ′, slack, published sizes against ours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def failures_against_delta(rows: Sequence[Row]) -> Figure:
    """Observed failure frequency of the sampled variants against δ′, with the diagonal."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for place, name in enumerate(("rand", "hybrid", "poisson")):
            some = [r for r in rows if r["variant"] == name]
            rates = [max(r["failures"] / r["trials"], 0.5 / r["trials"]) for r in some]
            axes.plot([r["delta"] * (1 + 0.06 * (place - 1)) for r in some], rates, "o", alpha=0.6, label=name)
        levels = sorted({float(r["delta"]) for r in rows})
        axes.plot(levels, levels, "k--", label="promised")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("δ′")
        axes.set_ylabel("frequency of failures")
        axes.legend(fontsize="small")

    caption = "Each point: one half-row at one point of S, fresh draws. Never seen is drawn at half a draw."
    return Figure("Failures against δ′", caption, draw)


def slack_histogram(rows: Sequence[Row]) -> Figure:
    """How much larger ε is than it had to be."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        names = ("rand", "hybrid", "poisson")
        axes.hist([[min(float(r["slack"]), 100.0) for r in rows if r["variant"] == n] for n in names], label=names)
        axes.set_xlabel("ε / observed (1 − δ′) quantile of the error")
        axes.set_ylabel("half-rows")
        axes.legend(fontsize="small")

    return Figure("Slack", "1 would be tight; values above 100 are drawn at 100.", draw)


def epsilon_against_budget(rows: Sequence[Row]) -> Figure:
    """Median ε of the half-rows against density, per variant."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        some = [r for r in rows if r["network"] == "mlp"]
        for name in ("rand", "hybrid", "poisson", "det", "best"):
            _line(axes, [(float(r["density"]), float(r["epsilon"])) for r in some if r["variant"] == name], name)
        axes.axhline(1, color="k", linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel("density")
        axes.set_ylabel("median ε of the half-rows")
        axes.legend(fontsize="small")

    return Figure("ε against budget", "Digits perceptron. Above the dotted line a bound says nothing.", draw)


def certified_against_density(rows: Sequence[Row]) -> Figure:
    """Share of test images on whose ball agreement is certified, against density, per method."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for name in sorted({str(r["method"]) for r in _pairs(rows)}):
            for index, style in ((0, "-"), (1, "--")):
                points = [
                    (float(r["density"]), float(r["certified"][index])) for r in _pairs(rows) if r["method"] == name
                ]
                _line(axes, points, f"{name}, ρ = {('0.5', '1')[index]}/16", style)
        axes.set_xlabel("density")
        axes.set_ylabel("balls with certified agreement")
        axes.legend(fontsize="x-small")

    return Figure("Certified agreement against density", "Digits perceptron, no retraining.", draw)


def certified_against_radius(rows: Sequence[Row]) -> Figure:
    """The same against the radius, at the highest density."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        top = max(float(r["density"]) for r in _pairs(rows))
        for name in sorted({str(r["method"]) for r in _pairs(rows)}):
            some = [r for r in _pairs(rows) if r["method"] == name and r["density"] == top]
            points = [(x, float(y)) for r in some for x, y in zip((0.5, 1.0, 2.0), r["certified"], strict=True)]
            _line(axes, points, name)
        axes.set_xlabel("radius per pixel, sixteenths")
        axes.set_ylabel("balls with certified agreement")
        axes.legend(fontsize="small")

    return Figure("Certified agreement against radius", "Digits perceptron at the highest density.", draw)


def published_against_ours(rows: Sequence[Row]) -> Figure:
    """Draws that the published size and N1 + N3 ask of a half-row, beside its weights."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        some = [r for r in rows if r["kind"] == "constants"]
        places = range(len(some))
        for shift, key, label in ((-0.27, "draws_published", "published shape"), (0.0, "draws_n3", "N1 + N3")):
            axes.bar([p + shift for p in places], [r[key] for r in some], width=0.26, label=label)
        axes.bar([p + 0.27 for p in places], [r["weights"] for r in some], width=0.26, label="weights there are")
        axes.set_yscale("log")
        axes.set_xticks(list(places), [f"{r['network']}, layer {r['layer'] + 1}" for r in some], fontsize="small")
        axes.set_ylabel("draws for a half-row with Σ = 1")
        axes.legend(fontsize="small")

    return Figure("Published constants against ours", "ε = 0.5, δ = 0.1. Both keep every weight: vacuous.", draw)


def error_by_method(rows: Sequence[Row]) -> Figure:
    """Mean output error by method, one point per seed."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        names = list(dict.fromkeys(str(r["method"]) for r in rows))
        for density in sorted({float(r["density"]) for r in rows}):
            some = [r for r in rows if r["density"] == density and r["network"] == "mlp"]
            axes.plot(
                [names.index(r["method"]) for r in some], [r["error"] for r in some], "o", label=f"density {density}"
            )
        axes.set_yscale("log")
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
        axes.set_ylabel("mean output error")
        axes.legend(fontsize="small")

    return Figure("Output error by method", "Digits perceptron, test images, no retraining.", draw)


def _pairs(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if r["kind"] == "pair" and r["network"] == "mlp"]


def _line(axes: object, points: list[tuple[float, float]], label: str, style: str = "-") -> None:
    """Means over equal abscissae."""
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    places = sorted({x for x, _ in points})
    means = [sum(y for x, y in points if x == place) / sum(x == place for x, _ in points) for place in places]
    axes.plot(places, means, style, marker="o", label=label)
