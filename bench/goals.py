"""What is promised on a GPU, what was predicted before any was at hand, and what a session measured: one table.

Predictions are for an H200: bytes and flops of the operation, instructions of the code as compiled for sm_90 by Triton
3.7.1, and a time that was derived from them before the first run. The roof is the least time that the GPU at hand
allows by its measured bandwidth and product rate. A predicted figure is no claim; what is not measured stays empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.machine_code import budgets
from bench.roofline import GPUS, VERSION, Gpu, Work, floor, greedy_work, linear_work, sensitivity_work
from bench.session import Row, brief

SIZE = 8192
NEURONS, POINTS, STEPS = 10_000, 10_000, 1000


@dataclass(frozen=True)
class Goal:
    """One promise: a figure of a case, the value that it should reach, and what was predicted.

    Arguments:
        what: the operation and its peer.
        case: the case of the session. `figure`: which of its figures.
        least: whether the figure should be at least `goal`, or at most.
        predicted: the figure's range as predicted for an H200.
        micros: our time, in microseconds, as predicted, if it was.
        work: bytes, flops and instructions of one call of ours, if they were counted.
        ours: whose time is held against the roof.
    """

    what: str
    case: str
    figure: str
    goal: float
    least: bool
    predicted: tuple[float, float] | None = None
    micros: tuple[float, float] | None = None
    work: Work | None = None
    ours: str = ""

    def reached(self, value: float) -> bool:
        """Whether a measured figure keeps the promise."""
        return value >= self.goal if self.least else value <= self.goal


def goals(target: str = "sm_90") -> tuple[Goal, ...]:
    """All of them, in the order of a session."""
    count = budgets(VERSION)
    weights = SIZE * SIZE

    def training(tokens: int) -> Work:
        """Mask once for y and dX, three products, mask dW in place."""
        product = linear_work("dense", tokens, SIZE, SIZE, 1, target)
        passes = 2 * 4.125 * weights
        return Work(3 * product.bytes + passes, 3 * product.flops, 2 * count["apply_mask"][target] * weights)

    fused = linear_work("fused", 128, SIZE, SIZE, 1, target)
    backward = "headline/masked, {} tokens, forward and backward"
    decode = "headline/decode, density {}, {} tokens"

    def decoding(density: float, tokens: int) -> Work:
        return linear_work("csr16", tokens, 14336, 4096, density, target)

    gram, screened = (greedy_work(kind, NEURONS, POINTS, STEPS, target) for kind in ("gram", "int8"))
    shares = sensitivity_work(4096, 4096, 256, target)
    return (
        Goal("masked_linear with gradients, 8192², 8192 tokens: time over dense", backward.format(8192), "over_dense",
             1.05, False, (1.03, 1.05), (4300, 4390), training(8192), "pruneproof"),
        Goal("… 1024 tokens: faster than F.linear(x, W * M)", backward.format(1024), "faster_than_product",
             1.25, True, (1.04, 1.09), (640, 660), training(1024), "pruneproof"),
        Goal("masked_linear, 128 tokens: faster than F.linear(x, W * M)", "headline/masked, 128 tokens, forward",
             "faster_than_product", 1.0, True, (2.1, 2.5), (43, 50), fused, "pruneproof"),
        *(Goal(f"csr16, 14336 × 4096, density .1, {t} tokens: faster than dense", decode.format(0.1, t),
               "faster_than_dense", 3.0, True, (2.8, 3.5), (8, 10), decoding(0.1, t), "csr16") for t in (1, 2)),
        Goal("… 4 tokens", decode.format(0.1, 4), "faster_than_dense", 2.0, True, (1.6, 1.8), (15, 18),
             decoding(0.1, 4), "csr16"),
        *(Goal(f"csr16, density .3, {t} tokens: faster than dense", decode.format(0.3, t),
               "faster_than_dense", 1.3, True, (1.25, 1.45), (19, 22), decoding(0.3, t), "csr16") for t in (1, 2)),
        Goal("greedy_select, Gram of 10⁴ neurons, 1000 steps: seconds", "headline/greedy", "gram", 15e-3, False,
             (6e-3, 8e-3), (6000, 8000), gram, "gram"),
        Goal("greedy_select, screening 10⁴ × 10⁴, 1000 steps: seconds", "headline/greedy", "screening", 40e-3, False,
             (36e-3, 46e-3), (36_000, 46_000), screened, "screening"),
        Goal("… share of the copy bandwidth while screening", "headline/greedy", "screened_share", 0.8, True,
             (0.5, 0.65)),
        Goal("… faster than the loop over residuals", "headline/greedy", "loop over screening", 100, True, (300, 500)),
        Goal("sensitivities, 4096² × 256: faster than the loop", "other/sensitivities", "faster_than_loop", 50, True,
             (90, 110), None, shares, "ours"),
        Goal("top_k_masks, 2²⁸ scores: faster than topk and scatter", "other/top-k", "faster_than_topk", 1.0, True),
        Goal("masked_linear: host time over that of an empty operation", "ceiling/host", "masked_linear", 2.0, False),
        Goal("sparse_linear: host time over that of an empty operation", "ceiling/host", "sparse_linear", 2.0, False),
    )  # fmt: skip


def roof_of(rows: Mapping[str, Row]) -> Gpu:
    """The rates of the GPU that was measured; an H200's where they were not."""
    assumed = GPUS["NVIDIA H200"]
    bandwidth, product = (_figure(rows, f"ceiling/{name}", key) for name, key in _CEILINGS)
    return Gpu(bandwidth or assumed.bandwidth, product or assumed.product, assumed.issue, assumed.target)


_CEILINGS = (("copy", "bandwidth"), ("product", "rate"))


def _figure(rows: Mapping[str, Row], case: str, figure: str) -> float | None:
    return rows.get(case, {}).get("figures", {}).get(figure)


def table(rows: Mapping[str, Row]) -> list[list[str]]:
    """Header and one line per goal: wanted, predicted, measured, the roof and how much of it is used."""
    gpu = roof_of(rows)
    heads = [
        "what",
        "goal",
        "predicted",
        "measured",
        "µs predicted",
        "µs",
        "µs at the roof",
        "roof",
        "MB",
        "Gflop",
        "M instr.",
    ]
    return [heads, *(_line(goal, rows, gpu) for goal in goals())]


def _line(goal: Goal, rows: Mapping[str, Row], gpu: Gpu) -> list[str]:
    value = _figure(rows, goal.case, goal.figure)
    word = "reached" if value is not None and goal.reached(value) else "missed"
    if _figure(rows, "machine", "toy"):
        word = "rehearsed"
    verdict = "" if value is None else f"{brief(float(value))} {word}"
    times: Any = _figure(rows, goal.case, "microseconds") or {}
    ours = times.get(goal.ours, {}).get("median")
    least = None if goal.work is None else floor(goal.work, gpu)
    return [
        goal.what,
        f"{'≥' if goal.least else '≤'} {goal.goal:g}",
        _range(goal.predicted),
        verdict,
        _range(goal.micros),
        "" if ours is None else brief(float(ours)),
        "" if least is None else brief(least.seconds * 1e6),
        "" if least is None else least.roof,
        *(("", "", "") if goal.work is None else _amounts(goal.work)),
    ]


def _amounts(work: Work) -> tuple[str, str, str]:
    return brief(work.bytes / 1e6), brief(work.flops / 1e9), brief(work.instructions / 1e6)


def _range(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:g}–{ends[1]:g}"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    row: Callable[[Sequence[str]], str] = lambda cells: "| " + " | ".join(cells) + " |"  # noqa: E731
    return "\n".join([row(lines[0]), "|" + "---|" * len(lines[0]), *map(row, lines[1:])]) + "\n"
