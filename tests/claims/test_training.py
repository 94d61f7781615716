"""The trainer is deterministic, resumes where it stopped, and keeps pruned weights out of the momentum."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof.claims.initialization import setting as initialization
from pruneproof.claims.scaling.residual import residual_network
from pruneproof.claims.sensitivity import setting as sensitivity
from pruneproof.claims.training.single import GlobalAverage, accuracy, steps_per_epoch, train
from pruneproof.claims.training.trainer import Recipe
from pruneproof.errors import PruneproofError
from pruneproof.prune import random

RECIPE = Recipe(epochs=4, batch=16, rate=0.1, momentum=0.9, decay=1e-3, drops=(2, 3))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator)
    return x, (x[:, 0] > 0).long()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 2))


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.state_dict().values(), right.state_dict().values(), strict=True))


def test_equal_seeds_give_equal_bits_and_the_global_generator_is_not_used() -> None:
    torch.manual_seed(1)
    first = train(network(), *data(), RECIPE, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second, other = train(network(), *data(), RECIPE, seed=3), train(network(), *data(), RECIPE, seed=4)
    assert same(first, second) and not same(first, other)
    torch.manual_seed(2)
    assert torch.equal(state, torch.get_rng_state())


def test_it_is_plain_sgd() -> None:
    """Step for step a textbook loop: order by (seed, epoch), last batch short, rate divided by ten at the drops."""
    model, (x, y) = network(), data()
    twin = copy.deepcopy(model)
    train(model, x, y, RECIPE, seed=5)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for epoch in range(4):
        order = torch.randperm(50, generator=torch.Generator().manual_seed(5 * 1_000_003 + epoch))
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / 10 ** (epoch >= 2) / 10 ** (epoch >= 3)
        for index in order.split(16):
            optimizer.zero_grad()
            cross_entropy(twin(x[index]), y[index]).backward()
            optimizer.step()
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs
    )  # fused and plain updates round differently
    assert steps_per_epoch(50, RECIPE) == 4


def test_steps_add_up_when_momentum_is_off() -> None:
    recipe = Recipe(epochs=3, batch=16, momentum=0.0)
    whole = train(network(), *data(), recipe, seed=1)
    parts = train(network(), *data(), recipe, seed=1, stop=5)
    assert not same(whole, parts)
    assert same(whole, train(parts, *data(), recipe, seed=1, start=5))


def test_masks_are_enforced_through_momentum_and_weight_decay_and_released() -> None:
    model = network()
    masks = random(model, density=0.3, generator=torch.Generator().manual_seed(0))
    train(model, *data(), RECIPE, seed=0, masks=masks)
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert not weight[~mask].any() and bool(weight[mask].all())
    train(model, *data(), RECIPE, seed=0, stop=2)
    assert any(bool(model.get_parameter(name)[~mask].any()) for name, mask in masks.items())


def test_accuracy_counts_in_evaluation_mode() -> None:
    x, y = data()
    model = train(network(), x, y, RECIPE, seed=0)
    state = copy.deepcopy(model.state_dict())
    measured = accuracy(model, x, y)
    assert measured == int((model.eval()(x).argmax(1) == y).sum()) / 50
    assert measured > 0.8 and all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    with pytest.raises(PruneproofError, match="every input needs a label"):
        train(model, x, y[:-1], RECIPE, seed=0)


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (7, 32, 8, 8), (144, 16, 14, 14)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_global_average_is_torch_s_to_the_last_bit(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(*shape[:2], 1, 1, generator=generator)
    ours, theirs = GlobalAverage()(x), nn.AdaptiveAvgPool2d(1)(x)
    assert torch.equal(ours, theirs)
    (gradient,) = torch.autograd.grad((ours * weight).sum(), x)
    assert torch.equal(gradient, torch.autograd.grad((theirs * weight).sum(), x)[0])
    assert gradient.is_contiguous(memory_format=torch.channels_last)  # why it is there: torch's is not


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "initialization, convolutional": lambda: initialization.digits_cnn(3),
    "initialization, perceptron": lambda: initialization.digits_mlp(3),
    "sensitivity, perceptron": lambda: sensitivity.untrained("lenet", 3),
    "sensitivity, convolutional": lambda: sensitivity.untrained("cnn", 3),
    "scaling, residual": lambda: residual_network(4, 1, 3),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_networks_of_claims_draw_from_generators_of_their_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other threads make of the global generator, even if they seed it in between; it stays as it was."""
    first = BUILDERS[name]()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    assert same(first, BUILDERS[name]())
    assert torch.equal(torch.get_rng_state(), before)
