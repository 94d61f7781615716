"""Keep exactly k of many scores: a radix select over order-preserving integer keys, without sorting or concatenating.

A float read as an integer, with the lower bits of negatives flipped, is an integer with the same order. The k-th
largest key is found sixteen bits at a time from histograms (two passes for float32, one for half, four for float64);
one more pass writes the masks. Cost: O(n) time whatever the values are, and working memory of one chunk beside the n
bytes of the result. Up to `_SMALL` entries the counters would cost more than the entries: there torch's quickselect
over one copy of them finds the same threshold.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pruneproof.checks import require_integer
from pruneproof.errors import InvalidTypeError, InvalidValueError, described

from .autocast import without_autocast
from .backend import Choice, require_tensors
from .batching import map_over_slices

_CHUNK = 1 << 20  # scores per step: small enough for the cache, large enough to hide the cost of a call
_SMALL = 1 << 16  # entries below which clearing and summing the counters costs more than one copy of the entries
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
    return select_top_k([tensor.detach() for tensor in tensors], k) if len(tensors) else []


def plan(tensors: Sequence[Tensor], k: int) -> Choice:
    """What `top_k_masks` would run."""
    return Choice("top_k_masks", "reference", "radix select", "torch operations on every device")


@torch.library.custom_op("pruneproof::top_k_masks", mutates_args=())
@without_autocast
def select_top_k(tensors: list[Tensor], k: int) -> list[Tensor]:
    """The operation behind `top_k_masks`; values are checked here, where a compiled graph has them too."""
    for tensor in tensors:
        _refuse_nan(tensor)
    if k == 0:
        return [torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device) for tensor in tensors]
    common = _common_dtype(tensors)
    threshold, ties = _kth_largest(tensors, k, common)
    masks: list[Tensor] = []
    for tensor in tensors:
        mask, ties = _mask(tensor, threshold.to(tensor.device), ties)
        masks.append(mask)
    return masks


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


def _refuse_nan(tensor: Tensor) -> None:
    if tensor.numel() and bool(tensor.aminmax().min.isnan()):  # NaN as soon as one entry is
        raise InvalidValueError("top_k_masks: scores with NaN cannot be ordered. Find out where the NaN comes from.")


def _common_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    common = tensors[0].dtype
    for tensor in tensors[1:]:
        common = torch.promote_types(common, tensor.dtype)
    return common


def _chunks(tensor: Tensor) -> Iterator[Tensor]:
    return iter(tensor.detach().reshape(-1).split(_CHUNK))


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


def _kth_largest(tensors: Sequence[Tensor], k: int, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The k-th largest value, with how many of the entries equal to it are among the k largest."""
    small = sum(tensor.numel() for tensor in tensors) <= _SMALL
    return kth_of_copy(tensors, k, dtype) if small else kth_by_radix(tensors, k, dtype)


def kth_of_copy(tensors: Sequence[Tensor], k: int, dtype: torch.dtype) -> tuple[Tensor, int]:
    """The same by quickselect over one copy of all entries."""
    values = torch.cat([tensor.detach().reshape(-1).to("cpu", dtype) for tensor in tensors])
    threshold = values.kthvalue(len(values) - k + 1).values
    return threshold, k - int((values > threshold).count_nonzero())


def kth_by_radix(tensors: Sequence[Tensor], k: int, dtype: torch.dtype) -> tuple[Tensor, int]:
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
    return _float(prefix, dtype), wanted


def _digit_counts(keys: Tensor, shift: int, prefix: int | None) -> Tensor:
    """How often each value of the sixteen bits above `shift` occurs, among keys whose higher bits are the prefix."""
    if prefix is None:
        digits = (keys >> shift).to(torch.int32) + (1 << (_DIGIT - 1))
    else:
        digits = (keys[(keys >> (shift + _DIGIT)) == prefix] >> shift) & ((1 << _DIGIT) - 1)
    return torch.bincount(digits, minlength=1 << _DIGIT)


def _mask(tensor: Tensor, threshold: Tensor, ties: int) -> tuple[Tensor, int]:
    """The entries above the threshold and the first `ties` equal to it; returns the ties left for later tensors."""
    mask = torch.empty(tensor.numel(), dtype=torch.bool, device=tensor.device)
    for chunk, kept in zip(_chunks(tensor), mask.split(_CHUNK), strict=True):
        values = chunk.to(threshold.dtype)  # comparing with a scalar of a wider type would round the scalar
        torch.ge(values, threshold, out=kept)
        equal = values == threshold
        surplus = int(equal.count_nonzero()) - ties
        if surplus > 0:
            kept[equal.nonzero()[ties:, 0]] = False
        ties = max(0, -surplus)
    return mask.view(tensor.shape), ties
