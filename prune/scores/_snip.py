"""SNIP: the sensitivity of the loss to removing each weight, before training.

abs(θ·∂L/∂θ) is the absolute derivative of the loss with respect to a multiplicative mask on θ, at
mask = 1 (Lee, Ajanthan, Torr 2019, as used by Frankle et al. 2021). Keep the highest. Cost: one
forward and one backward pass.
"""

from typing import Unpack

from torch import Tensor, nn

from ._objective import Batch, Loss, Objective, ScoringOptions, objective


def snip(model: nn.Module, loss: Loss, batch: Batch, **options: Unpack[ScoringOptions]) -> dict[str, Tensor]:
    """Score each prunable weight by abs(weight · gradient); the model is left bit for bit as it was.

    Args:
        model: Any module whose parameters lie on one device; frozen parameters are scored too.
        loss: `(output, targets) -> scalar`, differentiable; by convention a mean over the batch.
        batch: `(inputs, targets)`, the examples that are scored together; `inputs` is a tensor, a
            tuple (positional) or a mapping (named). The paper takes as many examples of each class
            (`balanced_batch`). Of a model under `fully_shard` every process passes its own, of the same
            size, and the loss is the mean over the processes; its gradient is rounded as the reduction
            rounds: by at most about p · 2⁻²⁴ times the mean absolute gradient of p processes in float32.
        **options: `temperature`: the logits are divided by it before the loss, 1.0 by default.
            `batch_norm`: `"batch"` (default) normalises with the batch (training mode),
            `"running"` with the stored estimates. Scores depend on this choice. All other modules
            are in evaluation mode.
            `chunk`: examples held in memory at a time; the result is that of the whole batch. Not
            with batch statistics.
            `readout`: takes the logits out of an output that is not a tensor.
            `include`, `exclude`: shell patterns of what is scored, as in `prunable`.

    Returns:
        Name → tensor of the weight's shape, dtype and placements, non-negative.

    Raises:
        PruneproofError: For a loss that is not scalar, differentiable and finite, parameters on
            several devices, and as `prunable` raises. What the model or the loss itself raises
            comes with a note.

    Source: SNIP as stated in Frankle et al. 2021, "Pruning Neural Networks at Initialization".

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
        >>> snip(layer, lambda output, target: output.sum(), (torch.tensor([[1.0, -2.0]]), None))
        {'weight': tensor([[3., 6.]])}
    """
    problem = objective("snip", model, loss, batch, options)
    return problem.scores(Objective.gradient, lambda weight, gradient: (weight * gradient).abs())
