"""The table of sparse formats: name → how it is packed, and how the dense weight is rebuilt from its parts."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from . import bsr as format_bsr
from . import csr16 as format_csr16


class Format(NamedTuple):
    """`pack(masked weight, keep) -> parts` and `unpack(parts, out, columns) -> dense weight`."""

    pack: Callable[[Tensor, Tensor], list[Tensor]]
    unpack: Callable[[list[Tensor], int, int], Tensor]


FORMATS = {
    "dense": Format(lambda weight, keep: [weight], lambda parts, out, columns: parts[0].clone()),
    "csr16": Format(format_csr16.pack, format_csr16.unpack),
    "bsr64": Format(lambda weight, keep: format_bsr.pack(weight, 64), format_bsr.unpack),
    "bsr128": Format(lambda weight, keep: format_bsr.pack(weight, 128), format_bsr.unpack),
}
