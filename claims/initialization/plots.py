"""The pictures: accuracy against density with ablations as ribbons, layer densities, pruning later, live units."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import SeedMean, accuracies, estimate

from .grid import DENSITY, LATER_METHODS
from .perceptrons import VARIANTS
from .variants import CONTROLS, METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LABELS = {"snip": "SNIP", "grasp": "GraSP", "grasp_abs": "abs(GraSP)", "synflow": "SynFlow", "magnitude": "magnitude"}
COLOURS = dict(zip(LABELS, ("C0", "C1", "C4", "C2", "C3"), strict=True)) | dict.fromkeys(CONTROLS, "C5")
STYLES = {"random uniform": ":", "random ERK": "-."}
_BAND = "bars and ribbons: one standard error over seeds"


def curves(rows: Sequence[Row], ablation: str) -> Figure:
    """Accuracy against density, each method as published and, dashed with a ribbon, under an ablation."""
    names = (*METHODS, *CONTROLS) if ablation == "none" else ("snip", "synflow", "magnitude", "grasp_abs", "random")
    shown = [row for row in rows if row["kind"] == "early" and row["network"] == "cnn"]
    densities = sorted({float(row["density"]) for row in shown})
    variants = ("none",) if ablation == "none" else ("none", ablation)

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        paint = _lines if len(densities) > 1 else _points
        paint(axes, [name for name in names if _early(rows, name, densities[-1])], variants, densities, rows)
        axes.set_ylabel("test accuracy, %")

    title = "Accuracy by method" if ablation == "none" else f"Accuracy under the ablation “{ablation}”"
    described = "" if ablation == "none" else f"Solid or filled: as published. Dashed or open: {ablation}. "
    return Figure(title, f"Digits CNN. {described}{_BAND.capitalize()}.", draw)


def densities_by_layer(rows: Sequence[Row]) -> Figure:
    """The fraction kept in each layer, per method."""
    names = [name for name in (*METHODS, "random uniform", "random ERK") if _early(rows, name, DENSITY)]

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        for place, name in enumerate(names):
            chosen = [r["layers"] for r in rows if r.get("method") == name and r["density"] == DENSITY]
            shares = [sum(layers[key] for layers in chosen) / len(chosen) for key in chosen[0]]
            positions = [layer + 0.8 * (place - len(names) / 2) / len(names) for layer in range(len(shares))]
            hatch = "//" if name in STYLES and STYLES[name] == ":" else None
            label = LABELS.get(name, name)
            axes.bar(positions, shares, width=0.8 / len(names), label=label, color=COLOURS[name], hatch=hatch)
        axes.set_xticks(range(4), ["conv16", "conv32", "conv32", "linear"])
        axes.set_yscale("log")
        axes.set_ylabel("density of the layer")
        axes.legend(fontsize="x-small", ncols=2)

    return Figure("Layer densities", "Mean fraction kept in each layer of the digits CNN at 5 % overall.", draw)


def later_curve(rows: Sequence[Row]) -> Figure:
    """Accuracy against the step at which the network is pruned."""

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        steps = sorted({int(row["at"]) for row in rows})
        for name in LATER_METHODS:
            levels = [estimate(_early(rows, name, DENSITY, at=at)) for at in steps]
            _errorbar(axes, steps, levels, label=LABELS[name], marker="o", color=COLOURS[name])
            again = [estimate(_early(rows, name, DENSITY, at=at, restart=True)) for at in steps[1:]]
            _errorbar(axes, steps[1:], again, marker="o", color=COLOURS[name], linestyle="--", markerfacecolor="none")
        axes.set_xlabel("step at which the network is pruned, of 200")
        axes.set_ylabel("test accuracy, %")
        axes.legend()

    caption = f"Digits CNN at 5 %. Filled: 200 steps in all. Open: the whole recipe again after pruning. {_BAND}."
    return Figure("Pruning later", caption, draw)


def live_units(rows: Sequence[Row]) -> Figure:
    """Accuracy of the perceptron under each variant, beside the live units of its first layer."""
    chosen = [row for row in rows if row["density"] == DENSITY]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 3.2)
        left, right = canvas.subplots(1, 2)
        for place, variant in enumerate(VARIANTS):
            positions = [index + 0.2 * (place - 1.5) for index in range(len(METHODS))]
            levels = [estimate(accuracies(chosen, method=name, variant=variant)) for name in METHODS]
            _errorbar(left, positions, levels, label=variant, marker="o", linestyle="")
            right.bar(positions, [_units(chosen, name, variant) for name in METHODS], width=0.2)
        for axes, label in ((left, "test accuracy, %"), (right, "live units of 100, first layer")):
            axes.set_xticks(range(len(METHODS)), [LABELS[name] for name in METHODS], fontsize="small")
            axes.set_ylabel(label)
        canvas.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")

    caption = f"Perceptron 64–100–100–10 at 5 %. Shuffling spreads the weights over units it cannot feed; {_BAND}."
    return Figure("Where the claim stops", caption, draw)


def _lines(
    axes: "Axes", names: Sequence[str], variants: Sequence[str], densities: Sequence[float], rows: Sequence[Row]
) -> None:
    for name in names:
        for variant in variants:
            levels = [estimate(_early(rows, name, density, variant)) for density in densities]
            line = STYLES.get(name, "-") if variant == "none" else "--"
            label = LABELS.get(name, name) if variant == "none" else None
            means, errors = [level.mean for level in levels], [level.error for level in levels]
            axes.plot(densities, means, line, color=COLOURS[name], label=label)
            low, high = zip(*((m - e, m + e) for m, e in zip(means, errors, strict=True)), strict=True)
            axes.fill_between(densities, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(densities, [f"{density:.0%}" for density in densities])
    axes.minorticks_off()
    axes.set_xlabel("density")
    axes.legend(fontsize="x-small")


def _points(
    axes: "Axes", names: Sequence[str], variants: Sequence[str], densities: Sequence[float], rows: Sequence[Row]
) -> None:
    for place, variant in enumerate(variants):
        shown = [(i, n) for i, n in enumerate(names) if _early(rows, n, densities[0], variant)]
        levels = [estimate(_early(rows, name, densities[0], variant)) for _, name in shown]
        positions = [index + 0.2 * (place - 0.5 * (len(variants) - 1)) for index, _ in shown]
        label = "as published" if variant == "none" else variant
        face: dict[str, Any] = {} if variant == "none" else {"markerfacecolor": "none"}
        _errorbar(axes, positions, levels, label=label, marker="o", linestyle="", **face)
    axes.set_xticks(range(len(names)), [LABELS.get(name, name) for name in names], rotation=30, ha="right")
    axes.set_xlabel(f"at {densities[0]:.0%} density")
    if len(variants) > 1:
        axes.legend()


def _errorbar(axes: "Axes", places: Sequence[float], levels: Sequence[SeedMean], **style: Any) -> None:
    axes.errorbar(places, [level.mean for level in levels], [level.error for level in levels], capsize=2, **style)


def _early(
    rows: Sequence[Row],
    method: str,
    density: float,
    ablation: str = "none",
    at: int = 0,
    restart: bool | None = None,
) -> dict[int, float]:
    place = {"network": "cnn", "density": density, "at": at, "restart": restart}
    return accuracies(rows, kind="early", method=method, ablation=ablation, **place)


def _units(rows: Sequence[Row], method: str, variant: str) -> float:
    units = [next(iter(r["live"].values())) for r in rows if (r["method"], r["variant"]) == (method, variant)]
    return sum(units) / max(len(units), 1)
