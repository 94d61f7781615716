"""Under `torch.autocast` linear operations take part as `nn.Linear` does; exact ones are not touched by it."""

import pytest
import torch
from torch.nn import functional

from pruneproof.kernels import (
    BitMask,
    Gram,
    SparseWeight,
    greedy_select,
    greedy_select_many,
    masked_linear,
    sensitivities,
    sparse_linear,
    top_k_masks,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of torch itself

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(64, 64, generator=GENERATOR)
MASK = torch.rand(64, 64, generator=GENERATOR) < 0.5
X = torch.randn(5, 64, generator=GENERATOR)
FEATURES = torch.randn(300, 400, generator=GENERATOR).relu()
PACKED, SPARSE = BitMask.pack(MASK), SparseWeight.from_dense(WEIGHT, MASK, format="csr16")
U = 2.0**-9  # unit roundoff of bfloat16


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("operation", ["masked", "sparse"])
def test_a_linear_operation_takes_the_activation_of_the_layer_before_it(operation: str) -> None:
    with autocast():
        hidden = functional.linear(X, WEIGHT)
        y = masked_linear(hidden, WEIGHT, PACKED) if operation == "masked" else sparse_linear(hidden, SPARSE)
        assert y.dtype == functional.linear(hidden, WEIGHT * MASK).dtype == torch.bfloat16
    exact = hidden.double() @ (WEIGHT * MASK).double().T
    size = hidden.double().abs() @ (WEIGHT * MASK).double().abs().T
    # two roundings to bfloat16, of the weight and of the result; sums in float32, far below them
    assert torch.all((y.double() - exact).abs() <= U * (1 + U) * size + U * exact.abs() + 65 * 2.0**-23 * size)


def test_gradients_under_autocast_reach_the_float32_parameter() -> None:
    weight = WEIGHT.clone().requires_grad_()
    with autocast():
        masked_linear(X, weight, PACKED).float().square().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32
    assert not weight.grad[~MASK].any()


OPERATIONS = ("masked", "csr16", "bsr64", "bsr128", "dense")  # the last four of sparse_linear


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_compiler_is_told_what_is_returned(kind: str, with_bias: bool) -> None:
    """Dtype, shape and strides, in and out of autocast, from float32 and from bfloat16 activations."""
    sparse = SPARSE if kind == "masked" else SparseWeight.from_dense(WEIGHT, MASK, format=kind)
    bias = torch.zeros(64) if with_bias else None

    def layer(inputs: torch.Tensor) -> torch.Tensor:
        if kind == "masked":
            return masked_linear(inputs, WEIGHT, PACKED, bias)
        return sparse_linear(inputs, sparse, bias)

    torch.compiler.reset()
    for inputs in (X, X.bfloat16()):
        with autocast():
            called, traced = layer(inputs), torch.compile(layer, backend="aot_eager", fullgraph=True)(inputs)
            with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:  # pyright: ignore
                fake = layer(mode.from_tensor(inputs))
        assert called.dtype == traced.dtype == fake.dtype == torch.bfloat16
        assert called.shape == traced.shape == fake.shape == (5, 64)
        assert called.stride() == traced.stride() == fake.stride()


def test_exact_operations_do_not_see_autocast() -> None:
    target = FEATURES[:30].mean(0)

    def results() -> list[torch.Tensor]:
        gram = Gram.from_features(FEATURES, target)
        paths = [greedy_select((FEATURES, target), 60, method=method) for method in ("gram", "stream", "naive")]
        paths += [greedy_select(gram, 60, rule="corrective"), *greedy_select_many([gram], 60)]
        masks = top_k_masks([FEATURES], 100)
        return [*(path.losses for path in paths), *masks, sensitivities(WEIGHT, X), gram.matrix]

    plain = results()
    with autocast():
        inside = results()
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))
