"""Derivatives of every kind equal those of the dense formula; where there is none, it is refused, never zero."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from pruneproof.errors import UnsupportedError
from pruneproof.kernels import (
    BitMask,
    SparseWeight,
    greedy_select,
    masked_linear,
    sensitivities,
    sparse_linear,
    top_k_masks,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of torch itself

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT, X, BIAS, TANGENT = (
    torch.randn(*shape, generator=GENERATOR, dtype=torch.float64) for shape in ((6, 40), (3, 40), (6,), (3, 40))
)
MASK = torch.rand(6, 40, generator=GENERATOR) < 0.2
PACKED, SPARSE = BitMask.pack(MASK), SparseWeight.from_dense(WEIGHT, MASK, format="csr16")
Map = Callable[[Tensor, Tensor, Tensor], Tensor]


def dense(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return functional.linear(x, w * MASK, b)


MASKED: dict[str, Map] = {
    "bool mask": lambda x, w, b: masked_linear(x, w, MASK, b),
    "packed mask": lambda x, w, b: masked_linear(x, w, PACKED, b),
    "masked weight": lambda x, w, b: masked_linear(x, w * MASK, PACKED, b, weight_is_masked=True),
}
IN_X: dict[str, Callable[[Tensor], Tensor]] = {
    "masked": lambda x: masked_linear(x, WEIGHT, PACKED, BIAS),
    "sparse": lambda x: sparse_linear(x, SPARSE, BIAS),
}
TRANSFORMS: dict[str, Callable[[Callable[[Tensor], Tensor]], Tensor]] = {
    "jvp": lambda f: torch.func.jvp(f, (X,), (TANGENT,))[1],
    "vjp": lambda f: torch.func.vjp(f, X)[1](f(X))[0],
    "jacrev": lambda f: torch.func.jacrev(f)(X),
    "jacfwd": lambda f: torch.func.jacfwd(f)(X),
    "hessian": lambda f: torch.func.hessian(lambda x: f(x).pow(3).sum())(X),
    "per-sample gradients": lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x[None]).square().sum()))(X),
    "gradient of a mapped sum": lambda f: torch.func.grad(lambda x: torch.func.vmap(f)(x[None]).square().sum())(X),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("form", IN_X)
def test_a_transform_in_the_inputs_is_that_of_the_dense_map(form: str, transform: str) -> None:
    expected = TRANSFORMS[transform](lambda x: dense(x, WEIGHT, BIAS))
    torch.testing.assert_close(TRANSFORMS[transform](IN_X[form]), expected)


@pytest.mark.parametrize("form", MASKED)
@pytest.mark.parametrize("argument", [0, 1, 2])
def test_forward_and_reverse_mode_in_every_argument(form: str, argument: int) -> None:
    arguments = (X, WEIGHT, BIAS)
    along = torch.ones_like(arguments[argument])

    def of_one(function: Map) -> Callable[[Tensor], Tensor]:
        def at(value: Tensor) -> Tensor:
            x, w, b = (value if place == argument else other for place, other in enumerate(arguments))
            return function(x, w, b).pow(2)

        return at

    for mode in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(mode(of_one(MASKED[form]))(along), mode(of_one(dense))(along))


def test_a_dual_number_keeps_its_tangent() -> None:
    with forward_ad.dual_level():
        for linear in IN_X.values():
            value, tangent = forward_ad.unpack_dual(linear(forward_ad.make_dual(X, TANGENT)))
            torch.testing.assert_close(value, dense(X, WEIGHT, BIAS))
            torch.testing.assert_close(tangent, functional.linear(TANGENT, WEIGHT * MASK))


def test_per_sample_gradients_in_the_weight() -> None:
    def of(function: Map) -> Tensor:
        return torch.func.vmap(torch.func.grad(lambda w, x: function(x[None], w, BIAS).square().sum()), (None, 0))(
            WEIGHT, X
        )

    torch.testing.assert_close(of(MASKED["packed mask"]), of(dense))


@pytest.mark.parametrize("mode", [torch.func.jacfwd, torch.func.jacrev])
def test_operations_without_a_derivative_refuse_to_be_differentiated(
    mode: Callable[..., Callable[..., Tensor]],
) -> None:
    features = X.abs()
    for function in (lambda x: sensitivities(WEIGHT, x), lambda x: greedy_select((x, x[0]), 2).losses):
        assert not function(features.requires_grad_()).requires_grad  # outside of a transform nothing is refused
        with pytest.raises(UnsupportedError, match=r"detach\(\)"):
            mode(function)(features.detach())


class Seen(Tensor):
    """A tensor that notes what is called on it, as those of quantisation or sharding do in their own ways."""

    calls: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.calls.append(str(func))
        return super().__torch_function__(func, types, args, kwargs)


ON_SUBCLASSES: dict[str, Callable[[type[Tensor]], Tensor]] = {
    "sparse_linear": lambda kind: sparse_linear(X.as_subclass(kind), SPARSE, BIAS),
    "top_k_masks": lambda kind: top_k_masks([WEIGHT.as_subclass(kind)], 10)[0],
    "sensitivities": lambda kind: sensitivities(WEIGHT.as_subclass(kind), X.abs().as_subclass(kind)),
    "greedy_select": lambda kind: greedy_select((X.as_subclass(kind), X[0].as_subclass(kind)), 2).losses,
}


@pytest.mark.parametrize("name", ON_SUBCLASSES)
def test_a_subclass_of_tensor_is_shown_the_operation_and_gets_its_own_kind_back(name: str) -> None:
    """The short way past `torch.library` would show it the steps of the body, or read its memory behind its back."""
    Seen.calls.clear()
    found = ON_SUBCLASSES[name](Seen)
    assert type(found) is Seen
    assert f"pruneproof.{name}.default" in Seen.calls
    torch.testing.assert_close(found.as_subclass(Tensor), ON_SUBCLASSES[name](Tensor))
