"""PT2: does the dense network descend at the rate, and stay within the distance, that P1 guarantees?

Two shapes are wide enough for P1's condition, by a margin that a theorem with every constant explicit demands; two are
the sizes at which one works. For those P1 promises nothing, and the report says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pruneproof.claims.claim import Claim, Figure, Origin, Outcome, Scale, Verdict
from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.theory.theorems.pretraining.gradient_descent import P1_MOVEMENT, P1_RATE
from pruneproof.theory.theorems.pretraining.tangent_kernel import tangent_kernel

from .setting import checkpoints

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

STATEMENT = (
    r"Gradient descent of the dense network converges at least at the rate $\|r_t\| \le (1 - \eta\lambda_0/16)^t "
    r"\|r_0\|$ and moves "
    r"at most $8\|r_0\|/\sqrt{\lambda_0}$ if $N \ge 256 M^2 \|X\|^2 \|r_0\|^2/\lambda_0^2$ and $\eta \le "
    r"1/(B^2\|X\|^2)$."
)
SOURCE = "derived: P1 in theory/theorems/pretraining/proof.md"
CRITERION = (
    "Where the width condition of P1 holds (constants measured with their rounding errors), for 100 iterations at the "
    "step 1/(B²‖X‖²): the residual is at most P1's bound and the weights move at most P1's distance, up to a relative "
    "2^-40 for rounding. Where it does not hold, nothing is claimed: not applicable, printed beside it."
)
SAYS_NOT = "Anything about networks of usual width: the condition asks for thousands of neurons per example."
SYMBOLS = (
    r"$r_t$ are the outputs less the labels after $t$ steps of size $\eta$; $N$ is the number of neurons, $\lambda_0$ "
    r"the smallest eigenvalue of the empirical tangent kernel before training, $\|X\|$ the spectral norm of the "
    "inputs; $B$ and $M$ bound the first and second derivative of the activation."
)

SHAPES = ((8, 60, 60_000), (6, 30, 20_000), (10, 20, 60_000), (100, 40, 1000))  # m, d, N
SEEDS = {Scale.QUICK: 2, Scale.STANDARD: 5, Scale.FULL: 50}
ITERATIONS = 100
ROUNDING = 2.0**-40  # relative, of a residual after 100 iterations in float64


@dataclass(frozen=True)
class DescentRow:
    """One run of gradient descent.

    Args:
        m: Number of examples.
        d: Their dimension.
        width: Number of neurons N.
        seed: Of data and weights.
        t: Recorded iterations.
        residual: ‖r_t‖ at these.
        movement: ‖W_t − W_0‖ at these.
        bound: P1's bound of the residual at these.
        movement_bound: P1's bound of the movement.
        applies: Whether the width condition of P1 holds.
        required_width: The width that it asks for.
        condition: Condition number of the tangent kernel; infinite or None if it is singular.
        eigenvalue: λ₀.
        norm_squared: ‖X‖².
    """

    m: int
    d: int
    width: int
    seed: int
    t: list[int]
    residual: list[float]
    movement: list[float]
    bound: list[float]
    movement_bound: float
    applies: bool
    required_width: float
    condition: float | None
    eigenvalue: float
    norm_squared: float


def grid(scale: Scale, seeds: int | None) -> list[Cell]:
    """One cell per shape and seed, the widest first."""
    return [
        {"m": m, "d": d, "width": width, "seed": seed}
        for m, d, width in SHAPES
        for seed in range(seeds or SEEDS[scale])
    ]


@stable_id("pruneproof.claims.pretraining.descent_rate:measure")
def measure(cell: Cell) -> list[DescentRow]:
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
    times = checkpoints(ITERATIONS)
    residuals, movements = _descended(inputs, labels, weights, signs, kernel.step_size, times)
    return [
        DescentRow(
            **cell,
            t=times,
            residual=residuals,
            movement=movements,
            # Also where its hypothesis fails: what P1 would say is drawn, and only rows to which it applies are judged
            bound=[P1_RATE.bound(t=t, eta=kernel.step_size, assume=True, **constants) for t in times],
            movement_bound=P1_MOVEMENT.bound(eta=kernel.step_size, assume=True, **constants),
            applies=bool(kernel.applies),
            required_width=kernel.required_width,
            condition=kernel.condition,
            eigenvalue=kernel.eigenvalue,
            norm_squared=kernel.norm**2,
        )
    ]


def _descended(
    inputs: Tensor, labels: Tensor, start: Tensor, signs: Tensor, rate: float, times: list[int]
) -> tuple[list[float], list[float]]:
    """Residuals and movements at the given iterations."""
    weights, scale = start.clone(), 1 / sqrt(len(signs))
    residuals: list[float] = []
    movements: list[float] = []
    for t in range(times[-1] + 1):
        hidden = torch.tanh(inputs @ weights.T)
        residual = scale * (hidden @ signs) - labels
        if t in times:
            residuals.append(float(residual.norm()))
            movements.append(float((weights - start).norm()))
        slopes = hidden.square_().neg_().add_(1).mul_(residual[:, None]).mul_(signs)
        weights.addmm_(slopes.T, inputs, alpha=-rate * scale)
    return residuals, movements


def judge(rows: Sequence[Row]) -> Outcome:
    """Hold residual and movement to P1 where it applies; print both everywhere."""
    tried = read_rows(DescentRow, rows)
    applying = [row for row in tried if row.applies]
    broken = [row for row in applying if _exceeds(row)]
    verdict = Verdict.VIOLATED if broken else Verdict.HOLDS if applying else Verdict.NOT_APPLICABLE
    return Outcome(
        verdict,
        {
            "networks to which P1 applies": len(applying),
            "of these beyond the bound": len(broken),
            "networks too narrow: not applicable": len(tried) - len(applying),
        },
        tuple(sorted({row.seed for row in tried})),
        "(m, d, N) = " + ", ".join(f"({m}, {d}, {width})" for m, d, width in SHAPES) + "; random inputs of length one, "
        "random ±1 labels, tanh, 100 iterations",
        [_line(row) for row in tried],
    )


def _exceeds(row: DescentRow) -> bool:
    slower = any(left > right * (1 + ROUNDING) for left, right in zip(row.residual, row.bound, strict=True))
    return slower or max(row.movement) > row.movement_bound * (1 + ROUNDING)


def _line(row: DescentRow) -> Row:
    last = row.t[-1]
    return {
        "m": row.m,
        "d": row.d,
        "N": row.width,
        "seed": row.seed,
        "width needed": row.required_width,
        "P1": "applies" if row.applies else "not applicable",
        "‖X‖²": row.norm_squared,
        "λ₀": row.eigenvalue,
        "factor per step, bound": (row.bound[-1] / row.bound[0]) ** (1 / last),
        "factor per step, measured": (row.residual[-1] / row.residual[0]) ** (1 / last),
        "movement / bound": max(row.movement) / row.movement_bound,
    }


def figures(rows: Sequence[Row]) -> list[Figure]:
    """The residual against iterations, measured and bounded, one panel per shape of the first seed."""
    tried = read_rows(DescentRow, rows)
    first = [row for row in tried if row.seed == min(row.seed for row in tried)]

    def draw(canvas: "Canvas") -> None:
        canvas.set_size_inches(8.4, 3.2)
        panels: Any = canvas.subplots(1, len(first), sharex=True, sharey=True, squeeze=False)
        for axes, row in zip(panels.flat, first, strict=True):
            axes.semilogy(row.t, np.array(row.residual) / row.residual[0], color="C0", label="measured")
            style = "--" if row.applies else ":"
            axes.semilogy(row.t, np.array(row.bound) / row.bound[0], style, color="C1", label="P1's factor")
            note = "P1 applies" if row.applies else "too narrow for P1"
            axes.set_title(f"m={row.m}, d={row.d}, N={row.width}\n{note}", fontsize="small")
            axes.set_xlabel("iterations")
        panels[0, 0].set_ylabel("residual ‖r_t‖ / ‖r_0‖")
        panels[0, 0].set_ylim(bottom=1e-7)
        panels[0, 0].legend(fontsize="small")

    caption = (
        "Residual of the dense network against P1's guarantee; dotted where the network is too narrow and P1 is silent."
    )
    return [Figure("Descent of the dense network", caption, draw)]


PT2 = Claim(
    "PT2",
    STATEMENT,
    SOURCE,
    CRITERION,
    measure,
    paper="pretraining",
    grid=grid,
    judge=judge,
    figures=figures,
    theorem=True,
    says_not=SAYS_NOT,
    symbols=SYMBOLS,
    origin=Origin.DERIVED,
)
