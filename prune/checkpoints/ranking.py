"""The exact k largest of more scores than fit into memory, by counting instead of sorting.

Scores are not negative, so that their bits, read as an integer, have their order. The k-th largest is found from
histograms of its leading bits and then sixteen bits at a time: one pass over 16-bit scores, two over float32, four
over float64. What was counted says which scores lie above the threshold, and how many of those that equal it are kept:
the first ones, tensors in the order of the files and entries in row-major order, as in
`pruneproof.kernels.top_k_masks`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

from .streaming import Piece

_DIGIT = 16
_INTEGERS = {torch.float16: torch.int16, torch.bfloat16: torch.int16, torch.float32: torch.int32}

Keys = Iterator[tuple[Piece, Tensor]]


def key_dtype(dtype: torch.dtype) -> torch.dtype:
    """The integers that hold the bits of a float."""
    return _INTEGERS.get(dtype, torch.int64)


def magnitude_keys(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers in the order of the absolute values, compared as numbers of `dtype`; NaN lies above infinity.

    Example:
        >>> keys = magnitude_keys(torch.tensor([-0.0, 0.5, -2.0]), torch.float32)
        >>> keys[0].item(), bool(keys[1] < keys[2])
        (0, True)
    """
    bits = values.to(dtype).view(key_dtype(dtype))
    return bits & torch.iinfo(bits.dtype).max


def common_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """The dtype that holds the numbers of all of them."""
    first, *others = dtypes
    for other in others:
        first = torch.promote_types(first, other)
    return first


class Threshold:
    """Which scores are among the k largest: those above a key, and the first of those that equal it.

    Args:
        key: The key of the k-th largest score.
        ties: How many scores with this key are kept.
        counted: Name → how many scores have each key, for tensors of which that is known.
    """

    def __init__(self, key: int, ties: int, counted: Mapping[str, "Counts"]) -> None:
        self.key = key
        self._ties = {name: counts.of(key) for name, counts in counted.items()}
        self._above = {name: counts.above(key) for name, counts in counted.items()}
        self._unused = ties
        self._quota = dict[str, int]()

    def begin(self, name: str) -> Callable[[Tensor], Tensor]:
        """Begin a tensor; tensors come in the order in which ties are broken, and may be repeated.

        Returns:
            The function that overwrites the keys of the tensor's pieces, which come in order, by one where an entry
            is kept and zero elsewhere (integers: a tensor of bools takes four times as long to make).
        """
        repeated = name in self._quota
        left = self._quota.setdefault(name, self._unused)
        known = self._ties.get(name)
        if known is not None and known <= left:
            if not repeated:
                self._unused -= known
            return lambda keys: keys.ge_(self.key)

        def keep(keys: Tensor) -> Tensor:
            nonlocal left
            if left == 0:
                return keys.gt_(self.key)
            ties = keys == self.key
            kept = keys.ge_(self.key)
            surplus = int(ties.count_nonzero()) - left
            if surplus > 0:
                kept[ties.nonzero()[left:, 0]] = 0
            left = max(0, -surplus)
            if not repeated:
                self._unused = left
            return kept

        return keep

    def kept(self, name: str) -> int | None:
        """How many entries of a tensor that was begun are kept, `None` if that was not counted."""
        return self._above[name] + min(self._ties[name], self._quota[name]) if name in self._above else None


def kth_largest(scan: Callable[[], Keys], k: int, dtype: torch.dtype, *, where: str) -> Threshold:
    """Find the threshold of the k largest scores.

    Args:
        scan: Goes once through all pieces, tensor after tensor, with their keys.
        k: How many scores are kept, between 1 and their number.
        dtype: The dtype of the scores behind the keys.
        where: The function or command that the user called, for error messages.

    Raises:
        InvalidValueError: A score is NaN.
    """
    infinity = int(magnitude_keys(torch.tensor([torch.inf]), dtype))
    bits = torch.iinfo(key_dtype(dtype)).bits
    prefix, wanted = 0, k
    counted = dict[str, Counts]()
    for shift in range(bits - _DIGIT, -1, -_DIGIT):
        top = shift == bits - _DIGIT
        histogram = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        for name, counts in _histograms(scan(), shift, None if top else prefix, infinity, where):
            histogram += counts
            if bits == _DIGIT:
                counted[name] = Counts(counts)
        at_least = histogram.flip(0).cumsum(0)  # entry i: how many scores have one of the i + 1 largest digits
        rank = int(torch.searchsorted(at_least, wanted))
        wanted -= int(at_least[rank - 1]) if rank else 0
        prefix = (prefix << _DIGIT) | ((1 << _DIGIT) - 1 - rank)
    return Threshold(prefix, wanted, counted)


class Counts:
    """A tensor's histogram without the zeros at its ends, in 32 bits where they do."""

    def __init__(self, counts: Tensor) -> None:
        used = counts.nonzero()
        self._first = int(used[0])
        kept = counts[self._first : int(used[-1]) + 1]
        self._counts = kept.to(torch.int32 if int(kept.max()) < 2**31 else torch.int64)  # also lets go of the zeros

    def of(self, key: int) -> int:
        """How many entries have this key."""
        index = key - self._first
        return int(self._counts[index]) if 0 <= index < len(self._counts) else 0

    def above(self, key: int) -> int:
        """How many have a larger one."""
        return int(self._counts[max(0, key - self._first + 1) :].sum())


def _histograms(scan: Keys, shift: int, prefix: int | None, infinity: int, where: str) -> Iterator[tuple[str, Tensor]]:
    """Per tensor: how often each value of the sixteen bits above `shift` occurs, below the given higher bits."""
    for name, group in groupby(scan, key=lambda item: item[0].tensor.name):
        counts = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        for _, keys in group:
            if prefix is None and keys.dtype != torch.int16 and int(keys.max()) > infinity:
                raise nan_error(name, where)
            counts += _digit_counts(keys, shift, prefix)
        if prefix is None and shift == 0 and bool(counts[infinity + 1 :].any()):
            raise nan_error(name, where)
        yield name, counts


def _digit_counts(keys: Tensor, shift: int, prefix: int | None) -> Tensor:
    if prefix is not None:
        keys = keys[(keys >> (shift + _DIGIT)) == prefix]
    digits = keys if keys.dtype == torch.int16 else (keys >> shift) & ((1 << _DIGIT) - 1)
    return torch.bincount(digits, minlength=1 << _DIGIT)


def nan_error(name: str, where: str) -> InvalidValueError:
    """The refusal of a weight that holds NaN."""
    return InvalidValueError(
        f"{where}: {name} holds NaN, so its weights cannot be ranked. Exclude it, or repair the checkpoint."
    )
