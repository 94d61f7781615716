"""One pruning path with label noise, all seeds of a network as one program, and its rows as curves."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruneproof.claims.engine.cell import Cell, Row, read_rows, stable_id
from pruneproof.claims.estimates import LEVEL, Estimate, ratio
from pruneproof.claims.training.iterative_pruning import Level, geometric_densities, prune_iteratively
from pruneproof.claims.training.replicates import initial_replicates
from pruneproof.claims.training.trainer import Recipe
from pruneproof.theory.statistics.calibration import (
    calibration_error,
    posterior_distance,
    posterior_divergence,
    quality,
    reliability,
)
from pruneproof.theory.statistics.double_descent import (
    Descent,
    double_descent,
    effective_level,
    effective_size_interval,
)

from .setting import NoisyTask, Part, noisy_task

Floats = NDArray[np.float64]

BINS = 15
_NO_INTERVAL = 2  # resamples of a calibration error whose interval is not used


@dataclass(frozen=True)
class LevelRow:
    """One seed of one network at one density. Errors are shares of examples.

    Args:
        seed: Of the task, the initial weights and the order of the data.
        level: Round of pruning, 0 for the dense network.
        density: Kept fraction of the prunable weights.
        kept: Weights kept.
        train_error: On the noisy training labels.
        validation_error: On the noisy validation labels, all that a practitioner has.
        distance: Learning distance ‖w₀ − w‖₂, pruned weights counted as zero.
        test_error: On the clean test labels.
        noisy_error: On the noisy test labels.
        nll_noisy: Negative log-likelihood of the noisy test labels, nats.
        brier_noisy: Brier score on the noisy test labels.
        overconfidence_noisy: Mean confidence − accuracy on the noisy test labels.
        overconfidence_clean: The same on the clean test labels.
        ece_noisy: Bias-corrected expected calibration error on the noisy test labels.
        ece_clean: The same on the clean test labels.
        divergence: Mean KL(p*‖p̂), nats; None where the posterior p* is unknown.
        posterior_distance: Mean |p̂ − p*|; None where p* is unknown.
        reliability: For each bin of the noisy test examples by confidence that is not empty, mean confidence, accuracy
            and number of examples; None where p* is known.
        posterior_map: For each bin of the test examples by p* that is not empty, mean p*, and mean, 10 % and 90 %
            quantile of p̂, all of class 1; None where p* is unknown.
    """

    seed: int
    level: int
    density: float
    kept: int
    train_error: float
    validation_error: float
    distance: float
    test_error: float
    noisy_error: float
    nll_noisy: float
    brier_noisy: float
    overconfidence_noisy: float
    overconfidence_clean: float
    ece_noisy: float
    ece_clean: float
    divergence: float | None = None
    posterior_distance: float | None = None
    reliability: list[list[float]] | None = None
    posterior_map: list[list[float]] | None = None


@stable_id("pruneproof.claims.label_noise.path:measure_path", revision=1)
def measure_path(cell: Cell) -> list[LevelRow]:
    """Prune iteratively from the initial weights (lottery tickets) and score every level.

    Args:
        cell: That of `noisy_task`, with `hidden` widths, `bias`, `share` pruned per round, `lowest` density, and the
            recipe's `epochs`, `batch`, `rate`, `momentum`, `drops`.

    Returns:
        A row for every level and seed, the dense network first.
    """
    task = noisy_task(cell)
    widths = (task.train.inputs.shape[2], *cell["hidden"], 10 if "data" in cell else 2)
    seeds, device = cell["seeds"], cell.get("device", "cpu")
    nets = initial_replicates([widths] * len(seeds), seeds, bias=cell["bias"], device=device)
    recipe = Recipe(cell["epochs"], cell["batch"], cell["rate"], cell["momentum"], drops=tuple(cell["drops"]))
    data = task.train.inputs, task.train.noisy
    levels = prune_iteratively(nets, data, recipe, geometric_densities(cell["share"], cell["lowest"]))
    return [row for position, level in enumerate(levels) for row in _rows(seeds, position, level, task)]


def _rows(seeds: Sequence[int], position: int, level: Level, task: NoisyTask) -> list[LevelRow]:
    train, validation = (_error(level, part) for part in (task.train, task.validation))
    probabilities = _probabilities(level, task.test).double().numpy()
    return [
        LevelRow(
            seed=seed,
            level=position,
            density=level.density,
            kept=int(level.kept[replicate]),
            train_error=train[replicate],
            validation_error=validation[replicate],
            distance=float(level.distance[replicate]),
            **_scores(probabilities[replicate], task.test, replicate),
        )
        for replicate, seed in enumerate(seeds)
    ]


def _error(level: Level, part: Part) -> list[float]:
    """Error per seed on the noisy labels."""
    wrong = _probabilities(level, part).argmax(2) != part.noisy
    return wrong.double().mean(1).tolist()


def _probabilities(level: Level, part: Part) -> Tensor:
    return level.nets.probabilities(part.inputs.to(level.nets.parameters.device)).cpu()


def _scores(probabilities: np.ndarray, test: Part, replicate: int) -> Row:
    clean, noisy = (_array(labels[replicate]) for labels in (test.clean, test.noisy))
    on_clean, on_noisy = quality(probabilities, clean), quality(probabilities, noisy)
    scores: Row = {
        "test_error": on_clean.error,
        "noisy_error": on_noisy.error,
        "nll_noisy": on_noisy.negative_log_likelihood,
        "brier_noisy": on_noisy.brier,
        "overconfidence_noisy": on_noisy.overconfidence,
        "overconfidence_clean": on_clean.overconfidence,
        "ece_noisy": _ece(probabilities, noisy),
        "ece_clean": _ece(probabilities, clean),
    }
    if test.posterior is None:
        scores["reliability"] = _rounded(_reliability(probabilities, noisy))
        return scores
    posterior = _array(test.posterior[replicate])
    scores["divergence"] = posterior_divergence(posterior, probabilities)
    scores["posterior_distance"] = posterior_distance(posterior, probabilities)
    scores["posterior_map"] = _rounded(_posterior_map(posterior[:, 1], probabilities[:, 1]))
    return scores


def _reliability(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    diagram = reliability(probabilities, labels, bins=BINS)
    return np.stack([diagram.confidence, diagram.accuracy, diagram.count.astype(float)], 1)


def _posterior_map(posterior: Floats, predicted: Floats) -> Floats:
    bins = np.minimum((posterior * BINS).astype(int), BINS - 1)
    members = [bins == each for each in np.unique(bins)]
    return np.array(
        [
            [posterior[mine].mean(), predicted[mine].mean(), *np.quantile(predicted[mine], (0.1, 0.9))]
            for mine in members
        ]
    )


def _rounded(table: Floats) -> list[list[float]]:
    return table.round(3).tolist()


def _ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    generator = np.random.default_rng(0)
    return calibration_error(probabilities, labels, generator=generator, bins=BINS, repeats=_NO_INTERVAL).corrected


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.to(torch.float64 if tensor.is_floating_point() else torch.int64).numpy()


@dataclass(frozen=True)
class PruningPath:
    """The pruning path of one network: its rows as curves over levels, the dense network first.

    Args:
        rows: Of all its seeds and levels, in any order.
    """

    rows: tuple[LevelRow, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in increasing order."""
        return tuple(sorted({row.seed for row in self.rows}))

    def column(self, name: str) -> Floats:
        """One measured quantity, (seeds, levels), dense first."""
        ordered = sorted(self.rows, key=lambda row: (row.seed, row.level))
        return np.array([getattr(row, name) for row in ordered], float).reshape(len(self.seeds), -1)

    @property
    def densities(self) -> Floats:
        """Kept fractions, (levels,)."""
        return self.column("density")[0]

    @property
    def sizes(self) -> Floats:
        """Surviving weights, (levels,)."""
        return self.column("kept")[0]

    @property
    def trough(self) -> int:
        """The level after the peak with the lowest mean error on the validation labels."""
        return effective_level(self.column("validation_error"))

    @property
    def descent(self) -> Descent:
        """Peak and trough, located on the validation labels."""
        return double_descent(self.column("validation_error").mean(0))

    def at(self, name: str, level: int) -> Floats:
        """A quantity at one level, (seeds,)."""
        return self.column(name)[:, level]


def path_of(rows: Iterable[Row], **wanted: object) -> PruningPath:
    """The path of the network whose cell has these parameters.

    Args:
        rows: Stored rows of any cells.
        **wanted: Parameters of the cell, such as `noise=0.4`.
    """
    chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return PruningPath(tuple(read_rows(LevelRow, chosen)))


def paths_of_mixtures(rows: Sequence[Row]) -> dict[str, PruningPath]:
    """Task, distance and number of features → path; few features first."""
    cells = sorted({(row["features"], row["task"], -row["nu"]) for row in rows})
    return {
        f"{task}, ν√D = {-nu * features**0.5:.3g}, D = {features}": path_of(rows, task=task, nu=-nu, features=features)
        for features, task, nu in cells
    }


def rise_and_fall(path: PruningPath) -> tuple[Floats, Floats]:
    """Rise to the peak and fall to the trough against the dense network, (seeds,) each, on clean test labels."""
    dense = path.at("test_error", 0)
    return path.at("test_error", path.descent.peak) - dense, dense - path.at("test_error", path.trough)


def pruned_over_dense(path: PruningPath, name: str) -> Estimate:
    """The ratio of means of a quantity over seeds: at the trough over at the dense network."""
    return ratio(path.at(name, path.trough), path.at(name, 0))


def effective_size(path: PruningPath) -> Estimate:
    """Weights of the network with the lowest validation error after the peak, with a bootstrap interval over seeds."""
    errors, sizes, seeds = path.column("validation_error"), path.sizes, len(path.seeds)
    value = float(sizes[path.trough])
    if seeds < 2:
        return Estimate(value, math.nan, math.nan, LEVEL, seeds)

    def limits(level: float) -> tuple[float, float]:
        return effective_size_interval(errors, sizes, generator=np.random.default_rng(0), level=level)[1:]

    return Estimate(value, *limits(LEVEL), LEVEL, seeds, limits=limits)


def sizes_by_seed(path: PruningPath) -> dict[int, float]:
    """Seed → weights of the network with the lowest validation error after the peak, seed by seed."""
    errors = path.column("validation_error")
    return {seed: float(path.sizes[effective_level(errors[[i]])]) for i, seed in enumerate(path.seeds)}


def mixture_text(rows: Sequence[Row]) -> str:
    """The data of the mixture claims in words."""
    row = max(rows, key=lambda row: row["features"])
    return f"Gaussian mixture, D = {row['features']}, {row['examples']} examples, {row['epochs']} epochs"
