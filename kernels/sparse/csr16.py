"""Rows of (value, 16-bit column) pairs, padded to multiples of eight and interleaved within chunks of 256.

A warp reads a chunk as 32 vectors of eight. Stored in column order, its i-th load would touch 32 columns far apart;
stored so that vector l holds entries l, l + q, …, l + 7q (q = chunk length / 8) it touches 32 neighbours, and so few
cache lines of x. The order inside a row does not matter to a sum. Four bytes per kept 16-bit weight. See README.md.
"""

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

VECTOR, CHUNK, COLUMNS = 8, 256, 65_536


def pack(weight: Tensor, keep: Tensor) -> list[Tensor]:
    """[values (entries,), columns uint16 (entries,), starts int32 (out + 1,)], starts in vectors of eight."""
    columns = weight.shape[1]
    if columns > COLUMNS:
        raise InvalidValueError(
            f"SparseWeight.from_dense: csr16 holds at most {COLUMNS} columns, got {columns}. "
            "Split the columns, or choose another format."
        )
    vectors = -(-keep.sum(1) // VECTOR)
    starts = torch.nn.functional.pad(vectors.cumsum(0), (1, 0))
    row, column = keep.nonzero(as_tuple=True)
    rank = keep.cumsum(1)[row, column] - 1
    at = VECTOR * starts[row] + _interleaved(rank, VECTOR * vectors[row])
    values = weight.new_zeros(int(VECTOR * starts[-1]))
    values[at] = weight[row, column]
    places = torch.zeros(len(values), dtype=torch.int32, device=weight.device)
    places[at] = column.to(torch.int32)
    return [values, places.to(torch.uint16), starts.to(torch.int32)]


def unpack(parts: list[Tensor], out: int, columns: int) -> Tensor:
    """The dense weight; padding adds zeros to column 0."""
    values, places, starts = parts
    per_row = VECTOR * (starts[1:] - starts[:-1]).long()
    row = torch.arange(out, device=values.device).repeat_interleave(per_row, output_size=len(values))
    dense = values.new_zeros(out, columns)
    return dense.index_put_((row, places.long()), values, accumulate=True)


def _interleaved(rank: Tensor, length: Tensor) -> Tensor:
    """Where the entry of this rank in a row of this padded length is stored, relative to the row's start."""
    chunk = rank - rank % CHUNK
    lanes = (length - chunk).clamp(max=CHUNK) // VECTOR
    inside = rank - chunk
    return chunk + VECTOR * (inside % lanes) + inside // lanes
