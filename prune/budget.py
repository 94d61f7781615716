"""How many weights each layer keeps, as whole numbers that add up exactly to the count asked for.

Shares come from a rule (uniform or ERK); each layer first receives its share rounded down, then the weights still
missing go one each to the largest remainders, ties to the earlier layer. Arithmetic is exact (rational numbers).
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ..errors import PruneproofError


def kept_count(density: float, total: int, *, where: str) -> int:
    """How many of `total` weights a density keeps: the nearest whole number to density × total, halves rounded up.

    **Arguments:**

    - `density`: the kept fraction, in (0, 1].
    - `total`: the number of weights.
    - `where`: the public function that asks, for the error message.

    **Raises:** `PruneproofError` for a density outside (0, 1], or so small that not one weight is left.

    Example:
        >>> kept_count(0.1, 25, where="select")
        3
    """
    if isinstance(density, bool) or not isinstance(density, int | float) or not 0 < density <= 1:
        raise PruneproofError(
            where, required="a density (kept fraction) in (0, 1]", received=density, remedy="pass e.g. density=0.1"
        )
    count = math.floor(Fraction(density) * total + Fraction(1, 2))
    if count == 0:
        raise PruneproofError(
            where,
            required=f"a density that keeps at least one of {total} weights",
            received=density,
            remedy=f"pass at least density={1 / total:.3g}, or count=1",
        )
    return count


def uniform(sizes: Sequence[int], count: int) -> list[int]:
    """Give every layer the same density, within one weight.

    Example:
        >>> uniform([10, 30], 8)
        [2, 6]
    """
    return _rounded([Fraction(count * size, sum(sizes)) for size in sizes], count)


def erk(shapes: Sequence[Sequence[int]], count: int) -> list[int]:
    """Erdős–Rényi-kernel budgets: weights in proportion to the sum of a layer's dimensions, at most all of them.

    A layer of shape (n_out, n_in, height, width) has density ∝ (n_out + n_in + height + width) / (n_out n_in height
    width). Where that exceeds one the layer is dense and the others share what is left, until none exceeds its size.

    Source: Mocanu et al. 2018 (Erdős–Rényi), Evci et al. 2020 (the kernel form).

    Example:
        >>> erk([(2, 2), (10, 10)], 24)  # the small layer would be due 4 and is full
        [4, 20]
    """
    sizes = [math.prod(shape) for shape in shapes]
    shares = [Fraction(sum(shape)) for shape in shapes]
    dense: set[int] = set()
    while True:
        free = [layer for layer in range(len(sizes)) if layer not in dense]
        rest = count - sum(sizes[layer] for layer in dense)
        scale = Fraction(rest) / sum(shares[layer] for layer in free) if free else Fraction(0)
        full = {layer for layer in free if scale * shares[layer] > sizes[layer]}
        if not full:
            due = [Fraction(size) if layer in dense else scale * shares[layer] for layer, size in enumerate(sizes)]
            return _rounded(due, count)
        dense |= full


def _rounded(due: Sequence[Fraction], count: int) -> list[int]:
    """Whole numbers within one of what is due, adding up to the count; a due whole number is met exactly."""
    floors = [math.floor(share) for share in due]
    by_remainder = sorted(range(len(due)), key=lambda layer: floors[layer] - due[layer])  # stable: ties to the earlier
    for layer in by_remainder[: count - sum(floors)]:
        floors[layer] += 1
    return floors


def layer_counts(wanted: Mapping[str, int], sizes: Mapping[str, int], *, where: str) -> dict[str, int]:
    """Check counts given layer by layer, for example copied from another mask by `Masks.counts`."""
    if wanted.keys() != sizes.keys():
        raise PruneproofError(
            where,
            required=f"one count for each of {list(sizes)}",
            received=list(wanted),
            remedy="name every layer once",
        )
    for name, size in sizes.items():
        if isinstance(wanted[name], bool) or not isinstance(wanted[name], int) or not 0 <= wanted[name] <= size:
            raise PruneproofError(
                where,
                required=f"a whole number between 0 and {size} for {name}",
                received=wanted[name],
                remedy="keep no more weights than there are",
            )
    if not any(wanted.values()):
        raise PruneproofError(where, required="at least one weight kept", received=0, remedy="raise a count")
    return {name: wanted[name] for name in sizes}
