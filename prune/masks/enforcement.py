"""Keep pruned weights at exactly zero while any optimiser trains the model; the argument is in `enforcement.md`.

Hooks share the work. A hook on the parameter zeroes the gradient as it is computed. Hooks on all
optimisers zero the gradient before a step, and after each call of a closure, whoever wrote it, and
the weight after the step. A hook on the layer zeroes the weight after `load_state_dict`; as a part of
the layer it goes along into every copy, and there it sets the others again. Before each step the
parameters are looked up by layer and name, so that enforcement follows a parameter that was replaced
(by a conversion, `to_empty`, `fully_shard`, an assignment), and says so where it cannot; a layer that
left the model for another one is said as well. Cost: one pass over the weight per backward and two per
step, and one walk over the modules per step; nothing in the forward pass.
"""

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from pruneproof.errors import UnsupportedError
from pruneproof.prune.models.evaluation import copied
from pruneproof.prune.models.parameters import parameters_named, require_maskable, unwrapped
from pruneproof.prune.models.shards import local, local_part


class Enforcement:
    """What `Masks.enforce` returns: ends the enforcement by `remove()` or at the end of a `with` block.

    Example:
        >>> from pruneproof.prune import Masks
        >>> layer = nn.Linear(2, 1)
        >>> enforcement = Masks({"weight": torch.tensor([[True, False]])}).enforce(layer)
        >>> enforcement.remove()
    """

    def __init__(self, holds: list["_Anchor | _Places"], hooks: list[RemovableHandle]) -> None:
        self._holds, self._hooks = holds, hooks

    def remove(self) -> None:
        """End this enforcement; others of the same model go on. A second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        for hold in self._holds:
            hold.end()

    def __enter__(self) -> "Enforcement":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def enforce(model: nn.Module, kept: Mapping[str, Tensor]) -> Enforcement:
    """Zero the weights that are not kept and hold them at zero; the public form is `Masks.enforce`."""
    plain = unwrapped(model)
    parameters = parameters_named(plain, {name: mask.shape for name, mask in kept.items()}, where="Masks.enforce")
    require_maskable("Masks.enforce", parameters)
    _refuse_scripted(plain)
    _watch_optimizers()
    pruned = {id(parameters[name]): ~mask for name, mask in kept.items()}
    holds: list[_Anchor | _Places] = []
    hooks: list[RemovableHandle] = []
    layers = dict[str, list[nn.Module]]()
    # a tied weight has several layers, and each of them can be loaded or copied alone
    for path, module in plain.named_modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) in pruned:
                layers[f"{path}.{name}".lstrip(".")] = _way(plain, path)
                holds.append(_Anchor(module, name, parameter, pruned[id(parameter)]))
                hooks.append(module.register_load_state_dict_post_hook(holds[-1]))
    holds.append(_Places(plain, layers))
    hooks.append(plain.register_load_state_dict_post_hook(holds[-1]))
    return Enforcement(holds, hooks)


def _refuse_scripted(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedError(
                "Masks.enforce: a scripted or traced model takes no hooks in Python. "
                "Enforce on the model from which it was made, or zero its weights once by masks.apply_(model)."
            )


def release(model: nn.Module) -> None:
    """End every enforcement on a model: for a copy of an enforced model, which has no handle of its own.

    Args:
        model: Any module; left as it is, zeros included.

    Example:
        >>> from copy import deepcopy
        >>> from pruneproof.prune import Masks
        >>> layer = nn.Linear(2, 1)
        >>> handle = Masks({"weight": torch.tensor([[True, False]])}).enforce(layer)
        >>> copy = deepcopy(layer)  # enforced like the original
        >>> release(copy)           # and now free
    """
    for module in model.modules():
        for key, hold in _holds(module).items():
            hold.end()
            del module._load_state_dict_post_hooks[key]  # pyright: ignore[reportPrivateUsage]


def zero_again(model: nn.Module) -> None:
    """Zero what is enforced on a model, after its weights were written by hand; without any enforcement, nothing."""
    for module in model.modules():
        for hold in _holds(module).values():
            hold(module, None)


def _holds(module: nn.Module) -> dict[int, "_Anchor | _Places"]:
    hooks = cast(dict[int, object], getattr(module, "_load_state_dict_post_hooks", {}))
    return {key: hook for key, hook in hooks.items() if isinstance(hook, _Anchor | _Places)}


class _Anchor:
    """A layer's hold on the mask of one of its parameters, called after `load_state_dict`.

    Copying (or unpickling) a layer builds its anchors anew from the copied parameter, which arms it.
    """

    def __init__(self, module: nn.Module, name: str, parameter: nn.Parameter, pruned: Tensor) -> None:
        self._module, self.name, self._parameter, self._pruned = weakref.ref(module), name, parameter, pruned
        self._lost = self._elsewhere = False
        _watch_optimizers()  # a copy may be unpickled in another process
        _ANCHORS.add(self)
        self._arm()

    def __call__(self, module: nn.Module, incompatible_keys: object) -> None:
        self.follow()
        self._arm()

    def __reduce__(self) -> tuple[object, ...]:
        return _Anchor, (self._module(), self.name, self._parameter, self._pruned)

    def follow(self) -> None:
        """Hold the parameter that now has the name, if it is another one; warn once if there is none."""
        module = self._module()
        if module is None or self._lost:
            return
        now = module._parameters.get(self.name)  # pyright: ignore[reportPrivateUsage]
        if now is self._parameter or (now is None and self._elsewhere):
            return
        if now is not None and now.shape == self._pruned.shape:
            self._disarm()
            self._parameter = now
            self._arm()
            return
        if now is None and _still_means_zero(module, self.name, self._parameter, self._pruned):
            self._elsewhere = True
        else:
            self._lost = True
            warnings.warn(
                f"Masks.enforce: {self.name} of {type(module).__name__} is no longer a parameter of its shape, so its "
                "pruned weights are not held at zero any more. Enforce on the model as it is now, or undo the change.",
                stacklevel=2,
            )

    def end(self) -> None:
        """Stop holding the parameter."""
        _ANCHORS.discard(self)
        self._disarm()

    def _arm(self) -> None:
        guard = _GUARDS.get(self._parameter)
        if guard is None:
            guard = _GUARDS[self._parameter] = _Guard(self._parameter)
        guard.add(self._pruned)
        _zero(self._parameter, guard)

    def _disarm(self) -> None:
        guard = _GUARDS.get(self._parameter)
        if guard is not None and not guard.discard(self._pruned):
            del _GUARDS[self._parameter]


class _Places:
    """A model's hold on the places of its pruned layers: it says so when another layer was put there.

    Like an anchor it is a hook after `load_state_dict`, of the whole model, and goes along into its copies.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, Sequence[nn.Module]]) -> None:
        self._model = weakref.ref(model)
        self._layers = {name: [weakref.ref(module) for module in layers[name]] for name in layers}
        _PLACES.add(self)

    def __call__(self, module: nn.Module, incompatible_keys: object) -> None:
        self.look()

    def __reduce__(self) -> tuple[object, ...]:
        self.look()  # a copy does not know what was replaced before it was made
        model = cast(nn.Module, self._model())
        inside = _modules(model)  # a layer that moved has left some of its way behind
        ways = {name: [m for known in way if (m := known()) in inside] for name, way in self._layers.items()}
        return _Places, (model, ways)

    def look(self) -> None:
        """Warn, once, of layers that left the model while others with parameters took their places."""
        model = self._model()
        if model is None:
            return
        inside = _modules(model)
        gone = {name: way for name, way in self._layers.items() if way[-1]() not in inside}
        for name in gone:
            del self._layers[name]
        replaced = [name for name, way in gone.items() if _unheld(model, name, way)]
        if replaced:
            more = f" and {len(replaced) - 5} more" if len(replaced) > 5 else ""
            warnings.warn(
                f"Masks.enforce: in {type(model).__name__} another layer stands where {', '.join(replaced[:5])}{more} "
                "was pruned, and that layer is not enforced. Enforce on the model as it is now, or undo the change.",
                stacklevel=2,
            )

    def end(self) -> None:
        """Stop looking."""
        _PLACES.discard(self)


def _way(model: nn.Module, path: str) -> list[nn.Module]:
    """The modules that hold a layer, from the model on, and the layer."""
    way = [model]
    for key in filter(None, path.split(".")):
        way.append(way[-1].get_submodule(key))
    return way


def _modules(model: nn.Module) -> set[nn.Module | None]:
    """What `model.modules()` lists, several times as fast."""
    found, waiting = set[nn.Module | None]([model]), [model]
    for module in waiting:
        for child in module._modules.values():  # pyright: ignore[reportPrivateUsage]
            if child is not None and child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _unheld(model: nn.Module, name: str, way: Sequence[weakref.ref[nn.Module]]) -> bool:
    """Whether there are parameters in the place of a layer that left, and no layer that is enforced under its name."""
    now: nn.Module | None = model
    keys, replaced = name.split("."), False
    for place, key in enumerate(keys[:-1], start=1):
        now = now._modules.get(key)  # pyright: ignore[reportPrivateUsage]
        if now is None:
            return replaced
        replaced |= place >= len(way) or (now is not way[place]() and any(True for _ in now.parameters()))
    return replaced and not any(isinstance(hold, _Anchor) and hold.name == keys[-1] for hold in _holds(now).values())


@torch.no_grad()
def _still_means_zero(module: nn.Module, name: str, parameter: nn.Parameter, pruned: Tensor) -> bool:
    """Whether the same parameter lives on under another name, and its zeros are zeros of the weight."""
    if not any(each is parameter for each in module.parameters()):
        return False
    if parametrize.is_parametrized(module, name):
        steps = copied("Masks.enforce", cast(nn.Module, cast(Any, module).parametrizations[name])).eval()
        for original in steps.parameters(
            recurse=False
        ):  # other values, as the optimiser will give it, of the same signs
            factors = 1 + torch.rand(original.shape, generator=torch.Generator().manual_seed(0))
            original.mul_(factors.to(original.device, original.dtype))
            if original.shape == pruned.shape:
                original.masked_fill_(pruned.to(original.device), 0)
        weight = cast(Tensor, steps())
        return not bool(weight[pruned.to(weight.device)].any())
    return True  # `weight_orig` of `torch.nn.utils.prune` or of the older spectral norm


class _Guard:
    """All that is pruned from one parameter. It must not refer to the parameter: the table below is weak."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._each: list[Tensor] = []
        self._union: Tensor | None = None
        self._hook: RemovableHandle | None = None
        if parameter.is_floating_point() or parameter.is_complex():
            wanted = parameter.requires_grad
            parameter.requires_grad_(True)  # a frozen parameter takes no hook, and may be thawed later
            if local(parameter) is parameter:
                self._hook = parameter.register_hook(self._zeroed)
            else:  # the hook on the gradient never fires for the shards of `fully_shard`
                self._hook = parameter.register_post_accumulate_grad_hook(self._zero_gradient)
            parameter.requires_grad_(wanted)

    def add(self, pruned: Tensor) -> None:
        if not any(pruned is known for known in self._each):
            self._each.append(pruned)
            self._union = None

    def discard(self, pruned: Tensor) -> bool:
        """Forget one mask; whether any is left."""
        self._each = [known for known in self._each if known is not pruned]
        self._union = None
        if not self._each and self._hook is not None:
            self._hook.remove()
        return bool(self._each)

    def pruned(self, like: Tensor) -> Tensor:
        """What is pruned of a tensor like the parameter, or of this process's part of it."""
        part = local(like)
        union = self._union
        if union is None or union.device != part.device or union.shape != part.shape:  # moved, or sharded
            union = local_part(torch.stack([mask.to(part.device) for mask in self._each]).any(0), like)
            self._union = union
        return union

    def _zeroed(self, gradient: Tensor) -> Tensor:
        return gradient.masked_fill(self.pruned(gradient), 0)

    def _zero_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            _zero(parameter.grad, self)


_GUARDS = WeakIdKeyDictionary()  # parameter → _Guard: what the hooks on all optimisers look up
_ANCHORS = weakref.WeakSet[_Anchor]()
_PLACES = weakref.WeakSet[_Places]()


@cache
def _watch_optimizers() -> None:
    register_optimizer_step_pre_hook(_before_step)
    register_optimizer_step_post_hook(_after_step)


def _guarded(optimizer: Optimizer) -> Iterator[tuple[nn.Parameter, _Guard]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            guard = _GUARDS.get(parameter)
            if guard is not None:
                yield parameter, guard


def _before_step(optimizer: Optimizer, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Any] | None:
    for anchor in list(_ANCHORS):
        anchor.follow()
    for places in list(_PLACES):
        places.look()
    if not any(True for _ in _guarded(optimizer)):
        return None
    _zero_gradients(optimizer)
    if callable(keywords.get("closure")):
        return arguments, keywords | {"closure": _then_zero(keywords["closure"], optimizer)}
    if len(arguments) > 1 and callable(arguments[1]):  # the optimiser itself comes first
        return (arguments[0], _then_zero(arguments[1], optimizer), *arguments[2:]), keywords
    return None


def _then_zero(closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
    """The closure, after which gradients of pruned weights are zero, whatever it did to them."""

    def call() -> Any:
        loss = closure()
        _zero_gradients(optimizer)
        return loss

    return call


def _zero_gradients(optimizer: Optimizer) -> None:
    for parameter, guard in _guarded(optimizer):
        if parameter.grad is not None:
            _zero(parameter.grad, guard)


def _after_step(optimizer: Optimizer, arguments: Any, keywords: Any) -> None:
    for parameter, guard in _guarded(optimizer):
        _zero(parameter, guard)


def _zero(tensor: Tensor, guard: _Guard) -> None:
    with torch.no_grad():
        local(tensor).masked_fill_(guard.pruned(tensor), 0)
