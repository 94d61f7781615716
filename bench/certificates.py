"""What certificates of pruned networks cost, beside their peers; one thread, CPU seconds, the two sides taking turns.

    python bench/certificates.py --data DIR        # DIR holds Fashion-MNIST's four files, MNIST's do as well; minutes
    python bench/certificates.py --only resnet     # needs no images

perceptron  Six hidden layers of 100, 90 % of the weights kept, against CROWN on the explicit difference network: one
            perceptron of twice the width whose last layer subtracts, bounded by the same back-substitution.
lenet       LeNet-5 on 28 × 28 images, 90 % kept: seconds for 100 images.
resnet      19,706 weights on 8 × 8 images, 90 % kept, untrained, against one image at a time with every unit bounded.
"""

import argparse
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruneproof.claims.data.mnist import read_mnist
from pruneproof.prune import certify, magnitude
from pruneproof.prune.certification import region
from pruneproof.prune.certification.back_substitution import ORIGINAL, Ball, Functional, lower_bounds
from pruneproof.prune.certification.graph import Rectifier, Step, float64_copy, trace_pair
from pruneproof.prune.certification.interval_bounds import (
    Enclosure,
    TensorInterval,
    _affine,  # pyright: ignore[reportPrivateUsage]
    _interval,  # pyright: ignore[reportPrivateUsage]
    input_enclosure,
)
from pruneproof.prune.certification.linear_maps import PairMap
from pruneproof.prune.certification.rounding import centre

CLASSES, ROUNDS = 10, 5
RADII = (1 / 255, 2 / 255)
Certificate = tuple[Tensor, Tensor]  # bounds on the difference (batch,), certified (batch,)


def perceptron() -> nn.Sequential:
    """784 – 6 × 100 – 10."""
    widths = [784, *[100] * 6]
    hidden = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, CLASSES))


def lenet() -> nn.Sequential:
    """LeNet-5 with rectifiers and max pooling."""
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    dense = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)]
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *dense)


class Block(nn.Module):
    """Two convolutions with BatchNorm beside a shortcut."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        first = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()
        self.body = nn.Sequential(
            *first, nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out)
        )
        projection = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
        self.short = nn.Sequential(*projection) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Rectified sum of both."""
        return torch.relu(self.body(x) + self.short(x))


def resnet() -> nn.Sequential:
    """Two blocks; random weights and statistics."""
    torch.manual_seed(0)
    begin = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    end = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)
    model = nn.Sequential(*begin, Block(16, 16, 1), Block(16, 32, 2), *end)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def kept(model: nn.Module) -> nn.Module:
    """A copy of which 90 % of the weights are kept."""
    return magnitude(model, density=0.9).apply_(copy.deepcopy(model))


def trained(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """Adam, batches of 128, a rate that falls to zero on a cosine."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        rate.step()
    return model.eval()


def difference_network(original: nn.Module, pruned: nn.Module) -> nn.Sequential:
    """x ↦ (f, f̂, f̂ − f) as one perceptron: block layers of twice the width."""
    pairs = [
        (one, two)
        for one, two in zip(original.children(), pruned.children(), strict=True)
        if isinstance(one, nn.Linear) and isinstance(two, nn.Linear)
    ]
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (one, two) in enumerate(pairs):
        blocks = torch.cat if number == 0 else lambda weights: torch.block_diag(*weights)
        weight, bias = blocks([one.weight, two.weight]), torch.cat([one.bias, two.bias])
        if number == len(pairs) - 1:
            subtract = torch.cat([-torch.eye(CLASSES), torch.eye(CLASSES)], 1)
            weight, bias = torch.cat([weight, subtract @ weight]), torch.cat([bias, subtract @ bias])
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def crown(model: nn.Module, inputs: Tensor, radius: float, batch: int = 16) -> Certificate:
    """CROWN of one difference network: its hidden units of open sign, then margins and differences together."""
    bounds: list[Tensor] = []
    certified: list[Tensor] = []
    with torch.no_grad():
        network = float64_copy(model)
        steps = trace_pair(network, network, {}, inputs.shape[1:])
        for part in inputs.double().split(batch):
            boxes = _boxes(steps, Ball(part, radius, "inf"))
            predicted = network(part)[:, :CLASSES].argmax(1)
            eye = torch.eye(3 * CLASSES, dtype=torch.float64)
            one, two = (eye[start + predicted].unsqueeze(1) - eye[start : start + CLASSES] for start in (0, CLASSES))
            difference = eye[2 * CLASSES :].expand(len(part), -1, -1)
            rows = torch.cat([one, two, difference, -difference], 1)
            asked = Functional(ORIGINAL, {len(steps) - 1: (rows, None)}, torch.zeros(rows.shape[:2]).double())
            low = lower_bounds(steps, boxes, asked, Ball(part, radius, "inf")).unflatten(1, (4, CLASSES))
            margins = low[:, :2].masked_fill((torch.arange(CLASSES) == predicted.unsqueeze(1)).unsqueeze(1), torch.inf)
            bounds.append(-low[:, 2:].amin((1, 2)))
            certified.append((margins > 0).all(2).all(1))
    return torch.cat(bounds), torch.cat(certified)


def _boxes(steps: list[Step], ball: Ball) -> list[Enclosure]:
    """Of one network alone: no box of a pruned one or of a difference is computed."""
    boxes = [input_enclosure(ball.inputs, ball.radius)]
    for index, step in enumerate(steps[1:], 1):
        before = boxes[step.parents[0]].original
        if isinstance(step.operation, Rectifier):
            side = TensorInterval(before.low.clamp(min=0), before.high.clamp(min=0))
        else:
            assert isinstance(step.operation, PairMap)
            side = _interval(*_affine(step.operation, 0, *centre(before.low, before.high)))
        boxes.append(Enclosure(side, side, side))
        if index > 2 and index + 1 < len(steps) and isinstance(steps[index + 1].operation, Rectifier):
            side = region.with_signs(side, steps, boxes, index, ORIGINAL, ball)
            boxes[index] = Enclosure(side, side, side)
    return boxes


def one_by_one(original: nn.Module, pruned: nn.Module, inputs: Tensor, radius: float) -> Certificate:
    """`certify` without what makes it fast: every unit is bounded, and images do not share relaxations."""
    bound = region._back_substituted  # pyright: ignore[reportPrivateUsage]

    def every_unit(*arguments: Any, signs_only: bool) -> Enclosure:
        return bound(*arguments, signs_only=False)

    with mock.patch.object(region, "_back_substituted", every_unit):
        return ours(original, pruned, inputs, radius, batch=1)


def ours(original: nn.Module, pruned: nn.Module, inputs: Tensor, radius: float, batch: int = 16) -> Certificate:
    """`certify`."""
    record = certify(original, pruned, inputs, radius=radius, batch=batch)
    return record.error_bound.amax(1), record.certified


def report(name: str, number: int, sides: Mapping[str, Callable[[], Certificate]], rounds: int) -> None:
    """One line: CPU seconds per image of each side, the median ratio of the first over the second, what was shown."""
    spent: dict[str, list[float]] = {side: [] for side in sides}
    found: dict[str, Certificate] = {}
    for _ in range(rounds):
        for side, run in sides.items():
            start = time.process_time()
            found[side] = run()
            spent[side].append(time.process_time() - start)
    shown = "; ".join(
        f"{side} {min(spent[side]) / number:.4f} s an image, {int(certified.sum())} of {number} certified, "
        f"median bound {float(bound.median()):.4g}"
        for side, (bound, certified) in found.items()
    )
    ratios = [a / b for a, b in zip(*list(spent.values())[:2], strict=False)] if len(sides) > 1 else []
    print(f"{name}: {shown}" + (f"; ratio {median(ratios):.3f}" if ratios else ""), flush=True)


def main(only: Sequence[str], folder: Path | None) -> None:
    """Measure the cases asked for."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = None if folder is None else read_mnist(folder)
    for name, build, epochs, number in (("perceptron", perceptron, 8, 64), ("lenet", lenet, 3, 100)):
        if data is None or name not in only:
            continue
        model = trained(build(), data.train_x.unsqueeze(1), data.train_y, epochs)
        tests, pruned = data.test_x.unsqueeze(1), kept(model)
        with torch.no_grad():
            right = [float((net(tests).argmax(1) == data.test_y).double().mean()) for net in (model, pruned)]
        print(f"{name}: test accuracy {right[0]:.3f}, pruned {right[1]:.3f}", flush=True)
        for radius in RADII:
            part = tests[:number]
            sides = {"certify": partial(ours, model, pruned, part, radius)}
            if name == "perceptron":
                sides["CROWN on the difference network"] = partial(
                    crown, difference_network(model, pruned), part, radius
                )
            report(f"{name}, radius {radius:.4f}", number, sides, ROUNDS if name == "perceptron" else 1)
    if "resnet" in only:
        model = resnet()
        images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        for radius in (0.001, 0.01):
            few = images[:2]  # the peer takes seconds for each
            sides = {
                side: partial(run, model, kept(model), few, radius)
                for side, run in (("certify, two images", ours), ("one by one", one_by_one))
            }
            report(f"resnet, radius {radius}", len(few), sides, 1)
            report(
                f"resnet, radius {radius}",
                len(images),
                {"certify": partial(ours, model, kept(model), images, radius)},
                1,
            )


if __name__ == "__main__":
    cases = ("perceptron", "lenet", "resnet")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=cases, default=cases, help="the cases to measure (default: all)")
    parser.add_argument("--data", type=Path, help="folder of the images, which perceptron and lenet are trained on")
    asked = parser.parse_args()
    if asked.data is None and {*asked.only} != {"resnet"}:
        parser.error("perceptron and lenet need images: pass --data DIR, or --only resnet")
    main(asked.only, asked.data)
