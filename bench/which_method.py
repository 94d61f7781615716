"""Which method should I use? Accuracy and cost of pruning methods on the digits, and the page that shows them.

    python bench/which_method.py            # measure (some minutes on two cores), then write the page
    python bench/which_method.py --render   # only write the page, from the rows that are committed

Every seed draws its own split, initial weights and batches. All methods of a seed start from the same initial or the
same trained weights, so methods are compared by their paired differences. Costs are counted in trainings of the dense
network; the pruning step itself is timed beside them.
"""

import argparse
import copy
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch
from scipy.stats import t as student
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pruneproof import PruneproofError, prune
from pruneproof.prune import Masks

PAGE = Path(__file__).parent.parent / "docs" / "which_method.md"
ROWS = PAGE.with_suffix(".json")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02)
SEEDS = range(5)
EPOCHS = 20
STEPS_PER_EPOCH = 16  # 1000 examples in batches of 64

Row = dict[str, Any]


def perceptron() -> nn.Sequential:
    """Three layers on flat images."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional() -> nn.Sequential:
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {"perceptron": perceptron, "convolutional": convolutional}


class Task:
    """One seed's split of the digits, with training and evaluation on it."""

    def __init__(self, seed: int) -> None:
        data, target = load_digits(return_X_y=True)
        images = torch.tensor(data, dtype=torch.float32).view(-1, 1, 8, 8) / 16
        labels = torch.tensor(target)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        self.images, self.labels = images[order[:1000]], labels[order[:1000]]
        self.test_images, self.test_labels = images[order[1000:]], labels[order[1000:]]
        self.seed = seed

    @property
    def batch(self) -> tuple[Tensor, Tensor]:
        """What scores look at: the first hundred training examples."""
        return self.images[:100], self.labels[:100]

    def train(self, model: nn.Module, epochs: int) -> nn.Module:
        """Train with AdamW and a cosine schedule; the order of examples depends on the seed alone."""
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * STEPS_PER_EPOCH)
        for _ in range(epochs):
            for chosen in torch.randperm(len(self.images), generator=generator).split(64):
                optimizer.zero_grad()
                cross_entropy(model(self.images[chosen]), self.labels[chosen]).backward()
                optimizer.step()
                schedule.step()
        return model

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """The share of test images that are classified correctly."""
        return (model(self.test_images).argmax(1) == self.test_labels).float().mean().item()


Method = Callable[[nn.Module, Task, float], Masks]


def _generator(task: Task) -> torch.Generator:
    return torch.Generator().manual_seed(1000 + task.seed)


BEFORE: dict[str, Method] = {
    "random, ERK": lambda model, task, d: prune.random(model, density=d, scope="erk", generator=_generator(task)),
    "magnitude of initial weights": lambda model, task, d: prune.magnitude(model, density=d),
    "SNIP": lambda model, task, d: prune.snip(model, cross_entropy, task.batch, density=d),
    "GraSP": lambda model, task, d: prune.grasp(model, cross_entropy, task.batch, density=d),
    "SynFlow": lambda model, task, d: prune.synflow(model, (1, 1, 8, 8), density=d),
}
AFTER: dict[str, Method] = {
    "random, ERK": BEFORE["random, ERK"],
    "magnitude, global": lambda model, task, d: prune.magnitude(model, density=d),
    "magnitude, ERK": lambda model, task, d: prune.magnitude(model, density=d, scope="erk"),
    "SNIP": BEFORE["SNIP"],
    "Wanda": lambda model, task, d: prune.wanda(model, task.batch[0], density=d),
}
PHASES = {
    "before": "before training, then one training",
    "retrain": "after training, then fine-tuning for half a training",
    "repeat": "in turn with training: one more training for each density on the way down",
    "once": "after training, nothing afterwards",
}


def measure(cell: tuple[str, int]) -> list[Row]:
    """All rows of one network and seed."""
    torch.set_num_threads(1)
    network, seed = cell
    task = Task(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        initial = NETWORKS[network]()
    dense = task.train(copy.deepcopy(initial), EPOCHS)
    rows = [_row("dense", "none", 1.0, 1.0, 0.0, task.accuracy(dense))]
    for density in DENSITIES:
        rows += [*_before(initial, task, density), *_after(dense, task, density)]
    for rewind in ("weights", "learning_rate"):
        rows += _iterative(initial, task, rewind)
    return [{"network": network, "seed": seed, **row} for row in rows]


def _row(phase: str, method: str, density: float, trainings: float, seconds: float, accuracy: float) -> Row:
    return {
        "phase": phase,
        "method": method,
        "density": density,
        "trainings": trainings,
        "seconds": round(seconds, 4),
        "accuracy": round(accuracy, 6),
    }


def _before(initial: nn.Module, task: Task, density: float) -> Iterator[Row]:
    for name, method in BEFORE.items():
        model = copy.deepcopy(initial)
        masks, seconds = _timed(method, model, task, density)
        with masks.enforce(model):
            yield _row("before", name, density, 1.0, seconds, task.accuracy(task.train(model, EPOCHS)))


def _after(dense: nn.Module, task: Task, density: float) -> Iterator[Row]:
    for name, method in AFTER.items():
        model = copy.deepcopy(dense)
        try:
            masks, seconds = _timed(method, model, task, density)
        except PruneproofError:  # a density that would empty rows
            continue
        masks.apply_(model)
        yield _row("once", name, density, 1.0, seconds, task.accuracy(model))
        with masks.enforce(model):
            yield _row("retrain", name, density, 1.5, seconds, task.accuracy(task.train(model, EPOCHS // 2)))
    yield from _reweighted(dense, task, density)


def _reweighted(dense: nn.Module, task: Task, density: float) -> Iterator[Row]:
    for variant in ("best", "hybrid"):
        started = time.process_time()
        try:
            pruned = prune.sipp(dense, task.batch[0], density=density, variant=variant, generator=_generator(task))
        except PruneproofError:  # a density that leaves some half-rows no draw
            continue
        seconds = time.process_time() - started
        yield _row("once", f"SiPP, {variant}", density, 1.0, seconds, task.accuracy(pruned.model))


def _iterative(initial: nn.Module, task: Task, rewind: str) -> Iterator[Row]:
    model = copy.deepcopy(initial)

    def train(model: nn.Module, start: int, stop: int) -> None:
        task.train(model, stop - start)

    for level in prune.imp(model, train, DENSITIES, iterations=EPOCHS, rewind=rewind):
        if level.index:
            name = f"IMP, rewinding {'weights' if rewind == 'weights' else 'the learning rate'}"
            density = DENSITIES[level.index - 1]
            yield _row("repeat", name, density, 1.0 + level.index, 0.0, task.accuracy(model))


def _timed(method: Method, model: nn.Module, task: Task, density: float) -> tuple[Masks, float]:
    started = time.process_time()
    masks = method(model, task, density)
    return masks, time.process_time() - started


# The page


def render(rows: list[Row]) -> str:
    """What stands between the markers of the page."""
    parts = [_decisions(rows)]
    for network in NETWORKS:
        own = [row for row in rows if row["network"] == network]
        dense = [row["accuracy"] for row in own if row["phase"] == "dense"]
        parts.append(f"## {network.capitalize()} network\n\nDense accuracy {_share(dense)} over {len(dense)} seeds.")
        parts += [_table(own, phase, title) for phase, title in PHASES.items()]
    return "\n\n".join(parts)


def _decisions(rows: list[Row]) -> str:
    """A small table for each situation: the best methods by density and network."""
    parts: list[str] = []
    for phase, title in PHASES.items():
        lines = [f"## Pruning {title}", "", f"| density | {' | '.join(NETWORKS)} |", "|---|" + "---|" * len(NETWORKS)]
        for density in DENSITIES:
            cells = [_best(rows, network, phase, density) for network in NETWORKS]
            lines.append(f"| {density:g} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _best(rows: list[Row], network: str, phase: str, density: float) -> str:
    """The method with the highest mean, and those whose paired difference from it is not clearly below zero."""
    own = [row for row in rows if row["network"] == network]
    dense = fmean(row["accuracy"] for row in own if row["phase"] == "dense")
    accuracy = _by_method([row for row in own if row["phase"] == phase and row["density"] == density])
    leader = max(accuracy, key=lambda name: fmean(accuracy[name].values()))
    if fmean(accuracy[leader].values()) < dense / 2:
        return "none"
    level = 1 - 0.05 / max(1, len(accuracy) - 1)  # Bonferroni, over the comparisons in this cell
    names = [leader]
    for name, values in accuracy.items():
        differences = [values[seed] - accuracy[leader][seed] for seed in values]
        if name != leader and fmean(differences) + half_width(differences, level) >= 0:
            names.append(name)
    return f"**{leader}**" + "".join(f"; {name}" for name in names[1:])


def _by_method(rows: list[Row]) -> Mapping[str, dict[int, float]]:
    accuracy: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        accuracy[row["method"]][row["seed"]] = row["accuracy"]
    return accuracy


def _table(rows: list[Row], phase: str, title: str) -> str:
    own = [row for row in rows if row["phase"] == phase]
    lines = [f"### Pruning {title}", "", "| method | " + " | ".join(f"{d:g}" for d in DENSITIES) + " | cost |"]
    lines.append("|---|" + "---|" * (len(DENSITIES) + 1))
    for method in dict.fromkeys(row["method"] for row in own):
        mine = [row for row in own if row["method"] == method]
        cells = [_share([row["accuracy"] for row in mine if row["density"] == density]) for density in DENSITIES]
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {_cost(mine)} |")
    return "\n".join(lines)


def _share(values: list[float]) -> str:
    if not values:
        return "refused"
    return f"{100 * fmean(values):.1f} ± {100 * half_width(values):.1f} %"


def _cost(rows: list[Row]) -> str:
    low, high = min(row["trainings"] for row in rows), max(row["trainings"] for row in rows)
    trainings = f"{low:g} trainings" if low == high else f"{low:g}–{high:g} trainings"
    seconds = median(row["seconds"] for row in rows)
    return trainings.replace("1 trainings", "1 training") + (f" + {1000 * seconds:.0f} ms" if seconds else "")


def half_width(values: list[float], level: float = 0.95) -> float:
    """Half the width of Student's interval for the mean."""
    return float(student.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5


def write_page(rows: list[Row]) -> None:
    """Put the tables into the page, leaving its text alone."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(rows)}\n\n{END}{after}", "utf-8")


def main() -> None:
    """Measure, unless only the page is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true", help="only write the page, from the committed rows")
    if not parser.parse_args().render:
        cells = [(network, seed) for network in NETWORKS for seed in SEEDS]
        with ProcessPoolExecutor(2) as pool:
            rows = [row for part in pool.map(measure, cells) for row in part]
        ROWS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")
    write_page(json.loads(ROWS.read_text("utf-8")))


if __name__ == "__main__":
    main()
