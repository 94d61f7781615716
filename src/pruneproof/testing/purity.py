"""Everything about a model and the random state that scoring may not change, bit by bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def fingerprint(model: nn.Module) -> dict[str, object]:
    """A copy of all that can be compared later: parameters, buffers, gradients, modes, flags, hooks, random state."""
    found: dict[str, object] = {"the global random state": torch.get_rng_state()}
    for name, tensor in model.state_dict(keep_vars=True).items():
        found[name] = tensor.detach().clone()
        found[f"the identity of {name}"] = id(tensor)
        found[f"requires_grad of {name}"] = tensor.requires_grad
        found[f"the gradient of {name}"] = None if tensor.grad is None else tensor.grad.clone()
        found[f"the hooks of {name}"] = len(getattr(tensor, "_backward_hooks", None) or ())
    for name, module in model.named_modules():
        found[f"the mode of {name or 'the model'}"] = module.training
        found[f"the hooks of {name or 'the model'}"] = [
            len(hooks) for key, hooks in sorted(vars(module).items()) if key.endswith("_hooks") and hooks is not None
        ]
    return found


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> str | None:
    """The first thing that differs between two fingerprints."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if isinstance(old, Tensor) and isinstance(new, Tensor):
            same = old.shape == new.shape and old.dtype == new.dtype and torch.equal(_bits(old), _bits(new))
        else:
            same = type(old) is type(new) and old == new
        if not same:
            return f"{name} changed"
    return None


def _bits(tensor: Tensor) -> Tensor:
    """Bytes, so that minus zero differs from zero and NaN equals itself."""
    return tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor.reshape(-1)
