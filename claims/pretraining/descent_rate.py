"""The measurement of PT2: gradient descent of the dense network against the rate and the movement that P1 guarantees.

Two shapes are wide enough for P1's condition, by a margin that a theorem with every constant explicit demands; two are
the sizes at which one works. For those P1 promises nothing, and the report says so.
"""

from math import sqrt

import torch
from torch import Tensor

from pruneproof.claims.claim import Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.theory.theorems.pretraining.gradient_descent import P1_MOVEMENT, P1_RATE
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel

from .checkpoints import checkpoints
from .tasks import Task

SHAPES = ((8, 60, 60_000), (6, 30, 20_000), (10, 20, 60_000), (100, 40, 1000))  # m, d, N
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 50}
ITERATIONS = 100
ROUNDING = 2.0**-40  # relative, of a residual after 100 iterations in float64

CRITERION = (
    "Where the width condition of P1 holds (constants measured with their rounding errors), for 100 iterations at the "
    "step 1/(B²‖X‖²): the residual is at most P1's bound and the weights move at most P1's distance, up to a relative "
    "2^-40 for rounding. Where it does not hold, nothing is claimed: not applicable, printed beside it."
)


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per shape and seed, the widest first."""
    return [
        {"m": m, "d": d, "width": width, "seed": seed}
        for m, d, width in SHAPES
        for seed in range(seeds or SEEDS[scale])
    ]


@stable_id("pruneproof.claims.pretraining.descent_rate:measure")
def measure(cell: Cell) -> list[Row]:
    """Train with P1's step and return residual, movement and both bounds at the recorded iterations."""
    generator = torch.Generator().manual_seed(cell["seed"])
    inputs = torch.randn(cell["m"], cell["d"], generator=generator, dtype=torch.float64)
    inputs = inputs / (inputs.norm(dim=1, keepdim=True) * (1 + 1e-12))
    labels = 2 * torch.randint(2, (cell["m"],), generator=generator).double() - 1
    weights = torch.randn(cell["width"], cell["d"], generator=generator, dtype=torch.float64)
    signs = 2 * torch.randint(2, (cell["width"],), generator=generator).double() - 1
    kernel = tangent_kernel(inputs.numpy(), labels.numpy(), weights.numpy(), signs.numpy())
    constants = {"M": kernel.curvature, "B": kernel.slope, "X": kernel.norm, "N": kernel.width}
    constants |= {"lambda_0": kernel.eigenvalue, "r_0": kernel.residual}
    narrow = not kernel.applies  # then the rows say so, and the bounds are drawn for comparison
    times = checkpoints(ITERATIONS)
    residuals, movements = _train(Task(inputs, labels, len(labels)), weights, signs, kernel.step_size, times)
    return [
        {
            "t": times,
            "residual": residuals,
            "movement": movements,
            "bound": [P1_RATE.bound(assume=narrow, t=t, eta=kernel.step_size, **constants) for t in times],
            "movement_bound": P1_MOVEMENT.bound(assume=narrow, eta=kernel.step_size, **constants),
            "applies": kernel.applies,
            "required_width": kernel.required_width,
            "condition": kernel.condition,
            "eigenvalue": kernel.eigenvalue,
            "norm_squared": kernel.norm**2,
        }
    ]


def _train(task: Task, start: Tensor, signs: Tensor, rate: float, times: list[int]) -> tuple[list[float], list[float]]:
    weights, scale = start.clone(), 1 / sqrt(len(signs))
    residuals: list[float] = []
    movements: list[float] = []
    for t in range(times[-1] + 1):
        hidden = torch.tanh(task.inputs @ weights.T)
        residual = scale * (hidden @ signs) - task.labels
        if t in times:
            residuals.append(float(residual.norm()))
            movements.append(float((weights - start).norm()))
        slopes = hidden.square_().neg_().add_(1).mul_(residual[:, None]).mul_(signs)
        weights.addmm_(slopes.T, task.inputs, alpha=-rate * scale)
    return residuals, movements


def judge(rows: list[Row]) -> Outcome:
    """Hold residual and movement to P1 where it applies; print both everywhere."""
    applying = [row for row in rows if row["applies"]]
    broken = [row for row in applying if _exceeds(row)]
    verdict = Verdict.VIOLATED if broken else Verdict.HOLDS if applying else Verdict.NOT_APPLICABLE
    return Outcome(
        verdict,
        {
            "networks to which P1 applies": len(applying),
            "of these beyond the bound": len(broken),
            "networks too narrow: not applicable": len(rows) - len(applying),
        },
        tuple(sorted({row["seed"] for row in rows})),
        "(m, d, N) = " + ", ".join(f"({m}, {d}, {width})" for m, d, width in SHAPES) + "; random inputs of length one, "
        "random ±1 labels, tanh, 100 iterations",
        [_line(row) for row in rows],
    )


def _exceeds(row: Row) -> bool:
    rate = any(left > right * (1 + ROUNDING) for left, right in zip(row["residual"], row["bound"], strict=True))
    return rate or max(row["movement"]) > row["movement_bound"] * (1 + ROUNDING)


def _line(row: Row) -> Row:
    last = row["t"][-1]
    return {
        "m": row["m"],
        "d": row["d"],
        "N": row["width"],
        "seed": row["seed"],
        "width needed": row["required_width"],
        "P1": "applies" if row["applies"] else "not applicable",
        "‖X‖²": row["norm_squared"],
        "λ₀": row["eigenvalue"],
        "factor per step, bound": (row["bound"][-1] / row["bound"][0]) ** (1 / last),
        "factor per step, measured": (row["residual"][-1] / row["residual"][0]) ** (1 / last),
        "movement / bound": max(row["movement"]) / row["movement_bound"],
    }
