# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false, reportIndexIssue=false
"""A budget is spent where it reaches the output, by every variant, and the result says what became of each layer."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pruneproof.prune import Masks, SippResult, sipp
from pruneproof.prune.flow.connectivity import OutputReach
from pruneproof.prune.sensitivity.choices import DROPPED
from pruneproof.prune.sensitivity.half_rows import LEAST, floored
from pruneproof.prune.sensitivity.measuring import gains, layers

VARIANTS = ("poisson", "det", "rand", "hybrid", "best")
TESTED = 1200  # examples from here on are held out


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))


INPUTS = torch.rand(40, 64, generator=generator())


def trained(seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """The recipe: scikit-learn's digits in [0, 1], 1,200 of them in a random order, 60 epochs of SGD, batches of 60."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(seed))
    x, y = torch.tensor(digits.data, dtype=torch.float32)[order] / 16, torch.tensor(digits.target)[order]
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for start in [*range(0, TESTED, 60)] * 60:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[start : start + 60]), y[start : start + 60]).backward()
        optimizer.step()
    return net, x, y


@pytest.fixture(scope="module")
def networks() -> list[tuple[nn.Sequential, Tensor, Tensor]]:
    return [trained(seed) for seed in range(4)]


@torch.no_grad()
def relative_error(net: nn.Module, pruned: nn.Module, x: Tensor) -> float:
    dense = net(x)
    return float((pruned(x) - dense).norm() / dense.norm())


@pytest.mark.parametrize(("density", "bar"), [(0.5, 0.058), (0.2, 0.588), (0.1, 0.861)])
def test_the_output_is_nearer_than_that_of_the_authors_release(
    networks: list[tuple[nn.Sequential, Tensor, Tensor]], density: float, bar: float
) -> None:
    """Det, 40 sample points, no retraining: the bar is the error that the authors' release reached on such a network.

    Without budgets spent again, and with one threshold on the sensitivities alone, these networks have .14 to .22,
    .71 to .79 and .93 to .95.
    """
    sample = slice(TESTED - 40, TESTED)
    pruned = [sipp(net, x[sample], density=density, variant="det").model for net, x, _ in networks]
    errors = [relative_error(net, small, x[TESTED:]) for (net, x, _), small in zip(networks, pruned, strict=True)]
    assert max(errors) <= bar


def accuracy_of_hybrid(network: tuple[nn.Sequential, Tensor, Tensor]) -> float:
    net, x, y = network
    pruned = sipp(net, x[TESTED - 40 : TESTED], density=0.05, variant="hybrid", generator=generator()).model
    with torch.no_grad():
        return float((pruned(x[TESTED:]).argmax(1) == y[TESTED:]).float().mean())


def test_hybrid_keeps_the_accuracy_of_the_authors_release(networks: list[tuple[nn.Sequential, Tensor, Tensor]]) -> None:
    """595 weights, fewer than two for each half-row: bounds say nothing of most rows, which are fitted to the sample.

    By bounds alone these networks have .54 to .61. Of 28 others (seeds 20 to 27 and 30 to 49) two are below the bar,
    at .71 and .74, and the mean is .83.
    """
    assert min(accuracy_of_hybrid(network) for network in networks) >= 0.75


def wasted(masks: Masks) -> int:
    """Kept weights that lead into units without an outgoing weight, counted by hand from the last layer on."""
    kept = [masks[f"{layer}.weight"].clone() for layer in (0, 2, 4)]
    waste = 0
    for index in (1, 0):
        dead = ~kept[index + 1].any(0)
        waste += int(kept[index][dead].sum())
        kept[index][dead] = False
    return waste


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("density", [0.1, 0.2, 0.5])
def test_no_weight_leads_nowhere_and_the_density_is_hit(variant: str, density: float) -> None:
    """Exact for det. Others settle their count on a pilot draw to .002; draws differ by a few standard deviations."""
    result = sipp(perceptron(), INPUTS, density=density, variant=variant, generator=generator())
    assert wasted(result.masks) == 0
    if variant == "det":
        assert result.masks.count == round(density * result.masks.total)
    assert result.masks.density == pytest.approx(density, rel=0.1 if variant == "poisson" else 0.05)


def test_what_is_dropped_changes_no_output_and_its_bound_says_so() -> None:
    net = perceptron()
    result = sipp(net, INPUTS, density=0.1, variant="hybrid", generator=generator())
    rows = {name: (bound.variant == DROPPED) for name, bound in result.bounds.items()}
    assert sum(int(dropped.sum()) for dropped in rows.values())
    for name, bound in result.bounds.items():
        assert bool((bound.epsilon[rows[name]] == 1).all()) and not bound.budget[rows[name]].any()
        assert torch.equal(rows[name][0], rows[name][1])
    restored = copy.deepcopy(result.model)
    with torch.no_grad():
        for name, dropped in rows.items():
            restored.get_parameter(name)[dropped[0]] = net.get_parameter(name)[dropped[0]]
        assert torch.equal(restored(INPUTS), result.model(INPUTS))


def test_reach_is_that_of_paths_counted_by_hand() -> None:
    net = perceptron()
    masks = {
        name: torch.rand(w.shape, generator=generator()) < 0.02 for name, w in net.named_parameters() if w.ndim > 1
    }
    found = OutputReach("sipp", net, INPUTS, list(masks))(masks)
    second = masks["2.weight"] & masks["4.weight"].any(0)[:, None]
    first = masks["0.weight"] & second.any(0)[:, None]
    assert all(map(torch.equal, found.values(), (first, second, masks["4.weight"])))


class Recurrent(nn.Module):
    """A network whose paths cannot be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


def test_where_paths_cannot_be_followed_nothing_is_dropped() -> None:
    torch.manual_seed(0)
    result = sipp(Recurrent(), torch.rand(20, 5, 8), density=0.95, variant="det")
    assert result.exact == ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0")
    assert not any(bool((bound.variant == DROPPED).any()) for bound in result.bounds.values())


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    features = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 2), nn.ReLU()
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *features, nn.Flatten(), nn.Linear(32, 10))


class Alternatives(nn.Module):
    """Two layers that are put together by a function of one's own."""

    def __init__(self, choose: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 32), nn.Linear(64, 32), nn.Linear(32, 10)
        self.choose = choose

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.choose(self.first(x), self.second(x)))


CHOICES = {
    "by comparison": lambda a, b: torch.where(a > 0.5, a, b),
    "by boolean index": lambda a, b: torch.cat([a, b], 1)[:, torch.cat([a.mean(0) > -9, b.mean(0) < -9])],
    "the largest": lambda a, b: torch.stack([a, b]).max(0).values,
    "the larger": lambda a, b: torch.maximum(a + a, b),
    "the difference": lambda a, b: a - b,
    "within limits": lambda a, b: (a + b).clamp(-1, 1),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_what_is_read_is_not_dropped(kind: str) -> None:
    """All weights are kept but one in ten, so whole rows go only if they are taken for unread."""
    torch.manual_seed(0)
    result = sipp(Alternatives(CHOICES[kind]), INPUTS, density=0.9, variant="det")
    assert not any(bool((bound.variant == DROPPED).any()) for bound in result.bounds.values())


@pytest.mark.parametrize("density", [0.3, 0.6])
@pytest.mark.parametrize("network", [perceptron, convolutional])
def test_the_default_variant_is_not_far_worse_than_another(
    network: Callable[[], nn.Sequential], density: float
) -> None:
    default = sipp(network(), INPUTS, density=density, generator=generator()).merit
    each = [sipp(network(), INPUTS, density=density, variant=v, generator=generator()).merit for v in VARIANTS]
    assert default == min(each)


def test_a_weight_never_seen_at_work_counts_as_the_page_says() -> None:
    page = Path(__file__).parents[3] / "theory" / "theorems" / "sensitivity" / "proof.md"
    assert "one among $n$ equal weights, $1/n$" in " ".join(page.read_text("utf-8").split())
    given = floored(torch.ones(1, 4), torch.tensor([[0.5, 0.3, 0.02, 0.0]]))
    assert float(given[0, 3]) == 1 / 4


def scarce(result: SippResult[nn.Module]) -> list[str]:
    return [name for name, count in result.masks.counts.items() if count < 10]


@pytest.mark.parametrize("density", [0.02, 0.05])
def test_a_nearly_emptied_layer_is_named(density: float) -> None:
    result = sipp(perceptron(), INPUTS, density=density, variant="det")
    assert set(scarce(result)) <= set(result.scarce) and all(name in result.summary() for name in scarce(result))


def test_the_count_of_a_layer_of_which_nothing_is_left_is_in_the_summary() -> None:
    net = nn.Sequential(nn.Linear(800, 8), nn.ReLU(), nn.Linear(8, 400))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[2].weight.zero_()
        net[2].weight[:, 0] = 1.0
    result = sipp(net, torch.rand(20, 800, generator=generator()), density=0.03, variant="det")
    assert result.masks.counts["0.weight"] == 0 and "0.weight keeps 0 of 6400" in result.summary()


def test_excluded_layers_stay_whole_and_the_density_is_of_the_others() -> None:
    result = sipp(perceptron(), INPUTS, density=0.5, variant="det", exclude="4")
    assert list(result.masks) == ["0.weight", "2.weight"] and result.masks.count == 5700
    assert torch.equal(result.model.get_parameter("4.weight"), perceptron().get_parameter("4.weight"))


def test_gains_are_what_derivatives_say() -> None:
    """The mean of |Σ ±J| over 256 draws of signs lies within 6 standard errors of its expectation, counted in full."""
    net, items = perceptron()[2:], torch.rand(32, 100, generator=generator())
    (first, last), jacobian = gains(net, items, layers(net)[0]), net[2].weight.detach().double()
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 10).double()
    sums = (signs @ jacobian).abs()
    active = (net[0](items) > 0).double().mean(0)
    spread = 6 * ((active * (sums**2).mean(0)) / 256).sqrt()
    floor = float(last.max()) * LEAST  # of units that are never active
    assert bool(((first - active * sums.mean(0)).abs() <= spread + floor).all())
    assert torch.equal(last, torch.ones(10).double())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_may_be_scaled_if_what_reads_it_is_scaled_back(variant: str) -> None:
    """By powers of two, in float64: the function is the same, and so is what is kept of it."""
    net, scaled = perceptron().double(), perceptron().double()
    with torch.no_grad():
        factors = 2.0 ** torch.randint(-6, 6, (100,), generator=generator())
        scaled[0].weight.mul_(factors[:, None])
        scaled[0].bias.mul_(factors)
        scaled[2].weight.div_(factors)
    inputs = INPUTS.double()
    results = [sipp(n, inputs, density=0.3, variant=variant, generator=generator()) for n in (net, scaled)]
    assert results[0].masks == results[1].masks


class Counted(nn.Module):
    """A network whose output has no derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).round().detach()


def test_a_network_without_derivatives_has_gains_of_one() -> None:
    found = gains(Counted(), INPUTS, layers(Counted())[0])
    assert all(torch.equal(gain, torch.ones(len(gain)).double()) for gain in found)
