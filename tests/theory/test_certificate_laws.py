"""Laws of network certificates, each of which fails if one line of their proof (N2' in the network's page) is weakened.

Weakened: a window's winner called certain although it may lose by a hundredth; roundings of (Ŵ - W)·a not charged.
"""

import copy
from fractions import Fraction
from itertools import permutations, product

import pytest
import torch
from torch import Tensor, nn

from pruneproof.prune import certify


class Lead(nn.Module):
    """gain · (largest entry of the window − its first entry)."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.pool, self.first, self.gain = nn.MaxPool2d(2), nn.Linear(4, 1, bias=False), nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[-1.0, 0.0, 0.0, 0.0]]))
            self.gain.weight.copy_(torch.tensor([[gain], [0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain(self.pool(x).flatten(1) + self.first(x.flatten(1)))


@pytest.mark.parametrize("lead", [0.001, 0.004, 0.009])
def test_a_winner_that_may_lose_by_a_little_is_not_certain(lead: float) -> None:
    """Max pooling over a small ball in which the first entry leads at the centre but may lose by less than 0.01."""
    networks = Lead(0.0).double().eval(), Lead(1.0).double().eval()
    centre, radius = torch.tensor([[[[lead, 0.0], [0.0, 0.0]]]], dtype=torch.float64), lead / 2 + 0.0035
    bound = certify(*networks, centre, radius=radius).error_bound[0]
    corners = torch.tensor(list(product((-radius, radius), repeat=4)), dtype=torch.float64).reshape(-1, 1, 2, 2)
    with torch.no_grad():
        seen = (networks[1](centre + corners) - networks[0](centre + corners)).abs().amax(0)
    assert seen[0] > 0.006
    assert (bound >= seen).all()


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("exponent", [54, 60, 100])
def test_roundings_of_the_changed_weights_are_charged(order: tuple[int, ...], exponent: int) -> None:
    """Two linear layers whose changes cancel: B + 1 - B, which float64 takes for 0; the exact difference is 1."""
    big = 2.0**exponent
    rows = [[big, -big], [1.0, 0.0], [-big, big]]
    net = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)).double().eval()
    with torch.no_grad():
        net[0].weight.zero_()  # pyright: ignore[reportCallIssue, reportOptionalMemberAccess]
        net[1].weight.copy_(torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))  # pyright: ignore[reportCallIssue]
    pruned = copy.deepcopy(net)
    with torch.no_grad():
        changed = torch.tensor([rows[i] for i in order], dtype=torch.float64)
        pruned[0].weight.copy_(changed)  # pyright: ignore[reportCallIssue]
    exact = sum(Fraction(rows[i][0]) + Fraction(rows[i][1]) for i in order)
    bound = certify(net, pruned, torch.ones(1, 2, dtype=torch.float64), radius=0.0).error_bound[0]
    assert Fraction(float(bound[0])) >= abs(exact)
