"""A Boolean mask as one bit per weight, and the list of its blocks that keep a weight.

Bit `j mod 32` of word `j div 32` of a row belongs to column `j` (so byte `c` holds columns
`8c … 8c+7`, lowest bit first). Every row starts at a new 32-bit word and the bits past its last
column are zero. A mask costs 1/16 of the bytes of 16-bit weights. Packing and unpacking are one
multiplication per eight weights: the product of the eight 0/1 bytes with a constant gathers (or
spreads) their bits without carries, since no two of its partial products overlap.

Blocks are listed row of blocks by row of blocks, once per `BitMask`. A list is worth its indirection
only if enough blocks are empty; an unstructured mask of density 0.05 has none in 64×64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

from .backend import require_tensors

WORD = 32
BLOCK = 64  # the side of the blocks that a masked product skips where they are empty
_GATHER = 0x0102040810204080  # moves bit 8i to bit 56+i
_SPREAD = 0x0101010101010101  # copies a byte to all eight bytes
_DIAGONAL = 0x8040201008040201 - (1 << 64)  # keeps bit i in byte i; written as a signed 64-bit number


@dataclass(frozen=True, eq=False)
class BitMask:
    """A mask of any shape, packed along its last dimension.

    Args:
        words: Int32, shape `(*shape[:-1], ceil(shape[-1] / 32))`, padding bits zero.
        shape: The shape of the Boolean mask.

    Example:
        >>> import torch
        >>> packed = BitMask.pack(torch.tensor([[True, False, True], [False, False, True]]))
        >>> packed.words.tolist(), packed.count
        ([[5], [4]], 3)
        >>> packed.unpack().tolist()
        [[True, False, True], [False, False, True]]
    """

    words: Tensor
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        expected = (*self.shape[:-1], word_count(self.shape[-1])) if self.shape else None
        if self.words.dtype != torch.int32 or tuple(self.words.shape) != expected:
            raise InvalidValueError(
                f"BitMask: a mask of shape {self.shape} takes int32 words of shape {expected}, got "
                f"{self.words.dtype} of shape {tuple(self.words.shape)}. Use BitMask.pack."
            )

    @classmethod
    def pack(cls, mask: Tensor) -> "BitMask":
        """Pack a bool tensor.

        Args:
            mask: Bool, of at least one dimension, on any device, of any strides.

        Returns:
            The mask, 32 weights in a word.

        Raises:
            InvalidTypeError: The mask is no tensor.
            InvalidValueError: It is not bool, or has no dimension.
        """
        require_tensors("BitMask.pack", mask=mask)
        if mask.dtype != torch.bool or mask.dim() == 0:
            raise InvalidValueError(
                f"BitMask.pack: the mask must be a bool tensor with at least one dimension, got {mask.dtype} "
                f"with {mask.dim()} dimensions. Pass a comparison, such as weight != 0."
            )
        return cls(pack_words(mask), tuple(mask.shape))

    def unpack(self) -> Tensor:
        """The bool tensor of shape `shape`."""
        return unpack_words(self.words, self.shape[-1])

    def to(self, device: torch.device | str) -> "BitMask":
        """The same mask on another device.

        Args:
            device: Where the words shall lie.

        Returns:
            A new mask, or one of the same words where they lie there already.
        """
        return BitMask(self.words.to(device), self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes held by the words."""
        return self.words.numel() * self.words.element_size()

    @property
    def count(self) -> int:
        """How many weights the mask keeps."""
        return int(self.unpack().sum())


def word_count(columns: int) -> int:
    """How many 32-bit words one row of `columns` bits takes."""
    return -(-columns // WORD)


def pack_words(mask: Tensor) -> Tensor:
    """Bool `(…, columns)` to int32 words `(…, ceil(columns / 32))`, padding bits zero."""
    columns = mask.shape[-1]
    words = word_count(columns)
    if columns == 0:
        return mask.new_zeros(mask.shape, dtype=torch.int32)
    rows = mask.new_zeros((*mask.shape[:-1], words * WORD))
    rows[..., :columns] = mask
    eights = rows.view(torch.uint8).view(torch.int64)
    return ((eights * _GATHER) >> 56).to(torch.uint8).view(torch.int32)


def unpack_words(words: Tensor, columns: int) -> Tensor:
    """Int32 words `(…, ceil(columns / 32))` to bool `(…, columns)`."""
    if columns == 0:
        return words.new_zeros(words.shape, dtype=torch.bool)
    octets = words.contiguous().view(torch.uint8).to(torch.int64)
    eights = (octets * _SPREAD) & _DIAGONAL
    return eights.view(torch.uint8)[..., :columns] != 0


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
