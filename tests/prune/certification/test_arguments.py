"""What `certify` has no meaning for is refused in one line before any work."""

import math
import sys
from typing import Any

import pytest
import torch
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune.certification import certify
from pruneproof.prune.certification.region import check_arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "1"}, "norm"),
        ({"method": "exact"}, "method"),
        ({"max_units": -1}, "max_units"),
        ({"max_units": True}, "max_units"),
        ({"radius": -0.1}, "radius"),
        ({"radius": float("inf")}, "radius"),
        ({"radius": 10**400}, "radius"),
        ({"radius": True}, "radius"),
        ({"lipschitz": {nn.GELU: -1.0}}, "Lipschitz constant"),
        ({"lipschitz": {nn.GELU: math.nan}}, "Lipschitz constant"),
        ({"lipschitz": {nn.GELU: True}}, "Lipschitz constant"),
        ({"inputs": torch.rand(4)}, "batch dimension"),
        ({"inputs": torch.rand(0, 4)}, "batch ≥ 1"),
        ({"inputs": torch.ones(1, 4, dtype=torch.int64)}, r"floating-point .* got torch.int64 .* Pass float inputs"),
        ({"inputs": torch.full((2, 4), torch.nan)}, "8 that are not"),
        ({"original": "network"}, "Module"),
        ({"batch": 0}, "batch must be a whole number of at least 1"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    network = nn.Linear(4, 2)
    arguments: dict[str, Any] = {"original": network, "pruned": network, "inputs": torch.rand(2, 4)} | change
    with pytest.raises(PruneproofError, match=message):
        certify(**arguments)


def test_the_largest_float_is_a_radius() -> None:
    check_arguments(torch.rand(2, 4), sys.float_info.max, "inf", "crown", 0, 1, {nn.GELU: sys.float_info.max})


@pytest.mark.parametrize("which", [0, 1])
def test_weights_that_are_not_finite_are_refused(which: int) -> None:
    pair = [nn.Linear(4, 2), nn.Linear(4, 2)]
    pair[which].bias.data[0] = torch.inf
    with pytest.raises(PruneproofError, match="NaN or inf in bias"):
        certify(pair[0], pair[1], torch.rand(2, 4))


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    layer = nn.Linear(2, 2)
    layer.register_buffer("computed", layer.weight * 2)  # torch copies no results of its own differentiation
    with pytest.raises(PruneproofError, match="cannot be copied"):
        certify(layer, layer, torch.ones(1, 2))
