"""The non-empty blocks of a packed mask, listed row of blocks by row of blocks.

A list is worth its indirection only if enough blocks are empty; an unstructured mask of density 0.05 has none in 64×64.
It is computed once per `BitMask` and remembered beside it.
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .bits import WORD, BitMask, pack_words
from .masked_plan import thresholds

ROWS, COLUMNS = 64, 64  # the block of the kernel that uses the list

_remembered: WeakKeyDictionary[BitMask, tuple[Tensor, Tensor] | None] = WeakKeyDictionary()


def skip_list(mask: BitMask) -> tuple[Tensor, Tensor] | None:
    """(block columns int32 (live blocks,), starts int32 (rows of blocks + 1,)), or None if too few blocks are empty."""
    if torch.compiler.is_compiling() or mask.words.device.type == "meta" or len(mask.shape) != 2:
        return None  # counting the blocks would break the graph
    if mask not in _remembered:
        live = live_blocks(mask.words, ROWS, COLUMNS)
        if type(live) is not Tensor:  # a FakeTensor, say, which has a shape and no values to count
            return None
        worth = (
            live.numel() > 0 and live.float().mean().item() <= thresholds(mask.words.device)[0]["skip_live_fraction"]
        )
        _remembered[mask] = block_list(live) if worth else None
    return _remembered[mask]


def live_blocks(words: Tensor, rows: int, columns: int) -> Tensor:
    """Bool (ceil(out / rows), ceil(in / columns)): whether the block has a kept weight."""
    per = columns // WORD
    out, width = words.shape
    padded = words.new_zeros(-(-out // rows) * rows, -(-width // per) * per)
    padded[:out, :width] = words
    return (padded.view(len(padded) // rows, rows, -1, per) != 0).any(3).any(1)


def block_list(live: Tensor) -> tuple[Tensor, Tensor]:
    """Compressed rows of a Boolean block matrix: (columns int32, starts int32)."""
    starts = torch.nn.functional.pad(live.sum(1).cumsum(0), (1, 0)).to(torch.int32)
    return live.nonzero()[:, 1].to(torch.int32), starts


def live_fraction(keep: Tensor, size: int) -> float:
    """Which fraction of the size × size blocks of a bool mask has a kept weight (1 for an empty mask)."""
    live = live_blocks(pack_words(keep), size, size)
    return live.double().mean().item() if live.numel() else 1.0
