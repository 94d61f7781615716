"""Registration with torch: derivatives of first and second order, fake tensors, compilation, vmap, memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pruneproof.kernels import BitMask, SparseWeight, masked_linear, sensitivities, sparse_linear
from pruneproof.kernels.masked.op import masked_forward, masked_input_gradient, masked_weight_gradient
from pruneproof.kernels.sparse.op import sparse_product

# Central differences of a bilinear function have no truncation error; what is left is rounding, 2⁻⁵³ times sums of a
# few terms of size 1, divided by the step 1e-6: below 1e-8.
RTOL = 1e-6


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    draw = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 3, 7), (5, 7), (5,)))
    x, weight, bias = (t.to(dtype).requires_grad_() for t in draw)
    return x, weight, torch.rand(5, 7, generator=generator) < 0.5, bias


def test_gradients_of_first_and_second_order() -> None:
    x, weight, mask, bias = problem()
    assert torch.autograd.gradcheck(lambda x, w, b: masked_linear(x, w, mask, b), (x, weight, bias), rtol=RTOL)
    assert torch.autograd.gradgradcheck(lambda x, w, b: masked_linear(x, w, mask, b), (x, weight, bias), rtol=RTOL)
    sparse = SparseWeight.from_dense(weight, mask, format="csr16")
    assert torch.autograd.gradcheck(lambda x, b: sparse_linear(x, sparse, b), (x, bias), rtol=RTOL)


@pytest.mark.parametrize("wrong", ["transposed", "unmasked", "scaled"])
def test_gradcheck_refuses_wrong_gradients(wrong: str) -> None:
    """False twins: gradients with a typical error must not pass."""
    x, weight, mask, _ = problem()
    mutants: dict[str, Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
        "transposed": lambda dy, a: (dy @ (weight * mask), (dy.T @ a.flip(0)) * mask),
        "unmasked": lambda dy, a: (dy @ (weight * mask), dy.T @ a),
        "scaled": lambda dy, a: (dy @ (weight * mask), (dy.T @ a) * mask * 1.001),
    }

    class Mutant(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(a)
            return masked_linear(a, w, mask)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return mutants[wrong](grads[0], *ctx.saved_tensors)

    flat = x.detach().flatten(0, 1).requires_grad_()
    assert not torch.autograd.gradcheck(Mutant.apply, (flat, weight), rtol=RTOL, raise_exception=False)


def test_masked_entries_are_exact_zeros_forward_and_backward() -> None:
    x, weight, mask, bias = problem(torch.float32)
    poisoned = torch.where(mask, weight, torch.tensor([torch.nan, torch.inf]).repeat(4)[:7]).detach().requires_grad_()
    clean = torch.where(mask, weight, 0).detach().requires_grad_()
    found, expected = masked_linear(x, poisoned, mask, bias), torch.nn.functional.linear(x, clean, bias)
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found.square().sum(), (x, poisoned, bias))
    reference = torch.autograd.grad(expected.square().sum(), (x, clean, bias))
    torch.testing.assert_close(gradients, (reference[0], reference[1] * mask, reference[2]))
    assert torch.all(gradients[1][~mask] == 0)


def test_scores_get_the_dense_gradient() -> None:
    x, weight, mask, _ = problem()
    (dense,) = torch.autograd.grad(masked_linear(x, weight, mask, mask_grad=False).sum(), weight)
    torch.testing.assert_close(dense, torch.ones(6, 5, dtype=torch.float64).T @ x.detach().flatten(0, 1))
    (masked,) = torch.autograd.grad(masked_linear(x, weight, mask).sum(), weight)
    assert torch.equal(masked, dense * mask)


def test_autograd_keeps_one_masked_copy_of_the_weight_and_none_of_a_masked_weight() -> None:
    x, weight, mask, bias = problem()
    assert copies_kept(x, weight, mask, bias, False) == 1
    assert copies_kept(x, torch.where(mask, weight, 0).detach().requires_grad_(), mask, bias, True) == 0


def copies_kept(x: torch.Tensor, weight: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor, is_masked: bool) -> int:
    saved: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        masked_linear(x, weight, mask, bias, weight_is_masked=is_masked)
    floats = {t.untyped_storage().data_ptr() for t in saved if t.numel() == weight.numel() and t.is_floating_point()}
    return len(floats - {weight.untyped_storage().data_ptr()})


# torch 2.14 hides this warning about itself, but not from a filter that makes errors of warnings.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck() -> None:
    x, weight, mask, bias = problem()
    flat, words = x.detach().flatten(0, 1).requires_grad_(), BitMask.pack(mask).words
    strided = weight.detach().T.contiguous().T.requires_grad_()
    dy = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    for w in (weight, strided):
        torch.library.opcheck(masked_forward, (flat, w, words, bias, None, None, "ieee", True))
        torch.library.opcheck(masked_input_gradient, (dy, w, words, "ieee"))
    for masked in (True, False):
        torch.library.opcheck(masked_weight_gradient, (dy, flat, words, "ieee", masked))
    for format in ("dense", "csr16", "bsr64"):
        parts = list(SparseWeight.from_dense(weight, mask, format=format).parts)
        torch.library.opcheck(sparse_product, (flat, parts, format, 5, bias))


def test_compiles_as_one_graph() -> None:
    x, weight, mask, bias = problem(torch.float32)
    packed, sparse = BitMask.pack(mask), SparseWeight.from_dense(weight, mask, format="csr16")

    def function(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        y = masked_linear(x, w, mask, b) + masked_linear(x, w, packed) + sparse_linear(x, sparse, b)
        return y.square().sum() + sensitivities(w.detach(), x.detach().flatten(0, 1)).sum()

    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, weight, bias), function(x, weight, bias))
    found, expected = (torch.autograd.grad(f(x, weight, bias), (x, weight, bias)) for f in (compiled, function))
    torch.testing.assert_close(found, expected)


def test_vmap_over_weights_masks_and_inputs() -> None:
    x, weight, mask, bias = problem()
    weights, masks = torch.stack([weight, 2 * weight]), torch.stack([mask, ~mask])
    found = torch.func.vmap(lambda w, m: masked_linear(x, w, m, bias))(weights, masks)
    torch.testing.assert_close(
        found, torch.stack([masked_linear(x, w, m, bias) for w, m in zip(weights, masks, strict=True)])
    )
    inputs = torch.stack([x, -x], dim=1)
    found = torch.func.vmap(lambda a: masked_linear(a, weight, mask, bias), in_dims=1)(inputs)
    torch.testing.assert_close(found, torch.stack([masked_linear(a, weight, mask, bias) for a in (x, -x)]))
    (gradient,) = torch.autograd.grad(found.sum(), weight)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))  # x and −x cancel
