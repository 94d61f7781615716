"""The laws of a kernel: oracle within a derived error, exactness on integers, purity, determinism, layout, gradient."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.autograd import gradcheck

from .law import Law

Inputs = tuple[Tensor, ...]
Outputs = Tensor | Sequence[Tensor]
Kernel = Callable[..., Outputs]
Tolerance = Callable[..., Outputs]


def kernel_laws(
    kernel: Kernel,
    reference: Kernel,
    inputs: Sequence[Inputs],
    tolerance: Tolerance | None = None,
    *,
    gradient: bool = False,
) -> tuple[Law, ...]:
    """The laws that a kernel must obey, to be called one by one.

    Args:
        kernel: Tensors → a tensor or a sequence of tensors.
        reference: The definition, of the same signature; called on float64 copies of the inputs.
        inputs: Tuples of tensors to try; include sizes of zero, one, and no multiple of any block.
        tolerance: Of the same signature, called on float64 copies; the largest permitted error of
            each output entry, derived from the arithmetic (for a dot product of n terms
            γ_n·|x|·|w|), never tuned. `None`: exact equality.
        gradient: Whether the kernel is differentiable in its floating-point inputs.

    Returns:
        The laws `oracle`, `integers` (exact equality when the inputs are rounded to quarters, whose
        sums are exact), `purity`, `determinism`, `layout` (strided inputs give what contiguous ones
        give, within twice the tolerance) and, if asked for, `gradient` (central differences in
        float64).

    Example:
        >>> x = torch.tensor([1.0, -2.0, 0.25])
        >>> for law in kernel_laws(torch.relu, lambda x: x.clamp(min=0), [(x,)], gradient=True):
        ...     law()
    """
    permitted = _exactly(reference) if tolerance is None else tolerance
    laws = [
        Law(
            "oracle",
            "within the tolerance of the float64 reference",
            partial(_oracle, kernel, reference, permitted, inputs),
        ),
        Law(
            "integers",
            "equal to the reference on small multiples of a quarter",
            partial(_integers, kernel, reference, inputs),
        ),
        Law("purity", "the inputs are left as they were", partial(_purity, kernel, inputs)),
        Law("determinism", "two calls give the same bits", partial(_determinism, kernel, inputs)),
        Law("layout", "strides do not matter", partial(_layout, kernel, permitted, inputs)),
    ]
    if gradient:
        laws.append(
            Law("gradient", "the derivative is that of central differences", partial(_gradient, kernel, inputs))
        )
    return tuple(laws)


def _exactly(reference: Kernel) -> Tolerance:
    return lambda *inputs: [torch.zeros_like(output, dtype=torch.float64) for output in _listed(reference(*inputs))]


def _listed(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _wide(inputs: Inputs) -> Inputs:
    return tuple(each.detach().double() if each.is_floating_point() else each for each in inputs)


def _compared(found: Outputs, wanted: Outputs, permitted: Outputs | None) -> str | None:
    """What differs, entry by entry; NaN and infinity must be met by the same."""
    ours, theirs = _listed(found), _listed(wanted)
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        return f"shapes {[tuple(each.shape) for each in ours]} instead of {[tuple(each.shape) for each in theirs]}"
    allowed = [torch.zeros((), dtype=torch.float64)] * len(ours) if permitted is None else _listed(permitted)
    for index, (our, their, most) in enumerate(zip(ours, theirs, allowed, strict=True)):
        if most.ndim and most.shape != our.shape:
            return f"output {index}: shape {tuple(our.shape)}, tolerance of shape {tuple(most.shape)}"
        error = (our.detach().double() - their.detach().double()).abs()
        same = (our == their) | (our.isnan() & their.isnan())
        excess = ~same & ~(error <= most)
        if bool(excess.any()):
            worst = float(error[excess].max())
            return f"output {index}: {int(excess.sum())} entries of {excess.numel()} off, by up to {worst:.3g}"
    return None


def _oracle(kernel: Kernel, reference: Kernel, permitted: Tolerance, inputs: Sequence[Inputs]) -> str | None:
    for each in inputs:
        wide = _wide(each)
        broken = _compared(kernel(*each), reference(*wide), permitted(*wide))
        if broken is not None:
            return f"{_shapes(each)}: {broken}"
    return None


def _integers(kernel: Kernel, reference: Kernel, inputs: Sequence[Inputs]) -> str | None:
    for each in inputs:
        quarters = tuple((x.detach().clamp(-4, 4) * 4).round() / 4 if x.is_floating_point() else x for x in each)
        broken = _compared(kernel(*quarters), reference(*_wide(quarters)), None)
        if broken is not None:
            return f"{_shapes(each)}: {broken}"
    return None


def _purity(kernel: Kernel, inputs: Sequence[Inputs]) -> str | None:
    for each in inputs:
        copies = [x.detach().clone() for x in each]
        kernel(*each)
        for index, (x, copy) in enumerate(zip(each, copies, strict=True)):
            if _compared(x, copy, None) is not None:
                return f"{_shapes(each)}: input {index} changed"
    return None


def _determinism(kernel: Kernel, inputs: Sequence[Inputs]) -> str | None:
    for each in inputs:
        broken = _compared(kernel(*each), kernel(*each), None)
        if broken is not None:
            return f"{_shapes(each)}: {broken}"
    return None


def _layout(kernel: Kernel, permitted: Tolerance, inputs: Sequence[Inputs]) -> str | None:
    """Every second entry of a larger tensor whose dimensions are stored in reverse."""
    for each in inputs:
        strided = tuple(_strided(x) for x in each)
        twice = [2 * most for most in _listed(permitted(*_wide(each)))]
        broken = _compared(kernel(*strided), kernel(*each), twice)
        if broken is not None:
            return f"{_shapes(each)}: {broken}"
    return None


def _strided(tensor: Tensor) -> Tensor:
    if tensor.ndim == 0:
        return tensor
    values = tensor.detach()
    reverse = tuple(reversed(range(values.ndim)))
    larger = values.permute(reverse).repeat_interleave(2, dim=0).contiguous()
    return larger[::2].permute(reverse)


def _gradient(kernel: Kernel, inputs: Sequence[Inputs]) -> str | None:
    for each in inputs:
        wide = tuple(x.requires_grad_(True) if x.is_floating_point() else x for x in _wide(each))
        try:
            gradcheck(kernel, wide)
        except RuntimeError as error:  # gradcheck's own way to say that they differ
            return f"{_shapes(each)}: {str(error).splitlines()[0]}"
    return None


def _shapes(inputs: Inputs) -> str:
    return "inputs of shape " + ", ".join(str(tuple(x.shape)) for x in inputs)
