"""Sparse products on a GPU against cuBLAS, torch's CSR and block-sparse products.

Goals on an H200 in bf16, weights 14336 × 4096 and larger: 1–2 tokens ≥ 1.3 × cuBLAS at density 0.3 and ≥ 3 × at 0.1;
4–32 tokens ≥ 2 × at 0.1; never slower than dense by more than 5 % under `format="auto"`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from bench.measure_choices import mask_for
from bench.roofline import floor, linear_work, measured_roof
from bench.timing import NOT_MEASURED, copies, interleaved, record
from pruneproof.kernels import SparseWeight, sparse_linear

pytestmark = pytest.mark.gpu
SHAPES = [(4096, 4096), (14336, 4096), (28672, 8192)]
CASES = [("csr16", d) for d in (0.5, 0.3, 0.2, 0.1, 0.05)] + [("bsr64", 0.3), ("bsr128", 0.3)]


def peer(format: str, dense: Tensor) -> Callable[[Tensor], Tensor]:
    """The product that torch itself has for this structure."""
    if format.startswith("bsr"):
        blocks = dense.to_sparse_bsr((int(format[3:]),) * 2)
        return lambda x: linear(x, blocks)
    rows = dense.to_sparse_csr()
    return lambda x: (rows @ x.T).T


@pytest.mark.parametrize("tokens", [1, 2, 4, 16, 32])
@pytest.mark.parametrize(("format", "density"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sparse_linear(benchmark: Any, shape: tuple[int, int], format: str, density: float, tokens: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip(NOT_MEASURED)
    (out, columns), number = shape, copies(2 * shape[0] * shape[1])
    x = torch.randn(tokens, columns, device="cuda", dtype=torch.bfloat16)
    mask = mask_for("cuda", format, out, columns, density)
    weights = [torch.randn(out, columns, device="cuda", dtype=torch.bfloat16) * mask for _ in range(number)]
    ours = [SparseWeight.from_dense(weight, format=format) for weight in weights]
    auto = [SparseWeight.from_dense(weight, format="auto", batch=tokens) for weight in weights]
    theirs = [peer(format, weight) for weight in weights]
    exact, scale = x.float() @ weights[0].float().T, x.float().abs() @ weights[0].float().abs().T
    # twice bf16's unit roundoff times the sum of absolute terms
    assert torch.all((sparse_linear(x, ours[0]).float() - exact).abs() <= 2**-8 * scale)
    times = interleaved(
        {
            "pruneproof": lambda i: sparse_linear(x, ours[i % number]),
            "auto": lambda i: sparse_linear(x, auto[i % number]),
            "dense": lambda i: linear(x, weights[i % number]),
            "torch sparse": lambda i: theirs[i % number](x),
        },
        rounds=20,
        inner=8,
    )
    roof = measured_roof()
    least = floor(linear_work(format, tokens, out, columns, density, roof.target), roof)
    seconds = times["pruneproof"].median
    record(
        "sparse_linear",
        {"shape": list(shape), "format": format, "density": density, "tokens": tokens},
        times,
        versus_dense=times["dense"].median / seconds,
        versus_torch_sparse=times["torch sparse"].median / seconds,
        auto_versus_dense=times["auto"].median / times["dense"].median,
        auto=auto[0].format,
        share_of_floor=least.seconds / seconds,
        roof=least.roof,
        copy_bandwidth=roof.bandwidth,
    )
    benchmark.pedantic(lambda: sparse_linear(x, ours[0]), rounds=5)
