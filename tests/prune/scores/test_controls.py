"""The two scores that need no data: magnitude is |w| exactly; random depends on its generator and the shapes alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import scores


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(64, 50))


def drawn(model: nn.Module, seed: int) -> dict[str, Tensor]:
    return scores.random(model, generator=torch.Generator().manual_seed(seed))


def test_magnitude_is_the_absolute_value(model: nn.Sequential) -> None:
    scored = scores.magnitude(model)
    assert list(scored) == ["0.weight", "3.weight"]
    for name, score in scored.items():
        assert torch.equal(score, model.get_parameter(name).detach().abs()) and not score.requires_grad
    scored["0.weight"].zero_()
    assert model.get_parameter("0.weight").count_nonzero() > 0  # the score is not a view of the weight


def test_one_seed_gives_one_answer_whatever_the_weights(model: nn.Sequential) -> None:
    first = drawn(model, 1)
    model.double()
    nn.init.zeros_(model.get_parameter("3.weight"))
    second = drawn(model, 1)
    assert all(torch.equal(score, second[name]) and score.dtype == torch.float32 for name, score in first.items())
    assert not torch.equal(drawn(model, 2)["3.weight"], first["3.weight"])


def test_the_generator_advances_and_the_global_one_does_not(model: nn.Sequential) -> None:
    generator, state = torch.Generator().manual_seed(1), torch.get_rng_state()
    assert not torch.equal(
        scores.random(model, generator=generator)["3.weight"], scores.random(model, generator=generator)["3.weight"]
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_are_independent_draws(model: nn.Sequential) -> None:
    values = torch.cat([score.flatten() for score in drawn(model, 1).values()])
    # at 24 bits the expected number of coinciding pairs among 3632 draws is 3632²/2²⁵ = 0.39; a layer drawn twice
    # from one seed would give at least 432
    assert len(values) - len(values.unique()) < 10


def test_random_scores_are_uniform() -> None:
    """Dvoretzky–Kiefer–Wolfowitz: sup |F̂ − F| exceeds √(ln(2/α)/(2n)) with probability at most α = 1e-9."""
    values = drawn(nn.Linear(200, 100), 4)["weight"].flatten().sort().values.double()
    n = len(values)
    ranks = torch.arange(1, n + 1, dtype=torch.float64)
    distance = max(float((ranks / n - values).max()), float((values - (ranks - 1) / n).max()))
    assert distance <= math.sqrt(math.log(2e9) / (2 * n))
    assert values.min() >= 0 and values.max() < 1


@pytest.mark.parametrize("score", [scores.magnitude, lambda model: drawn(model, 0)])
def test_nothing_to_score_is_refused(score: object) -> None:
    assert callable(score)
    with pytest.raises(PruneproofError, match="no weight of a linear, convolutional"):
        score(nn.Sequential(nn.ReLU()))
