# torch types what a module holds as Tensor | Module:
# pyright: reportReturnType=false
"""Re-initialising draws every layer by its own rule; replacing it by the identity turns this file red."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, invert, reinitialize, shuffle


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(256, 64), nn.LayerNorm(64))
    net(5 * torch.randn(8, 3, 6, 6))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net


def test_weights_are_new_and_the_model_is_untouched() -> None:
    net = network()
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    fresh = reinitialize(net, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    for name in ("0.weight", "0.bias", "3.weight", "3.bias", "1.weight", "1.running_mean", "1.running_var"):
        assert not torch.equal(fresh.state_dict()[name], before[name])
    assert not any(a.data_ptr() == b.data_ptr() for a, b in zip(net.parameters(), fresh.parameters(), strict=True))


@pytest.mark.parametrize(("name", "fan_in"), [("0.weight", 27), ("3.weight", 256)])
def test_the_law_is_the_layers_own(name: str, fan_in: int) -> None:
    """torch draws uniformly on ±1/√fan-in. Kolmogorov–Smirnov at 1e-9; the tripled weights of the model are refused."""
    bound = fan_in**-0.5
    fresh = (
        reinitialize(network(), generator=torch.Generator().manual_seed(0))
        .get_parameter(name)
        .detach()
        .flatten()
        .numpy()
    )
    old = network().get_parameter(name).detach().flatten().numpy()
    assert kstest(fresh, "uniform", (-bound, 2 * bound)).pvalue > 1e-9
    assert kstest(old, "uniform", (-bound, 2 * bound)).pvalue < 1e-9


def test_a_generator_gives_one_answer_and_advances() -> None:
    net, generator = network(), torch.Generator().manual_seed(5)
    first, second = (reinitialize(net, generator=generator).get_parameter("3.weight") for _ in range(2))
    again = reinitialize(net, generator=torch.Generator().manual_seed(5)).get_parameter("3.weight")
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_tied_weights_stay_tied() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net.get_parameter("0.weight")
    fresh = reinitialize(net, generator=torch.Generator())
    assert fresh.get_parameter("0.weight") is fresh.get_parameter("1.weight")


def test_an_enforced_mask_survives_redrawing() -> None:
    """The copy of an enforced model is enforced, from the first forward pass on and through a step."""
    net = nn.Linear(4, 2)
    masks = Masks({"weight": torch.tensor([[True, False, True, False]] * 2)})
    masks.enforce(net)
    fresh = reinitialize(net, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fresh.get_parameter("weight") != 0, masks["weight"])
    fresh(torch.ones(1, 4)).sum().backward()
    torch.optim.SGD(fresh.parameters(), lr=0.1, weight_decay=0.1).step()
    assert torch.equal(fresh.get_parameter("weight") != 0, masks["weight"])


def test_the_generators_of_devices_without_the_model_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(seed: int) -> None:
        raise AssertionError("every GPU is seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    reinitialize(nn.Linear(4, 2), generator=torch.Generator())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a model on a GPU is drawn there: no CUDA here")
def test_the_generator_of_the_models_device_decides_and_is_restored() -> None:
    net, state = nn.Linear(4, 2, device="cuda"), torch.cuda.get_rng_state()
    first, second = (
        reinitialize(net, generator=torch.Generator().manual_seed(0)).get_parameter("weight") for _ in range(2)
    )
    assert torch.equal(first, second) and torch.equal(torch.cuda.get_rng_state(), state)


class Scaled(nn.Module):
    """Holds a parameter of its own and knows no rule to draw it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def test_a_module_without_a_rule_needs_one() -> None:
    net = nn.Sequential(nn.Linear(2, 2), Scaled())
    with pytest.raises(PruneproofError, match=r"Scaled holds parameters.* Pass initialize="):
        reinitialize(net, generator=torch.Generator())

    def draw(module: nn.Module) -> None:
        for parameter in module.parameters(recurse=False):
            nn.init.normal_(parameter)

    assert not torch.equal(
        reinitialize(net, generator=torch.Generator(), initialize=draw).get_parameter("1.scale"), torch.ones(2)
    )


def test_a_seed_is_no_generator_and_a_number_no_model() -> None:
    wrong: Any = 3
    masks = Masks({"weight": torch.tensor([True, False])})
    for call in (lambda: shuffle(masks, generator=wrong), lambda: reinitialize(network(), generator=wrong)):
        with pytest.raises(PruneproofError, match=r"a torch\.Generator, got 3"):
            call()
    for call in (
        lambda: shuffle(wrong, generator=torch.Generator()),
        lambda: reinitialize(wrong, generator=torch.Generator()),
    ):
        with pytest.raises(PruneproofError, match="got 3"):
            call()
    with pytest.raises(PruneproofError, match="by parameter name, got 3"):
        invert(wrong)


def slowly(module: nn.Module) -> None:
    """Another initialisation, slow as that of a large layer."""
    if isinstance(module, nn.Linear):
        time.sleep(0.02)
        nn.init.normal_(module.weight)


PAIR = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))


def drawn(seed: int) -> torch.Tensor:
    return reinitialize(PAIR, generator=torch.Generator().manual_seed(seed), initialize=slowly).get_parameter(
        "1.weight"
    )


def test_networks_drawn_in_threads_are_those_drawn_one_by_one() -> None:
    """Also beside a thread that draws from the global generator, which goes on as if nothing had happened."""
    alone = [drawn(seed) for seed in range(4)]
    torch.manual_seed(0)
    expected = torch.stack([torch.rand(1) for _ in range(50)])
    torch.manual_seed(0)
    with ThreadPoolExecutor(5) as threads:
        beside = threads.submit(lambda: torch.stack([(time.sleep(0.001), torch.rand(1))[1] for _ in range(50)]))
        found = list(threads.map(drawn, range(4)))
    assert all(map(torch.equal, alone, found))
    assert torch.equal(beside.result(), expected)


@pytest.mark.parametrize(
    "initialize",
    [
        nn.init.orthogonal_,
        nn.init.xavier_uniform_,
        nn.init.trunc_normal_,
        lambda w: nn.init.sparse_(w, 0.5),
        lambda w: w.data.copy_(torch.randn(w.shape) + torch.rand_like(w) + torch.randint(3, w.shape)),
        lambda w: w.data.copy_(torch.bernoulli(torch.full(w.shape, 0.5)) + torch.normal(0.0, 1.0, w.shape)),
        lambda w: w.data.copy_(torch.randperm(w.numel()).view_as(w)),
    ],
)
def test_every_way_to_draw_takes_from_the_generator_alone(initialize: Any) -> None:
    net, state = nn.Linear(6, 6), torch.get_rng_state()

    def draw(seed: int) -> torch.Tensor:
        rule = lambda module: initialize(module.weight)  # noqa: E731
        return reinitialize(net, generator=torch.Generator().manual_seed(seed), initialize=rule).weight

    first, again, other = draw(0), draw(0), draw(1)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
