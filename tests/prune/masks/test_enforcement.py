"""Enforced weights are exactly zero after every step, their gradients reach no optimiser, copies keep the promise."""

import copy
import gc
import io
import shutil
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.parametrize import register_parametrization
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer, RMSprop

from pruneproof.prune import Masks, release, select
from pruneproof.prune.scores import magnitude

STEPS = 50
OPTIMISERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda m: SGD(m.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda m: SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, foreach=False),
    "adam": lambda m: Adam(m.parameters(), lr=0.01, weight_decay=0.01),
    "adamw": lambda m: AdamW(m.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw fused": lambda m: AdamW(m.parameters(), lr=0.01, fused=True),
    "rmsprop": lambda m: RMSprop(m.parameters(), lr=0.01, momentum=0.5, centered=True),
}
GENERATOR = torch.Generator().manual_seed(3)
INPUTS, TARGETS = torch.randn(16, 1, 6, 6, generator=GENERATOR), torch.randint(0, 3, (16,), generator=GENERATOR)


@pytest.fixture(params=OPTIMISERS)
def optimiser(request: pytest.FixtureRequest) -> Callable[[nn.Module], Optimizer]:
    return OPTIMISERS[request.param]


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)
    )


@pytest.fixture
def masks(model: nn.Module) -> Masks:
    return select(magnitude(model), density=0.3)


def pruned_part(masks: Masks, tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].detach()[~mask] for name, mask in masks.items()])


def weights(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def backward(model: nn.Module) -> float:
    loss = nn.functional.cross_entropy(model(INPUTS), TARGETS)
    loss.backward()
    return loss.item()


def train(model: nn.Module, optimizer: Optimizer, masks: Masks | None, steps: int = STEPS) -> list[float]:
    losses: list[float] = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(backward(model))
        optimizer.step()
        if masks is not None:
            part = pruned_part(masks, weights(model))
            assert torch.equal(part, torch.zeros_like(part)) and not part.signbit().any()
    return losses


def test_zero_after_each_of_fifty_steps(
    model: nn.Module, masks: Masks, optimiser: Callable[[nn.Module], Optimizer]
) -> None:
    optimizer = optimiser(model)
    masks.enforce(model)
    losses = train(model, optimizer, masks)
    assert losses[-1] < losses[0]


def test_without_enforcement_they_move(
    model: nn.Module, masks: Masks, optimiser: Callable[[nn.Module], Optimizer]
) -> None:
    """The false twin: zeroing once is not enough under any of these optimisers."""
    masks.apply_(model)
    train(model, optimiser(model), None, 2)
    assert pruned_part(masks, weights(model)).count_nonzero() > 0


def test_zero_with_stale_optimiser_state(
    model: nn.Module, masks: Masks, optimiser: Callable[[nn.Module], Optimizer]
) -> None:
    """State that was gathered before pruning pushes pruned weights in every later step."""
    optimizer = optimiser(model)
    train(model, optimizer, None, 5)
    masks.enforce(model)
    assert pruned_part(masks, weights(model)).count_nonzero() == 0
    train(model, optimizer, masks)


def test_pruned_gradients_enter_no_state(
    model: nn.Module, masks: Masks, optimiser: Callable[[nn.Module], Optimizer]
) -> None:
    optimizer = optimiser(model)
    masks.enforce(model)
    train(model, optimizer, masks, 5)
    for name, mask in masks.items():
        state = optimizer.state[weights(model)[name]]
        moments = [value for value in state.values() if isinstance(value, Tensor) and value.shape == mask.shape]
        assert moments and all(moment[mask].count_nonzero() > 0 for moment in moments)
        assert all(moment[~mask].count_nonzero() == 0 for moment in moments)


def test_gradients_are_zero_before_the_step_so_that_clipping_sees_the_kept_ones(
    model: nn.Sequential, masks: Masks
) -> None:
    plain = masks.apply_(copy.deepcopy(model))
    backward(plain)
    masks.enforce(model)
    backward(model)
    for name, mask in masks.items():
        gradient, whole = weights(model)[name].grad, weights(plain)[name].grad
        assert gradient is not None and whole is not None
        assert torch.equal(gradient, whole * mask) and whole[~mask].count_nonzero() > 0


def test_a_gradient_that_was_there_before_is_zeroed_too(model: nn.Sequential, masks: Masks) -> None:
    """Accumulated before enforcement, or written by hand: no hook saw it come."""
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    backward(model)
    masks.enforce(model)
    optimizer.step()
    for name, mask in masks.items():
        assert optimizer.state[weights(model)[name]]["momentum_buffer"][~mask].count_nonzero() == 0


def test_the_kept_weights_train_as_if_alone(model: nn.Sequential, masks: Masks) -> None:
    """Enforcement equals multiplying by the mask in the forward pass, which has the exact gradient."""
    twin = copy.deepcopy(model)
    masks.enforce(model)
    train(model, SGD(model.parameters(), lr=0.05, momentum=0.9), masks, 10)
    parameters = weights(twin)
    optimizer = SGD(twin.parameters(), lr=0.05, momentum=0.9)
    for _ in range(10):
        optimizer.zero_grad()
        masked = {name: parameters[name] * mask for name, mask in masks.items()}
        nn.functional.cross_entropy(torch.func.functional_call(twin, masked, (INPUTS,)), TARGETS).backward()
        optimizer.step()
    for name, mask in masks.items():
        assert torch.equal(weights(model)[name], parameters[name] * mask)


def test_line_search_with_a_closure(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    optimizer = LBFGS(model.parameters(), max_iter=5, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        return backward(model)

    before = closure()
    optimizer.step(closure)
    assert closure() < before and pruned_part(masks, weights(model)).count_nonzero() == 0


def test_gradient_accumulation_and_frozen_layers(model: nn.Sequential, masks: Masks) -> None:
    weights(model)["0.weight"].requires_grad_(False)
    masks.enforce(model)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        backward(model)
        backward(model)
        optimizer.step()
    weights(model)["0.weight"].requires_grad_(True)
    train(model, optimizer, masks, 3)


def test_the_gradient_of_a_weight_that_thaws_later_is_zero_before_the_step(model: nn.Sequential, masks: Masks) -> None:
    """Clipping sees no pruned gradient, whether the weight was frozen when it was enforced or not."""
    weights(model)["0.weight"].requires_grad_(False)
    masks.enforce(model)
    assert not weights(model)["0.weight"].requires_grad
    clone = copy.deepcopy(model)
    for network in (model, clone):
        weights(network)["0.weight"].requires_grad_(True)
        backward(network)
        gradient = weights(network)["0.weight"].grad
        assert gradient is not None and gradient[masks["0.weight"]].count_nonzero() > 0
        assert gradient[~masks["0.weight"]].count_nonzero() == 0


def test_deep_copies_are_enforced_and_apart(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    clone = copy.deepcopy(model)
    train(clone, AdamW(clone.parameters(), lr=0.01, weight_decay=0.1), masks)
    assert not torch.equal(weights(clone)["4.weight"], weights(model)["4.weight"])
    backward(clone)
    assert weights(clone)["4.weight"].grad is not None and weights(model)["4.weight"].grad is None
    train(copy.deepcopy(clone), OPTIMISERS["sgd"](clone), masks, 2)  # and so is the copy of a copy


def test_a_copied_layer_is_enforced(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    layer = copy.deepcopy(model[6])
    assert isinstance(layer, nn.Linear)
    mask = masks["6.weight"]
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        layer(torch.ones(2, 8)).square().sum().backward()
        optimizer.step()
    assert layer.weight[~mask].count_nonzero() == 0 and layer.weight[mask].count_nonzero() > 0


def test_a_whole_model_survives_torch_save(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)  # our own bytes, written two lines above
    train(loaded, OPTIMISERS["sgd"](loaded), masks, 3)


def test_state_dict_is_that_of_the_plain_model(model: nn.Sequential, masks: Masks) -> None:
    plain = copy.deepcopy(model)
    masks.enforce(model)
    train(model, OPTIMISERS["adam"](model), masks, 3)
    state = model.state_dict()
    assert list(state) == list(plain.state_dict())
    assert plain.load_state_dict(state).missing_keys == []
    model.eval()
    plain.eval()
    assert torch.equal(model(INPUTS), plain(INPUTS))
    assert pruned_part(masks, weights(plain)).count_nonzero() == 0


@pytest.mark.parametrize("assign", [False, True])
def test_loading_dense_weights_zeroes_again(model: nn.Sequential, masks: Masks, assign: bool) -> None:
    dense = copy.deepcopy(model)
    masks.enforce(model)
    model.load_state_dict(copy.deepcopy(dense.state_dict()), assign=assign)
    assert pruned_part(masks, weights(model)).count_nonzero() == 0
    for name, mask in masks.items():
        assert torch.equal(weights(model)[name][mask], weights(dense)[name][mask])
    train(model, OPTIMISERS["sgd"](model), masks, 3)


@pytest.mark.parametrize("original", ["parametrizations.weight.original", "weight_orig"])
def test_loading_into_a_weight_that_is_computed_since(original: str) -> None:
    """A parametrization, or `torch.nn.utils.prune`, keeps the enforced parameter under another name."""
    layer = nn.Linear(3, 3)
    mask = torch.eye(3, dtype=torch.bool)
    Masks({"weight": mask}).enforce(layer)
    if original == "weight_orig":
        torch_prune.identity(layer, "weight")
    else:
        register_parametrization(layer, "weight", nn.Tanh())
    layer.load_state_dict({name: torch.ones_like(value) for name, value in layer.state_dict().items()})
    assert torch.equal(layer.get_parameter(original).detach().bool(), mask)


def test_tied_weights_are_one(model: nn.Module) -> None:
    tied = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Tanh(), nn.Linear(36, 36), nn.Linear(36, 3))
    tied[3].weight = tied[1].weight
    masks = select(magnitude(tied), density=0.2)
    assert "3.weight" not in masks
    dense = copy.deepcopy(tied.state_dict())
    masks.enforce(tied)
    train(tied, OPTIMISERS["sgd"](tied), masks)
    tied.load_state_dict(dense)  # the second name is loaded after the first was zeroed
    assert pruned_part(masks, weights(tied)).count_nonzero() == 0
    clone = copy.deepcopy(tied)
    assert clone[3].weight is clone[1].weight
    train(clone, OPTIMISERS["adamw"](clone), masks, 3)


def test_a_moved_model_stays_enforced(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    model.double()
    optimizer = OPTIMISERS["sgd"](model)
    nn.functional.cross_entropy(model(INPUTS.double()), TARGETS).backward()
    optimizer.step()
    assert pruned_part(masks, weights(model)).count_nonzero() == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="moving a model needs a second device: no CUDA here")
def test_the_mask_moves_with_the_model(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    model.cuda()
    optimizer = OPTIMISERS["sgd"](model)
    for _ in range(3):
        nn.functional.cross_entropy(model(INPUTS.cuda()), TARGETS.cuda()).backward()
        optimizer.step()
    assert all(weights(model)[name][~mask.cuda()].count_nonzero() == 0 for name, mask in masks.items())


def test_one_layer_with_two_names_for_a_weight() -> None:
    layer = nn.Linear(3, 3)
    layer.register_parameter("alias", layer.get_parameter("weight"))
    dense = {name: value.clone() for name, value in layer.state_dict().items()}
    Masks({"weight": torch.eye(3, dtype=torch.bool)}).enforce(layer)
    layer.load_state_dict(dense, assign=True)  # which makes two parameters of the one
    for name in ("weight", "alias"):
        assert torch.equal(layer.get_parameter(name).detach().bool(), torch.eye(3, dtype=torch.bool))


def test_the_handle_ends_it_and_nothing_is_left_behind(model: nn.Sequential, masks: Masks) -> None:
    with masks.enforce(model) as handle:
        train(model, OPTIMISERS["sgd"](model), masks, 2)
    handle.remove()  # a second time: nothing happens
    for module in model.modules():
        assert not module._load_state_dict_post_hooks  # pyright: ignore[reportPrivateUsage]
    assert not any(parameter._backward_hooks for parameter in model.parameters())  # pyright: ignore[reportPrivateUsage]
    train(model, OPTIMISERS["sgd"](model), None, 2)
    assert pruned_part(masks, weights(model)).count_nonzero() > 0


def test_the_handle_ends_it_after_an_error(model: nn.Sequential, masks: Masks) -> None:
    with pytest.raises(KeyError), masks.enforce(model):
        raise KeyError
    backward(model)
    part = pruned_part(masks, {name: weights(model)[name].grad for name in masks})  # pyright: ignore[reportArgumentType]
    assert part.count_nonzero() > 0


def test_every_promise_counts_until_it_is_taken_back(model: nn.Module) -> None:
    """Two enforcements prune the union; each ends alone, in any order."""
    name, shape = "6.weight", (3, 8)
    left = Masks({name: torch.arange(24).view(shape) % 2 == 0})
    right = Masks({name: torch.arange(24).view(shape) % 3 == 0})
    first, second = left.enforce(model), right.enforce(model)
    train(model, OPTIMISERS["sgd"](model), left & right, 2)
    clone = copy.deepcopy(model)
    first.remove()
    train(model, OPTIMISERS["sgd"](model), right, 2)
    assert weights(model)[name][~left[name] & right[name]].count_nonzero() > 0
    second.remove()
    train(model, OPTIMISERS["sgd"](model), None, 2)
    assert weights(model)[name].count_nonzero() == 24
    train(clone, OPTIMISERS["sgd"](clone), left & right, 2)


def test_release_frees_a_copy_alone(model: nn.Sequential, masks: Masks) -> None:
    masks.enforce(model)
    clone = copy.deepcopy(model)
    release(clone)
    train(clone, OPTIMISERS["sgd"](clone), None, 2)
    assert pruned_part(masks, weights(clone)).count_nonzero() > 0
    assert not any(parameter._backward_hooks for parameter in clone.parameters())  # pyright: ignore[reportPrivateUsage]
    train(model, OPTIMISERS["sgd"](model), masks, 2)


def test_release_leaves_the_hooks_of_others(model: nn.Sequential, masks: Masks) -> None:
    calls: list[str] = []
    model[6].register_load_state_dict_post_hook(lambda module, keys: calls.append("called"))
    masks.enforce(model)
    release(model)
    model.load_state_dict(model.state_dict())
    assert calls == ["called"]


def test_an_enforced_model_can_be_forgotten(model: nn.Sequential, masks: Masks) -> None:
    """The table that all optimisers look up does not keep parameters alive."""
    other = copy.deepcopy(model)
    masks.enforce(other)
    parameter = weakref.ref(weights(other)["0.weight"])
    del other
    gc.collect()
    assert parameter() is None


def test_other_models_are_left_alone(model: nn.Sequential, masks: Masks) -> None:
    """The hooks on all optimisers change nothing for parameters that are not enforced."""
    left, right = copy.deepcopy(model), copy.deepcopy(model)
    train(left, OPTIMISERS["adam"](left), None, 3)
    masks.enforce(model)
    train(right, OPTIMISERS["adam"](right), None, 3)
    assert all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))


@pytest.mark.parametrize("wrap_first", [False, True])
def test_compiled_models(model: nn.Sequential, masks: Masks, wrap_first: bool) -> None:
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    masks.enforce(compiled if wrap_first else model)  # pyright: ignore[reportArgumentType]
    losses = train_compiled(compiled, model, masks)
    assert losses[-1] < losses[0]


def train_compiled(compiled: Callable[[Tensor], Tensor], model: nn.Module, masks: Masks) -> list[float]:
    optimizer = OPTIMISERS["sgd"](model)
    losses: list[float] = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(compiled(INPUTS), TARGETS)
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert pruned_part(masks, gradients).count_nonzero() == 0
        optimizer.step()
        assert pruned_part(masks, weights(model)).count_nonzero() == 0
        losses.append(loss.item())
    return losses


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch warns of itself
@pytest.mark.skipif(shutil.which("c++") is None, reason="the default backend of torch.compile needs a C++ compiler")
def test_the_default_backend_of_torch_compile() -> None:
    torch.compiler.reset()
    small = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    masks = select(magnitude(small), density=0.3)
    masks.enforce(small)
    train_compiled(torch.compile(small, fullgraph=True), small, masks)
