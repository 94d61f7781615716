"""Operations that every kind of derivative sees: reverse and forward mode, vmap, their compositions, and compilers.

`torch.library` gives an operation a reverse-mode derivative and lets compilers keep it in one graph,
but `torch.func` and forward mode do not see through it. `transformable` therefore calls the operation
through a `torch.autograd.Function` that knows all of them, except under a compiler, which takes the
operation itself.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pruneproof.errors import UnsupportedError

Rule = Callable[..., Any]


def transformable(op: Any, *, save: Rule, backward: Rule, jvp: Rule, vmap: Rule) -> Callable[..., Tensor]:
    """Give an operation of `torch.library.custom_op` all its derivatives.

    Args:
        op: The operation, with one output.
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

    def call(*inputs: Any) -> Tensor:
        return op(*inputs) if torch.compiler.is_compiling() else function.apply(*inputs)

    return call


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
