"""Which sparse format is faster than the dense product: a table of measurements per GPU, never a guess.

`measured.json` maps a GPU's name to rows in order of preference, each saying up to how many tokens (null: any) and up
to which stored fraction a format was faster than dense. `python -m bench.measure_choices` measures the GPU at hand and
rewrites its rows. A device without rows gets "dense", and the reason says that nothing was measured.

A pruned weight stored in a sparse format, for inference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError
from pruneproof.kernels.backend import FLOATS, require_tensors
from pruneproof.kernels.bits import BitMask, live_fraction
from pruneproof.kernels.measured import COMMAND, measured_rows

from .formats import FORMATS


def decide(weight: Tensor, keep: Tensor, batch: int | None) -> tuple[str, str]:
    """(format, reason) for a weight whose kept entries are `keep`, multiplied with `batch` tokens at once."""
    device = torch.cuda.get_device_name(weight.device) if weight.device.type == "cuda" else weight.device.type
    if device not in measured_rows():
        return "dense", f"no break-even point was measured on {device}; on a GPU, measure with: {COMMAND}"
    for row in measured_rows()[device]:
        tokens = row["max_tokens"]
        if tokens is not None and (batch is None or batch > tokens):
            continue
        stored = _stored_fraction(row["format"], keep)
        if stored <= row["max_stored"] and weight.numel() >= row["min_weights"]:
            return row["format"], f"measured faster than dense on {device} up to a stored fraction {row['max_stored']}"
    unknown = " for an unknown number of tokens (pass batch=…)" if batch is None else f" for {batch} tokens"
    return "dense", f"no format was measured faster{unknown} on {device}"


def _stored_fraction(name: str, keep: Tensor) -> float:
    """Which fraction of the weights the format stores; above 1 where it cannot hold them."""
    if name.startswith("bsr"):
        return live_fraction(keep, int(name[3:]))
    if name == "csr16" and keep.shape[1] > 65_536:
        return 2.0
    return keep.float().mean().item() if keep.numel() else 1.0


_WHERE = "SparseWeight.from_dense"


@dataclass(frozen=True, eq=False)
class SparseWeight:
    """A weight (out, in) whose zeros are not stored; build it by `from_dense`.

    **Arguments**
    - `format`: "dense", "bits", "csr16", "bsr64" or "bsr128".
    - `shape`: (out, in).
    - `parts`: the tensors of the format, as its module describes them.
    - `reason`: why this format.

    Example:
        >>> import torch
        >>> sparse = SparseWeight.from_dense(torch.tensor([[0.0, 2.0, 0.0, 1.0]]), format="csr16")
        >>> sparse.to_dense().tolist(), sparse.format
        ([[0.0, 2.0, 0.0, 1.0]], 'csr16')
    """

    format: str
    shape: tuple[int, int]
    parts: tuple[Tensor, ...]
    reason: str

    @classmethod
    def from_dense(
        cls, weight: Tensor, mask: Tensor | BitMask | None = None, *, format: str = "auto", batch: int | None = None
    ) -> "SparseWeight":
        """Store `where(mask, weight, 0)`.

        **Arguments**
        - `weight`: (out, in), floating point; copied, so later changes of it are not seen.
        - `mask`: bool or `BitMask` of the same shape; None keeps what is not zero.
        - `format`: a name above, "bsr" (the smaller of bsr64 and bsr128 in bytes), or "auto", which asks the break-even
          table of the weight's device and may answer "dense"; `.format` and `.reason` say what it chose.
        - `batch`: for "auto", how many tokens `sparse_linear` will mostly see at once; None means unknown.

        Raises PruneproofError for a weight that is no floating matrix, a mask of another shape, dtype or device, an
        unknown format, and a weight that the format cannot hold.

        Source: sparse.md.

        >>> import torch
        >>> SparseWeight.from_dense(torch.eye(3)).format
        'dense'
        """
        keep = _kept(weight, mask)
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
            required = "at least one token, or None for an unknown number"
            raise PruneproofError(_WHERE, required=required, received=batch, remedy="pass a positive integer")
        stored = torch.where(keep, weight.detach(), 0)
        if format == "auto":
            format, reason = decide(stored, keep, batch)
        elif format == "bsr":
            sizes = [cls.from_dense(weight, mask, format=name) for name in ("bsr64", "bsr128")]
            return min(sizes, key=lambda sparse: sparse.nbytes)
        elif format in FORMATS:
            reason = "asked for"
        else:
            raise PruneproofError(
                _WHERE, required=f"a format in {('auto', 'bsr', *FORMATS)}", received=format, remedy='pass "auto"'
            )
        parts = FORMATS[format].pack(stored, keep)
        return cls(format, (weight.shape[0], weight.shape[1]), tuple(parts), reason)

    def to_dense(self) -> Tensor:
        """The weight again, exactly: every kept entry bit for bit, zero elsewhere."""
        return FORMATS[self.format].unpack(list(self.parts), *self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all parts, padding and indices included."""
        return sum(part.numel() * part.element_size() for part in self.parts)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the values."""
        return self.parts[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the parts live."""
        return self.parts[0].device

    def to(self, device: torch.device | str) -> "SparseWeight":
        """The same weight in the same format on another device."""
        return SparseWeight(self.format, self.shape, tuple(part.to(device) for part in self.parts), self.reason)


def _kept(weight: Tensor, mask: Tensor | BitMask | None) -> Tensor:
    require_tensors(_WHERE, weight=weight)
    if weight.dim() != 2 or weight.dtype not in FLOATS:
        raise PruneproofError(
            _WHERE,
            required="a floating weight (out, in)",
            received=f"{weight.dtype} {tuple(weight.shape)}",
            remedy="flatten a convolution's weight with weight.flatten(1)",
        )
    if mask is None:
        return weight.detach() != 0
    bools = mask.unpack() if isinstance(mask, BitMask) else mask
    require_tensors(_WHERE, mask=bools)
    if bools.shape != weight.shape or bools.dtype != torch.bool or bools.device != weight.device:
        raise PruneproofError(
            _WHERE,
            required=f"a bool mask of shape {tuple(weight.shape)} on {weight.device}",
            received=f"{bools.dtype} {tuple(bools.shape)} on {bools.device}",
            remedy="pass the mask of this very weight",
        )
    return bools & (weight.detach() != 0)
