# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false
"""Weights in unusual layouts, dtypes and shapes are handled, or refused in one line that names them."""

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, inspect_model, magnitude, sipp, snip, sparsify

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR")


def network(weight: nn.Parameter) -> nn.Sequential:
    model = nn.Sequential(OrderedDict(encoder=nn.Linear(8, 8), head=nn.Linear(8, 2)))
    model.encoder.weight = weight
    return model


BATCH = (torch.randn(4, 8), torch.arange(4) % 2)
ACTIONS: dict[str, Callable[[nn.Module], object]] = {
    "magnitude": lambda m: magnitude(m, density=0.5).count == 40,
    "snip": lambda m: snip(m, nn.functional.cross_entropy, BATCH, density=0.5).count == 40,
    "inspect": lambda m: inspect_model(m, input_shape=(1, 8)).density == 1,
}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_weight_in_compressed_rows(name: str) -> None:
    """A user's layer holds its weight in torch's sparse layout: pruned like any other, or refused by name."""
    torch.manual_seed(0)
    model = network(nn.Parameter(torch.randn(8, 8).to_sparse_csr()))
    try:
        assert ACTIONS[name](model)
    except PruneproofError as error:
        assert "encoder" in str(error)


def test_a_weight_in_eight_bits() -> None:
    """A user zeroes weights of a model stored in float8: they are zero, or the dtype is refused by name."""
    model = network(nn.Parameter(torch.randn(8, 8).to(torch.float8_e4m3fn), requires_grad=False))
    try:
        Masks({"encoder.weight": torch.eye(8) > 0}).apply_(model)
    except PruneproofError as error:
        assert "encoder" in str(error) and "float8" in str(error)
    else:
        assert int(model.encoder.weight.float().count_nonzero()) <= 8


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_outputs() -> None:
    """A user sparsifies a network after a layer lost its last unit: it computes the same, or is refused by name."""
    model = nn.Sequential(nn.Linear(8, 0), nn.ReLU(), nn.Linear(0, 3))
    inputs = torch.rand(4, 8)
    try:
        sparse = sparsify(
            model,
            Masks({"0.weight": torch.ones(0, 8) > 0, "2.weight": torch.ones(3, 0) > 0, "2.bias": torch.ones(3) > 0}),
            format="masked",
        )
    except PruneproofError as error:
        assert "0" in str(error)
    else:
        assert torch.equal(sparse(inputs), model(inputs))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_sensitivities_of_a_layer_without_outputs() -> None:
    """The same user prunes that network by sensitivities: a result or a refusal, not an index error."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 0), nn.ReLU(), nn.Linear(0, 8), nn.ReLU(), nn.Linear(8, 3))
    try:
        assert sipp(model, torch.rand(16, 8), density=0.9, variant="det").model(torch.rand(2, 8)).shape == (2, 3)
    except PruneproofError as error:
        assert "0" in str(error)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_that_reads_zeros_alone_is_kept_by_sensitivities() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[0].bias.zero_()
    result = sipp(model, torch.rand(16, 8), density=0.9, variant="det")
    assert bool((result.bounds["2.weight"].variant >= len(result.VARIANTS)).all())  # kept whole, or not read
