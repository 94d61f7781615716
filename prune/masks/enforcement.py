"""Keep pruned weights at exactly zero while any optimiser trains the model; the argument is in `enforcement.md`.

Four hooks share the work. A hook on the parameter zeroes the gradient as it is computed. Two hooks on all optimisers
zero the gradient before a step, whoever wrote it, and the weight after it. A hook on the layer zeroes the weight after
`load_state_dict`; as a part of the layer it goes along into every copy, and there it sets the other three again. Cost:
one pass over the weight per backward and two per step; nothing in the forward pass.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from pruneproof.prune.models.parameters import parameters_named, unwrapped


class Enforcement:
    """What `Masks.enforce` returns: ends the enforcement by `remove()` or at the end of a `with` block.

    Example:
        >>> from pruneproof.prune import Masks
        >>> layer = nn.Linear(2, 1)
        >>> enforcement = Masks({"weight": torch.tensor([[True, False]])}).enforce(layer)
        >>> enforcement.remove()
    """

    def __init__(self, anchors: list["_Anchor"], hooks: list[RemovableHandle]) -> None:
        self._anchors, self._hooks = anchors, hooks

    def remove(self) -> None:
        """End this enforcement; others of the same model go on. A second call does nothing."""
        for hook in self._hooks:
            hook.remove()
        for anchor in self._anchors:
            anchor.disarm()

    def __enter__(self) -> "Enforcement":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def enforce(model: nn.Module, kept: Mapping[str, Tensor]) -> Enforcement:
    """Zero the weights that are not kept and hold them at zero; the public form is `Masks.enforce`."""
    parameters = parameters_named(model, {name: mask.shape for name, mask in kept.items()}, where="Masks.enforce")
    _watch_optimizers()
    pruned = {id(parameters[name]): ~mask.to(parameters[name].device) for name, mask in kept.items()}
    anchors: list[_Anchor] = []
    hooks: list[RemovableHandle] = []
    # a tied weight has several layers, and each of them can be loaded or copied alone
    for module in unwrapped(model).modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) in pruned:
                anchors.append(_Anchor(name, parameter, pruned[id(parameter)]))
                hooks.append(module.register_load_state_dict_post_hook(anchors[-1]))
    return Enforcement(anchors, hooks)


def release(model: nn.Module) -> None:
    """End every enforcement on a model: for a copy of an enforced model, which has no handle of its own.

    **Arguments:**

    - `model`: any module; left as it is, zeros included.

    Example:
        >>> from copy import deepcopy
        >>> from pruneproof.prune import Masks
        >>> layer = nn.Linear(2, 1)
        >>> handle = Masks({"weight": torch.tensor([[True, False]])}).enforce(layer)
        >>> copy = deepcopy(layer)  # enforced like the original
        >>> release(copy)           # and now free
    """
    for module in model.modules():
        for key, anchor in _anchors(module).items():
            anchor.disarm()
            del module._load_state_dict_post_hooks[key]  # pyright: ignore[reportPrivateUsage]


def zero_again(model: nn.Module) -> None:
    """Zero what is enforced on a model, after its weights were written by hand; without any enforcement, nothing."""
    for module in model.modules():
        for anchor in _anchors(module).values():
            anchor(module, None)


def _anchors(module: nn.Module) -> dict[int, "_Anchor"]:
    hooks = cast(dict[int, object], module._load_state_dict_post_hooks)  # pyright: ignore[reportPrivateUsage]
    return {key: hook for key, hook in hooks.items() if isinstance(hook, _Anchor)}


class _Anchor:
    """A layer's hold on the mask of one of its parameters, called after `load_state_dict`.

    Copying (or unpickling) a layer builds its anchors anew from the copied parameter, which arms it.
    """

    def __init__(self, name: str, parameter: nn.Parameter, pruned: Tensor) -> None:
        self._name, self._parameter, self._pruned = name, parameter, pruned
        self._arm()

    def __call__(self, module: nn.Module, incompatible_keys: object) -> None:
        loaded = dict(module.named_parameters(recurse=False, remove_duplicate=False)).get(self._name, self._parameter)
        if loaded is not self._parameter:  # load_state_dict(..., assign=True); it is gone where the weight is computed
            self.disarm()
            self._parameter = loaded
        self._arm()

    def __reduce__(self) -> tuple[object, ...]:
        return _Anchor, (self._name, self._parameter, self._pruned)

    def _arm(self) -> None:
        guard = _GUARDS.get(self._parameter)
        if guard is None:
            guard = _GUARDS[self._parameter] = _Guard(self._parameter)
        guard.add(self._pruned)
        _zero(self._parameter, guard)

    def disarm(self) -> None:
        guard = _GUARDS.get(self._parameter)
        if guard is not None and not guard.discard(self._pruned):
            del _GUARDS[self._parameter]


class _Guard:
    """All that is pruned from one parameter. It must not refer to the parameter: the table below is weak."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._each: list[Tensor] = []
        self._union: Tensor | None = None
        self._hook: RemovableHandle | None = None
        if parameter.is_floating_point() or parameter.is_complex():
            wanted = parameter.requires_grad
            parameter.requires_grad_(True)  # a frozen parameter takes no hook, and may be thawed later
            self._hook = parameter.register_hook(self._zeroed)
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

    def pruned(self, device: torch.device) -> Tensor:
        if self._union is None or self._union.device != device:  # the model has been moved
            self._union = torch.stack([mask.to(device) for mask in self._each]).any(0)
        return self._union

    def _zeroed(self, gradient: Tensor) -> Tensor:
        return gradient.masked_fill(self.pruned(gradient.device), 0)


_GUARDS = WeakIdKeyDictionary()  # parameter → _Guard: what the hooks on all optimisers look up


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


def _before_step(optimizer: Optimizer, arguments: Any, keywords: Any) -> None:
    for parameter, guard in _guarded(optimizer):
        if parameter.grad is not None:
            _zero(parameter.grad, guard)


def _after_step(optimizer: Optimizer, arguments: Any, keywords: Any) -> None:
    for parameter, guard in _guarded(optimizer):
        _zero(parameter, guard)


def _zero(tensor: Tensor, guard: _Guard) -> None:
    with torch.no_grad():
        tensor.masked_fill_(guard.pruned(tensor.device), 0)
