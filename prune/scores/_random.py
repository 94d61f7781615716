"""Random: uniform scores, the control that every other score must beat."""

import torch
from torch import Tensor, nn

from pruneproof.errors import require_type
from pruneproof.prune.models.parameters import prunable


def random(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Score each prunable weight by an independent draw from the uniform distribution on [0, 1).

    Drawn in float32 on the generator's device, in the order of `named_parameters()`: one seed gives one answer whatever
    the dtype and device of the model. At 2²⁴ possible values ties occur in large layers; `select` breaks them by index.

    **Arguments:**

    - `model`: any module with a linear or convolution weight.
    - `generator`: the only source of randomness; it advances.

    **Returns:** parameter name → float32 score of the parameter's shape, on the parameter's device.

    **Raises:** `PruneproofError` if nothing is prunable.

    Example:
        >>> scores = random(nn.Linear(3, 2), torch.Generator().manual_seed(0))
        >>> scores["weight"].shape
        torch.Size([2, 3])
    """
    remedy = "pass torch.Generator().manual_seed(seed)"
    require_type("random", generator, torch.Generator, required="a torch.Generator", remedy=remedy)
    require_type("random", model, nn.Module, required="a model (torch.nn.Module)", remedy="pass the module itself")
    return {
        name: torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
        for name, weight in prunable(model).items()
    }
