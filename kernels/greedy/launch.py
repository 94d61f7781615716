"""Launches of greedy selection: all steps of a path on Gram matrices at once; one step on features. See gpu.md."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pruneproof.kernels.backend import interpreting, multiprocessors, on_its_device

from .problem import Gram
from .rules import Path, tie_width
from .screening import SLACK, FeatureProducts, Screen, path_of, prepared
from .triton_kernels import greedy_gram_kernel, pick_kernel, rescore_kernel, screen_kernel

BLOCK = 512  # neurons a program takes at a time; at 1024 the sm_90 code spills
_LARGEST = 2**63 - 1


def persistent_paths(grams: list[Gram], steps: int, replacement: bool) -> list[Path]:
    """The paths `average_path` takes on each problem: the same float64 operations on every score, hence the same bits.

    Args:
        grams: Of one size, dtype and device.
        steps: .
        replacement: As in `greedy_select`.
    """
    matrix = _stacked([gram.matrix for gram in grams])
    neurons = matrix.shape[1]
    correlation = torch.stack([gram.correlation.double() for gram in grams])
    score = torch.stack([gram.diagonal.double() / 2 for gram in grams])
    ties = score.new_tensor([tie_width(gram.diagonal.double(), gram.energy) for gram in grams])
    chosen, chosen_score = walk(matrix, correlation, score, ties, steps, replacement)
    rows = zip(grams, correlation, chosen, chosen_score, strict=True)
    return [_path(gram.energy, b, index, at, neurons) for gram, b, index, at in rows]


@on_its_device
def walk(
    matrix: Tensor, correlation: Tensor, score: Tensor, ties: Tensor, steps: int, replacement: bool
) -> tuple[Tensor, Tensor]:
    """The choices and their scores (problems, steps): one launch; `score` (problems, neurons) is overwritten."""
    problems, neurons, _ = matrix.shape
    lowest, chosen = (torch.full((problems, steps), _LARGEST, device=matrix.device) for _ in range(2))
    arrivals = torch.zeros(problems, dtype=torch.int32, device=matrix.device)
    chosen_score = score.new_empty(problems, steps)
    grid = _programs(neurons, problems, matrix.device)
    greedy_gram_kernel[(grid, problems)](
        matrix, correlation, score, ties, lowest, chosen, arrivals, chosen_score, neurons, steps, matrix.stride(1),
        matrix.stride(0), BN=BLOCK, GRID=grid, REPLACEMENT=replacement, num_warps=4,
        launch_cooperative_grid=grid > 1,
    )  # fmt: skip
    return chosen, chosen_score


def _stacked(matrices: list[Tensor]) -> Tensor:
    """(problems, neurons, neurons), rows in one piece; one matrix for all problems is not copied (its stride is 0)."""
    shared = matrices[0].contiguous()
    if all(matrix is matrices[0] for matrix in matrices):
        return shared.expand(len(matrices), *shared.shape)
    return torch.stack(matrices)


def _path(energy: float, correlation: Tensor, chosen: Tensor, score: Tensor, neurons: int) -> Path:
    """Losses from the scores that the choices had: ‖z + Φ_q‖² − ‖z‖² = 2(score + k⟨Φ_q, y⟩)."""
    indices, inner = chosen.tolist(), correlation[chosen].tolist()
    sum_energy, sum_inner = 0.0, 0.0  # ‖z‖² and ⟨z, y⟩
    losses: list[float] = []
    for k, (value, product) in enumerate(zip(score.tolist(), inner, strict=True), start=1):
        sum_energy += 2 * (value + k * product)
        sum_inner += product
        losses.append(max(0.0, sum_energy / k**2 - 2 * sum_inner / k + energy) / 2)
    weights = torch.bincount(chosen, minlength=neurons).double() / len(indices)
    return Path(indices, losses, weights)


def _programs(neurons: int, problems: int, device: torch.device) -> int:
    """Programs per problem: all must be resident at once, at least one multiprocessor each."""
    if interpreting():
        return 1  # it runs one program after another: a second would wait for ever
    return max(1, min(-(-neurons // BLOCK), multiprocessors(device) // problems))


TOGETHER = 25  # steps of one captured graph: 75 launches cost little to capture, and a replay hides the host


def screened_path(products: FeatureProducts, target: Tensor, steps: int, replacement: bool, kind: str = "int8") -> Path:
    """The equal-weight path in float64 arithmetic on the features as given, read mostly from a copy of `kind`."""
    screen, half, tie = prepared(products, kind)
    path = ScreenedSteps(products.features, screen, half, target.double(), tie, steps, replacement)
    path.run()
    return path_of(path.chosen, path.losses, len(half))


class ScreenedSteps:
    """The three launches of a step by screening, on buffers that hold everything from one step to the next.

    Args:
        features: (neurons, points), rows in one piece. screen: their low-precision copy. half: ½‖Φ_i‖².
        target: (points,) float64. tie: the tie width. gamma: of sums of `points` terms in float32.
        steps: How many choices will be made.
        replacement: As in `greedy_select`.
    """

    def __init__(
        self, features: Tensor, screen: Screen, half: Tensor, target: Tensor, tie: float, steps: int, replacement: bool
    ) -> None:
        self.features = features if features.stride(1) == 1 else features.contiguous()  # once, not at every replay
        self.screen, self.half, self.target, self.replacement = screen, half, target, replacement
        self.residual = -target
        self.short = target.new_zeros(screen.copy.shape[1], dtype=torch.float32)
        unit, bounds = screen.scaled(self.residual)
        self.short[: len(target)] = unit
        self.bounds = torch.stack([*bounds, target.new_tensor(tie), target.new_tensor(screen.gamma(len(target)))])
        self.barred, self.lower, self.exact = torch.zeros_like(half), torch.empty_like(half), torch.empty_like(half)
        self.step = torch.zeros((), dtype=torch.int64, device=half.device)
        self.limit, self.least = (torch.full((steps,), _LARGEST, device=half.device) for _ in range(2))
        self.chosen, self.losses = torch.empty_like(self.limit), half.new_empty(steps)

    def launch(self) -> None:
        """One step."""
        step(self.features, self)

    def run(self) -> None:
        """All steps; on a GPU most of them as replays of a graph, after a first one that compiles."""
        replays, left = divmod(len(self.chosen) - 1, TOGETHER)
        self.launch()
        if replays and self.features.device.type == "cuda":
            with torch.cuda.device(self.features.device):
                graph = _captured(lambda: [self.launch() for _ in range(TOGETHER)])
                for _ in range(replays):
                    graph.replay()
        else:
            left += replays * TOGETHER
        for _ in range(left):
            self.launch()


@on_its_device
def step(features: Tensor, state: ScreenedSteps) -> None:
    """Screen all neurons, score those that may win, pick one and prepare the next step."""
    (neurons, points), screen = features.shape, state.screen
    width = screen.copy.shape[1]
    rows, columns = 4, _tile(width)
    screen_kernel[(-(-neurons // rows),)](
        screen.copy, state.short, screen.scale, screen.error, screen.length, state.half, state.barred, state.bounds,
        state.step, state.lower, state.limit, neurons, width, screen.copy.stride(0), BN=rows, BM=columns, SLACK=SLACK,
        num_warps=4,
    )  # fmt: skip
    rescore_kernel[(-(-neurons // 64),)](
        features, state.residual, state.half, state.lower, state.bounds, state.step, state.limit, state.exact,
        state.least, neurons, points, features.stride(0), BN=64, BM=1024, num_warps=4,
    )  # fmt: skip
    pick_kernel[(1,)](
        features, state.exact, state.least, state.target, state.residual, state.short, state.bounds, state.barred,
        state.step, state.chosen, state.losses, neurons, points, features.stride(0), BN=4096, BM=2048,
        REPLACEMENT=state.replacement, num_warps=16,
    )  # fmt: skip


def _tile(width: int) -> int:
    """The widest tile of at most 2048 points that divides the padded width."""
    return math.gcd(width, 2048)


def _captured(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """A graph of some work; begun directly, since `torch.cuda.graph` synchronises and empties the allocator's cache."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        graph.capture_begin(capture_error_mode="thread_local")  # other threads may go on using the GPU
        try:
            work()
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(stream)
    return graph
