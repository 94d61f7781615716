"""The masked map on a CPU gives the same numbers and derivatives at every density and of every order."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pruneproof.kernels import BitMask, masked_linear
from pruneproof.kernels.masked import cpu, reference

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of torch itself
SIZE = (270, 260)  # above `cpu.LEAST`
DENSITIES = (0.0, 0.05, 0.6)
ARGUMENTS = pytest.mark.parametrize("promised", [False, True])


@pytest.fixture(autouse=True)
def some_size() -> None:
    assert SIZE[0] * SIZE[1] >= cpu.LEAST


def problem(density: float, tokens: int, dtype: torch.dtype, promised: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(SIZE, generator=g) < density
    weight, x = torch.randn(SIZE, generator=g, dtype=dtype), torch.randn(tokens, SIZE[1], generator=g, dtype=dtype)
    weight = torch.where(mask, weight, 0.0 if promised else torch.nan)
    return x.requires_grad_(), weight.requires_grad_(), mask, torch.randn(tokens, SIZE[0], generator=g, dtype=dtype)


def exact(x: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """The definition."""
    return torch.nn.functional.linear(x, torch.where(mask, weight, 0))


@ARGUMENTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tokens", [1, 7, 40])
@pytest.mark.parametrize("density", DENSITIES)
def test_outputs_and_gradients_are_within_rounding(
    density: float, tokens: int, dtype: torch.dtype, promised: bool
) -> None:
    x, weight, mask, dy = problem(density, tokens, dtype, promised)
    wide = [t.detach().double().requires_grad_() for t in (x, weight)]
    absolute = [torch.where(mask, weight, 0).detach().double().abs(), x.detach().double().abs(), dy.double().abs()]
    y = exact(wide[0], wide[1], mask)
    expected = [y, *torch.autograd.grad(y, wide, dy.double())]
    sizes = [absolute[1] @ absolute[0].T, absolute[2] @ absolute[0], (absolute[2].T @ absolute[1]) * mask]
    unit = torch.finfo(dtype).eps / 2
    for either in (mask, BitMask.pack(mask)):
        y = masked_linear(x, weight, either, weight_is_masked=promised)
        found = [y, *torch.autograd.grad(y, (x, weight), dy)]
        for value, target, size, terms in zip(found, expected, sizes, (SIZE[1], SIZE[0], tokens), strict=True):
            roundings = 2 * (terms + 1)  # of both sides, which matters in float64 alone
            bound = roundings * unit / (1 - roundings * unit) * size
            assert bool(((value.double() - target).abs() <= bound).all())


@ARGUMENTS
@pytest.mark.parametrize("density", DENSITIES)
def test_every_other_derivative_agrees_with_plain_torch(density: float, promised: bool) -> None:
    """Second order, several gradients at once, forward mode, per-example gradients, leading dimensions, a bias."""
    x, weight, mask, dy = problem(density, 6, torch.float64, True)
    bias = torch.randn(SIZE[0], dtype=torch.float64, requires_grad=True)

    def ours(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return masked_linear(x.view(2, 3, -1), w, mask, b, weight_is_masked=promised).flatten(0, 1)

    def plain(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return exact(x, w, mask) + b

    def second(f: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        inputs = x, weight, bias
        first = torch.autograd.grad(f(*inputs).square().sum(), inputs, create_graph=True)
        return torch.autograd.grad([g.square().sum() for g in first], inputs)

    def batched(f: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            f(x, weight, bias), (x, weight), torch.stack([dy, dy.square()]), is_grads_batched=True
        )

    def forward(f: Callable[..., Tensor]) -> Tensor:
        at = x.detach(), weight.detach(), bias.detach()
        return torch.func.jvp(f, at, (at[0] + 1, at[1].square() * mask, at[2]))[1]

    def composed(f: Callable[..., Tensor]) -> Tensor:
        return torch.func.grad(lambda w: f(x.detach(), w, bias.detach()).square().sum())(weight.detach())

    for derivative in (second, batched, forward, composed):
        torch.testing.assert_close(derivative(ours), derivative(plain), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("density", DENSITIES)
def test_scores_get_the_dense_gradient(density: float) -> None:
    x, weight, mask, dy = problem(density, 6, torch.float64, False)
    (found,) = torch.autograd.grad(masked_linear(x, weight, mask, mask_grad=False), weight, dy)
    torch.testing.assert_close(found, dy.T @ x.detach())


@pytest.mark.parametrize("density", DENSITIES)
def test_nothing_of_the_callers_is_changed(density: float) -> None:
    x, weight, mask, dy = problem(density, 6, torch.float32, True)
    before = [t.detach().clone() for t in (x, weight, mask, dy)]
    y = masked_linear(x, weight, mask)
    first = torch.autograd.grad(y, (x, weight), dy, create_graph=True)
    torch.autograd.grad(first[1], x, weight.detach())  # which goes back through the selection of dW
    assert all(map(torch.equal, before, (x.detach(), weight.detach(), mask, dy)))


def test_a_mask_that_changes_in_place_is_seen() -> None:
    x, weight, mask, _ = problem(0.05, 6, torch.float64, True)
    masked_linear(x, weight, mask)
    mask[:, 0] = True
    torch.testing.assert_close(masked_linear(x, weight, mask), exact(x, weight, mask))


def test_both_ways_are_taken() -> None:
    """Otherwise the laws above hold one of them only."""
    for density, few in ((0.05, True), (0.6, False)):
        _, weight, mask, _ = problem(density, 1, torch.float32, True)
        assert (cpu.kept_of(weight, mask) is not None) == few
        assert bool(reference.lanes(mask, SIZE[1], torch.int32).count_nonzero() == mask.count_nonzero())


@pytest.mark.parametrize("stacked", ["x", "weight", "bias", "weight and bias", "x and bias"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stack_of_maps_is_each_map_by_itself(stacked: str, dtype: torch.dtype) -> None:
    """Exactly: whole numbers that are small enough in any order and dtype."""
    g, shapes = torch.Generator().manual_seed(0), {"x": (3, 4), "weight": (5, 4), "bias": (5,)}
    stacks = {name: torch.randint(-3, 4, (2, *shape), generator=g).to(dtype) for name, shape in shapes.items()}
    shared, names = {name: stack[0] for name, stack in stacks.items()}, stacked.split(" and ")
    each = [reference.linear(**(shared | {name: stacks[name][item] for name in names})) for item in (0, 1)]
    assert torch.equal(reference.linear(**(shared | {name: stacks[name] for name in names})), torch.stack(each))
