"""The pictures of PT3 and PT4: thresholds predicted and measured, and thresholds against the size of the dataset."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..claim import Figure, Row
from .dataset_size_verdict import explain, series
from .fits import MODELS
from .tasks import FAMILIES, LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

TARGET_NAME = {"loss": "mean loss at most 0.05", "correct": "every example correct"}
SUBJECTS = {"dense": "C7", "k=64": "C0", "k=128": "C1", "k=m": "C2"}


def predicted_and_measured(rows: list[Row]) -> list[Figure]:
    """PT3: predicted thresholds against measured ones."""

    def draw(canvas: "Canvas") -> None:
        panels: Any = canvas.subplots(1, 2, sharex=True, sharey=True, squeeze=False)
        for axes, theorem, title in zip(
            panels[0], ("T1", "T3"), ("loss at most 2V/k (T1)", "no example lost (T3)"), strict=True
        ):
            usable = [row for row in rows if theorem != "T1" or not row["vacuous T1"]]
            usable = [
                row
                for row in usable
                if row[f"measured {theorem}"] is not None and row[f"predicted {theorem}"] is not None
            ]
            for scaling, mark in (("ntk", "s"), ("mean", "o")):
                some = [row for row in usable if row["scaling"] == scaling]
                measured = [row[f"measured {theorem}"] for row in some]
                predicted = [row[f"predicted {theorem}"] for row in some]
                axes.plot(measured, predicted, mark, alpha=0.5, label={"ntk": "1/√N", "mean": "1/N"}[scaling])
            top = max((row[f"predicted {theorem}"] for row in usable), default=1)
            axes.plot([0, top], [0, top], color="grey", linewidth=0.8)
            axes.set_xscale("symlog", linthresh=1)
            axes.set_yscale("symlog", linthresh=1)
            axes.set_title(title, fontsize="small")
            axes.set_xlabel("measured threshold, iterations")
        panels[0, 0].set_ylabel("predicted threshold, iterations")
        panels[0, 1].legend(title="scaling", fontsize="small")

    caption = "No point may lie below the grey line. Sizes for which 2V/k, or T3, says nothing are left out."
    return [Figure("Predicted and measured thresholds", caption, draw)]


def thresholds(rows: list[Row]) -> list[Figure]:
    """PT4: threshold against dataset size with the three fits; one picture per family and target."""
    groups = series(rows)
    return [_family(groups, rows, family, target) for target in TARGET_NAME for family in FAMILIES]


def _family(groups: dict[Any, list[Row]], rows: list[Row], family: str, target: str) -> Figure:
    def draw(canvas: "Canvas") -> None:
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
