"""Derivatives of a network from `sparsify` are those of the plain one with zeros, whichever transform asks for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import magnitude, make_permanent, sparsify

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of torch itself

X, ALONG = torch.randn(2, 3, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FORMATS = ("masked", "csr16", "bsr64", "bsr128")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 2)).double()


def of_biases(model: nn.Module) -> Tensor:
    """A tangent kernel in the biases, which every format keeps as parameters."""
    biases = {name: each.detach() for name, each in model.named_parameters() if name.endswith("bias")}
    jacobians = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (X,)))(biases)
    rows = torch.cat([each.flatten(2) for each in jacobians.values()], 2).flatten(0, 1)
    return rows @ rows.T


TRANSFORMS: dict[str, Callable[[nn.Module], Tensor]] = {
    "jvp": lambda model: torch.func.jvp(model, (X,), (ALONG,))[1],
    "vjp": lambda model: torch.func.vjp(model, X)[1](torch.ones(3, 2, dtype=torch.float64))[0],
    "jacrev": lambda model: torch.func.jacrev(model)(X),
    "jacfwd": lambda model: torch.func.jacfwd(model)(X),
    "per-example gradients": lambda model: torch.func.vmap(torch.func.grad(lambda x: model(x[None]).square().sum()))(X),
    "tangent kernel": of_biases,
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_transform_of_a_sparse_network_is_that_of_the_plain_one(transform: str, format: str) -> None:
    model = network()
    sparse = sparsify(model, magnitude(model, density=0.3), format=format)
    plain = make_permanent(sparse)
    found, right = (TRANSFORMS[transform](each) for each in (sparse, plain))
    assert bool(right.any()) and torch.allclose(found, right, rtol=1e-9, atol=1e-9)
