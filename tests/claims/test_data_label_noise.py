"""Each of the three kinds of label noise changes as many labels as its name promises, and its posterior says so."""

import pytest
import torch
from scipy.stats import binomtest

from pruneproof import PruneproofError
from pruneproof.claims.data.label_noise import Noise, noisy_labels, noisy_posterior

ALPHA = 1e-9
EXAMPLES, CLASSES, SHARE = 20_000, 4, 0.4
KINDS: tuple[Noise, ...] = ("permuted", "uniform", "flipped")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(8)


@pytest.fixture
def clean(generator: torch.Generator) -> torch.Tensor:
    return torch.randint(CLASSES, (EXAMPLES,), generator=generator)


def test_flipped_changes_exactly_its_share(clean: torch.Tensor, generator: torch.Generator) -> None:
    assert int((noisy_labels(clean, SHARE, "flipped", CLASSES, generator) != clean).sum()) == round(SHARE * EXAMPLES)


def test_permuted_keeps_the_class_counts(clean: torch.Tensor, generator: torch.Generator) -> None:
    noisy = noisy_labels(clean, SHARE, "permuted", CLASSES, generator)
    assert torch.equal(noisy.bincount(), clean.bincount())
    assert not torch.equal(noisy, clean)


@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_states_how_often_labels_survive(
    kind: Noise, clean: torch.Tensor, generator: torch.Generator
) -> None:
    noisy = noisy_labels(clean, SHARE, kind, CLASSES, generator)
    posterior = noisy_posterior(torch.eye(CLASSES, dtype=torch.float64)[clean], SHARE, kind)
    torch.testing.assert_close(posterior.sum(1), torch.ones(EXAMPLES, dtype=torch.float64))
    kept = int((noisy == clean).sum())
    assert binomtest(kept, EXAMPLES, float(posterior[torch.arange(EXAMPLES), clean].mean())).pvalue > ALPHA


def test_the_three_kinds_are_not_equivalent(clean: torch.Tensor, generator: torch.Generator) -> None:
    changed = [int((noisy_labels(clean, SHARE, kind, CLASSES, generator) != clean).sum()) for kind in KINDS]
    assert changed[2] == 8000
    assert max(changed[:2]) < 6500  # 6000 expected, standard deviation about 40


def test_no_noise_changes_nothing(clean: torch.Tensor, generator: torch.Generator) -> None:
    for kind in KINDS:
        assert torch.equal(noisy_labels(clean, 0.0, kind, CLASSES, generator), clean)


def test_misuse_is_refused(clean: torch.Tensor, generator: torch.Generator) -> None:
    with pytest.raises(PruneproofError, match="share"):
        noisy_labels(clean, 1.2, "flipped", CLASSES, generator)
    with pytest.raises(PruneproofError, match=r"got shape \(20000,\) in 0 … 3\. Number"):
        noisy_labels(clean, 0.1, "flipped", 2, generator)
    with pytest.raises(PruneproofError, match=r"got shape \(0, 2\)\. Number"):
        noisy_labels(torch.zeros(0, 2, dtype=torch.int64), 0.1, "flipped", 2, generator)
