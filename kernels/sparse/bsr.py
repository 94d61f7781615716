"""Square blocks of weights; blocks without a kept weight are not stored. Sizes are padded with zeros. See README.md."""

import torch
from torch import Tensor

from pruneproof.kernels.bits import block_list


def pack(weight: Tensor, size: int) -> list[Tensor]:
    """[values (blocks, size, size), block columns int32 (blocks,), starts int32 (rows of blocks + 1,)]."""
    grid = _blocks(weight, size)
    live = (grid != 0).any(3).any(2)
    columns, starts = block_list(live)
    return [grid[live].contiguous(), columns, starts]


def unpack(parts: list[Tensor], out: int, columns: int) -> Tensor:
    """The dense weight."""
    values, places, starts = parts
    size = values.shape[1]
    rows = len(starts) - 1
    row = torch.arange(rows, device=values.device).repeat_interleave(
        (starts[1:] - starts[:-1]).long(), output_size=len(values)
    )
    across = -(-columns // size)
    grid = values.new_zeros(rows, across, size, size)
    grid[row, places.long()] = values
    return grid.transpose(1, 2).reshape(rows * size, across * size)[:out, :columns].contiguous()


def _blocks(weight: Tensor, size: int) -> Tensor:
    out, columns = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -columns % size, 0, -out % size))
    return padded.reshape(-(-out // size), size, -(-columns // size), size).transpose(1, 2)
