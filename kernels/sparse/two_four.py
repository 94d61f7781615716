"""At most two kept weights in every four consecutive columns: two values and a four-bit pair of places per group.

The places i₀, i₁ (two bits each, i₁ above i₀, distinct) of eight groups share a 32-bit word; columns are padded to a
multiple of 32. 1.125 bytes per 16-bit weight instead of 2. See sparse.md.
"""

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError

GROUP, WORD_COLUMNS = 4, 32


def fits(keep: Tensor) -> bool:
    """Whether no group of four keeps more than two."""
    return not bool((_groups(keep).sum(2) > 2).any())


def pack(weight: Tensor, keep: Tensor) -> list[Tensor]:
    """[values (out, columns / 2), places int32 (out, columns / 32)] for the padded number of columns."""
    if not fits(keep):
        row, group = (_groups(keep).sum(2) > 2).nonzero()[0].tolist()
        raise PruneproofError(
            "SparseWeight.from_dense",
            required="at most two kept weights in every four consecutive columns for 2:4",
            received=f"more in row {row}, columns {4 * group} to {4 * group + 3}",
            remedy='select with scope="n:m", or choose another format',
        )
    kept = _groups(keep)
    places = kept.logical_not().to(torch.uint8).argsort(dim=2, stable=True)[..., :2]  # the kept ones come first
    values = _groups(weight).gather(2, places).flatten(1).contiguous()
    nibbles = (places[..., 0] | places[..., 1] << 2).to(torch.int64)
    shifts = torch.arange(0, 32, 4, device=weight.device)
    words = (nibbles.unflatten(1, (nibbles.shape[1] // 8, 8)) << shifts).sum(2)
    return [values, (words - (words >> 31 << 32)).to(torch.int32)]


def unpack(parts: list[Tensor], out: int, columns: int) -> Tensor:
    """The dense weight."""
    values, words = parts
    shifts = torch.arange(0, 32, 4, device=values.device)
    nibbles = ((words[:, :, None] >> shifts) & 15).flatten(1).long()
    places = torch.stack([nibbles & 3, nibbles >> 2], dim=2)
    dense = values.new_zeros(out, nibbles.shape[1], GROUP).scatter_(
        2, places, values.unflatten(1, (values.shape[1] // 2, 2))
    )
    return dense.flatten(1)[:, :columns].contiguous()


def _groups(tensor: Tensor) -> Tensor:
    """(out, groups, 4), columns padded with zeros (False) to a multiple of 32."""
    out, columns = tensor.shape
    padded = tensor.new_zeros(out, columns + -columns % WORD_COLUMNS)
    padded[:, :columns] = tensor
    return padded.reshape(out, padded.shape[1] // GROUP, GROUP)
