"""A pruned weight stored in a sparse format, for inference, and the choice of the format.

"auto" asks a table of measurements per device (`pruneproof.kernels.measured`) and never guesses: a
device without rows gets "dense", and the reason says that nothing was measured.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pruneproof.checks import require_choice, require_integer
from pruneproof.errors import InvalidValueError
from pruneproof.kernels.backend import FLOATS, require_tensors
from pruneproof.kernels.bits import BitMask, live_fraction
from pruneproof.kernels.measured import COMMAND, measured_rows

from . import cpu
from .formats import FORMATS


def decide(weight: Tensor, keep: Tensor, batch: int | None) -> tuple[str, str]:
    """(format, reason) for a weight whose kept entries are `keep`, multiplied with `batch` tokens at once."""
    device = torch.cuda.get_device_name(weight.device) if weight.device.type == "cuda" else weight.device.type
    if device == "cpu" and not cpu.has_sparse_products(weight.dtype):
        return "dense", f"no library multiplies sparse {weight.dtype} matrices here"
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

    It moves and casts like a tensor (`to`), pickles, and survives `torch.save` and
    `torch.load(weights_only=True)` where this module has been imported.

    Args:
        format: "dense", "csr16", "bsr64" or "bsr128".
        shape: (out, in).
        parts: The tensors of the format, values first, as its module describes them.
        reason: Why this format.

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

        Args:
            weight: Floating matrix (out, in); copied, so later changes of it are not seen.
            mask: Bool or `BitMask` of the same shape; None keeps what is not zero.
            format: A name above, "bsr" (the smaller of bsr64 and bsr128 in bytes), or "auto", which
                asks what was measured on the weight's device and may answer "dense"; `.format` and
                `.reason` say what it chose.
            batch: For "auto", how many tokens `sparse_linear` will mostly see at once; None means
                unknown.

        Returns:
            A weight that `sparse_linear` takes.

        Raises:
            InvalidTypeError: The weight or the mask is not a tensor.
            InvalidValueError: The weight is not a floating matrix, the mask has another shape,
                dtype or device, the format is unknown or cannot hold the weight.

        Example:
            >>> import torch
            >>> SparseWeight.from_dense(torch.eye(3)).format
            'dense'
        """
        keep = _kept(weight, mask)
        if batch is not None:
            require_integer(_WHERE, "batch", batch)
        require_choice(_WHERE, "the format", format, ("auto", "bsr", *FORMATS))
        stored = torch.where(keep, weight.detach(), 0)
        if format == "auto":
            format, reason = decide(stored, keep, batch)
        elif format == "bsr":
            sizes = [cls.from_dense(weight, mask, format=name) for name in ("bsr64", "bsr128")]
            return min(sizes, key=lambda sparse: sparse.nbytes)
        else:
            reason = "asked for"
        parts = FORMATS[format].pack(stored, keep)
        return cls(format, (weight.shape[0], weight.shape[1]), tuple(parts), reason)

    def to_dense(self) -> Tensor:
        """The weight again, exactly: every kept entry bit for bit, zero elsewhere."""
        return FORMATS[self.format].unpack(list(self.parts), *self.shape)

    def __getstate__(self) -> dict[str, object]:
        """Unsigned 16-bit indices travel as signed ones: Python's pickle has no storage for them."""
        signed = tuple(p.view(torch.int16) if p.dtype == torch.uint16 else p for p in self.parts)
        unsigned = tuple(p.dtype == torch.uint16 for p in self.parts)
        return {**vars(self), "parts": signed, "unsigned": unsigned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Undo what `__getstate__` did; "bits", the dense weight beside its mask, was a format until 0.2.0."""
        pairs = zip(state["parts"], state.pop("unsigned"), strict=True)
        parts = tuple(part.view(torch.uint16) if unsigned else part for part, unsigned in pairs)
        if state["format"] == "bits":
            state, parts = {**state, "format": "dense"}, parts[:1]
        vars(self).update({**state, "parts": parts})

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

    def to(
        self, device: torch.device | str | torch.dtype | None = None, dtype: torch.dtype | None = None
    ) -> "SparseWeight":
        """The same weight in the same format on another device or with values of another dtype.

        Args:
            device: Where to; a dtype here converts the values, as `tensor.to` does.
            dtype: Floating dtype of the values; indices keep theirs.

        Returns:
            A new weight.

        Raises:
            InvalidValueError: The dtype is not a floating dtype that operations accept.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None and dtype not in FLOATS:
            names = ", ".join(map(str, FLOATS))
            raise InvalidValueError(f"SparseWeight.to: the dtype must be one of {names}, got {dtype}.")
        values, *indices = self.parts
        parts = (values.to(device=device, dtype=dtype), *(part.to(device=device) for part in indices))
        return SparseWeight(self.format, self.shape, parts, self.reason)


def _kept(weight: Tensor, mask: Tensor | BitMask | None) -> Tensor:
    require_tensors(_WHERE, weight=weight)
    if weight.dim() != 2 or weight.dtype not in FLOATS:
        raise InvalidValueError(
            f"{_WHERE}: the weight must be a floating matrix (out, in), got {weight.dtype} of shape "
            f"{tuple(weight.shape)}. Flatten the weight of a convolution with weight.flatten(1)."
        )
    if mask is None:
        return weight.detach() != 0
    bools = mask.unpack() if isinstance(mask, BitMask) else mask
    require_tensors(_WHERE, mask=bools)
    if bools.shape != weight.shape or bools.dtype != torch.bool or bools.device != weight.device:
        raise InvalidValueError(
            f"{_WHERE}: the mask must be bool of shape {tuple(weight.shape)} on {weight.device}, got {bools.dtype} "
            f"of shape {tuple(bools.shape)} on {bools.device}. Pass the mask of this very weight."
        )
    return bools & (weight.detach() != 0)


torch.serialization.add_safe_globals([SparseWeight])  # `torch.load(weights_only=True)` then takes it
