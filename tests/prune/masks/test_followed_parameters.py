# torch types what a module holds as Tensor | Module:
# pyright: reportIndexIssue=false
"""Enforcement follows a parameter that is replaced, and says so where it cannot; closures are no way around it."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, magnitude

BATCH = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def converted(model: nn.Module) -> None:
    """Change the dtype in the mode in which torch makes new parameters."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.to(torch.float64)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def normed(model: nn.Sequential) -> None:
    nn.utils.parametrizations.weight_norm(model[0])


def assigned(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(torch.randn(32, 16))


@pytest.mark.parametrize("change", [converted, normed, assigned])
def test_zero_or_told(change: Callable[[nn.Module], None]) -> None:
    """A user enforces masks, does what makes new parameters, and trains: zeros hold, or he is warned or refused."""
    model = network()
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            change(model)
            train(model)
        except PruneproofError:
            return
    assert caught or zero(model, masks)


def test_zero_after_allocating_the_weights() -> None:
    """A user enforces masks on a model without numbers, allocates and fills it, and trains: the same holds."""
    masks = magnitude(network(), density=0.3)
    with torch.device("meta"):
        model = network()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            masks.enforce(model)
            model.to_empty(device="cpu")
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.normal_(generator=torch.Generator().manual_seed(1))
            train(model)
        except PruneproofError:
            return
    assert caught or zero(model, masks)


def train(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        inputs, targets = BATCH
        nn.functional.cross_entropy(model(inputs.to(next(model.parameters()).dtype)), targets).backward()
        optimizer.step()


def zero(model: nn.Sequential, masks: Masks) -> bool:
    with torch.no_grad():
        return not model[0].weight[~masks["0.weight"]].any() and not model[2].weight[~masks["2.weight"]].any()


def test_noise_added_in_a_closure_does_not_reach_the_momentum() -> None:
    """A user's closure adds noise to the gradients: the momentum of pruned weights is zero all the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs, targets = torch.randn(64, 16), torch.arange(64) % 4

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.add_(torch.randn_like(parameter))
        return loss

    for _ in range(3):
        optimizer.step(closure)
    for name, mask in masks.items():
        assert not optimizer.state[model.get_parameter(name)]["momentum_buffer"][~mask].any()


@pytest.mark.parametrize("change", [converted, assigned])
def test_what_can_be_followed_is_followed_without_a_warning(change: Callable[[nn.Module], None]) -> None:
    model = network()
    masks = magnitude(model, density=0.3)
    handle = masks.enforce(model)
    change(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model)
    assert zero(model, masks)
    handle.remove()
    train(model)
    assert not zero(model, masks)


@pytest.mark.parametrize("parametrize", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.orthogonal])
def test_what_cannot_be_followed_is_said_once(parametrize: Callable[[nn.Module], nn.Module]) -> None:
    model = network()
    magnitude(model, density=0.3).enforce(model)
    parametrize(model[0])
    with pytest.warns(UserWarning, match=r"Masks\.enforce: weight of ParametrizedLinear is no longer") as caught:
        train(model)
    assert len(caught) == 1


def test_a_norm_under_which_zeros_stay_zeros_goes_on_in_silence() -> None:
    model = network()
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    nn.utils.parametrizations.spectral_norm(model[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model)
    assert zero(model, masks)


def test_lbfgs_keeps_pruned_weights_out_of_its_history() -> None:
    model = network()
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
    inputs, targets = BATCH

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.add_(1.0)
        return loss

    optimizer.step(closure=closure)
    assert zero(model, masks)
    history = torch.cat([step.flatten() for step in optimizer.state[next(model.parameters())]["old_dirs"]])
    assert history.isfinite().all()


def test_an_unenforced_closure_is_called_as_it_is() -> None:
    model, calls = nn.Linear(2, 1), list[int]()

    def closure() -> float:
        calls.append(1)
        return 3.0

    assert torch.optim.SGD(model.parameters(), lr=0.1).step(closure) == 3.0 and calls == [1]
