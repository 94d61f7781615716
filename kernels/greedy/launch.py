"""Launches of greedy selection: all steps of a path on Gram matrices at once; one step on features. See gpu.md."""

import torch
from torch import Tensor

from pruneproof.kernels.backend import interpreting, multiprocessors, on_its_device

from .problem import Gram
from .rules import Path, tie_width
from .triton_kernels import greedy_gram_kernel, rescore_kernel, screen_kernel

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


@on_its_device
def screen(copy: Tensor, r: Tensor) -> Tensor:
    """copy · r, float32 (neurons,), for an int8 or bfloat16 copy (neurons, points) and float32 r (points,)."""
    copy = copy.contiguous()
    neurons, points = copy.shape
    out = r.new_empty(neurons)
    rows, columns = 4, 512
    screen_kernel[(-(-neurons // rows),)](
        copy, r, out, neurons, points, copy.stride(0), BN=rows, BM=columns, WHOLE=points % columns == 0, num_warps=4
    )
    return out


@on_its_device
def rescore_on_gpu(features: Tensor, r: Tensor, half: Tensor, lower: Tensor, limit: Tensor) -> Tensor:
    """half + features · r in float64 where lower ≤ limit, inf elsewhere."""
    features = features if features.stride(1) == 1 else features.contiguous()
    neurons, points = features.shape
    out = half.new_empty(neurons)
    rescore_kernel[(neurons,)](features, r, half, lower, limit, out, points, features.stride(0), BM=1024, num_warps=4)
    return out
