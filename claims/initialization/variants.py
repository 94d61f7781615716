"""Masks by name: the methods of the paper, their inversions, and the random controls."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof.prune import Masks, invert, prune_progressively, scores, select
from pruneproof.prune import random as random_masks
from pruneproof.prune.methods.at_initialization import SYNFLOW_ITERATIONS
from pruneproof.prune.selection import schedules

CONTROLS = {"random": "global", "random uniform": "layer", "random ERK": "erk"}
METHODS = ("snip", "grasp", "synflow", "magnitude")  # of the paper
ABLATED = ("snip", "synflow", "magnitude", "grasp_abs")  # asserted in AI3–AI5; GraSP proper is printed

Score = Callable[[nn.Module], dict[str, Tensor]]


def masks_of(
    model: nn.Module,
    method: str,
    density: float,
    batch: tuple[Tensor, Tensor],
    input_shape: Sequence[int],
    *,
    seed: int,
    inverted: bool = False,
) -> Masks:
    """The masks of a method at a density; inverted scores keep the lowest, at every iteration of SynFlow."""
    if method in CONTROLS:
        generator = torch.Generator().manual_seed(seed)
        return random_masks(model, density=density, generator=generator, scope=CONTROLS[method])
    if method == "synflow":
        densities = schedules.exponential(density, SYNFLOW_ITERATIONS)
        flow: Score = lambda net: scores.synflow(net, input_shape)  # noqa: E731
        return prune_progressively(model, _inverting(flow) if inverted else flow, densities)[-1]
    one_shot: dict[str, Score] = {
        "snip": lambda net: scores.snip(net, cross_entropy, batch),
        "grasp": lambda net: scores.grasp(net, cross_entropy, batch),
        "grasp_abs": lambda net: scores.grasp_abs(net, cross_entropy, batch),
        "magnitude": scores.magnitude,
    }
    score = one_shot[method](model)
    return select(invert(score) if inverted else score, density=density)


def _inverting(score: Score) -> Score:
    return lambda net: invert(score(net))
