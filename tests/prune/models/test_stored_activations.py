# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
"""A model that keeps its last activations, as for distillation or attention maps, is copied like any other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import (
    connectivity,
    magnitude,
    make_permanent,
    prune_progressively,
    reinitialize,
    scores,
    sipp,
    sparsify,
    synflow,
)
from pruneproof.prune.models.evaluation import copied


class KeepsFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.features = torch.relu(self.body(x))
        return self.head(self.features)


ACTIONS: dict[str, Callable[[nn.Module], object]] = {
    "synflow": lambda m: synflow(m, (1, 8), density=0.5, iterations=2).count == 44,
    "connectivity": lambda m: connectivity(m, magnitude(m, density=1.0), (1, 8)).connected,
    "sparsify": lambda m: sparsify(m, magnitude(m, density=0.5))(torch.rand(2, 8)).shape == (2, 3),
    "progressive": lambda m: prune_progressively(m, scores.magnitude, [0.75, 0.5])[-1].count == 44,
}


@pytest.mark.parametrize("name", ACTIONS)
def test_after_a_forward_pass(name: str) -> None:
    """A user runs the model once and then prunes it: as if it had not been run."""
    torch.manual_seed(0)
    model = KeepsFeatures()
    model(torch.rand(6, 8)).sum().backward()
    assert ACTIONS[name](model)


def test_sensitivities_after_a_forward_pass() -> None:
    """The same for a method that takes the model apart: as if it had not been run, or refused as certificates are."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    model[1].features = model[:2](torch.rand(6, 8))
    model[2](model[1].features).sum().backward()
    try:
        assert sipp(model, torch.rand(16, 8), density=0.9, variant="det").model(torch.rand(2, 8)).shape == (2, 3)
    except PruneproofError as error:
        assert "Only Tensors created explicitly" not in str(error)


def test_activations_in_lists_and_dictionaries_are_copied_too() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    hidden = model[0](torch.rand(6, 8))
    model.kept = {"hidden": [hidden, (hidden * 2,)], "name": "hidden"}
    twin = copied("pfp", model)
    assert torch.equal(twin.kept["hidden"][1][0], hidden * 2) and twin.kept["hidden"][0].grad_fn is None
    assert model.kept["hidden"][0] is hidden and twin[0].weight is not model[0].weight


def test_reinitialised_and_permanent_copies() -> None:
    model = KeepsFeatures()
    model(torch.rand(6, 8)).sum().backward()
    assert not torch.equal(reinitialize(model, generator=torch.Generator()).head.weight, model.head.weight)
    assert torch.equal(make_permanent(model).head.weight, model.head.weight)
