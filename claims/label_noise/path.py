"""One pruning path with label noise: all seeds of a network as one program, one row per seed and density."""

import numpy as np
import torch
from torch import Tensor

from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.claims.training.iterative_pruning import Level, geometric_densities, prune_iteratively
from pruneproof.claims.training.replicates import initial_replicates
from pruneproof.claims.training.trainer import Recipe
from pruneproof.theory.statistics.calibration import (
    calibration_error,
    posterior_distance,
    posterior_divergence,
    quality,
)

from .tasks import Part, Task, noisy_task

BINS = 15
_NO_INTERVAL = 2  # resamples of a calibration error whose interval is not used


@stable_id("pruneproof.claims.label_noise.path:measure_path")
def measure_path(cell: Cell) -> list[Row]:
    """Prune iteratively from the initial weights (lottery tickets) and score every level.

    Arguments:
        cell: that of `noisy_task`, with `hidden` widths, `bias`, `share` pruned per round, `lowest` density, and the
            recipe's `epochs`, `batch`, `rate`, `momentum`, `drops`.
    """
    task = noisy_task(cell)
    widths = (task.train.inputs.shape[2], *cell["hidden"], 10 if cell["task"] == "digits" else 2)
    seeds, device = cell["seeds"], cell.get("device", "cpu")
    nets = initial_replicates([widths] * len(seeds), seeds, bias=cell["bias"], device=device)
    recipe = Recipe(cell["epochs"], cell["batch"], cell["rate"], cell["momentum"], drops=tuple(cell["drops"]))
    data = task.train.inputs, task.train.noisy
    levels = prune_iteratively(nets, data, recipe, geometric_densities(cell["share"], cell["lowest"]))
    return [row for position, level in enumerate(levels) for row in _rows(cell, position, level, task)]


def _rows(cell: Cell, position: int, level: Level, task: Task) -> list[Row]:
    train, validation = (_error(level, part) for part in (task.train, task.validation))
    probabilities = _probabilities(level, task.test).double().numpy()
    return [
        {
            "seed": seed,
            "level": position,
            "density": level.density,
            "kept": int(level.kept[replicate]),
            "train_error": train[replicate],
            "validation_error": validation[replicate],
            "distance": float(level.distance[replicate]),
        }
        | _scores(probabilities[replicate], task.test, replicate)
        for replicate, seed in enumerate(cell["seeds"])
    ]


def _error(level: Level, part: Part) -> list[float]:
    """Error per seed on the noisy labels, all that a practitioner has."""
    wrong = _probabilities(level, part).argmax(2) != part.noisy
    return wrong.double().mean(1).tolist()


def _probabilities(level: Level, part: Part) -> Tensor:
    return level.nets.probabilities(part.inputs.to(level.nets.parameters.device)).cpu()


def _scores(probabilities: np.ndarray, test: Part, replicate: int) -> Row:
    clean, noisy = (_array(labels[replicate]) for labels in (test.clean, test.noisy))
    on_clean, on_noisy = quality(probabilities, clean), quality(probabilities, noisy)
    row: Row = {
        "test_error": on_clean.error,
        "noisy_error": on_noisy.error,
        "nll_noisy": on_noisy.negative_log_likelihood,
        "brier_noisy": on_noisy.brier,
        "overconfidence_noisy": on_noisy.overconfidence,
        "overconfidence_clean": on_clean.overconfidence,
        "ece_noisy": _ece(probabilities, noisy),
        "ece_clean": _ece(probabilities, clean),
    }
    if test.posterior is not None:
        posterior = _array(test.posterior[replicate])
        row["divergence"] = posterior_divergence(posterior, probabilities)
        row["posterior_distance"] = posterior_distance(posterior, probabilities)
    return row


def _ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    generator = np.random.default_rng(0)
    return calibration_error(probabilities, labels, generator, bins=BINS, repeats=_NO_INTERVAL).corrected


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.to(torch.float64 if tensor.is_floating_point() else torch.int64).numpy()
