"""What the pictures of several claims share: accuracy against density, as published and under an ablation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import Estimate, mean

from .comparison import conditions_of, early, early_rows
from .measure import CONTROLS, METHODS, EarlyRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LABELS = {"snip": "SNIP", "grasp": "GraSP", "grasp_abs": "abs(GraSP)", "synflow": "SynFlow", "magnitude": "magnitude"}
COLOURS = dict(zip(LABELS, ("C0", "C1", "C4", "C2", "C3"), strict=True)) | dict.fromkeys(CONTROLS, "C5")
STYLES = {"random uniform": ":", "random ERK": "-."}
BAND = "bars and ribbons: one standard error over seeds"


def accuracy_curves(rows: Sequence[Row], ablation: str) -> list[Figure]:
    """Accuracy against density, one picture per network; dashed with a ribbon under an ablation.

    Args:
        rows: Stored rows of a claim.
        ablation: `"none"` or the name of an ablation.
    """
    tried = early_rows(rows)
    networks = dict.fromkeys(network for network, _ in conditions_of(tried))
    return [_accuracy_curves([row for row in tried if row.network == network], ablation) for network in networks]


def _accuracy_curves(rows: Sequence[EarlyRow], ablation: str) -> Figure:
    network = rows[0].network
    names = (*METHODS, *CONTROLS) if ablation == "none" else ("snip", "synflow", "magnitude", "grasp_abs", "random")
    densities = sorted({row.density for row in rows})
    variants = ("none",) if ablation == "none" else ("none", ablation)

    def draw(canvas: "Canvas") -> None:
        axes = canvas.add_subplot()
        paint = _lines if len(densities) > 1 else _points
        paint(axes, [name for name in names if early(rows, (network, densities[-1]), name)], variants, rows)
        axes.set_ylabel("test accuracy, %")

    title = "Accuracy by method" if ablation == "none" else f"Accuracy under the ablation “{ablation}”"
    controls = "Random pruning: solid over all weights, dotted at one density per layer, dash-dotted ERK. "
    described = controls if ablation == "none" else f"Solid or filled: as published. Dashed or open: {ablation}. "
    return Figure(f"{title}, {network}", f"{described}{BAND.capitalize()}.", draw)


def _lines(axes: "Axes", names: Sequence[str], variants: Sequence[str], rows: Sequence[EarlyRow]) -> None:
    network, densities = rows[0].network, sorted({row.density for row in rows})
    for name in names:
        for variant in variants:
            reached = {d: values for d in densities if (values := early(rows, (network, d), name, variant))}
            if not reached:
                continue  # random pruning has no ablations
            levels = [mean(list(values.values())) for values in reached.values()]
            line = STYLES.get(name, "-") if variant == "none" else "--"
            label = LABELS.get(name, name) if variant == "none" else None
            values = [level.value for level in levels]
            axes.plot(list(reached), values, line, color=COLOURS[name], label=label)
            low, high = zip(*((level.value - _bar(level), level.value + _bar(level)) for level in levels), strict=True)
            axes.fill_between(list(reached), low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(densities, [f"{density:.0%}" for density in densities])
    axes.minorticks_off()
    axes.set_xlabel("density")
    axes.legend(fontsize="x-small")


def _points(axes: "Axes", names: Sequence[str], variants: Sequence[str], rows: Sequence[EarlyRow]) -> None:
    network, density = rows[0].network, rows[0].density
    for index, variant in enumerate(variants):
        reached = [(i, early(rows, (network, density), name, variant)) for i, name in enumerate(names)]
        positions = [i + 0.2 * (index - 0.5 * (len(variants) - 1)) for i, values in reached if values]
        label = "as published" if variant == "none" else variant
        face: dict[str, Any] = {} if variant == "none" else {"markerfacecolor": "none"}
        levels = [mean(list(values.values())) for _, values in reached if values]
        errorbar(axes, positions, levels, label=label, marker="o", linestyle="", **face)
    axes.set_xticks(range(len(names)), [LABELS.get(name, name) for name in names], rotation=30, ha="right")
    axes.set_xlabel(f"at {density:.0%} density")
    if len(variants) > 1:
        axes.legend()


def errorbar(axes: "Axes", positions: Sequence[float], levels: Sequence[Estimate], **style: Any) -> None:
    """Draw means with a bar of one standard error; a single seed has no bar.

    Args:
        axes: To draw on.
        positions: Abscissae.
        levels: One mean each.
        **style: Passed to matplotlib.
    """
    axes.errorbar(positions, [level.value for level in levels], [_bar(level) for level in levels], capsize=2, **style)


def _bar(level: Estimate) -> float:
    return level.error if level.has_interval else 0.0
