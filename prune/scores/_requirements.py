"""What SNIP and GraSP need of model, loss, batch and options, refused with a remedy before anything is accumulated."""

from numbers import Real
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from ...errors import PruneproofError, described
from ..parameters import prunable, require_real
from ._frozen import check_device, require_derivatives

if TYPE_CHECKING:
    from ._objective import Objective


def check(objective: "Objective") -> None:
    """Refuse a model, a loss, a batch or options that cannot be scored."""
    where, model = objective.where, objective.model
    check_device(where, model)
    require_derivatives(where)
    require_real(where, prunable(model))
    if not isinstance(objective.temperature, Real) or not objective.temperature > 0:
        remedy, received = "pass 1.0 to leave the logits alone", described(objective.temperature)
        raise PruneproofError(where, required="temperature > 0", received=received, remedy=remedy)
    if objective.batch_norm not in ("batch", "running"):
        remedy = "choose the pooled batch's statistics or the running ones"
        required = "batch_norm 'batch' or 'running'"
        raise PruneproofError(where, required=required, received=objective.batch_norm, remedy=remedy)
    _check_chunk(objective)


def _check_chunk(objective: "Objective") -> None:
    if objective.chunk is None:
        return
    if isinstance(objective.chunk, bool) or not isinstance(objective.chunk, int) or objective.chunk < 1:
        remedy, received = "pass the number of examples that fit in memory", described(objective.chunk)
        raise PruneproofError(objective.where, required="chunk >= 1", received=received, remedy=remedy)
    norms = [module for module in objective.model.modules() if isinstance(module, _BatchNorm)]
    if any(objective.batch_norm == "batch" or norm.running_mean is None for norm in norms):
        remedy = "pass batch_norm='running', or score the batch in one piece"
        required = "examples that do not see each other, to accumulate over chunks"
        raise PruneproofError(objective.where, required=required, received="BatchNorm on a batch", remedy=remedy)


def check_classes(where: str, output: Any, targets: Any) -> None:
    """Refuse labels that leave a class of the output without an example."""
    if not (isinstance(output, Tensor) and isinstance(targets, Tensor)):
        return
    labelled = output.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point()
    missing = sorted(set(range(output.shape[1])) - set(targets.tolist())) if labelled else []
    if missing:
        remedy = "pool the same number of examples of every class, e.g. with balanced_batch"
        received = f"a batch without class {', '.join(map(str, missing[:8]))}{' …' * (len(missing) > 8)}"
        raise PruneproofError(where, required="examples of every class", received=received, remedy=remedy)


def check_loss(where: str, value: Any) -> Tensor:
    """The loss, if it is a finite scalar with a graph; else refuse it."""
    if not (isinstance(value, Tensor) and value.ndim == 0):
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        remedy = "reduce it, e.g. with .mean()"
        raise PruneproofError(where, required="a scalar loss", received=shape, remedy=remedy)
    if not value.requires_grad:
        remedy = "compute it from the model's output with differentiable operations"
        raise PruneproofError(where, required="a differentiable loss", received="no graph", remedy=remedy)
    if not value.isfinite():
        remedy = "check the inputs and the weights"
        raise PruneproofError(where, required="a finite loss", received=value.item(), remedy=remedy)
    return value
