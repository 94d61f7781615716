"""PT5: does a larger dataset of real images need more pre-training before greedy pruning gives a small training error?

A two-layer perceptron on real images, f(x) = (1/N) Σ v_r tanh(w_r·x̃) with both layers trained by stochastic
gradient descent on half the mean squared error, x̃ the image with a constant input. Labels are −1 and +1 (binarised),
or one +1 among nine −1 (ten classes). At every checkpoint k of the N hidden units are chosen greedily and averaged; one
path of choices serves all k. The largest such average is also trained on, as the paper's third step.

Images that the user brings are harder to separate than digits: their networks are trained longer, at a lower rate with
larger batches, to a higher target. All this was chosen from the error of dense networks (docs/pilots.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pruneproof.claims.claim import Claim, Figure, Measured, Outcome, Scale, Verdict, fresh_seeds
from pruneproof.claims.data.digits import TRAIN
from pruneproof.claims.data.images import brought_label, digits_label, read_images, set_name
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import Comparison, Estimate, conclude, mean, slope
from pruneproof.errors import InvalidValueError
from pruneproof.kernels import Gram, greedy_select

from .growth import fit_all
from .setting import checkpoints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    "On real images a larger dataset needs more pre-training before greedy pruning gives a small training error."
)
SOURCE = "published: arXiv 2108.00259, experiments (on MNIST there)"
CRITERION = (
    "A run's threshold t* is the first checkpoint from which on the pruned network misclassifies at most 2 % "
    "(digits, binarised labels) or 6 % (images that the user brings) of its training images at every later checkpoint. "
    "For k = 64, 128 and 256 neurons a line is fitted, seed by seed, to log t* against log m, without the runs that "
    "met the target before training. On every set of images a k is judged if at least three quarters of its runs have "
    "a threshold, with at least three sizes that needed training in every seed. Holds if the 95 % interval of the mean "
    "slope over seeds lies above 0 for every judged k and k = 256 is one of them; not reproduced if a slope lies below "
    "0 after Holm's correction; else inconclusive. Ten classes of digits (10 %), the dense network, and k = 256 "
    "fine-tuned are printed. Settled after runs with other seeds (docs/pilots.md)."
)
SAYS_NOT = "Anything about test error, deeper networks, or the law by which the threshold grows with m (PT4 and PT7)."
SYMBOLS = (
    "m is the number of training images, k that of the hidden neurons which pruning keeps, and t* counts gradient "
    "steps."
)

WIDTH = {Scale.QUICK: 1024, Scale.STANDARD: 2048, Scale.FULL: 4096}
KEPT = (64, 128, 256)
GAIN = 4.0  # of the inputs and of the outgoing weights: the untrained network has outputs of order one over √N
DIGITS_RECIPE: Cell = {"rate": 0.3, "batch": 32}
BROUGHT_RECIPE: Cell = {"rate": 0.1, "batch": 64}  # of the images that the user brings, such as MNIST, the paper's
SIZES_COMPARED = 4  # dataset sizes for which a logarithm is compared with a power
TUNING, TUNING_RATE = 100, 0.1  # steps of fine-tuning after pruning, beyond quick; share of the learning rate
RATIO = {Scale.QUICK: 1.5, Scale.STANDARD: 1.5, Scale.FULL: 1.2}  # between checkpoints
SIZES = {
    Scale.QUICK: (50, 115, 268, 620, TRAIN),
    Scale.STANDARD: (50, 88, 154, 269, 471, 823, TRAIN),
    Scale.FULL: (50, 88, 154, 269, 471, 823, TRAIN),
}
SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 6, Scale.FULL: 20}
PRINTED_SEEDS, BROUGHT_SEEDS = 3, 3  # at most so many: of ten classes, which are not judged; of the user's images
ITERATIONS = {Scale.QUICK: 3000, Scale.STANDARD: 6000, Scale.FULL: 20_000}
BROUGHT_ITERATIONS = {Scale.STANDARD: 10_000, Scale.FULL: 30_000}
JUDGED = "binarised"
TARGETS = {JUDGED: 0.02, "ten classes": 0.10}  # in a pilot every untrained network met 10 % on binarised labels
BROUGHT_TARGET = 0.06  # binarised labels of the images that the user brings
BROUGHT_SIZES = {
    Scale.STANDARD: (100, 400, 1600, 3200, 6400, 12_800),
    Scale.FULL: (100, 400, 1600, 3200, 6400, 12_800, 25_600, 50_000),
}
SLOPE = "slope of log t* in log m"
NOT_JUDGED = "not judged: too few runs reached the target, or needed training"
SEEN = 20  # the first of the fresh seeds were seen with other recipes and checkpoints


@dataclass(frozen=True)
class CurvesRow:
    """The error curves of one run, dense and pruned to k neurons.

    Args:
        data: Name, number and hash of the images.
        kind: `"binarised"` or `"ten classes"`.
        m: Number of training images.
        seed: Of the draw of images, the weights and the batches.
        width: Number of hidden neurons.
        k: Neurons kept.
        t: Checkpoints, gradient steps.
        dense_error: Share of training images misclassified by the dense network at these.
        pruned_error: The same for the pruned network.
        tuned_error: The same after fine-tuning it; empty where that was not done.
    """

    data: str
    kind: str
    m: int
    seed: int
    width: int
    k: int
    t: list[int]
    dense_error: list[float]
    pruned_error: list[float]
    tuned_error: list[float] = field(default_factory=list[float])


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per kind of labels, number of images and seed; beyond `quick` also of images that the user brings."""
    count, quick = seeds or SEEDS[scale], scale is Scale.QUICK
    own: Cell = {"width": WIDTH[scale], "ratio": RATIO[scale], "tuning": 0 if quick else TUNING}
    digits = own | DIGITS_RECIPE | {"data": digits_label(), "iterations": ITERATIONS[scale]}
    kinds = (JUDGED,) if quick else TARGETS
    fresh = [SEEN + seed for seed in fresh_seeds(count)]
    tasks = [
        (digits | {"kind": kind}, m, fresh if kind == JUDGED else fresh[:PRINTED_SEEDS])
        for m in sorted(SIZES[scale], reverse=True)
        for kind in kinds
    ]
    if not quick and (images := brought_label()) is not None:
        brought = own | BROUGHT_RECIPE | {"data": images, "iterations": BROUGHT_ITERATIONS[scale], "kind": JUDGED}
        sizes = sorted((m for m in BROUGHT_SIZES[scale] if m <= len(read_images(images).train_y)), reverse=True)
        tasks += [(brought, m, fresh[:BROUGHT_SEEDS]) for m in sizes]
    return [task | {"m": m, "seed": seed} for task, m, numbers in tasks for seed in numbers]


@stable_id("pretraining/digits-curves", revision=2)
def measure(cell: Cell) -> list[CurvesRow]:
    """Train one network; return its errors at every checkpoint, for every k, and for the largest also fine-tuned."""
    images, classes = training_images(cell)
    inputs = torch.cat([images, torch.ones(len(images), 1)], 1) * GAIN
    if cell["kind"] == JUDGED:
        targets = torch.where(classes < 5, -1.0, 1.0)[:, None]
    else:
        targets = 2 * torch.eye(10)[classes] - 1
    generator = torch.Generator().manual_seed(cell["seed"])
    first = torch.randn(inputs.shape[1], cell["width"], generator=generator)
    second = GAIN * torch.randn(cell["width"], targets.shape[1], generator=generator)
    times = checkpoints(cell["iterations"], cell["ratio"])
    dense, pruned, tuned = list[float](), {k: list[float]() for k in KEPT}, list[float]()
    for t in range(times[-1] + 1):
        if t in times:
            hidden = torch.tanh(inputs @ first)
            dense.append(_error(hidden @ second / cell["width"], targets))
            chosen = _chosen(hidden, second, targets)
            for k in KEPT:
                pruned[k].append(_error(hidden[:, chosen[:k]] @ second[chosen[:k]] / k, targets))
            if cell["tuning"]:
                small, drawn = (first[:, chosen], second[chosen]), torch.Generator().manual_seed(cell["seed"] + t)
                slower = cell | {"rate": TUNING_RATE * cell["rate"]}
                _descend(*small, inputs, targets, slower, cell["tuning"], drawn)
                tuned.append(_error(torch.tanh(inputs @ small[0]) @ small[1] / len(chosen), targets))
        _descend(first, second, inputs, targets, cell, 1, generator)
    own = {name: cell[name] for name in ("data", "kind", "m", "seed", "width")}
    rows = [CurvesRow(**own, k=k, t=times, dense_error=dense, pruned_error=pruned[k]) for k in KEPT]
    return [*rows[:-1], replace(rows[-1], tuned_error=tuned)]


def training_images(cell: Cell) -> tuple[Tensor, Tensor]:
    """The first m of a seed's random order of the training images, flat and no longer than 1, with their classes."""
    images, classes, _, _ = read_images(cell["data"])
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(cell["seed"]))[: cell["m"]]
    if len(drawn) < cell["m"]:
        raise InvalidValueError(f"PT5: {cell['m']} images are needed, but there are {len(images)}. Lower m.")
    flat = images.flatten(1)
    return flat[drawn] / flat.norm(dim=1).max(), classes[drawn]


def _descend(
    first: Tensor, second: Tensor, inputs: Tensor, targets: Tensor, cell: Cell, steps: int, generator: torch.Generator
) -> None:
    """Steps on half the mean squared error, in place; rates grow with N, as each neuron's share is 1/N.

    Incoming weights are (inputs, N): with a neuron a row, rows of 785 numbers would cost the products a fifth more.
    """
    for _ in range(steps):
        batch = torch.randint(len(inputs), (cell["batch"],), generator=generator)
        x, y = inputs[batch], targets[batch]
        hidden = torch.tanh(x @ first)
        residual = hidden @ second / len(second) - y
        back = (residual @ second.T) * (1 - hidden.square())
        second.addmm_(hidden.T, residual, alpha=-cell["rate"] / len(x))
        first.addmm_(x.T, back, alpha=-cell["rate"] / len(x))


def _chosen(hidden: Tensor, second: Tensor, y: Tensor) -> Tensor:
    """The neurons of the greedy average, in the order of choice: its first k are those of every smaller one."""
    scale = 1 / sqrt(len(y))
    return greedy_select(Gram.from_rank_one(hidden.T * scale, second, y * scale), max(KEPT)).indices


def _error(outputs: Tensor, y: Tensor) -> float:
    """Fraction of images on the wrong side, or with another largest output."""
    wrong = outputs * y <= 0 if y.shape[1] == 1 else (outputs.argmax(1) != y.argmax(1))[:, None]
    return float(wrong.double().mean())


def threshold(row: CurvesRow, subject: str = "pruned") -> int | None:
    """The first checkpoint from which on the error stays at most at the target; None if it ends above it.

    Args:
        row: The curves.
        subject: `"pruned"`, `"dense"` or `"tuned"`.
    """
    errors = {"pruned": row.pruned_error, "dense": row.dense_error, "tuned": row.tuned_error}[subject]
    target = _target(row)
    last_failure = max((i for i, error in enumerate(errors) if error > target), default=-1)
    return row.t[last_failure + 1] if last_failure + 1 < len(row.t) else None


def _target(row: CurvesRow) -> float:
    return TARGETS[row.kind] if row.data == digits_label() else BROUGHT_TARGET


def mean_slope(rows: Sequence[CurvesRow], subject: str = "pruned") -> Estimate | None:
    """d log t*/d log m, one line per seed, or None if too few runs have a threshold or need training for it.

    Args:
        rows: Of one kind of labels and one k.
        subject: As of `threshold`.
    """
    reached = [(row, t) for row in rows if (t := threshold(row, subject)) is not None]
    if len(reached) < 0.75 * len(rows):
        return None
    slopes: list[float] = []
    for seed in sorted({row.seed for row in rows}):
        points = [(log(row.m), log(t)) for row, t in reached if row.seed == seed and t > 0]
        if len({m for m, _ in points}) < 3:
            return None
        slopes.append(slope([m for m, _ in points], [t for _, t in points]).value)
    return mean(slopes) if slopes else None


def judge(rows: Sequence[Row]) -> Outcome:
    """The slope of binarised labels for every k; ten classes, the dense and the fine-tuned network are printed."""
    tried = read_rows(CurvesRow, rows)
    tasks = sorted({(set_name(row.data), row.kind) for row in tried})
    slopes = {(*task, k): mean_slope(_of(tried, *task, k)) for task in tasks for k in KEPT}
    judged = {(data, k): value for (data, kind, k), value in slopes.items() if kind == JUDGED and value}
    measured: Measured = {
        f"{SLOPE}, {data}, {kind}, k = {k}": value or NOT_JUDGED for (data, kind, k), value in slopes.items()
    }
    for task in tasks:
        measured |= _printed(", ".join(task), _of(tried, *task, KEPT[-1]))
    names = ", ".join(dict.fromkeys(data for data, _ in tasks))
    widths = ", ".join(map(str, sorted({row.width for row in tried})))
    made = conclude(
        [Comparison(f"{data}, k = {k}", value, above=0.0) for (data, k), value in judged.items()],
        (row.seed for row in tried),
        f"{names}, m = {sorted({row.m for row in tried})}, two-layer tanh perceptron of {widths} hidden units, SGD; "
        "iterations are gradient steps",
        measured,
        [_line(row) for row in sorted(tried, key=lambda row: (row.data, row.kind, row.k, row.m, row.seed))],
    )
    missing = [data for data, kind in tasks if kind == JUDGED and (data, KEPT[-1]) not in judged]
    if not missing:
        return made
    verdict = Verdict.INCONCLUSIVE if made.verdict is Verdict.HOLDS else made.verdict
    scope = f"{made.scope}; k = {KEPT[-1]} reached the target too rarely on {', '.join(missing)}"
    return replace(made, verdict=verdict, scope=scope)


def _printed(task: str, rows: Sequence[CurvesRow]) -> Measured:
    """What is printed, not judged, of one kind of labels and the largest k."""
    printed: Measured = {f"{SLOPE}, {task}, dense": mean_slope(rows, "dense") or NOT_JUDGED}
    if (lead := _lead_of_logarithm(rows)) is not None:
        printed[
            f"AIC of a + b·log m − AIC of a power of m (above 0: the power fits better), {task}, k = {KEPT[-1]}"
        ] = lead
    if all(row.tuned_error for row in rows):
        printed[f"{SLOPE}, {task}, k = {KEPT[-1]}, fine-tuned"] = mean_slope(rows, "tuned") or NOT_JUDGED
    return printed


def _lead_of_logarithm(rows: Sequence[CurvesRow]) -> float | None:
    """AIC of the logarithm less that of a power, fitted to the thresholds that needed training; None if too few."""
    points = [(float(row.m), 1.0, float(t)) for row in rows if (t := threshold(row))]
    if len({m for m, _, _ in points}) < SIZES_COMPARED:
        return None
    fits = fit_all(*zip(*points, strict=True))
    return round(fits["logarithm"].aic - fits["power"].aic, 1)


def _of(rows: Sequence[CurvesRow], data: str, kind: str, k: int) -> list[CurvesRow]:
    return [row for row in rows if (set_name(row.data), row.kind, row.k) == (data, kind, k)]


def _line(row: CurvesRow) -> Row:
    return {
        "images": set_name(row.data),
        "labels": row.kind,
        "k": row.k,
        "m": row.m,
        "seed": row.seed,
        "t*, pruned": threshold(row),
        "t*, dense": threshold(row, "dense"),
        "last training error, pruned": row.pruned_error[-1],
        "last training error, dense": row.dense_error[-1],
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Training error of pruned and dense network against iterations, and the threshold against the dataset size."""
    tried = read_rows(CurvesRow, rows)
    names = dict.fromkeys(set_name(row.data) for row in tried)
    return [_figure(name, [row for row in tried if set_name(row.data) == name]) for name in names]


def _figure(name: str, rows: Sequence[CurvesRow]) -> Figure:
    sizes, kinds = sorted({row.m for row in rows}), sorted({row.kind for row in rows})

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8.4, 1.2 + 2.4 * len(kinds))
        panels: Any = canvas.subplots(len(kinds), 3, squeeze=False)
        for (left, middle, right), kind in zip(panels, kinds, strict=True):
            middle.sharex(left)
            middle.sharey(left)
            _draw_errors(left, _of(rows, name, kind, KEPT[-1]), sizes, dense=False)
            _draw_errors(middle, _of(rows, name, kind, KEPT[-1]), sizes, dense=True)
            _draw_thresholds(right, [row for row in rows if row.kind == kind])
            left.set(title=f"{kind}, pruned to k = {KEPT[-1]}", ylabel="training error")
            middle.set(title=f"{kind}, dense")
            right.set(title=f"{kind}, pruned", ylabel="threshold t*, iterations")
        for axes, label in zip(panels[-1], (*["iterations (symlog)"] * 2, "m, training images"), strict=True):
            axes.set_xlabel(label)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=len(sizes) + 1, fontsize="small")

    caption = (
        "Left and middle: training error after so many iterations, one curve per dataset size m, mean over seeds; the "
        "dashed line is the target of the criterion. Right: from when on a run meets it, a point a seed, and lines of "
        "the mean slope over seeds, with its 95 % interval, which is to lie above 0. Crosses on top: not met until the "
        "end; triangles at the bottom: met before training. Neither is fitted."
    )
    return Figure(f"Training error and its threshold, {name}", caption, draw)


def _draw_thresholds(axes: "Axes", rows: Sequence[CurvesRow]) -> None:
    for index, k in enumerate(KEPT):
        of_k = [row for row in rows if row.k == k]
        found = [(row.m * 1.1 ** (index - 1), threshold(row)) for row in of_k]  # side by side
        fitted = np.array([(m, t) for m, t in found if t]).reshape(-1, 2)
        for mark, height, is_there in (("x", 2 * rows[0].t[-1], None), ("v", 0.5, 0)):
            places = [m for m, t in found if t is is_there or t == is_there]
            axes.plot(places, [height] * len(places), mark, color=f"C{index}", fillstyle="none")
        value, label = mean_slope(of_k), f"k = {k}: not judged"
        if value is not None:
            label = f"k = {k}: {value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"
            ends = np.array([fitted[:, 0].min(), fitted[:, 0].max()])
            middle = np.log(fitted).mean(0)
            axes.plot(ends, np.exp(middle[1] + value.value * (np.log(ends) - middle[0])), color=f"C{index}")
        axes.plot(*fitted.T, ".", color=f"C{index}", label=label)
    axes.set(xscale="log", yscale="log")
    axes.legend(fontsize="x-small", title="slope", title_fontsize="x-small", loc="lower right")


def _draw_errors(axes: "Axes", rows: Sequence[CurvesRow], sizes: Sequence[int], *, dense: bool) -> None:
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
    for m, color in zip(sizes, shades, strict=True):
        of_size = [row for row in rows if row.m == m]
        if of_size:
            curves = [row.dense_error if dense else row.pruned_error for row in of_size]
            axes.plot(of_size[0].t, np.mean(curves, axis=0), color=color, label=f"m = {m}")
    axes.axhline(_target(rows[0]), color="grey", linestyle="--", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(0, 0.6 if rows[0].kind == JUDGED else 1)


PT5 = Claim(
    "PT5",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
)
