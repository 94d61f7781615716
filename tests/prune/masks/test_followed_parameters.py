# torch types what a module holds as Tensor | Module:
# pyright: reportIndexIssue=false
"""Enforcement follows a parameter that is replaced, and says so where it cannot; closures are no way around it."""

import copy
import io
import warnings
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import nn

from pruneproof.errors import PruneproofError
from pruneproof.prune import Masks, magnitude
from pruneproof.prune.masks.enforcement import Enforcement, release

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


class Block(nn.Module):
    """A linear layer inside another module, so that its parent can be replaced too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 16))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(inputs)


def nested() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Block(), nn.ReLU(), nn.Linear(16, 4))


def inner(model: nn.Sequential) -> nn.Sequential:
    return cast(nn.Sequential, model.get_submodule("0.inner"))


def by_index(model: nn.Sequential) -> None:
    inner(model)[0] = nn.Linear(16, 16)


def by_name(model: nn.Sequential) -> None:
    model[0].inner = nn.Sequential(nn.Linear(16, 16))


def a_parent(model: nn.Sequential) -> None:
    model[0] = Block()


def by_the_table_of_modules(model: nn.Sequential) -> None:
    # as libraries for quantisation do
    inner(model)._modules["0"] = nn.Linear(16, 16)  # pyright: ignore[reportPrivateUsage]


def by_another_kind(model: nn.Sequential) -> None:
    model[0] = nn.Sequential(nn.Linear(16, 2), nn.Linear(2, 16))


def with_the_weight(model: nn.Sequential) -> None:
    """The weight is held as long as the model is not copied or loaded, which the new layer does not follow."""
    layer = nn.Linear(16, 16)
    layer.weight = cast(nn.Linear, inner(model)[0]).weight
    inner(model)[0] = layer


def kept(model: nn.Module) -> nn.Module:
    return model


def pickled(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)  # our own bytes, written two lines above


REPLACED = (
    r"Masks\.enforce: in Sequential another layer stands where 0\.inner\.0\.weight was pruned, and that layer is not"
)


@pytest.mark.parametrize(
    "change", [by_index, by_name, a_parent, by_the_table_of_modules, by_another_kind, with_the_weight]
)
@pytest.mark.parametrize("of", [kept, copy.deepcopy, pickled])
def test_a_layer_that_is_replaced_is_said_once(
    change: Callable[[nn.Sequential], None], of: Callable[[nn.Module], nn.Sequential]
) -> None:
    """The law of enforcement: where it ends, it says so; in copies too."""
    model = nested()
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    model = of(model)
    change(model)
    with pytest.warns(UserWarning, match=REPLACED) as caught:
        train(model)
        train(model)
    assert len(caught) == 1
    with torch.no_grad():
        assert not model[2].weight[~masks["2.weight"]].any()


def test_a_replaced_layer_is_said_when_weights_are_loaded() -> None:
    model = nested()
    magnitude(model, density=0.3).enforce(model)
    by_index(model)
    with pytest.warns(UserWarning, match=REPLACED):
        model.load_state_dict(nested().state_dict())


def test_a_layer_of_a_tied_weight_is_said_when_it_is_replaced() -> None:
    """The weight lives on in the other layer, but no longer under this name."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4))
    model[1].weight = model[0].weight
    magnitude(model, density=0.3).enforce(model)
    model[1] = nn.Linear(16, 16)
    with pytest.warns(UserWarning, match=r"where 1\.weight was pruned"):
        train(model)


def enforced_again(model: nn.Sequential, masks: Masks) -> None:
    by_index(model)
    masks.enforce(model)


def wrapped(model: nn.Sequential, masks: Masks) -> None:
    inner(model)[0] = nn.Sequential(inner(model)[0], nn.Identity())


def copied(model: nn.Sequential, masks: Masks) -> None:
    model[0] = copy.deepcopy(model[0])


def unwrapped(model: nn.Sequential, masks: Masks) -> None:
    model[0] = inner(model)[0]  # which leaves its parents behind


def without_weights(model: nn.Sequential, masks: Masks) -> None:
    model[0] = nn.Identity()


@pytest.mark.parametrize("change", [enforced_again, wrapped, unwrapped, copied, without_weights])
@pytest.mark.parametrize("of", [kept, copy.deepcopy, pickled])
def test_a_change_that_leaves_no_weight_free_is_not_warned_of(
    change: Callable[[nn.Sequential, Masks], None], of: Callable[[nn.Module], nn.Sequential]
) -> None:
    model = nested()
    masks = magnitude(model, density=0.3)
    masks.enforce(model)
    change(model, masks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = of(model)
        train(model)
    if change is not without_weights:
        weight = next(model[0].parameters())
        assert not weight[~masks["0.inner.0.weight"]].any()


@pytest.mark.parametrize("end", [lambda model, handle: handle.remove(), lambda model, handle: release(model)])
def test_after_its_end_replaced_layers_are_free(end: Callable[[nn.Module, Enforcement], None]) -> None:
    model = nested()
    handle = magnitude(model, density=0.3).enforce(model)
    end(model, handle)
    by_index(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model)


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
