"""The table of sparse formats: name → how it is packed, and how the dense weight is rebuilt from its parts."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pruneproof.kernels.bits import pack_words, unpack_words

from . import bsr as format_bsr
from . import csr16 as format_csr16


class Format(NamedTuple):
    """`pack(masked weight, keep) -> parts` and `unpack(parts, out, columns) -> dense weight`."""

    pack: Callable[[Tensor, Tensor], list[Tensor]]
    unpack: Callable[[list[Tensor], int, int], Tensor]


FORMATS = {
    "dense": Format(lambda weight, keep: [weight], lambda parts, out, columns: parts[0].clone()),
    "bits": Format(
        lambda weight, keep: [weight, pack_words(keep)],
        lambda parts, out, columns: torch.where(unpack_words(parts[1], columns), parts[0], 0),
    ),
    "csr16": Format(format_csr16.pack, format_csr16.unpack),
    "bsr64": Format(lambda weight, keep: format_bsr.pack(weight, 64), format_bsr.unpack),
    "bsr128": Format(lambda weight, keep: format_bsr.pack(weight, 128), format_bsr.unpack),
}
