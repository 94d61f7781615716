"""LN2 and LN3: pruning ends at a size that depends on the task, not on its start, and grows with the difficulty."""

import numpy as np

from pruneproof.claims.claim import Claim, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.theory.statistics.double_descent import effective_size_interval

from .curves import Path, path_of
from .figures import difficulty_figures, size_figures
from .path import measure_path
from .settings import REFERENCE_WIDTH, WIDTHS, mixture_cell

POWER = 0.6
RATIO = 1.3
PUBLISHED_RANGE = (200, 500)  # the paper's effective sizes of its linear task


def _size_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return [mixture_cell(scale, seeds, "linear", width) for width in WIDTHS]


def _judge_size(rows: list[Row]) -> Outcome:
    paths = [path_of(rows, task="linear", hidden=[width]) for width in WIDTHS]
    sizes = [_size(path) for path in paths]
    starts = [float(path.sizes[0]) for path in paths]
    effective = [size[0] for size in sizes]
    exponent = float(np.log(max(effective) / min(effective)) / np.log(max(starts) / min(starts)))
    exact = rows[0]["momentum"] == 0  # trained as published: the published range applies too
    inside = all(PUBLISHED_RANGE[0] <= size <= PUBLISHED_RANGE[1] for size in effective)
    return Outcome(
        verdict=Verdict.HOLDS if exponent <= POWER and (inside or not exact) else Verdict.NOT_REPRODUCED,
        measured={
            "log(effective ratio) / log(start ratio)": exponent,
            **{f"effective size from {start:.0f} weights": size for start, size in zip(starts, sizes, strict=True)},
            f"all in the published {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]}": (
                ("yes" if inside else "no") if exact else "not trained as published"
            ),
        },
        seeds=paths[0].seeds,
        scope=f"{_mixture(rows)}, two-layer ReLU without biases, hidden widths {', '.join(map(str, WIDTHS))}",
        table=[
            {"start": start, "effective size": size[0], "test error, dense": _error(path, 0),
             "test error, pruned": _error(path, path.trough)}
            for path, start, size in zip(paths, starts, sizes, strict=True)
        ],
    )  # fmt: skip


def _size(path: Path) -> list[float]:
    errors = path.column("validation_error")
    return list(effective_size_interval(errors, path.sizes, np.random.default_rng(0)))


def _error(path: Path, level: int) -> float:
    return float(path.at("test_error", level).mean())


def _mixture(rows: list[Row]) -> str:
    row = rows[0]
    return f"Gaussian mixture, D = {row['features']}, {row['examples']} examples, {row['epochs']} epochs"


def _difficulty_grid(scale: Scale, seeds: int | None) -> list[Cell]:
    return [mixture_cell(scale, seeds, task, REFERENCE_WIDTH) for task in ("linear", "xor")]


def _judge_difficulty(rows: list[Row]) -> Outcome:
    paths = {task: path_of(rows, task=task, hidden=[REFERENCE_WIDTH]) for task in ("linear", "xor")}
    sizes = {task: _size(path) for task, path in paths.items()}
    ratio = sizes["xor"][0] / sizes["linear"][0]
    return Outcome(
        verdict=Verdict.HOLDS if ratio > RATIO else Verdict.NOT_REPRODUCED,
        measured={
            "effective size, XOR / linear": ratio,
            "effective size, linear": sizes["linear"],
            "effective size, XOR": sizes["xor"],
        },
        seeds=paths["linear"].seeds,
        scope=f"{_mixture(rows)}, two-layer ReLU without biases, hidden width {REFERENCE_WIDTH}",
    )


SIZE = Claim(
    "LN2",
    "Iterative magnitude pruning converges to networks of comparable size, whatever the size it starts from.",
    "Arora et al., UAI 2023",
    f"Linear mixture, three hidden widths: (largest/smallest effective size) ≤ (largest/smallest start)^{POWER}; "
    f"trained as published (full), also all effective sizes in {PUBLISHED_RANGE[0]}–{PUBLISHED_RANGE[1]}.",
    measure_path,
    paper="label_noise",
    grid=_size_grid,
    judge=_judge_size,
    figures=size_figures,
    says_not="That the size is a constant of the task: it moves with training length and with the pruning share.",
)

DIFFICULTY = Claim(
    "LN3",
    "The effective size reflects the difficulty of the task: XOR needs more weights than a linear task.",
    "Arora et al., UAI 2023",
    f"Mixtures of equal dimension and training, one hidden width: effective size XOR / linear > {RATIO}.",
    measure_path,
    paper="label_noise",
    grid=_difficulty_grid,
    judge=_judge_difficulty,
    figures=difficulty_figures,
    says_not="That the effective size measures difficulty in general: two tasks are two points.",
)
