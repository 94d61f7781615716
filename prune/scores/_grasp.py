"""GraSP: what removing each weight does to the gradient norm, before training.

With g = ∇L and H its Hessian over the prunable weights, removing weight q changes ‖g‖² by 2·S_q to
first order, where S = −θ⊙Hg (Wang, Zhang, Grosse 2020). GraSP prunes the *highest* S: what is left
has the largest gradient norm. `select` keeps the highest scores everywhere in this library, so
`grasp` returns −S = θ⊙Hg, and keeping its highest is GraSP. Frankle et al. (2021) also study
abs(θ⊙Hg), keeping the highest: `grasp_abs`.

Where BatchNorm normalises by the batch, L is the mean of the losses of the two halves of the batch,
each normalised by its own statistics, as in the published implementation.

Cost: one forward, one backward and one double backward pass: on a CPU about four forward–backward
passes, and about six with BatchNorm on batch statistics, whose second derivative torch takes piece
by piece.
"""

from typing import Unpack

from torch import Tensor, nn

from ._objective import Batch, Loss, Objective, ScoringOptions, objective

TEMPERATURE = 200.0  # of the published implementations


def grasp(model: nn.Module, loss: Loss, batch: Batch, **options: Unpack[ScoringOptions]) -> dict[str, Tensor]:
    """Score each prunable weight by weight · (Hessian · gradient); `select` on it keeps what GraSP keeps.

    Args:
        model: As in `snip`.
        loss: As in `snip`; twice differentiable, and a mean over the batch where BatchNorm
            normalises by the batch.
        batch: As in `snip`. Where BatchNorm normalises by the batch, its first and second half are
            normalised each by itself, as published.
        **options: As in `snip`, except that `temperature` divides the logits by 200 unless told
            otherwise, as published.

    Returns:
        Name → tensor of the weight's shape and dtype, signed: −S of the paper, so that the highest
        are kept.

    Raises:
        PruneproofError: As `snip` raises.

    Source: GraSP as stated in Frankle et al. 2021, "Pruning Neural Networks at Initialization".

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
        >>> square = lambda output, target: (output**2).sum()  # g = 2w = 6, H = 2, w·H·g = 36
        >>> grasp(layer, square, (torch.ones(1, 1), None), temperature=1.0)
        {'weight': tensor([[36.]])}
    """
    problem = objective("grasp", model, loss, batch, {"temperature": TEMPERATURE, **options})
    return problem.scores(Objective.hessian_vector_product, lambda weight, product: weight * product)


def grasp_abs(model: nn.Module, loss: Loss, batch: Batch, **options: Unpack[ScoringOptions]) -> dict[str, Tensor]:
    """Score each prunable weight by the magnitude of its GraSP score; the highest are kept.

    Args:
        model: As in `snip`.
        loss: As in `grasp`.
        batch: As in `grasp`.
        **options: As in `grasp`.

    Returns:
        Name → tensor of the weight's shape and dtype, non-negative.

    Raises:
        PruneproofError: As `snip` raises.

    Source: the variant of GraSP that Frankle et al. 2021 study beside it.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> cube = lambda output, target: -(output**4).sum()
        >>> bool(grasp_abs(layer, cube, (torch.ones(1, 1), None))["weight"] >= 0)
        True
    """
    problem = objective("grasp_abs", model, loss, batch, {"temperature": TEMPERATURE, **options})
    return problem.scores(Objective.hessian_vector_product, lambda weight, product: (weight * product).abs())
