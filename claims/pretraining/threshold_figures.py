"""The pictures of PT3 and PT4: thresholds predicted and measured, and thresholds against the size of the dataset."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pruneproof.claims.claim import Figure
from pruneproof.claims.engine.cell import Row

from .dataset_size_verdict import explain, series
from .fits import MODELS
from .tasks import FAMILIES, LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

TARGET_NAME = {"loss": "mean loss at most 0.05", "correct": "every example correct"}
SUBJECTS = {"dense": "C7", "k=64": "C0", "k=128": "C1", "k=m": "C2"}


def predicted_and_measured(rows: list[Row]) -> list[Figure]:
    """PT3: T1's threshold against k, predicted and measured, one panel per scaling, one colour per dataset size."""
    first = [row for row in rows if row["seed"] == min(row["seed"] for row in rows) and row["labels"] == "random"]
    sizes = sorted({row["m"] for row in first})

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 3.4)
        panels: Any = canvas.subplots(1, 2, sharex=True, sharey=True, squeeze=False)
        for axes, scaling in zip(panels[0], ("ntk", "mean"), strict=True):
            _threshold_panel(axes, [row for row in first if row["scaling"] == scaling], sizes)
            axes.set_title(f"scaling {'1/√N' if scaling == 'ntk' else '1/N'}", fontsize="small")
        panels[0, 0].set_ylabel("threshold of T1, iterations")
        panels[0, 0].legend(fontsize="x-small")

    caption = (
        "From which iteration on is the pruned loss at most 2V/k? Lines: predicted by T1; crosses: measured. A "
        "cross above "
        "its line would refute the theorem. Open circles mark sizes at which 2V/k says nothing."
    )
    return [Figure("Predicted and measured thresholds of pre-training", caption, draw)]


def _threshold_panel(axes: "Axes", rows: list[Row], sizes: list[int]) -> None:
    for i, m in enumerate(sizes):
        some = [row for row in rows if row["m"] == m]
        k = [row["k"] for row in some]
        axes.plot(k, [row["predicted T1"] for row in some], color=f"C{i}", label=f"m = {m}, predicted")
        axes.plot(k, [row["measured T1"] for row in some], "x", color=f"C{i}")
        vacuous = [(row["k"], row["predicted T1"]) for row in some if row["vacuous T1"]]
        axes.plot([k for k, _ in vacuous], [t for _, t in vacuous], "o", color=f"C{i}", fillstyle="none")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.3, 1000)
    axes.set_xlabel("k, neurons selected")


def thresholds(rows: list[Row]) -> list[Figure]:
    """PT4: threshold against dataset size with the three fits; one picture per family and target."""
    groups = series(rows)
    return [_family(groups, rows, family, target) for target in TARGET_NAME for family in FAMILIES]


def _family(groups: dict[Any, list[Row]], rows: list[Row], family: str, target: str) -> Figure:
    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(7.2, 5.6)
        panels: Any = canvas.subplots(2, 2, sharex=True, squeeze=False)
        for axes, (labels, scaling) in zip(panels.flat, [(x, s) for x in LABELS for s in ("ntk", "mean")], strict=True):
            for subject, color in SUBJECTS.items():
                key = (family, labels, scaling, target, subject)
                points = [
                    row for row in rows if tuple(row[name] for name in _NAMES) == key and row["threshold"] is not None
                ]
                axes.plot(
                    [row["m"] for row in points], [row["threshold"] for row in points], ".", color=color, label=subject
                )
                _fits(axes, groups[key], color)
            axes.set_xscale("log")
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(-0.3, 2 * max((row["threshold"] or 1 for row in rows), default=1))
            axes.set_title(f"{labels} labels, scaling {'1/√N' if scaling == 'ntk' else '1/N'}", fontsize="small")
        for axes in panels[-1]:
            axes.set_xlabel("m, examples")
            sizes = sorted({row["m"] for row in rows})
            axes.set_xticks(sizes, [str(m) for m in sizes], fontsize="x-small", rotation=45)
            axes.minorticks_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("threshold, iterations")
        handles = {
            label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        canvas.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")

    described = "grows with m" if family == "generic" else "stays fixed as m grows"
    caption = (
        f"First iteration with {TARGET_NAME[target]}; the conditioning of these data {described}. Points: seeds. "
        f"Lines, where "
        "a series enters: solid a + b·log m, dashed a·m^p, dotted a·κ(m), in the colour of the series."
    )
    return Figure(f"Threshold against dataset size: {family} data, {TARGET_NAME[target]}", caption, draw)


_NAMES = ("family", "labels", "scaling", "target", "subject")


def _fits(axes: "Axes", points: list[Row], color: str) -> None:
    fits = explain(points)
    if fits is None:
        return
    sizes = np.array(sorted({row["m"] for row in points}), dtype=np.float64)
    kappa = np.array([np.median([row["condition"] for row in points if row["m"] == m]) for m in sizes])
    for model, style in zip(MODELS, ("-", "--", ":"), strict=True):
        axes.plot(sizes, fits[model].predict(sizes, kappa), style, color=color, linewidth=1)
