"""Launches of the screening and re-scoring bodies of greedy selection."""

from torch import Tensor

from .greedy_triton import rescore_kernel, screen_kernel


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


def rescore_on_gpu(features: Tensor, r: Tensor, half: Tensor, lower: Tensor, limit: Tensor) -> Tensor:
    """half + features · r in float64 where lower ≤ limit, inf elsewhere."""
    features = features if features.stride(1) == 1 else features.contiguous()
    neurons, points = features.shape
    out = half.new_empty(neurons)
    rescore_kernel[(neurons,)](features, r, half, lower, limit, out, points, features.stride(0), BM=1024, num_warps=4)
    return out
