"""The path certificate agrees with a search of the graph, and names the layer that is cut."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, magnitude, synflow

SIZES = (4, 5, 6, 3)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(SIZES)))


def searched(masks: Masks) -> dict[str, Tensor]:
    """Kept weights between a unit reached from the input and a unit that reaches the output, by plain search."""
    layers = list(masks.values())
    forward = [torch.ones(SIZES[0], dtype=torch.bool)]
    for mask in layers:
        reached = [any(bool(m) and bool(f) for m, f in zip(row, forward[-1], strict=True)) for row in mask]
        forward.append(torch.tensor(reached))
    backward = [torch.ones(SIZES[-1], dtype=torch.bool)]
    for mask in reversed(layers):
        read = [any(bool(m) and bool(b) for m, b in zip(column, backward[-1], strict=True)) for column in mask.T]
        backward.append(torch.tensor(read))
    backward.reverse()
    return {n: m & forward[i][None] & backward[i + 1][:, None] for i, (n, m) in enumerate(masks.items())}


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), density=st.sampled_from([0.1, 0.2, 0.4, 0.8]))
def test_live_weights_are_those_that_a_search_finds(seed: int, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = {f"{i}.weight": (b, a) for i, (a, b) in enumerate(pairwise(SIZES))}
    masks = Masks({name: torch.rand(shape, generator=generator) < density for name, shape in shapes.items()})
    result, expected = connectivity(network(), masks, (1, 4)), searched(masks)
    assert all(torch.equal(result.live[name], expected[name]) for name in masks)
    assert result.connected == any(bool(mask.any()) for mask in expected.values())
    assert result.emptied == tuple(name for name, count in masks.counts.items() if count == 0)
    assert result.live_units == {name: int(mask.any(1).sum()) for name, mask in expected.items()}


def test_one_emptied_layer_of_a_deep_network_cuts_all() -> None:
    net = nn.Sequential(*(nn.Linear(8, 8) for _ in range(100)))
    whole = {f"{i}.weight": torch.ones(8, 8, dtype=torch.bool) for i in range(100)}
    assert connectivity(net, Masks(whole), (1, 8)).cut == ()
    result = connectivity(net, Masks(whole | {"41.weight": torch.zeros(8, 8, dtype=torch.bool)}), (1, 8))
    assert not result.connected and result.emptied == ("41.weight",) and len(result.cut) == 100


class Residual(nn.Module):
    """A shortcut around its branch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) → (n, 2)."""
        hidden = torch.relu(self.first(x))
        hidden = nn.functional.relu(hidden + self.branch(hidden))
        return self.last(hidden.mean((2, 3)))


def test_a_shortcut_keeps_the_network_connected() -> None:
    net = Residual()
    masks = Masks({n: torch.ones_like(p, dtype=torch.bool) for n, p in net.named_parameters() if p.ndim > 1})
    pruned = Masks({**masks, "branch.weight": torch.zeros(4, 4, 3, 3, dtype=torch.bool)})
    result = connectivity(net, pruned, (1, 1, 6, 6))
    assert result.connected and result.cut == ("branch.weight",)


def test_pooling_and_normalisers_do_not_hide_paths() -> None:
    """A maximum passes derivatives to one input only, and a zero scale to none: neither cuts a path here."""
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)
    )
    nn.init.zeros_(net.get_parameter("1.weight"))
    nn.init.constant_(net.get_parameter("0.bias"), -9.0)
    masks = Masks({"0.weight": torch.ones(2, 1, 3, 3) > 0, "5.weight": torch.eye(8)[:2] > 0})
    result = connectivity(net, masks, (1, 1, 6, 6))
    assert result.connected and result.live["0.weight"].flatten(1).all(1).tolist() == [True, False]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(1), nn.AvgPool2d(2)])
def test_a_maximum_passes_every_live_input(pool: nn.Module) -> None:
    """On a padded 2 × 2 image each kernel entry serves some of the four outputs, and any of them may be the maximum."""
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), pool, nn.Flatten(), nn.Linear(1, 1))
    masks = Masks({"0.weight": torch.ones(1, 1, 3, 3) > 0, "3.weight": torch.ones(1, 1) > 0})
    assert connectivity(net, masks, (1, 1, 2, 2)).live == masks


def test_biases_are_no_paths() -> None:
    net = network()
    nn.init.ones_(net.get_parameter("1.bias"))
    masks = Masks({n: torch.full_like(p, n != "0.weight").bool() for n, p in net.named_parameters() if p.ndim > 1})
    assert not connectivity(net, masks, (1, 4)).connected


def test_synflow_stays_connected_where_magnitude_is_cut() -> None:
    """Layer widths make the default magnitudes of the wide middle layers too small to survive."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 4))
    assert connectivity(net, magnitude(net, density=0.01), (1, 4)).cut != ()
    assert connectivity(net, synflow(net, (1, 4), density=0.01, iterations=30), (1, 4)).cut == ()


def test_masks_of_another_model_are_refused() -> None:
    with pytest.raises(PruneproofError, match="ake the masks from this model"):
        connectivity(network(), Masks({"7.weight": torch.ones(2, 2, dtype=torch.bool)}), (1, 4))


def test_the_model_is_unchanged() -> None:
    net = Residual()
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    masks = Masks({n: torch.ones_like(p, dtype=torch.bool) for n, p in net.named_parameters() if p.ndim > 1})
    connectivity(net, masks, (1, 1, 6, 6))
    assert all(torch.equal(before[n], p) for n, p in net.named_parameters())
    assert all(p.dtype == torch.float32 and p.grad is None for p in net.parameters())
