"""The ablation study of Frankle et al. (2021) for any model: does it matter *which* weights a score keeps?

For each score and density the network is pruned before training as the score says, then once more with each
layer's mask shuffled, with the weights under the mask drawn again, and with the scores inverted. If shuffling or
drawing again costs no accuracy, all that the score contributed is how many weights each layer keeps.
Cost: one training of the dense network and four for every score and density, all of it times the repeats.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pruneproof.errors import InvalidTypeError, InvalidValueError, described
from pruneproof.plotting import INK, shades
from pruneproof.prune.masks.masks import Masks
from pruneproof.prune.models.parameters import prunable
from pruneproof.prune.scores import magnitude
from pruneproof.prune.selection.budget import kept_count
from pruneproof.prune.selection.selection import select

from .ablations import invert, reinitialize, shuffle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Score = Callable[[nn.Module], Mapping[str, Tensor]]

ABLATIONS = ("none", "shuffle", "reinitialize", "invert")
DENSE = "dense"
_LINES = {"none": "-", "shuffle": "--", "reinitialize": "-.", "invert": ":"}


@dataclass(frozen=True)
class AblationRow:
    """One training of the study.

    Args:
        repeat: Which network `build` returned, from 0 on.
        score: Name of the score; `"dense"` for the network that was not pruned.
        ablation: `"none"`, `"shuffle"`, `"reinitialize"` or `"invert"`.
        density: Kept fraction of the prunable weights.
        value: What `evaluate` returned after training.

    Example:
        >>> AblationRow(0, "magnitude", "shuffle", 0.1, 0.9).ablation
        'shuffle'
    """

    repeat: int
    score: str
    ablation: str
    density: float
    value: float


@dataclass(frozen=True)
class AblationStudy:
    """The rows of an ablation study, as a table and as a figure.

    Args:
        rows: One per training.

    Example:
        >>> study = AblationStudy((AblationRow(0, "dense", "none", 1.0, 0.9), AblationRow(0, "snip", "none", 0.1, 0.8)))
        >>> print(study.summary())
        score  ablation  density    mean  lowest  highest
        dense  none            1     0.9     0.9      0.9
        snip   none          0.1     0.8     0.8      0.8
    """

    rows: tuple[AblationRow, ...]

    def __repr__(self) -> str:
        scores = dict.fromkeys(row.score for row in self.rows)
        return f"AblationStudy({len(self.rows)} trainings: {', '.join(scores)})"

    def values(self, score: str, ablation: str = "none") -> dict[float, list[float]]:
        """Look up what was measured: density → one number per repeat.

        Args:
            score: Name of a score, or `"dense"`.
            ablation: One of `"none"`, `"shuffle"`, `"reinitialize"`, `"invert"`.

        Returns:
            Only densities that were measured, in the order of the rows.

        Example:
            >>> AblationStudy((AblationRow(0, "dense", "none", 1.0, 0.9),)).values("dense")
            {1.0: [0.9]}
        """
        wanted = [row for row in self.rows if (row.score, row.ablation) == (score, ablation)]
        return {d: [row.value for row in wanted if row.density == d] for d in dict.fromkeys(r.density for r in wanted)}

    def summary(self) -> str:
        """One line per score, ablation and density: mean, lowest and highest value over the repeats."""
        cells = [["score", "ablation", "density", "mean", "lowest", "highest"]]
        for score, ablation in dict.fromkeys((row.score, row.ablation) for row in self.rows):
            for density, values in self.values(score, ablation).items():
                numbers = (density, sum(values) / len(values), min(values), max(values))
                cells.append([score, ablation, *(f"{number:.4g}" for number in numbers)])
        left, right = max(len(row[0]) for row in cells), max(len(row[1]) for row in cells)
        return "\n".join(
            f"{row[0]:{left}}  {row[1]:{right}}  {row[2]:>7}  {row[3]:>6}  {row[4]:>6}  {row[5]:>7}" for row in cells
        )

    def figure(self) -> "Figure":
        """The published kind of figure: value against density, one line per ablation, one panel per score.

        Returns:
            A matplotlib figure (needs `pruneproof[verify]`); bands reach from the lowest to the highest repeat.
        """
        from matplotlib.figure import Figure

        scores = list(dict.fromkeys(row.score for row in self.rows if row.score != DENSE))
        figure = Figure(figsize=(1 + 3.2 * len(scores), 3.2), layout="constrained")
        panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
        dense = [row.value for row in self.rows if row.score == DENSE]
        for panel, score in zip(panels, scores, strict=True):
            panel.axhline(sum(dense) / len(dense), color=INK, linewidth=0.8, label="dense")
            for colour, ablation in zip(shades(len(ABLATIONS)), ABLATIONS, strict=True):
                curve = self.values(score, ablation)
                means = [sum(values) / len(values) for values in curve.values()]
                label = "as scored" if ablation == "none" else ablation
                panel.plot(list(curve), means, _LINES[ablation], color=colour, marker=".", label=label)
                lows, highs = [min(v) for v in curve.values()], [max(v) for v in curve.values()]
                panel.fill_between(list(curve), lows, highs, color=colour, alpha=0.15, linewidth=0)
            panel.set(title=score, xscale="log", xlabel="density")
            panel.invert_xaxis()
        panels[0].legend()
        return figure


def ablation_study(
    build: Callable[[], nn.Module],
    train: Callable[[nn.Module], object],
    evaluate: Callable[[nn.Module], float],
    densities: Sequence[float],
    *,
    scores: Mapping[str, Score] | None = None,
    repeats: int = 1,
    generator: torch.Generator | None = None,
) -> AblationStudy:
    """Prune before training by each score, ablate the masks, train, and measure: the study of Frankle et al.

    All trainings of a repeat start from one network that `build` made, so that they are compared in pairs. Give every
    training the same order of examples inside `train` if they are to differ in nothing else.

    Args:
        build: Returns a new, untrained network, with other weights at every call.
        train: Trains a network in place; pruned weights are held at zero meanwhile.
        evaluate: The number to compare, e.g. the test accuracy.
        densities: Kept fractions of all prunable weights, each in (0, 1].
        scores: Name → function of the network that returns scores, such as
            `lambda model: scores.snip(model, loss, batch)`; by default `{"magnitude": scores.magnitude}`.
        repeats: How many networks to build.
        generator: The source of the shuffles and of the weights drawn again; by default one of seed 0.

    Returns:
        An `AblationStudy`, whose `summary()` is a table and whose `figure()` is the figure.

    Raises:
        InvalidValueError: If a density is outside (0, 1] or keeps nothing, or if there is nothing to do; before any
            training.
        InvalidTypeError: If `build` returns no module.

    Source: J. Frankle, G. K. Dziugaite, D. M. Roy, M. Carbin, "Pruning Neural Networks at Initialization: Why Are We
    Missing the Mark?", 2021: the ablations of masks found before training.

    Example:
        >>> def train(model):
        ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         model(torch.eye(4)).square().sum().backward()
        ...         optimizer.step()
        >>> def evaluate(model):
        ...     return model(torch.eye(4)).square().sum().item()
        >>> study = ablation_study(lambda: nn.Linear(4, 4), train, evaluate, [0.5, 0.25])
        >>> len(study.rows), sorted(study.values("magnitude", "shuffle"))
        (9, [0.25, 0.5])
    """
    named = {"magnitude": magnitude} if scores is None else dict(scores)
    source = torch.Generator().manual_seed(0) if generator is None else generator
    if not named or not len(densities) or repeats < 1:
        raise InvalidValueError(
            f"ablation_study: there is nothing to do with {len(named)} scores, {len(densities)} densities and "
            f"{repeats} repeats. Pass at least one of each."
        )
    if DENSE in named:
        raise InvalidValueError(f'ablation_study: "{DENSE}" names the network that is not pruned. Rename the score.')
    networks = [_built(build) for _ in range(repeats)]
    for network in networks:
        total = sum(weight.numel() for weight in prunable(network).values())
        for density in densities:
            kept_count(density, total, where="ablation_study")
    rows: list[AblationRow] = []
    for repeat, network in enumerate(networks):
        for score, ablation, density, model, masks in _variants(network, named, densities, source):
            with masks.enforce(model):
                train(model)
                rows.append(AblationRow(repeat, score, ablation, density, float(evaluate(model))))
    return AblationStudy(tuple(rows))


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    network = build()
    if not isinstance(network, nn.Module):
        raise InvalidTypeError(
            f"ablation_study: build() must return a model (torch.nn.Module), got {described(network)}."
        )
    return network


def _variants(
    network: nn.Module, scores: Mapping[str, Score], densities: Sequence[float], generator: torch.Generator
) -> Iterator[tuple[str, str, float, nn.Module, Masks]]:
    """Score, ablation, density, a network of its own, its masks; each ready to be trained."""
    everything = Masks({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(network).items()})
    yield DENSE, "none", 1.0, copy.deepcopy(network), everything
    for name, score in scores.items():
        scored = dict(score(network))
        for density in densities:
            masks = select(scored, density=density)
            yield name, "none", density, copy.deepcopy(network), masks
            yield name, "shuffle", density, copy.deepcopy(network), shuffle(masks, generator=generator)
            yield name, "reinitialize", density, reinitialize(network, generator=generator), masks
            yield name, "invert", density, copy.deepcopy(network), select(invert(scored), density=density)
