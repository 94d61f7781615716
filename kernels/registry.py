"""One row per operation: reference, samples, refusals, error bound, and where its Triton bodies have been measured.

Tests, benchmarks, `doctor` and the documentation iterate over `operations()`; adding a row adds its tests. Every row is
registered with `torch.library`: `torch.compile(fullgraph=True)` keeps it in one graph, `vmap` maps over it, and values
are checked when it runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError, described

from . import samples as draw
from . import top_k
from .backend import FLOATS, Choice
from .greedy import op as greedy
from .masked import op as masked
from .sensitivity import op as sensitivity
from .sparse import op as sparse_product


@dataclass(frozen=True)
class Op:
    """An operation of this package.

    Arguments:
        name: its public name.
        call: the public function.
        reference: the same function in float64 torch, from the definition; returns one tensor.
        samples: (generator, device, dtype, integers=False) → argument tuples; odd, empty, strided, misaligned shapes.
        refusals: device → (arguments, a part of the error message).
        dtypes: what it accepts.
        tolerance: the error bound in words and symbols.
        bound: (arguments, reference result, dtype) → the elementwise bound; all zero for an exact operation.
        plan: arguments → the `Choice` of implementation.
        measured_on: the GPUs whose measurements are in bench/results; empty means that no GPU has run it.

    Example:
        >>> [op.name for op in operations()][:2]
        ['greedy_select', 'masked_linear']
    """

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Tensor]
    samples: Callable[..., list[tuple[Any, ...]]]
    refusals: Callable[[str], list[tuple[tuple[Any, ...], str]]]
    dtypes: tuple[torch.dtype, ...]
    tolerance: str
    bound: Callable[[tuple[Any, ...], Tensor, torch.dtype], Tensor]
    plan: Callable[..., Choice]
    measured_on: tuple[str, ...] = ()


def operations() -> tuple[Op, ...]:
    """Every operation, in alphabetical order.

    Example:
        >>> all(op.measured_on == () for op in operations())
        True
    """
    return _OPERATIONS


def which(op: str | Callable[..., Any], *args: Any) -> Choice:
    """What would run for these arguments, and why; nothing is computed.

    **Arguments**
    - `op`: the operation or its name.
    - `args`: the arguments it would be called with.

    Raises PruneproofError for an unknown operation, and where the chosen backend cannot run.

    Source: backend.py.

    >>> import torch
    >>> choice = which("sensitivities", torch.ones(2, 3), torch.ones(4, 3))
    >>> choice.backend, choice.reason
    ('reference', 'the reference is the implementation on cpu')
    """
    for row in _OPERATIONS:
        if op in (row.name, row.call):
            return _planned(row, args)
    names = ", ".join(row.name for row in _OPERATIONS)
    raise PruneproofError(
        "which", required=f"one of {names}", received=described(op), remedy="pass the name or the function"
    )


def _planned(row: Op, args: tuple[Any, ...]) -> Choice:
    """The plan for these arguments; a plan reads shapes and devices only, so it can fail by their types alone."""
    try:
        return row.plan(*args)
    except (TypeError, AttributeError) as error:
        received = f"({', '.join(map(described, args))})"
        required, remedy = f"the arguments of {row.name}", f"pass what {row.name} would be called with"
        raise PruneproofError("which", required=required, received=received, remedy=remedy) from error


_OPERATIONS = (
    Op(
        "greedy_select",
        greedy.greedy_select,
        draw.greedy_reference,
        draw.greedy_samples,
        draw.greedy_refusals,
        (torch.float64, torch.float32),
        "exact: the choices of float64",
        draw.exact,
        greedy.plan,
    ),
    Op(
        "masked_linear",
        masked.masked_linear,
        draw.masked_reference,
        draw.masked_samples,
        draw.masked_refusals,
        FLOATS,
        draw.LINEAR_TOLERANCE,
        draw.masked_bound,
        masked.plan,
    ),
    Op(
        "sensitivities",
        sensitivity.sensitivities,
        draw.sensitivity_reference,
        draw.sensitivity_samples,
        draw.sensitivity_refusals,
        FLOATS,
        "|error| ≤ γ_{in+8}·s + u_out·s, γ_n = n·u/(1 − n·u), u the accumulator's unit roundoff",
        draw.sensitivity_bound,
        sensitivity.plan,
    ),
    Op(
        "sparse_linear",
        sparse_product.sparse_linear,
        draw.sparse_reference,
        draw.sparse_samples,
        draw.sparse_refusals,
        FLOATS,
        draw.LINEAR_TOLERANCE,
        draw.sparse_bound,
        sparse_product.plan,
    ),
    Op(
        "top_k_masks",
        top_k.top_k_masks,
        draw.top_k_reference,
        draw.top_k_samples,
        draw.top_k_refusals,
        FLOATS,
        "exact",
        draw.exact,
        lambda tensors, k: Choice("top_k_masks", "reference", "radix select", "torch operations on every device"),
    ),
)
