"""SynFlow through layers that leave the range of a double on the way: right, or refused, never silently zero."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import scores


def chain(exponents: Sequence[float], *, width: int = 2) -> nn.Module:
    """Layers whose weights all are 2^exponent."""
    net = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in exponents)).double()
    with torch.no_grad():
        for layer, exponent in zip(net, exponents, strict=True):
            layer.get_parameter("weight").fill_(2.0**exponent)
    return net


def alike(result: dict[str, Tensor]) -> bool:
    """All weights of a chain of equal layers have one score: the flow over their number."""
    values = torch.stack(list(result.values()))
    return bool(values.isfinite().all()) and bool((values == values.flatten()[0]).all()) and bool(values.min() > 0)


@pytest.mark.parametrize(
    "exponents",
    [[100] * 11 + [-100] * 11, [-100] * 11 + [100] * 11, [200] * 8 + [-200] * 8, [-200] * 8 + [200] * 8],
)
def test_a_flow_that_leaves_a_double_half_way_keeps_every_layer(exponents: list[float]) -> None:
    """By symmetry all scores are equal; powers of two make them exact. The flow itself is near 1."""
    assert alike(scores.synflow(chain(exponents), (1, 2)))


@pytest.mark.parametrize(
    "exponents",
    [[-100] * 40, [-100] * 40 + [100] * 40, [100] * 40 + [-100] * 40, [-1000, 1000] * 2 + [-1000] * 4 + [1000] * 4],
)
def test_a_flow_that_no_scale_brings_back_is_refused(exponents: list[float]) -> None:
    with pytest.raises(PruneproofError, match="Rescale the weights"):
        scores.synflow(chain(exponents), (1, 2))


def test_no_path_scores_zero_also_beside_an_overflow() -> None:
    """Nothing times infinity is no number, and no score: the network has no flow."""
    net = chain([0, *[300] * 20])
    nn.init.zeros_(net.get_parameter("0.weight"))
    assert all(bool((score == 0).all()) for score in scores.synflow(net, (1, 2)).values())
    tiny = chain([-100] * 40)
    nn.init.zeros_(tiny.get_parameter("20.weight"))
    assert all(bool((score == 0).all()) for score in scores.synflow(tiny, (1, 2)).values())


def test_a_layer_that_carries_no_flow_scores_zero_and_the_others_as_without_it() -> None:
    class Ended(nn.Module):
        """A residual branch that ends in zeros, as branches are initialised."""

        def __init__(self) -> None:
            super().__init__()
            self.branch, self.last = nn.Linear(2, 2), nn.Linear(2, 2)
            nn.init.zeros_(self.last.weight)

        def forward(self, x: Tensor) -> Tensor:
            """(n, 2) → (n, 2)."""
            return x + self.last(self.branch(x))

    torch.manual_seed(0)
    first, ended = nn.Linear(2, 2, bias=False), Ended()
    result = scores.synflow(nn.Sequential(first, ended), (1, 2))
    assert not result["1.branch.weight"].any() and not result["1.last.weight"].any()
    assert torch.equal(result["0.weight"], scores.synflow(first, (1, 2))["weight"])


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int8])
def test_weights_that_are_no_real_numbers_are_refused(dtype: torch.dtype) -> None:
    net = nn.Linear(2, 2)
    net.weight = nn.Parameter(torch.ones(2, 2, dtype=dtype), requires_grad=False)
    with pytest.raises(PruneproofError, match=f"synflow: weight holds {str(dtype)[6:]}, not real"):
        scores.synflow(net, (1, 2))


class Shortcut(nn.Module):
    """A convolution beside a shortcut that pruning has emptied, as SynFlow's later rounds do in residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.shortcut = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.shortcut(x)


def test_a_layer_that_was_pruned_away_costs_no_search_for_a_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scores are 0 at every scale: one pass is enough, however large the other scores are."""
    net = Shortcut()
    nn.init.constant_(net.body.weight, 1e30)
    nn.init.zeros_(net.shortcut.weight)
    passes = list[int]()
    gradient = torch.autograd.grad

    def counted(*arguments: Any, **others: Any) -> Any:
        passes.append(1)
        return gradient(*arguments, **others)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    found = scores.synflow(net, (1, 3))
    assert len(passes) == 1
    assert float(found["body.weight"].min()) == net.body.weight.max().item() and not found["shortcut.weight"].any()
