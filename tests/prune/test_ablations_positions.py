"""Shuffling keeps every layer's count and moves the positions; replacing it by the identity turns this file red."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, connectivity, shuffle, synflow

LAYERS = {"a": (30, 40), "b": (8, 4, 3, 3)}


def masks(density: float) -> Masks:
    """The first weights of each layer: as unlike a shuffled mask as can be."""
    index = {name: torch.arange(torch.Size(shape).numel()).view(shape) for name, shape in LAYERS.items()}
    return Masks({name: i < density * i.numel() for name, i in index.items()})


@given(seed=st.integers(0, 2**31), density=st.sampled_from([0.05, 0.3, 0.9]))
def test_every_layer_keeps_its_count_and_changes(seed: int, density: float) -> None:
    """A shuffled layer equals the original with probability 1 / C(288, 14) < 1e-23 at most."""
    before = masks(density)
    after = shuffle(before, generator=torch.Generator().manual_seed(seed))
    assert after.counts == before.counts
    assert all(not torch.equal(after[name], before[name]) for name in LAYERS)
    assert before == masks(density)


def test_every_position_is_as_likely() -> None:
    """χ² over 60 positions, 3 of 60 kept, 20,000 draws; false alarm 1e-9. Counts in one draw are negatively dependent:
    the variance of a cell is (1 − p)·n/(n − 1) of the independent one summed over cells, which the statistic divides
    out."""
    before, draws, kept, size = Masks({"w": torch.arange(60) < 3}), 20_000, 3, 60
    generator = torch.Generator().manual_seed(0)
    counts = torch.stack([shuffle(before, generator=generator)["w"] for _ in range(draws)]).double().sum(0)
    share = kept / size
    variance = draws * share * (1 - share)
    statistic = float(((counts - draws * share) ** 2).sum() / variance) * (size - 1) / size
    assert statistic < chi2.isf(1e-9, size - 1)
    first_only = torch.zeros(60).double()
    first_only[:3] = draws
    assert float(((first_only - draws * share) ** 2).sum() / variance) * (size - 1) / size > chi2.isf(1e-9, size - 1)


def test_a_generator_gives_one_answer_and_advances() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = shuffle(masks(0.3), generator=generator), shuffle(masks(0.3), generator=generator)
    assert first == shuffle(masks(0.3), generator=torch.Generator().manual_seed(1)) and first != second


def test_within_live_units_only_positions_between_them_change() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 10))
    kept = synflow(net, (1, 20), density=0.05)
    path = connectivity(net, kept, (1, 20))
    positions = path.live_positions()
    after = shuffle(kept, generator=torch.Generator().manual_seed(0), within=positions)
    assert after.counts == kept.counts and after != kept
    for name in kept:
        assert torch.equal(after[name][~positions[name]], kept[name][~positions[name]])
        assert bool((after[name] != kept[name])[positions[name]].any())


def test_positions_of_another_model_are_refused() -> None:
    with pytest.raises(PruneproofError, match="positions"):
        shuffle(masks(0.3), generator=torch.Generator(), within={"a": torch.ones(2, 2, dtype=torch.bool)})
