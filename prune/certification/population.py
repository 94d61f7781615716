"""Certify, for the population that held-out points come from, how often and how far two networks differ.

Nothing about the networks is used: any pruning, any fine-tuning. The networks are run as they are, on the device and in
the precision they have, in evaluation mode. Three statements (S5 in theory/theorems/sensitivity/proof.md):

* *disagreement*: P(different classes) ≤ the Clopper–Pearson upper limit, with confidence 1 − α; points independent;
* *quantile*: at most a share β of the population has max|f̂−f| above an order statistic, with confidence 1 − α;
* *conformal*: the next point exceeds another order statistic with probability ≤ β; exchangeability alone, but the
  probability is over the held-out points too.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pruneproof.checks import require_fraction
from pruneproof.errors import InvalidValueError
from pruneproof.prune.models.evaluation import explained
from pruneproof.theory.statistics.exact_tests import clopper_pearson, tail


@dataclass(frozen=True)
class PopulationCertificate:
    """What holds for the population.

    Args:
        points: Number of held-out points.
        disagreements: Points on which the predicted classes differ.
        disagreement_bound: P(classes differ) is at most this, with confidence 1 − `alpha`.
        quantile_bound: At most a share `beta` of the population has max|f̂−f| above this, with
            confidence 1 − `alpha`; inf where the points are too few.
        conformal_bound: A new point's max|f̂−f| exceeds this with probability at most `beta`; inf
            likewise.
        alpha: Probability that one statement of the first two is wrong.
        beta: Share of the population given up.

    Example:
        >>> from torch import nn
        >>> network = nn.Linear(2, 2)
        >>> certificate = certify_population(network, network, torch.randn(50, 2))
        >>> certificate.disagreements, round(certificate.disagreement_bound, 3)
        (0, 0.058)
    """

    points: int
    disagreements: int
    disagreement_bound: float
    quantile_bound: float
    conformal_bound: float
    alpha: float
    beta: float


def certify_population(
    original: nn.Module, pruned: nn.Module, held_out: Tensor, *, alpha: float = 0.05, beta: float = 0.05
) -> PopulationCertificate:
    """Bound the disagreement of two networks and the quantiles of their difference from held-out points.

    Args:
        original, pruned: Any modules with (batch, outputs) output of one shape.
        held_out: (points, *item), drawn as the population is, and used for neither pruning nor
            fine-tuning.
        alpha: In (0, 1), error probability of each confidence statement.
        beta: In (0, 1), share of the population given up.

    Returns:
        Counts on the held-out points, and what they say of the population.

    Raises:
        InvalidValueError: No points, outputs of different shapes or not finite, α or β outside
            (0, 1).

    Source: S5(b), (c) in theory/theorems/sensitivity/proof.md.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> record = certify_population(layer, layer, torch.rand(100, 2))
        >>> record.disagreements, round(record.disagreement_bound, 4), record.quantile_bound
        (0, 0.0295, 0.0)
    """
    require_fraction("certify_population", "alpha", alpha)
    require_fraction("certify_population", "beta", beta)
    if held_out.ndim < 2 or not len(held_out):
        raise _refusal("held-out points (points, *item)", tuple(held_out.shape), "pass some")
    first, second = _outputs(original, held_out), _outputs(pruned, held_out)
    if first.shape != second.shape or first.ndim != 2:
        raise _refusal("(points, outputs) of one shape", (tuple(first.shape), tuple(second.shape)), "compare like nets")
    if not bool((first.isfinite() & second.isfinite()).all()):
        raise _refusal("finite outputs", "NaN or inf", "repair the network or the data")
    errors = (second.double() - first.double()).abs().amax(1).sort().values
    disagreements = int((first.argmax(1) != second.argmax(1)).sum())
    count = len(errors)
    return PopulationCertificate(
        count,
        disagreements,
        clopper_pearson(disagreements, count, min(2 * alpha, 1 - 1e-12))[1],
        confident_quantile(errors, alpha, beta),
        _at(errors, math.ceil((1 - beta) * (count + 1))),
        alpha,
        beta,
    )


def _refusal(required: str, received: object, remedy: str) -> InvalidValueError:
    remedy = remedy[:1].upper() + remedy[1:]
    return InvalidValueError(f"certify_population needs {required}, got {received}. {remedy}.")


def _outputs(model: nn.Module, points: Tensor) -> Tensor:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        remedy = "Pass points of its shape and dtype."
        with torch.no_grad(), explained("certify_population", "the network", remedy):
            return cast(Tensor, model(points.clone()))  # a network may write over what it is given
    finally:
        for module, mode in modes:  # one by one: a part may have been frozen in another mode than the whole
            module.training = mode


def confident_quantile(errors: Tensor, alpha: float, beta: float) -> float:
    """With confidence 1 − α, at most a share β of the population that the errors were drawn from lies above this.

    It is the smallest order statistic k with P(Bin(n, 1 − β) ≥ k) ≤ α, so rarely is the k-th smallest below the
    quantile; inf where n draws are too few.

    Args:
        errors: (n,), in increasing order, of independent draws.
        alpha: Probability in (0, 1) that the statement is wrong.
        beta: Share in (0, 1) of the population that is given up.

    Source: S5(b) in theory/theorems/sensitivity/proof.md.

    Example:
        >>> confident_quantile(torch.arange(1.0, 101.0), 0.05, 0.05)
        99.0
    """
    low, high = 0, len(errors) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tail(middle, len(errors), 1 - beta) <= alpha else (middle, high)
    return _at(errors, high)


def _at(ordered: Tensor, rank: int) -> float:
    return math.inf if rank > len(ordered) else float(ordered[rank - 1])
