"""How many weights each layer keeps, as whole numbers that add up exactly to the count asked for.

A rule (uniform or ERK) gives every layer a share. A layer keeps the nearest whole number to λ·share, or all its weights
if that is fewer, with one λ for all layers that makes the sum right: Webster's divisor method with capacities. Unlike
largest remainders it is monotone (a larger count takes from no layer), so that masks of falling density are nested.
It is the same as giving the weights out one at a time, each to the layer of largest share / (2·kept + 1) that is not
full, ties to the earlier layer. Arithmetic is exact (rational numbers).
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush

from pruneproof.checks import require_fraction, require_integer
from pruneproof.errors import InvalidValueError


def kept_count(density: float | None, total: int, *, where: str) -> int:
    """How many of `total` weights a density keeps: the nearest whole number to density × total, halves rounded up.

    Args:
        density: The kept fraction, in (0, 1].
        total: The number of weights.
        where: The public function that asks, for the error message.

    Raises:
        InvalidTypeError: The density is no number.
        InvalidValueError: It lies outside (0, 1], or is so small that not one weight is left.

    Example:
        >>> kept_count(0.1, 25, where="select")
        3
    """
    remedy = "Pass the fraction of weights to keep, such as 0.1."
    fraction = Fraction(require_fraction(where, "the density", density, one=True, remedy=remedy))
    count = math.floor(fraction * total + Fraction(1, 2))
    if count == 0:
        raise InvalidValueError(
            f"{where}: a density of {density} keeps none of {total} weights. "
            f"Pass at least {1 / total:.3g}, the density of one weight."
        )
    return count


def row_count(density: float | None, length: int, name: str, *, where: str) -> int:
    """How many weights each row of a layer keeps: the nearest whole number to length × density, halves rounded up.

    Args:
        density: The kept fraction, in (0, 1].
        length: The number of weights in a row.
        name: The layer, for the error message.
        where: The public function that asks, for the error message.

    Raises:
        InvalidValueError: No weight of the row would be left.

    Example:
        >>> row_count(0.25, 6, "weight", where="select")
        2
    """
    kept_count(density, 10**9, where=where)  # refuses what is no density
    count = math.floor(Fraction(density or 0) * length + Fraction(1, 2))
    if count == 0:
        raise InvalidValueError(
            f"{where}: density {density} empties every row of {name}, which has {length} weights per row. "
            f"Pass at least {1 / length:.3g}, or leave the layer out."
        )
    return count


def uniform(sizes: Sequence[int], count: int) -> list[int]:
    """Give every layer the same density, as nearly as whole numbers allow.

    Example:
        >>> uniform([10, 30], 8)
        [2, 6]
    """
    return _apportioned(sizes, sizes, count)


def erk(shapes: Sequence[Sequence[int]], count: int) -> list[int]:
    """Erdős–Rényi-kernel budgets: weights in proportion to the sum of a layer's dimensions, at most all of them.

    A layer of shape (n_out, n_in, height, width) has density ∝ (n_out + n_in + height + width) / (n_out n_in height
    width); a single number counts as one by one. Where that exceeds one the layer is dense and the others share what is
    left, until none exceeds its size.

    Source: Mocanu et al. 2018 (Erdős–Rényi), Evci et al. 2020 (the kernel form).

    Example:
        >>> erk([(2, 2), (10, 10)], 30)  # the small layer would be due 5 and is full
        [4, 26]
    """
    return _apportioned([max(1, sum(shape)) for shape in shapes], [math.prod(shape) for shape in shapes], count)


def _apportioned(shares: Sequence[int], sizes: Sequence[int], count: int) -> list[int]:
    scale = _scale(shares, sizes, count)
    half = Fraction(1, 2)
    kept = [min(size, math.floor(scale * share + half)) for share, size in zip(shares, sizes, strict=True)]
    if sum(kept) < count:
        _give(kept, shares, sizes, count - sum(kept))
    else:
        _take(kept, shares, sum(kept) - count)
    return kept


def _give(kept: list[int], shares: Sequence[int], sizes: Sequence[int], number: int) -> None:
    """Weights to the layers of largest share / (2·kept + 1) that are not full, ties to the earlier."""
    heap = [(-Fraction(shares[i], 2 * kept[i] + 1), i) for i in range(len(kept)) if kept[i] < sizes[i]]
    heapify(heap)
    for _ in range(number):
        layer = heappop(heap)[1]
        kept[layer] += 1
        if kept[layer] < sizes[layer]:
            heappush(heap, (-Fraction(shares[layer], 2 * kept[layer] + 1), layer))


def _take(kept: list[int], shares: Sequence[int], number: int) -> None:
    """The weights given last: those of smallest share / (2·kept − 1), ties from the later layer."""
    heap = [(Fraction(shares[i], 2 * kept[i] - 1), -i) for i in range(len(kept)) if kept[i]]
    heapify(heap)
    for _ in range(number):
        layer = -heappop(heap)[1]
        kept[layer] -= 1
        if kept[layer]:
            heappush(heap, (Fraction(shares[layer], 2 * kept[layer] - 1), -layer))


def _scale(shares: Sequence[int], sizes: Sequence[int], count: int) -> Fraction:
    """The λ with Σ min(size, λ·share) = count: whoever overflows is full, and the others share the rest."""
    free, rest = list(range(len(sizes))), count
    while True:
        scale = Fraction(rest, sum(shares[layer] for layer in free))
        full = [layer for layer in free if scale * shares[layer] > sizes[layer]]
        if not full:
            return scale
        rest -= sum(sizes[layer] for layer in full)
        free = [layer for layer in free if layer not in full]


def layer_counts(wanted: Mapping[str, int], sizes: Mapping[str, int], *, where: str) -> dict[str, int]:
    """Check counts given layer by layer, for example copied from another mask by `Masks.counts`."""
    if wanted.keys() != sizes.keys():
        raise InvalidValueError(
            f"{where}: counts by layer are needed for {', '.join(sizes)}, got some for {', '.join(map(str, wanted))}. "
            "Name every layer once."
        )
    for name, size in sizes.items():
        require_integer(where, f"the count of {name}", wanted[name], least=0, most=size)
    if not any(wanted.values()):
        raise InvalidValueError(f"{where}: all counts are 0, so nothing would be kept. Raise one of them.")
    return {name: wanted[name] for name in sizes}
