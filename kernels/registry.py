"""One row per operation: name, dtypes, error bound, what would run, and where its Triton bodies have been measured.

Tests, benchmarks, `doctor` and the documentation iterate over `operations()`; adding a row adds its tests. Every row is
registered with `torch.library`: `torch.compile(fullgraph=True)` keeps it in one graph, `vmap` maps over it, and values
are checked when it runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pruneproof.errors import InvalidTypeError, UnknownNameError, described

from . import top_k
from .backend import FLOATS, Choice
from .greedy import op as greedy
from .masked import op as masked
from .sensitivity import op as sensitivity
from .sparse import op as sparse


@dataclass(frozen=True)
class Op:
    """An operation of this package.

    Args:
        name: Its public name.
        call: The public function.
        dtypes: What it accepts.
        tolerance: The error bound in words and symbols.
        plan: Arguments → the `Choice` of implementation.
        measured_on: The GPUs whose measurements are in bench/results; empty means that no GPU has
            run it.

    Example:
        >>> [op.name for op in operations()][:2]
        ['greedy_select', 'masked_linear']
    """

    name: str
    call: Callable[..., Any]
    dtypes: tuple[torch.dtype, ...]
    tolerance: str
    plan: Callable[..., Choice]
    measured_on: tuple[str, ...] = ()


def operations() -> tuple[Op, ...]:
    """Every operation, in alphabetical order.

    Example:
        >>> all(op.measured_on == () for op in operations())
        True
    """
    return _OPERATIONS


def explain_plan(op: str | Callable[..., Any], *args: Any) -> Choice:
    """What would run for these arguments, and why; nothing is computed.

    Args:
        op: The operation or its name.
        args: The arguments it would be called with.

    Returns:
        The implementation and the reason for it.

    Raises:
        PruneproofError: For an unknown operation, and where the chosen backend cannot run.

    Source: backend.py.

    Example:
        >>> import torch
        >>> choice = explain_plan("sensitivities", torch.ones(2, 3), torch.ones(4, 3))
        >>> choice.backend, choice.reason
        ('reference', 'the reference is the implementation on cpu')
    """
    for row in _OPERATIONS:
        if op in (row.name, row.call):
            return _planned(row, args)
    names = ", ".join(row.name for row in _OPERATIONS)
    raise UnknownNameError(
        f"explain_plan: no operation is called {described(op)}. Pass the name or the function of one of {names}."
    )


def _planned(row: Op, args: tuple[Any, ...]) -> Choice:
    """The plan for these arguments; a plan reads shapes and devices only, so it can fail by their types alone."""
    try:
        return row.plan(*args)
    except (TypeError, AttributeError) as error:
        shown = ", ".join(map(described, args))
        raise InvalidTypeError(
            f"explain_plan: ({shown}) are not the arguments of {row.name}. Pass what {row.name} would be called with."
        ) from error


_LINEAR = "|error| ≤ γ_{in+1}·(|x||W|ᵀ + |b|) + u_out·|y|, γ_n = n·u/(1 − n·u), u the accumulator's roundoff"
_OPERATIONS = (
    Op(
        "greedy_select",
        greedy.greedy_select,
        (torch.float64, torch.float32),
        "exact: the choices of float64",
        greedy.plan,
    ),
    Op("masked_linear", masked.masked_linear, FLOATS, _LINEAR, masked.plan),
    Op(
        "sensitivities",
        sensitivity.sensitivities,
        FLOATS,
        "|error| ≤ γ_{in+8}·s + u_out·s, γ_n = n·u/(1 − n·u), u the accumulator's unit roundoff",
        sensitivity.plan,
    ),
    Op("sparse_linear", sparse.sparse_linear, FLOATS, _LINEAR, sparse.plan),
    Op("top_k_masks", top_k.top_k_masks, FLOATS, "exact", top_k.plan),
)
