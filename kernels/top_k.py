"""Keep exactly k of many scores, without sorting or concatenating them.

On a CPU the threshold is bracketed first (Floyd and Rivest 1975): two order statistics of a sample of about n^(2/3)
scores enclose the k-th largest with near certainty. One pass marks what lies above the bracket, and the few scores
inside decide the rest by quickselect; its count proves that the bracket was right. Where it was not, where many equal
scores crowd it, and on a GPU, a radix select finds the threshold: a float read as an integer, with the lower bits of
negatives flipped, is an integer with the same order, and the k-th largest key is found sixteen bits at a time from
histograms (two passes for float32, one for half, four for float64). Either way the result is exact, the time O(n)
whatever the values are, and the working memory a chunk and a quarter of the entries at most, beside the n bytes of the
result. Up to `_SMALL` entries are copied into one array, since a call costs more than what it computes there.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from pruneproof.checks import require_integer
from pruneproof.errors import InvalidTypeError, InvalidValueError, described

from .backend import Choice, require_tensors
from .memory_order import extremes, in_memory_order
from .transforms import map_over_slices, untransformed, without_autocast

_CHUNK = 1 << 20  # scores per step: small enough for the cache, large enough to hide the cost of a call
_SMALL = 1 << 16  # entries up to which one array of all is selected from, whatever the device
_TINY = 1 << 10  # entries up to which quickselect needs no bracket
_MARGIN = 3.0  # standard deviations of a sample's order statistics between the bracket and the threshold
_INSIDE = 4  # at most one entry in so many may lie in the bracket
_NAN = "top_k_masks: scores with NaN cannot be ordered. Find out where the NaN comes from."
_DIGIT = 16  # bits resolved per pass: 65,536 counters
_KEY_DTYPE = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def top_k_masks(tensors: Sequence[Tensor], k: int) -> list[Tensor]:
    """Mark the k largest entries over all tensors.

    Among equal entries at the threshold the lowest index survives: tensors in the order given, entries of a tensor in
    row-major order. Minus zero equals zero; infinities are ordinary values. Tensors may differ in shape, dtype and
    device; a mixture of dtypes is compared in the dtype that holds them all.

    Args:
        tensors: Floating-point scores, any shapes.
        k: How many entries survive, between 0 and the number of entries.

    Returns:
        One bool tensor per input, of its shape and on its device, with exactly k `True` in all.

    Raises:
        PruneproofError: For NaN, a dtype that is not floating point, or a k out of range.

    Example:
        >>> top_k_masks([torch.tensor([1.0, 3.0, 3.0]), torch.tensor([[3.0], [0.0]])], 2)
        [tensor([False,  True,  True]), tensor([[False],
                [False]])]
    """
    _check(tensors, k)
    scores = [tensor.detach() for tensor in tensors]
    call = _select if untransformed(*scores) else select_top_k
    return call(scores, k) if scores else []


def plan(tensors: Sequence[Tensor], k: int) -> Choice:
    """What `top_k_masks` would run."""
    return Choice("top_k_masks", "reference", "radix select", "torch operations on every device")


@without_autocast
def _select(tensors: list[Tensor], k: int) -> list[Tensor]:
    """The operation behind `top_k_masks`; values are checked here, where a compiled graph has them too."""
    if 0 < sum(tensor.numel() for tensor in tensors) <= _SMALL:
        return _of_few(tensors, k)
    if any(tensor.numel() and bool(extremes(tensor)[0].isnan()) for tensor in tensors):
        raise InvalidValueError(_NAN)
    if k == 0:
        return [torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device) for tensor in tensors]
    threshold = _kth_largest([in_memory_order(tensor) for tensor in tensors], k)
    masks = [_at_least(tensor, threshold) for tensor in tensors]
    surplus = sum(_count(mask) for mask in masks) - k
    for tensor, mask in zip(reversed(tensors), reversed(masks), strict=True):
        surplus = _without_last(tensor, mask, threshold, surplus) if surplus else 0
    return masks


def _of_few(tensors: list[Tensor], k: int) -> list[Tensor]:
    """The same from one array of all entries."""
    wide = _wide(_common_dtype(tensors))
    parts = [tensor.reshape(-1).to("cpu", wide) for tensor in tensors]
    flat = parts[0] if len(parts) == 1 else torch.cat(parts)
    values = flat.numpy()
    total = len(values)
    if math.isnan(values[values.argmin()]):  # NaN as soon as one entry is
        raise InvalidValueError(_NAN)
    if k == 0:
        kept = np.zeros(total, np.bool_)
    else:
        stride = _stride(total)
        found = _within_bracket(values[::stride].copy(), [values], k, total) if total > _TINY else None
        threshold = np.partition(values, total - k)[total - k] if found is None else found
        kept = values >= threshold
        surplus = np.count_nonzero(kept) - k
        if surplus:
            kept[np.flatnonzero(values == threshold)[-surplus:]] = False
    mask = torch.from_numpy(kept)
    masks = [mask] if len(parts) == 1 else [part.clone() for part in mask.split([len(part) for part in parts])]
    masks = [m if t.ndim == 1 else m.view(t.shape) for m, t in zip(masks, tensors, strict=True)]
    return [m if t.is_cpu else m.to(t.device) for m, t in zip(masks, tensors, strict=True)]


select_top_k = torch.library.custom_op("pruneproof::top_k_masks", _select, mutates_args=())


@select_top_k.register_fake
def _(tensors: list[Tensor], k: int) -> list[Tensor]:
    return [torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device) for tensor in tensors]


map_over_slices(select_top_k)


def _check(tensors: Sequence[Tensor], k: int) -> None:
    if not isinstance(tensors, list | tuple):
        raise InvalidTypeError(f"top_k_masks: it takes a list of tensors, got {described(tensors)}. Pass [tensor].")
    for tensor in tensors:
        require_tensors("top_k_masks", **{"every entry of scores": tensor})
        if tensor.dtype not in _KEY_DTYPE:
            known = ", ".join(str(dtype).removeprefix("torch.") for dtype in _KEY_DTYPE)
            raise InvalidValueError(
                f"top_k_masks: the dtype of scores must be {known}, got {tensor.dtype}. Convert them."
            )
    total = sum(tensor.numel() for tensor in tensors)
    require_integer("top_k_masks", "k", k, least=0, most=total)


def _common_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    common = tensors[0].dtype
    for tensor in tensors[1:]:
        common = torch.promote_types(common, tensor.dtype)
    return common


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    flat = tensor.reshape(-1)
    return (flat,) if len(flat) <= _CHUNK else flat.split(_CHUNK)


def _count(mask: Tensor) -> int:
    """How many entries are true; NumPy takes a few microseconds less, which is much for few entries."""
    return int(np.count_nonzero(mask.numpy()) if mask.device.type == "cpu" else mask.count_nonzero())


def _keys(chunk: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers in the order of the floats; adding zero first turns minus zero into zero."""
    return _flipped(chunk.to(dtype).add(0.0).view(_KEY_DTYPE[dtype]))


def _float(key: int, dtype: torch.dtype) -> Tensor:
    """The float whose key this is."""
    return _flipped(torch.tensor([key], dtype=_KEY_DTYPE[dtype])).view(dtype)[0]


def _flipped(bits: Tensor) -> Tensor:
    """The lower bits of negative numbers inverted; twice is the identity."""
    kind = torch.iinfo(bits.dtype)
    return bits ^ ((bits >> (kind.bits - 1)) & kind.max)


def _kth_largest(tensors: Sequence[Tensor], k: int) -> Tensor:
    """The k-th largest value, in the dtype that holds all entries, or in float32 for 16-bit ones."""
    dtype, total = _common_dtype(tensors), sum(tensor.numel() for tensor in tensors)
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    found = kth_by_bracket(tensors, k, total, dtype) if on_cpu else None
    return kth_by_radix(tensors, k, dtype) if found is None else found


def kth_by_bracket(tensors: Sequence[Tensor], k: int, total: int, dtype: torch.dtype) -> Tensor | None:
    """The same by quickselect among the entries within a bracket; None if it holds too many, or not the threshold."""
    wide, stride = _wide(dtype), _stride(total)
    sample = np.concatenate([tensor.reshape(-1)[::stride].to(wide).numpy() for tensor in tensors])
    arrays = (chunk.to(wide).numpy() for tensor in tensors for chunk in _chunks(tensor))
    found = _within_bracket(sample, arrays, k, total)
    return None if found is None else torch.tensor(found, dtype=wide)


def _stride(total: int) -> int:
    """Every so many-th entry is sampled."""
    return round(total ** (1 / 3))


def _within_bracket(sample: np.ndarray, arrays: Iterable[np.ndarray], k: int, total: int) -> float | None:
    low, high = _bracket(sample, k / total)
    above, held = 0, 0
    inside: list[np.ndarray] = []
    for values in arrays:
        beyond, reached = values > high, values >= low
        more = np.count_nonzero(beyond)
        above, held = above + more, held + np.count_nonzero(reached) - more
        if low < high:
            if held > total // _INSIDE:
                return None
            inside.append(values[np.flatnonzero(reached ^ beyond)])
    wanted = k - above
    if not 1 <= wanted <= held:
        return None
    if low == high:
        return low
    entries = inside[0] if len(inside) == 1 else np.concatenate(inside)
    entries.partition(held - wanted)
    return float(entries[held - wanted])


def _bracket(sample: np.ndarray, fraction: float) -> tuple[float, float]:
    """Two values of a sample, now rearranged, likely to enclose the one with this fraction of entries above it."""
    size = len(sample)
    margin = 1 + _MARGIN * (size * fraction * (1 - fraction)) ** 0.5
    first, last = math.floor(size * (1 - fraction) - margin), math.ceil(size * (1 - fraction) + margin)
    sample.partition([max(first, 0), min(last, size - 1)])
    return float(sample[first]) if first >= 0 else -math.inf, float(sample[last]) if last < size else math.inf


def kth_by_radix(tensors: Sequence[Tensor], k: int, dtype: torch.dtype) -> Tensor:
    """The same from histograms of sixteen bits at a time."""
    width = torch.iinfo(_KEY_DTYPE[dtype]).bits
    prefix, wanted = 0, k
    for shift in range(width - _DIGIT, -1, -_DIGIT):
        top = shift == width - _DIGIT
        histogram = torch.zeros(1 << _DIGIT, dtype=torch.int64)
        for tensor in tensors:
            for chunk in _chunks(tensor):
                histogram += _digit_counts(_keys(chunk, dtype), shift, None if top else prefix).cpu()
        at_least = histogram.flip(0).cumsum(0)  # entry i: how many keys have one of the i + 1 largest digits
        rank = int(torch.searchsorted(at_least, wanted))
        wanted -= int(at_least[rank - 1]) if rank else 0
        digit = (1 << _DIGIT) - 1 - rank
        prefix = digit - (1 << (_DIGIT - 1)) if top else (prefix << _DIGIT) | digit  # the leading digit is signed
    return _float(prefix, dtype).to(_wide(dtype))


def _digit_counts(keys: Tensor, shift: int, prefix: int | None) -> Tensor:
    """How often each value of the sixteen bits above `shift` occurs, among keys whose higher bits are the prefix."""
    if prefix is None:
        digits = (keys >> shift).to(torch.int32) + (1 << (_DIGIT - 1))
    else:
        digits = (keys[(keys >> (shift + _DIGIT)) == prefix] >> shift) & ((1 << _DIGIT) - 1)
    return torch.bincount(digits, minlength=1 << _DIGIT)


def _at_least(tensor: Tensor, threshold: Tensor) -> Tensor:
    """Which entries are not below the threshold; NumPy compares several times faster than torch."""
    mask = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
    limit = threshold.to(tensor.device)
    for chunk, kept in zip(_chunks(tensor), _chunks(mask), strict=True):
        values = chunk.to(limit.dtype)
        if values.device.type == "cpu":
            np.greater_equal(values.numpy(), limit.numpy(), out=kept.numpy())
        else:
            torch.ge(values, limit, out=kept)
    return mask


def _without_last(tensor: Tensor, mask: Tensor, threshold: Tensor, surplus: int) -> int:
    """Take the last entries equal to the threshold out of a mask; returns how many are still too many."""
    limit, chunks = threshold.to(tensor.device), list(zip(_chunks(tensor), _chunks(mask), strict=True))
    while surplus and chunks:
        chunk, kept = chunks.pop()
        equal = (chunk.to(limit.dtype) == limit).nonzero()[:, 0]
        kept[equal[-surplus:]] = False
        surplus = max(0, surplus - len(equal))
    return surplus
