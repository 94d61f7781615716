"""One pruning path of one network on the teacher task or on digits, all seeds as one program: points for the fits."""

from typing import NamedTuple

import torch
from torch import Tensor

from pruneproof.claims.data.digits import digits
from pruneproof.claims.data.synthetic import teacher
from pruneproof.claims.engine.cell import Cell, Row, stable_id
from pruneproof.claims.training.iterative_pruning import prune_iteratively
from pruneproof.claims.training.replicates import initial_replicates
from pruneproof.claims.training.trainer import Recipe

TEACHER = (16, 32, 10)
TEACHER_TEST = 8000
DIGITS_TRAIN = 1000


class Task(NamedTuple):
    """Training and test examples, the same for all networks and seeds."""

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor


@stable_id("pruneproof.claims.scaling.path:measure_path")
def measure_path(cell: Cell) -> list[Row]:
    """Prune one network iteratively and test every level.

    Arguments:
        cell: `task` ("teacher" or "digits"), `width`, `depth`, `seeds`, `examples`, `epochs`, `batch`, `rate`,
            `momentum`, `rewind_epochs`, `share` pruned per round, `levels` besides the dense one.
    """
    task = _teacher(cell["examples"]) if cell["task"] == "teacher" else _digits()
    widths = (task.inputs.shape[1], *[cell["width"]] * cell["depth"], 10)
    nets = initial_replicates([widths] * len(cell["seeds"]), cell["seeds"], device=cell.get("device", "cpu"))
    epochs = cell["epochs"]
    drops = (epochs // 2, epochs * 3 // 4)
    recipe = Recipe(epochs, cell["batch"], cell["rate"], cell["momentum"], drops=drops)
    start = cell["rewind_epochs"] * -(-len(task.labels) // cell["batch"])
    densities = [(1 - cell["share"]) ** level for level in range(cell["levels"] + 1)]
    levels = prune_iteratively(nets, (task.inputs, task.labels), recipe, densities, rewind_to=start)
    test_inputs = task.test_inputs.to(nets.parameters.device)
    rows: list[Row] = []
    for level in levels:
        wrong = level.nets.probabilities(test_inputs).argmax(2).cpu() != task.test_labels
        rows += [
            {"seed": seed, "density": level.density, "kept": int(kept), "error": error}
            for seed, kept, error in zip(cell["seeds"], level.kept, wrong.double().mean(1).tolist(), strict=True)
        ]
    return rows


def _teacher(examples: int) -> Task:
    inputs, labels = teacher(TEACHER, examples + TEACHER_TEST, torch.Generator().manual_seed(0))
    return Task(inputs[:examples], labels[:examples], inputs[examples:], labels[examples:])


def _digits() -> Task:
    split = digits()
    inputs = torch.cat([split.train_x, split.test_x]) / split.train_x.max()
    labels = torch.cat([split.train_y, split.test_y])
    first = slice(0, DIGITS_TRAIN), slice(DIGITS_TRAIN, None)
    return Task(inputs[first[0]], labels[first[0]], inputs[first[1]], labels[first[1]])
