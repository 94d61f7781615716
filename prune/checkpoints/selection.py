"""Which weights of a checkpoint are kept, decided piece by piece: by magnitude, at random, or by given masks."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError
from pruneproof.prune.selection.budget import erk, kept_count, row_count, uniform
from pruneproof.prune.selection.pattern import (
    LONGEST_GROUP,
    balanced,
    read_pattern,
    require_pattern_budget,
    require_whole_groups,
)
from pruneproof.prune.selection.selection import row_masks

from .ranking import Keys, Threshold, common_dtype, kth_largest, magnitude_keys, nan_error
from .roles import Layer
from .safetensors_file import StoredTensor
from .streaming import Piece, Reader, pieces

Method = Literal["magnitude", "random"]
Keeper = Callable[[Piece, Tensor], Tensor]
SCOPES = ("global", "layer", "row", "erk")
_SORTED_AT_ONCE = 1 << 18  # entries whose order is found at a time, in the cache


class Selection(Protocol):
    """What the writer asks."""

    def unit(self, tensor: StoredTensor) -> int | None:
        """Entries that must stay in one piece; `None` if the tensor is not pruned."""
        ...

    def begin(self, tensor: StoredTensor) -> Keeper:
        """Begin a tensor; the keeper marks the kept entries of its pieces, given in their order with their bytes."""
        ...

    def kept(self, tensor: StoredTensor) -> int | None:
        """How many entries of a tensor that was begun are kept, if that is known without counting."""
        ...


class Scores(Protocol):
    """A way to score weights piece by piece."""

    def values(self, tensor: StoredTensor) -> Callable[[Piece, Tensor], Tensor]:
        """Begin a tensor; returns the function from its pieces and their bytes to their scores, not negative."""
        ...

    def dtype(self, tensor: StoredTensor) -> torch.dtype:
        """The dtype of the scores of a tensor."""
        ...

    def scan(self, tensors: Sequence[StoredTensor]) -> Iterator[tuple[Piece, Tensor]]:
        """Score the tensors one after the other."""
        ...


class MagnitudeScores:
    """The absolute values of the weights.

    Args:
        reader: Reads them.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def values(self, tensor: StoredTensor) -> Callable[[Piece, Tensor], Tensor]:
        """The weights as they are in the file; their signs are left for the keys to drop."""
        dtype = self.dtype(tensor)
        return lambda piece, content: content.view(dtype)

    def dtype(self, tensor: StoredTensor) -> torch.dtype:
        """The dtype in the file."""
        assert tensor.dtype is not None
        return tensor.dtype

    def scan(self, tensors: Sequence[StoredTensor]) -> Iterator[tuple[Piece, Tensor]]:
        """Read them."""
        for piece, content in self._reader.read(piece for tensor in tensors for piece in pieces(tensor)):
            yield piece, content.view(self.dtype(piece.tensor))


class RandomScores:
    """Draws from the uniform distribution on [0, 1), in float32, which no file is read for.

    Args:
        tensors: All tensors that will be scored; each is drawn from a generator of its own.
        generator: Draws their seeds; it advances by one draw for each tensor.
    """

    def __init__(self, tensors: Sequence[StoredTensor], generator: torch.Generator) -> None:
        draws = torch.randint(2**62, (len(tensors),), generator=generator)
        self._seeds = {tensor.name: int(seed) for tensor, seed in zip(tensors, draws, strict=True)}

    def values(self, tensor: StoredTensor) -> Callable[[Piece, Tensor], Tensor]:
        """The same draws each time that the tensor is begun."""
        generator = torch.Generator().manual_seed(self._seeds[tensor.name])
        return lambda piece, content: torch.rand(piece.count, generator=generator)

    def dtype(self, tensor: StoredTensor) -> torch.dtype:
        """Always the same."""
        return torch.float32

    def scan(self, tensors: Sequence[StoredTensor]) -> Iterator[tuple[Piece, Tensor]]:
        """Draw them."""
        for tensor in tensors:
            draw = self.values(tensor)
            for piece in pieces(tensor):
                yield piece, draw(piece, torch.empty(0))


def select_streamed(
    layers: Sequence[Layer], scores: Scores, *, density: float | None, scope: str, where: str
) -> Selection:
    """Decide which weights are kept, in as many passes over the scores as the scope and their dtype need.

    Args:
        layers: The weights that are pruned.
        scores: How they are scored.
        density: The kept fraction of their entries, in (0, 1]; not needed with an n:m pattern.
        scope: `"global"`, `"layer"`, `"row"`, `"erk"` or `"n:m"`.
        where: The function or command that the user called, for error messages.

    Raises:
        InvalidValueError: The scope is unknown, the density out of range, a layer or row would be empty, or the
            pattern does not divide the rows.
    """
    if scope == "row" or read_pattern(scope, where=where) is not None:
        return _WithinRows(layers, scores, _row_budgets(layers, density, scope, where), where)
    if scope not in SCOPES:
        raise InvalidValueError(
            f"{where}: the scope must be one of {', '.join(SCOPES)} or a pattern such as 2:4, got {scope!r}."
        )
    tensors = [layer.tensor for layer in layers]
    sizes = [tensor.numel for tensor in tensors]
    kept = kept_count(density, sum(sizes), where=where)
    if kept < len(tensors):
        raise InvalidValueError(
            f"{where}: the density keeps {kept} of {sum(sizes)} weights, fewer than there are layers ({len(tensors)}). "
            f"Pass at least {len(tensors) / sum(sizes):.3g}."
        )
    if scope == "global":
        return _AboveThresholds(layers, scores, [(tensors, kept)], where)
    counts = uniform(sizes, kept) if scope == "layer" else erk([tensor.shape for tensor in tensors], kept)
    empty = [tensor.name for tensor, count in zip(tensors, counts, strict=True) if not count]
    if empty:
        raise InvalidValueError(
            f"{where}: scope {scope!r} at this density keeps nothing of {', '.join(empty)}. Raise the density."
        )
    groups = [([tensor], count) for tensor, count in zip(tensors, counts, strict=True)]
    return _AboveThresholds(layers, scores, groups, where)


def scanned_bytes(layers: Sequence[Layer], scope: str) -> int:
    """How many bytes `select_streamed` reads to rank magnitudes."""
    if scope not in ("global", "layer", "erk"):
        return 0
    tensors = [layer.tensor for layer in layers]
    dtypes = [tensor.dtype for tensor in tensors if tensor.dtype is not None]
    passes = [dtype.itemsize // 2 for dtype in ([common_dtype(dtypes)] * len(dtypes) if scope == "global" else dtypes)]
    return sum(number * tensor.nbytes for number, tensor in zip(passes, tensors, strict=True))


class _AboveThresholds:
    """Groups of tensors, each with one threshold: all layers, or every layer by itself."""

    def __init__(
        self, layers: Sequence[Layer], scores: Scores, groups: Sequence[tuple[list[StoredTensor], int]], where: str
    ) -> None:
        self._owners = _owners(layers)
        self._scores = scores
        self._thresholds = dict[str, tuple[Threshold, torch.dtype]]()
        for tensors, count in groups:
            dtype = common_dtype(scores.dtype(tensor) for tensor in tensors)
            threshold = kth_largest(partial(self._keys, tensors, dtype), count, dtype, where=where)
            self._thresholds |= {tensor.name: (threshold, dtype) for tensor in tensors}

    def _keys(self, tensors: list[StoredTensor], dtype: torch.dtype) -> Keys:
        for piece, values in self._scores.scan(tensors):
            yield piece, magnitude_keys(values, dtype)

    def unit(self, tensor: StoredTensor) -> int | None:
        return 1 if tensor.name in self._owners else None

    def begin(self, tensor: StoredTensor) -> Keeper:
        owner = self._owners[tensor.name]
        threshold, dtype = self._thresholds[owner.name]
        keep, values = threshold.begin(owner.name), self._scores.values(owner)
        return lambda piece, content: keep(magnitude_keys(values(piece, content), dtype))

    def kept(self, tensor: StoredTensor) -> int | None:
        owner = self._owners[tensor.name]
        return self._thresholds[owner.name][0].kept(owner.name)


class _WithinRows:
    """The n highest scores of every m consecutive ones of a row, m being the whole row for scope "row"."""

    def __init__(
        self, layers: Sequence[Layer], scores: Scores, budgets: Mapping[str, tuple[int, int]], where: str
    ) -> None:
        self._owners = _owners(layers)
        self._scores = scores
        self._budgets = budgets
        self._where = where

    def unit(self, tensor: StoredTensor) -> int | None:
        owner = self._owners.get(tensor.name)
        return None if owner is None else self._budgets[owner.name][1]

    def begin(self, tensor: StoredTensor) -> Keeper:
        owner = self._owners[tensor.name]
        n, m = self._budgets[owner.name]
        values = self._scores.values(owner)

        def keep(piece: Piece, content: Tensor) -> Tensor:
            scores = values(piece, content)
            if bool(scores.isnan().any()):
                raise nan_error(owner.name, self._where)
            step = m * max(1, _SORTED_AT_ONCE // m)
            groups = [part.abs().view(-1, m) for part in scores.split(step)]
            masks = [balanced(part, n, m) if m <= LONGEST_GROUP else row_masks(part, n) for part in groups]
            return torch.cat(masks).view(-1)

        return keep

    def kept(self, tensor: StoredTensor) -> int | None:
        n, m = self._budgets[self._owners[tensor.name].name]
        return tensor.numel // m * n


class GivenMasks:
    """Masks that are known already.

    Args:
        masks: Name of a tensor in the checkpoint → its mask, of the tensor's shape.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self._masks = masks

    def unit(self, tensor: StoredTensor) -> int | None:
        """Any cut will do."""
        return 1 if tensor.name in self._masks else None

    def begin(self, tensor: StoredTensor) -> Keeper:
        """Look them up."""
        mask = self._masks[tensor.name].reshape(-1)
        return lambda piece, content: mask[piece.first : piece.first + piece.count]

    def kept(self, tensor: StoredTensor) -> int | None:
        """Counted."""
        return int(self._masks[tensor.name].count_nonzero())


class Recorded:
    """A selection that remembers what it kept.

    Args:
        selection: What decides.
        tensors: The tensors whose masks are wanted.
    """

    def __init__(self, selection: Selection, tensors: Sequence[StoredTensor]) -> None:
        self._selection = selection
        self.masks = {tensor.name: torch.empty(tensor.shape, dtype=torch.bool) for tensor in tensors}

    def unit(self, tensor: StoredTensor) -> int | None:
        """As the selection has it."""
        return self._selection.unit(tensor)

    def begin(self, tensor: StoredTensor) -> Keeper:
        """Decide and remember."""
        keep = self._selection.begin(tensor)
        if tensor.name not in self.masks:
            return keep
        mask = self.masks[tensor.name].view(-1)

        def keep_and_record(piece: Piece, content: Tensor) -> Tensor:
            kept = keep(piece, content)
            mask[piece.first : piece.first + piece.count] = kept.bool()
            return kept

        return keep_and_record

    def kept(self, tensor: StoredTensor) -> int | None:
        """As the selection has it."""
        return self._selection.kept(tensor)


def _owners(layers: Sequence[Layer]) -> dict[str, StoredTensor]:
    """Name of a tensor that is pruned → the tensor by which it is decided."""
    return {tensor.name: layer.tensor for layer in layers for tensor in (layer.tensor, *layer.copies)}


def _row_budgets(layers: Sequence[Layer], density: float | None, scope: str, where: str) -> dict[str, tuple[int, int]]:
    """Name → how many of how many consecutive weights are kept."""
    pattern = None if scope == "row" else read_pattern(scope, where=where)
    budgets = dict[str, tuple[int, int]]()
    if pattern is not None:
        require_pattern_budget(density, None, *pattern, where=where)
    for layer in layers:
        name, row = layer.tensor.name, math.prod(layer.tensor.shape[1:])
        budgets[name] = pattern or (row_count(density, row, name, where=where), row)
        require_whole_groups(where, name, row, *budgets[name])
    return budgets
