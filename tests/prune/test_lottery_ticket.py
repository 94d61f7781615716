# torch types what a module holds as Tensor | Module:
# pyright: reportCallIssue=false
"""`imp` prunes to exact, nested counts and rewinds what it says: weights to an iteration, or the schedule alone."""

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruneproof import PruneproofError
from pruneproof.prune import Masks, Round, imp, scores

GENERATOR = torch.Generator().manual_seed(1)
INPUTS, TARGETS = torch.randn(32, 5, generator=GENERATOR), torch.randint(0, 3, (32,), generator=GENERATOR)
ITERATIONS = 12
DENSITIES = [0.6, 0.3, 0.1]


class Trainer:
    """Records how it is called, and trains with a learning rate that depends on the iteration."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.starts: list[dict[str, Tensor]] = []
        self.ends: list[dict[str, Tensor]] = []

    def __call__(self, model: nn.Module, start: int, stop: int) -> float:
        self.calls.append((start, stop))
        self.starts.append(copy.deepcopy(model.state_dict()))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        loss = math.nan
        for iteration in range(start, stop):
            optimizer.param_groups[0]["lr"] = 0.2 / (1 + iteration)
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(model(INPUTS), TARGETS)
            value.backward()
            optimizer.step()
            loss = value.item()
        self.ends.append(copy.deepcopy(model.state_dict()))
        return loss


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))


def masked(state: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    return {name: value * masks[name] if name in masks else value for name, value in state.items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def test_counts_are_exact_and_masks_nested(model: nn.Sequential) -> None:
    levels = list(imp(model, Trainer(), DENSITIES, iterations=ITERATIONS))
    assert [level.index for level in levels] == [0, 1, 2, 3]
    assert [level.masks.count for level in levels] == [72, 43, 22, 7]  # of 5·9 + 9·3 = 72, halves up
    for earlier, later in pairwise(levels):
        assert earlier.masks & later.masks == later.masks
    assert set(levels[0].masks) == {"0.weight", "3.weight"}


@pytest.mark.parametrize("patterns", [{"exclude": "3"}, {"include": "0.weight"}, {"include": "*", "exclude": ["3.*"]}])
def test_what_is_excluded_stays_dense_and_outside_the_density(model: nn.Sequential, patterns: dict[str, Any]) -> None:
    levels = list(imp(model, Trainer(), DENSITIES, iterations=ITERATIONS, **patterns))
    assert [level.masks.counts for level in levels] == [{"0.weight": count} for count in (45, 27, 13, 5)]
    assert bool((model.get_parameter("3.weight") != 0).all())


def test_patterns_that_match_nothing_are_refused_when_called(model: nn.Sequential) -> None:
    with pytest.raises(KeyError, match=r"imp: the exclude pattern 'head' matches no"):
        imp(model, Trainer(), DENSITIES, iterations=ITERATIONS, exclude="head")


def test_each_level_prunes_the_smallest_trained_weights(model: nn.Sequential) -> None:
    trainer = Trainer()
    levels = list(imp(model, trainer, DENSITIES, iterations=ITERATIONS))
    for earlier, later, state in zip(levels, levels[1:], trainer.ends, strict=False):
        alive = torch.cat([state[name][mask].abs() for name, mask in earlier.masks.items()])
        kept = torch.cat([state[name][mask].abs() for name, mask in later.masks.items()])
        assert torch.equal(kept.sort().values, alive.sort().values[-later.masks.count :])


def test_weights_are_rewound_to_the_beginning(model: nn.Sequential) -> None:
    initial, trainer = copy.deepcopy(model.state_dict()), Trainer()
    levels = list(imp(model, trainer, DENSITIES, iterations=ITERATIONS))
    assert trainer.calls == [(0, ITERATIONS)] * 4
    for level, start in zip(levels, trainer.starts, strict=True):
        assert same(start, masked(initial, level.masks))


def test_weights_are_rewound_to_an_iteration(model: nn.Sequential) -> None:
    """BatchNorm's statistics too: they are part of the state at that iteration."""
    trainer = Trainer()
    levels = list(imp(model, trainer, DENSITIES, iterations=ITERATIONS, rewind_to=3))
    assert trainer.calls == [(0, 3), *[(3, ITERATIONS)] * 4]
    early = trainer.ends[0]
    assert not torch.equal(early["1.running_mean"], trainer.starts[0]["1.running_mean"])
    for level, start in zip(levels, trainer.starts[1:], strict=True):
        assert same(start, masked(early, level.masks))


@pytest.mark.parametrize("rewind_to", [0, 3])
def test_learning_rate_rewinding_keeps_the_trained_weights(model: nn.Sequential, rewind_to: int) -> None:
    trainer = Trainer()
    levels = list(imp(model, trainer, DENSITIES, rewind="learning_rate", iterations=ITERATIONS, rewind_to=rewind_to))
    dense = 1 if rewind_to else 0
    assert trainer.calls[dense:] == [(rewind_to, ITERATIONS)] * 4
    for level, start, end in zip(levels[1:], trainer.starts[dense + 1 :], trainer.ends[dense:], strict=False):
        assert same(start, masked(end, level.masks))


def test_each_level_is_yielded_trained_and_enforced(model: nn.Sequential) -> None:
    trainer = Trainer()
    for level in imp(model, trainer, DENSITIES, iterations=ITERATIONS):
        assert isinstance(level, Round) and isinstance(level.trained, float)
        assert same(model.state_dict(), trainer.ends[-1])
        Trainer()(model, 0, 3)
        for name, mask in level.masks.items():
            assert model.get_parameter(name)[~mask].count_nonzero() == 0
            model.get_parameter(name).data.copy_(trainer.ends[-1][name])


def test_closing_the_generator_ends_the_enforcement(model: nn.Sequential) -> None:
    levels = imp(model, Trainer(), DENSITIES, iterations=ITERATIONS)
    next(levels)
    level = next(levels)
    levels.close()  # pyright: ignore[reportAttributeAccessIssue]
    Trainer()(model, 0, 3)
    assert all(model.get_parameter(name)[~mask].count_nonzero() > 0 for name, mask in level.masks.items())


def test_after_the_last_level_nothing_is_enforced_until_its_masks_are(model: nn.Sequential) -> None:
    """As after an early end; a second call of `imp`, say, begins with a dense training."""
    *_, level = imp(model, Trainer(), DENSITIES, iterations=ITERATIONS)
    assert all(not model.get_parameter(name)[~mask].any() for name, mask in level.masks.items())
    dense = copy.deepcopy(model)
    level.masks.enforce(model)
    for network, free in ((dense, True), (model, False)):
        Trainer()(network, 0, 3)
        assert all(bool(network.get_parameter(name)[~mask].any()) == free for name, mask in level.masks.items())


def test_pruned_weights_stay_pruned_whatever_the_score(model: nn.Sequential) -> None:
    """The false twin: a score that prefers zeros would bring every pruned weight back."""

    def perverse(network: nn.Module) -> dict[str, Tensor]:
        return {name: -score for name, score in scores.magnitude(network).items()}

    levels = list(imp(model, Trainer(), DENSITIES, iterations=ITERATIONS, score=perverse))
    assert [level.masks.count for level in levels] == [72, 43, 22, 7]
    assert all(a.masks & b.masks == b.masks for a, b in pairwise(levels))
    assert (
        levels[1].masks != next(x for x in imp(copy.deepcopy(model), Trainer(), [0.6], iterations=1) if x.index).masks
    )


def test_survivors_that_score_minus_infinity_come_before_the_pruned(model: nn.Sequential) -> None:
    """First the last weights of each layer are kept; then all scores are −∞, and only survivors may be chosen."""
    rising = {name: torch.arange(s.numel()).view_as(s).float() for name, s in scores.magnitude(model).items()}
    rounds = iter([rising, {name: torch.full_like(score, -torch.inf) for name, score in rising.items()}])
    _, first, second = imp(model, Trainer(), [0.5, 0.25], iterations=1, score=lambda network: next(rounds))
    assert second.masks.count == 18 and (first.masks & second.masks) == second.masks


@pytest.mark.parametrize(
    ("names", "off"), [(["0.weight"], "3.weight"), (["0.weight", "3.weight", "1.weight"], "1.weight")]
)
def test_a_score_of_other_parameters_is_refused(model: nn.Sequential, names: list[str], off: str) -> None:
    def partial(network: nn.Module) -> dict[str, Tensor]:
        return {name: torch.ones_like(network.get_parameter(name)) for name in names}

    with pytest.raises(PruneproofError, match=f"imp: .* differ in {off}. Score all"):
        list(imp(model, Trainer(), [0.5], iterations=1, score=partial))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"densities": []}, "numbers below 1"),
        ({"densities": [1.0, 0.5]}, "numbers below 1"),
        ({"densities": [0.5, 0.5]}, "numbers below 1"),
        ({"densities": [0.5, 0.6]}, "numbers below 1"),
        ({"densities": [0.5, 0.0]}, r"in \(0, 1\]"),
        ({"densities": [0.5, math.nan]}, r"in \(0, 1\]"),
        ({"densities": [0.5, 1e-9]}, "keeps none of 72 weights"),
        ({"rewind": "biases"}, "rewind must be one of"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1, got 0"),
        ({"densities": 0.5}, "falling, got 0.5.*densities="),
        ({"densities": ["a"]}, r"got \['a'\] \(list\)"),
        ({"model": 3}, "model must be a torch.nn.Module, got 3"),
        ({"iterations": 2.0}, "iterations must be a whole number"),
        ({"rewind_to": ITERATIONS}, "rewind_to must be a whole number from 0 to"),
        ({"rewind_to": -1}, "rewind_to must be a whole number from 0 to"),
        ({"rewind_to": True}, "rewind_to must be a whole number"),
        ({"model": nn.Identity()}, "no weight of a linear, convolutional"),
    ],
)
def test_refuses_misuse_when_called(model: nn.Sequential, arguments: dict[str, object], message: str) -> None:
    def never(network: nn.Module, start: int, stop: int) -> None:
        raise AssertionError("trained")

    before = copy.deepcopy(model.state_dict())
    options: dict[str, Any] = {
        "model": model,
        "train": never,
        "densities": DENSITIES,
        "iterations": ITERATIONS,
        **arguments,
    }
    with pytest.raises(PruneproofError, match=message):
        imp(**options)
    assert same(model.state_dict(), before)


def test_excluded_weights_stay_dense_in_every_round() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    rounds = imp(net, lambda model, start, stop: stop, [0.5, 0.25], iterations=2, exclude="2")
    assert [(list(each.masks), each.masks.count) for each in rounds] == [
        (["0.weight"], 32),
        (["0.weight"], 16),
        (["0.weight"], 8),
    ]
    assert net[2].weight.all()
