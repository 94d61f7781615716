"""How operations behave under torch's own transforms: autocast, vmap, derivatives, compilers.

*Autocast*: linear maps take part as `nn.Linear` does, exact operations do not. *vmap*: an operation
that no larger operation computes together runs once per slice. *Derivatives*: `torch.library` gives an
operation a reverse-mode derivative and lets compilers keep it in one graph, but `torch.func` and
forward mode do not see through it. `transformable` therefore calls the operation through a
`torch.autograd.Function` that knows all of them, except under a compiler, which takes the operation
itself. Where none of this is at work, the body of the operation is called as it is: the way through
`torch.library` costs several times what a small operation takes.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pruneproof.errors import UnsupportedError

from .backend import device_type

P = ParamSpec("P")
R = TypeVar("R")
Rule = Callable[..., Any]


def autocast_dtype(tensor: Tensor) -> torch.dtype | None:
    """The dtype of `torch.autocast` on the device of a tensor, or None where it is off."""
    kind = device_type(tensor)
    on = kind != "meta" and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else None


def cast_like_linear(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """What `torch.autocast` hands to `nn.Linear` in place of a tensor: float64 and integers stay as they are."""
    cast = tensor.is_floating_point() and tensor.dtype != torch.float64
    return tensor.to(dtype) if cast else tensor


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function whose results are promised exactly with `torch.autocast` off on every device in use."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        on = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
        if not on:
            return function(*args, **kwargs)
        with ExitStack() as off:
            for kind in on:
                off.enter_context(torch.autocast(kind, enabled=False))
            return function(*args, **kwargs)

    return exact


def map_over_slices(operation: Any) -> None:
    """Let `vmap` call an operation of `torch.library.custom_op` once per slice and stack the results.

    Example:
        >>> from pruneproof.kernels.top_k import top_k_masks
        >>> torch.func.vmap(lambda row: top_k_masks([row], 1)[0])(torch.eye(2)).tolist()
        [[True, False], [False, True]]
    """

    def rule(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
        rows = [operation(*_slices(args, in_dims, index)) for index in range(info.batch_size)]
        if isinstance(rows[0], Tensor):
            return torch.stack(rows), 0
        stacked = type(rows[0])(torch.stack(parts) for parts in zip(*rows, strict=True))
        return stacked, type(stacked)(0 for _ in stacked)

    operation.register_vmap(rule)


def _slices(values: Any, dims: Any, index: int) -> list[Any]:
    return [_slice(value, dim, index) for value, dim in zip(values, dims, strict=True)]


def _slice(value: Any, dim: Any, index: int) -> Any:
    """A tensor's slice, what is not mapped as it is, lists entry by entry."""
    if isinstance(dim, list | tuple):
        return _slices(value, dim, index)
    return value if dim is None else value.select(dim, index)


def untransformed(*tensors: Tensor | None) -> bool:
    """Whether plain tensors are computed with as they are: no transform, forward mode, compiler or dispatch mode."""
    if (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()  # pyright: ignore[reportPrivateUsage]
        or torch._C._len_torch_dispatch_stack()  # pyright: ignore[reportPrivateUsage]
        or forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]
    ):
        return False
    for tensor in tensors:  # a loop: this runs before every operation
        if type(tensor) not in _PLAIN or (tensor is not None and mapped_gradient(tensor)):
            return False
    return True


mapped_gradient = torch._C._functorch.is_legacy_batchedtensor  # as `is_grads_batched` maps # pyright: ignore
_PLAIN = (Tensor, torch.nn.Parameter, type(None))


def transformable(op: Any, body: Rule, *, save: Rule, backward: Rule, jvp: Rule, vmap: Rule) -> Callable[..., Tensor]:
    """Give an operation of `torch.library.custom_op` all its derivatives.

    Args:
        op: The operation, with one output.
        body: The function that it was made of.
        save: `(ctx, inputs, output) -> tensors` that the two derivatives find in
            `ctx.saved_tensors`.
        backward: `(ctx, gradient) -> gradients` of the inputs, itself made of such operations.
        jvp: `(ctx, *tangents) -> tangent`; a tangent is None where an input has none.
        vmap: `(info, in_dims, *inputs) -> (output, dimension)`.

    Returns:
        A function with the inputs of the operation.
    """

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*save(ctx, inputs, output))

    def setup_both(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        tensors = save(ctx, inputs, output)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    def backward_without_lists(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return tuple(None if isinstance(part, list) else part for part in backward(ctx, gradient))

    op.register_autograd(backward, setup_context=setup)
    op.register_vmap(vmap)
    members = {
        "forward": staticmethod(lambda *inputs: op(*inputs)),
        "setup_context": staticmethod(setup_both),
        "backward": staticmethod(backward_without_lists),
        "jvp": staticmethod(jvp),
        "vmap": staticmethod(vmap),
    }
    function: Any = type("Transformable", (torch.autograd.Function,), members)

    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = body(*inputs)
        setup(ctx, inputs, output)
        return output

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward_without_lists)}
    reverse: Any = type("Reverse", (torch.autograd.Function,), members)

    def call(*inputs: Any) -> Tensor:
        tensors = _tensors(inputs)
        if not untransformed(*tensors):
            return op(*inputs) if torch.compiler.is_compiling() else function.apply(*inputs)
        differentiated = torch.is_grad_enabled() and any([tensor.requires_grad for tensor in tensors])
        return reverse.apply(*inputs) if differentiated else body(*inputs)

    return call


def _tensors(inputs: tuple[Any, ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in inputs:
        if isinstance(value, list):
            found += value
        elif value is not None and not isinstance(value, str | int) and isinstance(value, Tensor):
            found.append(value)
    return found


def refuse_derivatives(where: str, *tensors: Tensor) -> None:
    """Refuse tensors that a transform differentiates, for an operation without a derivative.

    A parameter that merely requires a gradient is not refused: the result does not require one, and
    reverse mode shows that. Under `torch.func` and in forward mode the result would have a
    derivative of zero without a word.

    Args:
        where: The function that the user called.
        tensors: Its tensors.

    Raises:
        UnsupportedError: One of them carries a tangent or is differentiated by `torch.func`.
    """
    if torch.compiler.is_compiling():
        return  # a compiler has no transforms of torch.func here, and cannot trace the question
    for tensor in tensors:
        if torch._C._functorch.is_gradtrackingtensor(tensor) or _tangent(tensor) is not None:  # pyright: ignore
            raise UnsupportedError(
                f"{where}: this operation has no derivative, and its tensors are being differentiated. "
                "Call it on tensor.detach(), outside of torch.func.grad and torch.func.jvp."
            )


def _tangent(tensor: Tensor) -> Tensor | None:
    return forward_ad.unpack_dual(tensor).tangent if forward_ad._current_level >= 0 else None  # pyright: ignore
