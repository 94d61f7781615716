"""SNIP: the sensitivity of the loss to removing each weight, before training.

abs(θ·∂L/∂θ) is the absolute derivative of the loss with respect to a multiplicative mask on θ, at mask = 1
(Lee, Ajanthan, Torr 2019, as used by Frankle et al. 2021). Keep the highest. Cost: one forward and one backward pass.
"""

from torch import Tensor, nn

from pruneproof.prune.models.evaluation import BatchNormMode, Readout
from pruneproof.prune.models.parameters import unwrapped

from ._objective import Batch, Loss, Objective, evaluated, require_arguments


def snip(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    temperature: float = 1.0,
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> dict[str, Tensor]:
    """Score each prunable weight by abs(weight · gradient); the model is left bit for bit as it was.

    **Arguments:**

    - `model`: any module whose parameters lie on one device; frozen parameters are scored too.
    - `loss`: `(output, targets) -> scalar`, differentiable; by convention a mean over the batch.
    - `batch`: the pair `(inputs, targets)`, pooled; inputs are a tensor, a tuple (positional) or a mapping (named).
      With class labels every class must be present: Frankle et al. pool 10 examples of each (`balanced_batch`).
    - `temperature`: the logits are divided by it before the loss.
    - `batch_norm`: `"batch"` normalises with the pooled batch (training mode), `"running"` with the stored estimates.
      Scores depend on this choice. All other modules are in evaluation mode.
    - `chunk`: examples held in memory at a time; the result is that of the pooled batch. Not with batch statistics.
    - `readout`: takes the logits out of an output that is not a tensor.

    **Returns:** name → tensor of the weight's shape and dtype, non-negative.

    **Raises:** `PruneproofError` on a loss that is not scalar, differentiable and finite, a batch without some class,
    parameters on several devices, or an output that the loss cannot take.

    Source: SNIP as stated in Frankle et al. 2021, "Pruning Neural Networks at Initialization".

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
        >>> snip(layer, lambda output, target: output.sum(), (torch.tensor([[1.0, -2.0]]), None))
        {'weight': tensor([[3., 6.]])}
    """
    require_arguments("snip", model, loss, batch)
    objective = Objective("snip", unwrapped(model), loss, batch, temperature, batch_norm, chunk, readout)
    with evaluated(objective) as weights:
        gradient = objective.gradient(weights)
    return {name: (weight.detach() * g).abs() for (name, weight), g in zip(weights.items(), gradient, strict=True)}
