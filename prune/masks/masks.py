"""Masks: which weights of a model are kept.

An immutable mapping from parameter name to a bool tensor, `True` where the weight is kept. The masks
are apart from the model: `apply_` zeroes once, `enforce` keeps zero, and a file of packed bits holds
them (`file`).
"""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import TypeVar

import torch
from torch import Tensor, nn

from pruneproof.checks import require_type
from pruneproof.errors import InvalidTypeError, InvalidValueError
from pruneproof.prune.models.evaluation import require_module
from pruneproof.prune.models.parameters import parameters_named, require_maskable
from pruneproof.prune.models.shards import local, local_part, placed, whole

from .enforcement import Enforcement, enforce
from .file import read_masks, write_masks

_Module = TypeVar("_Module", bound=nn.Module)


class Masks(Mapping[str, Tensor]):
    """Parameter name → bool tensor, `True` where the weight is kept; immutable, as it copies what goes in and out.

    Args:
        tensors: Name → bool tensor of the parameter's shape; a `DTensor` is gathered, by all processes.

    Raises:
        InvalidTypeError: A value is not a bool tensor.
        InvalidValueError: There is no weight at all, or a tensor has no values (meta device).

    Example:
        >>> masks = Masks({"weight": torch.tensor([[True, False, False, True]])})
        >>> masks.count, masks.total, masks.density
        (2, 4, 0.5)
        >>> layer = masks.apply_(nn.Linear(4, 1))
        >>> layer.weight == 0
        tensor([[False,  True,  True, False]])
    """

    __slots__ = ("_kept",)

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        require_type("Masks", tensors, Mapping, "masks are bool tensors by parameter name", "Pass a dict.")
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor) or tensor.dtype != torch.bool:
                raise InvalidTypeError(
                    f"Masks: masks are bool tensors by parameter name, got {name!r}: "
                    f"{getattr(tensor, 'dtype', type(tensor).__name__)}. Compare or convert first."
                )
            if tensor.is_meta:
                raise InvalidValueError(
                    f"Masks: the mask of {name} has no values, since it is on the meta device. Make it on a device."
                )
        if not any(tensor.numel() for tensor in tensors.values()):
            raise InvalidValueError("Masks: there is no weight to mask. Name at least one parameter that has any.")
        self._kept = {name: whole(tensor.detach()).clone() for name, tensor in tensors.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Masks({self.count} of {self.total} weights kept in {len(self)} tensors)"

    @property
    def counts(self) -> dict[str, int]:
        """Parameter name → number of kept weights: a layerwise budget for `select`."""
        return {name: int(kept.count_nonzero()) for name, kept in self._kept.items()}

    @property
    def count(self) -> int:
        """The number of kept weights."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """The number of weights, kept or pruned."""
        return sum(kept.numel() for kept in self._kept.values())

    @property
    def density(self) -> float:
        """The kept fraction, `count / total`."""
        return self.count / self.total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return self._kept.keys() == other._kept.keys() and all(
            torch.equal(kept, other._kept[name].to(kept.device)) for name, kept in self._kept.items()
        )

    def __and__(self, other: "Masks") -> "Masks":
        """Keep what both keep."""
        self._same_layout(other, "&")
        return Masks({name: kept & other._kept[name].to(kept.device) for name, kept in self._kept.items()})

    def __or__(self, other: "Masks") -> "Masks":
        """Keep what either keeps."""
        self._same_layout(other, "|")
        return Masks({name: kept | other._kept[name].to(kept.device) for name, kept in self._kept.items()})

    def _same_layout(self, other: "Masks", operator: str) -> None:
        require_type(f"Masks {operator}", other, Masks, "the other side must be Masks", "Combine masks of one model.")
        mine, theirs = ({name: tuple(kept.shape) for name, kept in masks._kept.items()} for masks in (self, other))
        if mine != theirs:
            raise InvalidValueError(
                f"Masks {operator}: these are masks of other parameters, {mine} and {theirs}. "
                "Combine masks of one model."
            )

    def apply_(self, model: _Module) -> _Module:
        """Set the pruned weights of a model to zero, once, in place; exact even where a weight is infinite or NaN.

        Of sharded parameters (`DTensor`) each process zeroes its part.

        Args:
            model: A module with these parameters, possibly wrapped by `torch.compile` or
                `DistributedDataParallel`.

        Returns:
            The same model.

        Raises:
            UnknownNameError: The model has no parameter of a name.
            InvalidValueError: A shape does not fit.
            UnsupportedError: A weight cannot be changed in place, or is computed from others.
            InvalidTypeError: A weight is stored in eight bits. The model is then unchanged.
        """
        require_module("Masks.apply_", model)
        parameters = parameters_named(model, self._shapes(), where="Masks.apply_")
        require_maskable("Masks.apply_", parameters)
        with torch.no_grad():
            for name, parameter in parameters.items():
                local(parameter).masked_fill_(local_part(~self._kept[name], parameter).to(parameter.device), 0)
        return model

    def enforce(self, model: nn.Module) -> Enforcement:
        """Set the pruned weights to zero and keep them there while the model is trained.

        After every `step()` of every `torch.optim.Optimizer`, and after `load_state_dict`, pruned
        weights are exactly 0.0; their gradients are zero before the optimiser sees them, so that
        they enter neither momentum nor gradient norms. Copies (`deepcopy`) are enforced too;
        `state_dict` does not change. A parameter that is replaced (by a conversion, `fully_shard`,
        an assignment) is followed at the next step; where that is impossible, a warning says so. A
        layer that is replaced by another one takes its mask along: a warning says so at the next
        step, load or copy of the model; enforce on it again.
        How and why: `prune/masks/enforcement.md`.

        Args:
            model: A module with these parameters, possibly wrapped by `torch.compile` or
                `DistributedDataParallel`, or sharded by `fully_shard` before or after.

        Returns:
            A handle with `remove()`, also a context manager. Without either, enforcement lasts as
            long as the model. Several enforcements prune the union, and each ends alone.

        Raises:
            UnsupportedError: The model is scripted or wrapped by `FullyShardedDataParallel`, or a
                weight cannot be changed in place.
            PruneproofError: As `apply_` raises. The model is then unchanged.

        Example:
            >>> layer = nn.Linear(2, 1)
            >>> optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
            >>> with Masks({"weight": torch.tensor([[True, False]])}).enforce(layer):
            ...     layer(torch.ones(1, 2)).sum().backward()
            ...     optimizer.step()
            >>> layer.weight == 0
            tensor([[False,  True]])
        """
        require_module("Masks.enforce", model)
        return enforce(model, self._kept)

    def sharded_like(self, model: nn.Module) -> dict[str, Tensor]:
        """The masks with the placements of a model's parameters, for `torch.distributed.checkpoint`.

        Args:
            model: A module with these parameters, some or all of them `DTensor`.

        Returns:
            Name → bool `DTensor` that is sharded as the parameter is, or the whole mask of a plain one.
            `Masks` of the result, on every process, are these masks again.

        Raises:
            PruneproofError: As `apply_` raises.

        Example:
            >>> Masks({"weight": torch.tensor([[True, False]])}).sharded_like(nn.Linear(2, 1))
            {'weight': tensor([[ True, False]])}
        """
        parameters = parameters_named(model, self._shapes(), where="Masks.sharded_like")
        return {name: placed(local_part(self[name], like), like) for name, like in parameters.items()}

    def _shapes(self) -> dict[str, torch.Size]:
        return {name: kept.shape for name, kept in self._kept.items()}

    def save(self, path: str | PathLike[str]) -> None:
        """Write the masks to one file of packed bits (safetensors), all of it or nothing.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            FileAccessError: The file cannot be written; what was there before is still there.
            InvalidValueError: The path names no file, or a parameter is named `__metadata__`, as the
                header of the file is.
        """
        write_masks(path, self._kept)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Masks":
        """Read masks that `save` wrote; nothing is executed or unpickled.

        Args:
            path: The file.

        Returns:
            The masks, on the CPU.

        Raises:
            MissingFileError: There is no such file.
            FileFormatError: It is truncated, too long, damaged, or not what `save` writes.
        """
        return cls(read_masks(path))

    def summary(self) -> str:
        """A table, one line per parameter and one for all: shape, kept, total, density.

        Example:
            >>> print(Masks({"weight": torch.tensor([[True, False], [False, False]])}).summary())
            parameter   shape  kept  total  density
            weight     (2, 2)     1      4   25.00%
            all                   1      4   25.00%
        """
        counts = self.counts
        return summary_table((name, tuple(kept.shape), counts[name], kept.numel()) for name, kept in self._kept.items())


def summary_table(rows: Iterable[tuple[str, tuple[int, ...], int, int]]) -> str:
    """One line per parameter and one for all, from names, shapes, and kept and total numbers of weights."""
    listed = list(rows)
    kept, total = (sum(counts) for counts in zip(*(row[2:] for row in listed), strict=True))
    cells = [("parameter", "shape", "kept", "total", "density")]
    for name, shape, some, every in [*listed, ("all", None, kept, total)]:
        share = f"{some / every:.2%}" if every else "-"
        cells.append((name, "" if shape is None else str(shape), str(some), str(every), share))
    first, *others = (max(map(len, column)) for column in zip(*cells, strict=True))
    return "\n".join(
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in cells
    )
