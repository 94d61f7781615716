"""Mixtures have the posterior and the Bayes error that they state; teachers and noise do what their names say."""

import pytest
import torch
from scipy.stats import binomtest

from pruneproof import PruneproofError
from pruneproof.claims.data.synthetic import Mixture, bayes_error, mixture, teacher

ALPHA = 1e-9
EXAMPLES = 20_000


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("task", ["linear", "xor"])
@pytest.mark.parametrize(("features", "nu"), [(2, 1.0), (10, 0.5), (100, 0.25)])
def test_the_posterior_decides_with_the_bayes_error(
    task: Mixture, features: int, nu: float, generator: torch.Generator
) -> None:
    sample = mixture(task, EXAMPLES, generator, features=features, nu=nu)
    mistakes = int((sample.posterior.argmax(1) != sample.labels).sum())
    assert binomtest(mistakes, EXAMPLES, bayes_error(task, features=features, nu=nu)).pvalue > ALPHA


@pytest.mark.parametrize("task", ["linear", "xor"])
def test_the_posterior_is_calibrated_in_every_tenth(task: Mixture, generator: torch.Generator) -> None:
    """Within each tenth of the predictions, labels exceed their expected count no more than chance allows."""
    sample = mixture(task, EXAMPLES, generator, features=10, nu=0.5)
    one = sample.posterior[:, 1]
    for tenth in one.argsort().chunk(10):
        surplus = (sample.labels[tenth] - one[tenth]).sum()
        spread = (one[tenth] * (1 - one[tenth])).sum().sqrt()
        assert abs(surplus / spread) < 6.4  # normal tail 1.6e-10, ten tenths


def test_a_wrong_posterior_is_refused(generator: torch.Generator) -> None:
    """The false twin: half of ν²D/2 in the exponent fails the same check."""
    sample = mixture("linear", EXAMPLES, generator, features=10, nu=0.5)
    twin = torch.sigmoid(0.5 * sample.inputs.double().sum(1) - 0.25 * 10 / 4)
    surplus = (sample.labels - twin).sum() / (twin * (1 - twin)).sum().sqrt()
    assert abs(surplus) > 6.4


def test_teachers_are_reproducible_and_use_every_class(generator: torch.Generator) -> None:
    inputs, labels = teacher((16, 32, 10), 4000, generator)
    again = teacher((16, 32, 10), 4000, torch.Generator().manual_seed(5))
    assert torch.equal(inputs, again[0])
    assert torch.equal(labels, again[1])
    assert labels.bincount(minlength=10).min() > 40


def test_misuse_is_refused(generator: torch.Generator) -> None:
    with pytest.raises(PruneproofError, match="even number"):
        mixture("xor", 10, generator, features=5)
    with pytest.raises(PruneproofError, match="two classes"):
        teacher((16, 1), 10, generator)
