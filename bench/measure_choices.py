"""Measure on the GPU at hand where each sparse format beats the dense product, and rewrite `kernels/measured.json`.

`python -m bench.measure_choices` times every format against cuBLAS on large weights with rotated buffers, over
densities and token counts, and keeps for each format the largest token count and density at which it was at least 5 %
faster on every smaller one too. `SparseWeight.from_dense(format="auto")` reads the result; a device without rows gets
"dense".
"""

import json
import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from bench.timing import NOT_MEASURED, copies, device_name, interleaved, machine
from pruneproof.kernels import SparseWeight, sparse_linear
from pruneproof.kernels.measured import TABLE

SHAPES = ((4096, 4096), (14336, 4096), (28672, 8192))
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.5)
TOKENS = (1, 2, 4, 8, 16, 32, 64)
FORMATS = ("csr16", "bsr64", "bsr128")
MARGIN = 1.05


def mask_for(format: str, out: int, columns: int, density: float) -> Tensor:
    """A random mask of the structure that the format is made for, on the GPU."""
    if format.startswith("bsr"):
        size = int(format[3:])
        blocks = torch.rand(out // size, columns // size, device="cuda") < density
        return blocks.repeat_interleave(size, 0).repeat_interleave(size, 1)
    return torch.rand(out, columns, device="cuda") < density


def speedup(format: str, out: int, columns: int, density: float, tokens: int) -> float:
    """Dense time over sparse time in bf16, after checking that both agree."""
    number = copies(2 * out * columns)
    options: dict[str, Any] = {"device": "cuda", "dtype": torch.bfloat16}
    x = torch.randn(tokens, columns, **options)
    mask = mask_for(format, out, columns, density)
    dense = [torch.where(mask, torch.randn(out, columns, **options), 0) for _ in range(number)]
    sparse = [SparseWeight.from_dense(weight, mask, format=format) for weight in dense]
    scale = x.float().abs() @ dense[0].float().abs().T
    error = (sparse_linear(x, sparse[0]).float() - x.float() @ dense[0].float().T).abs()
    if not torch.all(error <= 2**-8 * scale):  # twice bf16's unit roundoff times the sum of absolute terms
        raise AssertionError(f"{format} is wrong for {out} × {columns}, density {density}, {tokens} tokens")
    times = interleaved(
        {"dense": lambda i: linear(x, dense[i % number]), "sparse": lambda i: sparse_linear(x, sparse[i % number])},
        rounds=10,
        inner=8,
    )
    return times["dense"].median / times["sparse"].median


def rows_for(format: str) -> list[dict[str, Any]]:
    """One row per token count at which some density pays: up to which density, from which size on."""
    rows: list[dict[str, Any]] = []
    for tokens in TOKENS:
        paying = [
            (density, out * columns)
            for out, columns in SHAPES
            for density in DENSITIES
            if all(speedup(format, out, columns, d, tokens) >= MARGIN for d in DENSITIES if d <= density)
        ]
        if paying:
            largest = max(density for density, _ in paying)
            smallest = min(size for density, size in paying if density == largest)
            row = {"format": format, "max_tokens": tokens, "max_stored": largest, "min_weights": smallest}
            rows.append(row | {"machine": machine()})
    return rows


def main() -> int:
    """Measure all formats and write the rows of this GPU."""
    if not torch.cuda.is_available():
        print(NOT_MEASURED)
        return 1
    table = json.loads(TABLE.read_text())
    rows = [row for format in FORMATS for row in rows_for(format)]
    table[device_name()] = sorted(rows, key=lambda row: (row["max_stored"], row["max_tokens"]))
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    print(f"{len(rows)} break-even points of {device_name()} in {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
