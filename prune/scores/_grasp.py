"""GraSP: what removing each weight does to the gradient norm, before training.

With g = ∇L and H its Hessian over the prunable weights, removing weight q changes ‖g‖² by 2·S_q to first order, where
S = −θ⊙Hg (Wang, Zhang, Grosse 2020). GraSP prunes the *highest* S: what is left has the largest gradient norm. `select`
keeps the highest scores everywhere in this library, so `grasp` returns −S = θ⊙Hg, and keeping its highest is GraSP.
Frankle et al. (2021) also study abs(θ⊙Hg), keeping the highest: `grasp_abs`.

Cost: one forward, one backward and one double backward pass: on a CPU about four forward–backward passes, and about six
with BatchNorm on batch statistics, whose second derivative torch takes piece by piece.
"""

from torch import Tensor, nn

from pruneproof.prune.models.evaluation import BatchNormMode, Readout
from pruneproof.prune.models.parameters import unwrapped

from ._objective import Batch, Loss, Objective, evaluated, require_arguments

TEMPERATURE = 200.0  # of the published implementations


def grasp(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    temperature: float = TEMPERATURE,
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> dict[str, Tensor]:
    """Score each prunable weight by weight · (Hessian · gradient); `select` on it keeps what GraSP keeps.

    **Arguments:** those of `snip`, except that `temperature` divides the logits by 200 unless told otherwise, as
    published. The loss must be twice differentiable.

    **Returns:** name → tensor of the weight's shape and dtype, signed: −S of the paper, so that the highest are kept.

    **Raises:** `PruneproofError` as `snip` does.

    Source: GraSP as stated in Frankle et al. 2021, "Pruning Neural Networks at Initialization".

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
        >>> square = lambda output, target: (output**2).sum()  # g = 2w = 6, H = 2, w·H·g = 36
        >>> grasp(layer, square, (torch.ones(1, 1), None), temperature=1.0)
        {'weight': tensor([[36.]])}
    """
    require_arguments("grasp", model, loss, batch)
    return _signed(Objective("grasp", unwrapped(model), loss, batch, temperature, batch_norm, chunk, readout))


def grasp_abs(
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    temperature: float = TEMPERATURE,
    batch_norm: BatchNormMode = "batch",
    chunk: int | None = None,
    readout: Readout | None = None,
) -> dict[str, Tensor]:
    """Score each prunable weight by the magnitude of its GraSP score; the highest are kept.

    **Arguments:**, return value and errors are those of `grasp`.

    Source: the variant of GraSP that Frankle et al. 2021 study beside it.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> cube = lambda output, target: -(output**4).sum()
        >>> bool(grasp_abs(layer, cube, (torch.ones(1, 1), None))["weight"] >= 0)
        True
    """
    require_arguments("grasp_abs", model, loss, batch)
    objective = Objective("grasp_abs", unwrapped(model), loss, batch, temperature, batch_norm, chunk, readout)
    return {name: score.abs() for name, score in _signed(objective).items()}


def _signed(objective: Objective) -> dict[str, Tensor]:
    with evaluated(objective) as weights:
        curvature = objective.curvature(weights)
    return {name: weight.detach() * h for (name, weight), h in zip(weights.items(), curvature, strict=True)}
