"""Scoring changes nothing: parameters, buffers, random state, modes, requires_grad, .grad, hooks are bit-identical."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pruneproof.prune import scores

IMAGES, LABELS = torch.randn(20, 2, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5

SCORES = {
    "grasp": lambda model: scores.grasp(model, cross_entropy, (IMAGES, LABELS)),
    "grasp_abs": lambda model: scores.grasp_abs(model, cross_entropy, (IMAGES, LABELS), batch_norm="running"),
    "magnitude": scores.magnitude,
    "random": lambda model: scores.random(model, generator=torch.Generator().manual_seed(1)),
    "snip": lambda model: scores.snip(model, cross_entropy, (IMAGES, LABELS)),
    "snip chunked": lambda model: scores.snip(model, cross_entropy, (IMAGES, LABELS), batch_norm="running", chunk=7),
    "synflow": lambda model: scores.synflow(model, (1, 2, 6, 6)),
    "wanda": lambda model: scores.wanda(model, IMAGES),
}


class Noisy(nn.Module):
    """Draws from the global generator whatever its mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01 * torch.rand_like(x)


def network() -> nn.Module:
    """Mixed modes, a frozen weight, a gradient in place, statistics away from their start."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), Noisy(),
        nn.Flatten(), nn.Linear(64, 5, bias=False),
    )  # fmt: skip
    model(IMAGES)
    model.get_parameter("0.weight").grad = torch.ones_like(model.get_parameter("0.weight"))
    model.get_parameter("6.weight").requires_grad_(False)
    model[1].eval()
    return model


def everything(model: nn.Module) -> dict[str, object]:
    return {
        "state": copy.deepcopy(model.state_dict()),
        "identity": [id(tensor) for tensor in model.state_dict(keep_vars=True).values()],
        "versions": [tensor._version for tensor in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [copy.deepcopy(parameter.grad) for parameter in model.parameters()],
        "hooks": [len(vars(m)[kind]) for m in model.modules() for kind in ("_forward_hooks", "_forward_pre_hooks")],
        "rng": torch.get_rng_state(),
    }


def same(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return torch.equal(left, right)
    return left == right


@pytest.mark.parametrize("name", SCORES)
def test_scoring_leaves_the_model_as_it_was(name: str) -> None:
    model = network()
    before = everything(model)
    result = SCORES[name](model)
    assert same(before, everything(model))
    assert list(result) == ["0.weight", "6.weight"]
    assert not any(score.requires_grad for score in result.values())


def test_the_comparison_sees_a_training_mode_forward_pass() -> None:
    model = network().train()
    before = everything(model)
    model(IMAGES)
    after = everything(model)
    assert not same(before["state"], after["state"]) and not same(before["rng"], after["rng"])


@pytest.mark.parametrize("name", ["snip", "grasp", "wanda"])
def test_a_failure_restores_the_modes(name: str) -> None:
    model = network()
    before = everything(model)
    wrong = torch.zeros(20, 3, 6, 6)
    with pytest.raises(RuntimeError, match="expected input"):
        scores.wanda(model, wrong) if name == "wanda" else getattr(scores, name)(model, cross_entropy, (wrong, LABELS))
    assert same(before, everything(model))


def test_scoring_works_without_gradients_around_it() -> None:
    with torch.no_grad():
        assert scores.snip(network(), cross_entropy, (IMAGES, LABELS))["0.weight"].abs().sum() > 0
        assert scores.synflow(network(), (1, 2, 6, 6))["0.weight"].sum() > 0


def test_scores_use_the_weights_of_the_model_not_fresh_ones() -> None:
    """Guards against scoring a re-initialised copy: doubled weights must double SynFlow's per-layer score."""
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    first = scores.synflow(model, (1, 4))
    with torch.no_grad():
        model.get_parameter("0.weight").mul_(2)
    second = scores.synflow(model, (1, 4))
    assert all(torch.equal(second[name], 2 * first[name]) for name in first)
