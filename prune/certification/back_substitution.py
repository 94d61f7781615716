"""Back-substitution through the pair: a lower bound, over the ball, of any linear functional of (z, δ) at a step.

The functional P·z + Q·δ + c is carried from its step to the input. A linear map replaces it by
(WᵀP + (Ŵ−W)ᵀQ)·a + (ŴᵀQ)·α; a rectifier by one of two relaxations, unit by unit: *joint*, which bounds the difference
of the two rectifiers by lines in δ, or *apart*, which bounds P·a + Q·α = (P−Q)·a + Q·â by lines in z and ẑ (what
CROWN does on the explicit difference network). The one with the larger minimum over the unit's box is kept. In the
manner of differential verification (ReluDiff, NeuroDiff: Paulsen, Wang, Wang, 2020) and CROWN (Zhang et al., 2018).

All rounding is collected in `slack`; magnitudes come from the enclosures, so the bound holds in exact arithmetic.
Cost per row: one transposed pass through the pair, shared by the images of a batch down to the first nonlinearity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .graph import Add, Concatenate, Lipschitz, LogSoftmax, MaxPool, Rectifier, Step
from .interval_bounds import Enclosure, TensorInterval
from .linear_maps import PairMap
from .relaxations import DifferenceLines, Lines, difference_lines, pool_terms, rectifier_lines
from .rounding import TINY, UNIT, gamma

ORIGINAL, PRUNED, DIFFERENCE = 0, 1, 2
WORKSPACE = 2**20  # float64 coefficients held at once by one functional, about a dozen times: 8 MiB each
PADDING = WORKSPACE // 8  # coefficients that are wasted before a pass of its own costs less


@dataclass(frozen=True)
class Ball:
    """Inputs (batch, *item) and the radius of the closed ball around each, in the norm `inf` or `2`."""

    inputs: Tensor
    radius: float
    norm: str


@dataclass
class Functional:
    """Rows of P·z + Q·δ + constant, each P and Q (batch, rows, *item) by step; Q is None on one network alone.

    A batch of one stands for rows that all images share: linear maps are the same for all of them. `images` are the
    numbers of the batch's items among those of the boxes, None where it has all of them.
    """

    network: int
    terms: dict[int, tuple[Tensor, Tensor | None]]
    constant: Tensor
    images: Tensor | None = None
    slack: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.slack = torch.zeros_like(self.constant)

    def add(self, step: int, value: Tensor, change: Tensor | None) -> None:
        """Add a term at a step that may have one already."""
        if step in self.terms:
            old, moved = self.terms[step]
            value = value + old
            change = change if moved is None else moved if change is None else change + moved
        self.terms[step] = value, change

    def own(self, of_batch: Tensor) -> Tensor:
        """Of what was computed for every item of the boxes that of the batch's."""
        return of_batch if self.images is None else of_batch[self.images]

    def signed(self, images: Tensor, rows: Tensor) -> "Functional":
        """Of n shared rows those that each image asks for, (images, k) numbers: row i itself, or n + i its negative."""
        many = self.constant.shape[1]
        row, sign = rows % many, torch.where(rows < many, 1.0, -1.0).double()

        def picked(shared: Tensor) -> Tensor:
            return shared[0][row] * sign[(..., *[None] * (shared.ndim - 2))]

        terms = {
            step: (picked(value), None if change is None else picked(change))
            for step, (value, change) in self.terms.items()
        }
        constant, slack = (
            (part if len(part) == 1 else part[images]).expand(len(row), -1).gather(1, row)
            for part in (self.constant, self.slack)
        )
        chosen = Functional(self.network, terms, constant * sign, images)
        chosen.slack = slack
        return chosen


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """(batch or 1, rows, *item) · (batch or 1, *item) → (batch, rows)."""
    matrix, flat = rows.flatten(2), vector.flatten(1)
    if len(matrix) == 1:
        return flat @ matrix[0].T
    if len(flat) == 1:
        return matrix @ flat[0]
    return torch.stack([one @ entries for one, entries in zip(matrix, flat, strict=True)])  # bmm takes eight times this


def lower_bounds(steps: list[Step], boxes: list[Enclosure], rows: Functional, ball: Ball) -> Tensor:
    """The lower bound of each row over the ball, (batch, rows)."""
    _substitute(steps, boxes, rows)
    return _over_ball(rows, ball)


def unit_bounds(
    steps: list[Step], boxes: list[Enclosure], index: int, wanted: Tensor, network: int, ball: Ball
) -> Tensor:
    """Lower bounds of single units of a step and of their negatives, of z, ẑ or δ.

    Args:
        steps, boxes: Of the pair; boxes at least of the steps before `index`.
        index: The step.
        wanted: (batch, 2 · units) bool: which images ask for which units, and then for which of their negatives.
        network: ORIGINAL, PRUNED or DIFFERENCE.
        ball: The inputs.

    Returns:
        (batch, 2 · units), −inf for those that an image did not ask for.
    """
    shape = boxes[index].original.low.shape[1:]
    size = max(box.original.low[0].numel() for box in boxes[: index + 1])
    bounds = torch.full(wanted.shape, -torch.inf, dtype=torch.float64)
    asked = wanted.unflatten(1, (2, -1)).any(1).any(0).nonzero().squeeze(1)
    for units in asked.split(max(1, WORKSPACE // (2 * size))) if len(asked) else ():
        one = torch.zeros(1, len(units), shape.numel(), dtype=torch.float64)
        one[0, torch.arange(len(units)), units] = 1.0
        one = one.unflatten(2, shape)
        term = (torch.zeros_like(one), one) if network == DIFFERENCE else (one, None)
        zero = torch.zeros(1, len(units), dtype=torch.float64)
        shared = Functional(network % DIFFERENCE, {index: term}, zero)
        _substitute(steps, boxes, shared, linear_only=True)
        columns = torch.cat([units, units + shape.numel()])
        mine = wanted[:, columns]
        order = mine.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices
        for group, most in _groups(mine.sum(1).tolist(), size):
            images, rows = torch.tensor(group).unsqueeze(1), order[group, :most]
            part = Ball(ball.inputs[group], ball.radius, ball.norm)
            found = lower_bounds(steps, boxes, shared.signed(images.squeeze(1), rows), part)
            # what pads a row is not asked for: an image's bounds do not depend on the others in its batch
            bounds[images, columns[rows]] = torch.where(mine[images, rows], found, -torch.inf)
    return bounds


def _groups(counts: list[int], size: int) -> list[tuple[list[int], int]]:
    """Images that ask for about equally many rows of `size`, and the most of each: all get as many as one of them."""
    groups: list[tuple[list[int], int]] = []
    wasted = 0
    for image in sorted(range(len(counts)), key=lambda image: -counts[image]):
        if not counts[image]:
            break
        if groups:
            images, most = groups[-1]
            wasted += (most - counts[image]) * size
            if wasted <= PADDING and (len(images) + 1) * most * size <= WORKSPACE:
                images.append(image)
                continue
        groups.append(([image], counts[image]))
        wasted = 0
    return groups


def _substitute(steps: list[Step], boxes: list[Enclosure], rows: Functional, *, linear_only: bool = False) -> None:
    """Carry a functional to the input, or down to the first step that is relaxed image by image."""
    while rows.terms and (index := max(rows.terms)):
        if linear_only and not isinstance(steps[index].operation, PairMap | Add):
            return
        _replace(steps[index], index, boxes, rows)


def _replace(step: Step, index: int, boxes: list[Enclosure], rows: Functional) -> None:
    """Replace the terms at a step by terms at the steps that it reads."""
    value, change = rows.terms.pop(index)
    _charge(rows, step, index, boxes, value, change)
    match step.operation:
        case PairMap():
            _through_map(rows, step, boxes, value, change)
        case Rectifier():
            _through_rectifier(rows, step, boxes, value, change)
        case Lipschitz():
            _stop(rows, _own(rows, boxes[index]), value, change)
        case MaxPool():
            _through_max_pool(rows, step, boxes, index, value, change)
        case Add():
            for parent in step.parents:
                rows.add(parent, value, change)
        case Concatenate():
            _through_concatenation(rows, step, boxes, value, change)
        case LogSoftmax():
            _through_log_softmax(rows, step, _own(rows, boxes[index]), value, change)
        case None:
            raise AssertionError("only step 0 is the input")


def _own(rows: Functional, box: Enclosure) -> Enclosure:
    return box if rows.images is None else box.of(rows.images)


def _side(rows: Functional, box: Enclosure) -> TensorInterval:
    return box.pruned if rows.network == PRUNED else box.original


def _charge(
    rows: Functional, step: Step, index: int, boxes: list[Enclosure], value: Tensor, change: Tensor | None
) -> None:
    """Charge the roundings of a step: those of coefficients by what they can reach, Σ|P_i| r_i ≤ ‖P‖·‖r‖."""
    joint = change is not None
    name = "rates", index, rows.network, joint
    rates = boxes[index].once(name, lambda: _rates(rows, step, index, boxes, joint=joint))
    own, other, fixed = rows.own(rates).unbind(2)
    size = _length(value) * own + fixed
    if change is not None:
        size = size + _length(change) * other
    rows.slack = rows.slack + size + 32 * UNIT * rows.constant.abs()


def _length(rows: Tensor) -> Tensor:
    """At least the Euclidean length of each row, (batch, rows): a square below 2^-1022 is lost at most."""
    flat = rows.flatten(2)
    return torch.linalg.vector_norm(flat, dim=2) + flat.shape[2] * 2.0**-511


def _rates(rows: Functional, step: Step, index: int, boxes: list[Enclosure], *, joint: bool) -> Tensor:
    """Lengths of what a unit of P and of Q is charged, and what every row is, (batch, 1, 3).

    Coefficients summed or multiplied a few times are relatively exact: 32 roundings of their reach. A map charges
    γ|P|(|W| max|a| + |b|) besides, for the roundings of its transpose. A coefficient that underflows errs by less than
    2^-1074 before it meets the box; TINY is 2^53 times that.
    """
    box, layer = boxes[index], step.operation
    reach = 32 * UNIT * _side(rows, box).magnitude
    moved = 32 * UNIT * (box.difference.magnitude + 2 * box.original.magnitude)
    fixed = _side(rows, box).total + (box.difference.total + box.original.total if joint else 0.0)
    fixed = TINY * (1 + fixed)
    if isinstance(layer, PairMap):
        before = boxes[step.parents[0]]
        sizes, offsets = layer.slack or (None, None, None), layer.offset or (0.0, 0.0, 0.0)
        spread = layer.apply(sizes[rows.network], _side(rows, before).magnitude) + offsets[rows.network]
        rate = gamma(layer.terms + spread[0].numel())
        reach, fixed = reach + rate * spread, (1 + layer.terms) * fixed
        if joint:
            spread = layer.apply(sizes[PRUNED], before.difference.magnitude)
            if layer.biases is not None:
                spread = spread + layer.apply(sizes[DIFFERENCE], before.original.magnitude) + offsets[DIFFERENCE]
            moved = moved + rate * spread
    return torch.stack([*(_euclidean(r.flatten(1).unsqueeze(1), 1.0) for r in (reach, moved)), fixed], 2)


def _through_map(rows: Functional, step: Step, boxes: list[Enclosure], value: Tensor, change: Tensor | None) -> None:
    layer, (parent,) = step.operation, step.parents
    assert isinstance(layer, PairMap)
    shape = boxes[parent].original.low.shape[1:]

    def back(which: int, y: Tensor) -> Tensor:
        weight = None if layer.weights is None else layer.weights[which]
        return layer.transpose(weight, y.flatten(0, 1), shape).unflatten(0, y.shape[:2])

    new = back(rows.network, value)
    moved = None
    if change is not None:
        new = new if layer.weights is None else new + back(DIFFERENCE, change)
        if bool(boxes[parent].difference.magnitude.any()):  # not so at the input, which both networks share
            moved = back(PRUNED, change)
    if layer.biases is not None:
        rows.constant = rows.constant + dot(value, layer.biases[rows.network].expand(value.shape[2:]).unsqueeze(0))
        if change is not None:
            rows.constant = rows.constant + dot(change, layer.biases[DIFFERENCE].expand(value.shape[2:]).unsqueeze(0))
    rows.add(parent, new, moved)


def _through_rectifier(
    rows: Functional, step: Step, boxes: list[Enclosure], value: Tensor, change: Tensor | None
) -> None:
    """Units of one sign in the whole ball are linear: only the others, in any image of the batch, are relaxed."""
    assert isinstance(step.operation, Rectifier)
    slope, (parent,) = step.operation.slope, step.parents
    joint, flat = change is not None, value.flatten(2)
    box = boxes[parent]
    table = rows.own(box.once(("lines", rows.network, joint), lambda: _lines(_side(rows, box), box, joint=joint)))
    active = table[:, :1]
    bent = (table[:, 1] > 0).any(0).nonzero().squeeze(1)
    new = flat * active
    moved = None if change is None else change.flatten(2) * active
    if len(bent):
        lines = table[:, 2:].index_select(2, bent).unsqueeze(2).unbind(1)
        part = flat.index_select(2, bent)
        if change is None:
            part, constant = _one(part, Lines(*lines))
        else:
            part, other, constant = _both(part, change.flatten(2).index_select(2, bent), lines)
            assert moved is not None
            moved.index_copy_(2, bent, other)
        new.index_copy_(2, bent, part)
        rows.constant = rows.constant + (1 - slope) * constant.sum(2)
        rows.slack = rows.slack + gamma(len(bent)) * constant.abs().sum(2)
    rows.slack = rows.slack + TINY * flat.shape[2]
    new = new.reshape(value.shape)
    moved = None if moved is None else moved.reshape(value.shape)
    if slope:
        new = slope * value + (1 - slope) * new
        moved = None if moved is None or change is None else slope * change + (1 - slope) * moved
    rows.add(parent, new, moved)


def _lines(side: TensorInterval, box: Enclosure, *, joint: bool) -> Tensor:
    """Which units are on, which are of open sign, and lines and boxes for these, (batch, numbers, units)."""
    sides = [box.original, box.pruned] if joint else [side]
    on = torch.stack([side.low >= 0 for side in sides]).all(0)
    off = torch.stack([side.high <= 0 for side in sides]).all(0)
    numbers = [line for side in sides for line in vars(rectifier_lines(side)).values()]
    if joint:
        opposite = _opposite(box.original, box.pruned) | _opposite(box.pruned, box.original)
        numbers += [*vars(difference_lines(box)).values(), opposite]
        numbers += [number.unsqueeze(1) for part in (box.original, box.difference) for number in _centred(part)]
    return torch.cat([on.unsqueeze(1), ~(on | off).unsqueeze(1), *numbers], 1).flatten(2)


def _centred(side: TensorInterval) -> tuple[Tensor, Tensor]:
    return 0.5 * (side.low + side.high), 0.5 * (side.high - side.low)


def _one(value: Tensor, lines: Lines) -> tuple[Tensor, Tensor]:
    return value * torch.where(value >= 0, lines.lower, lines.upper), value.clamp(max=0) * lines.intercept


def _both(value: Tensor, change: Tensor, numbers: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """P·a + Q·α ≥ P′·z + Q′·δ + c, joint or apart, whichever has the larger minimum over the unit's box."""
    first, second, difference = Lines(*numbers[:3]), Lines(*numbers[3:6]), DifferenceLines(*numbers[6:10])
    joint_z, joint_c = _one(value, first)
    joint_d, extra = _difference(change, difference)
    joint_c = joint_c + extra
    apart_z, apart_c = _one(value - change, first)
    apart_d, extra = _one(change, second)
    apart_z, apart_c = apart_z + apart_d, apart_c + extra
    box = numbers[11:]
    take = _minimum(apart_z, apart_d, apart_c, *box) > _minimum(joint_z, joint_d, joint_c, *box)
    take = take | (numbers[10] > 0)  # the signs are opposite, where apart is exact
    return (
        torch.where(take, apart_z, joint_z),
        torch.where(take, apart_d, joint_d),
        torch.where(take, apart_c, joint_c),
    )


def _minimum(
    value: Tensor, change: Tensor, constant: Tensor, middle: Tensor, radius: Tensor, shift: Tensor, width: Tensor
) -> Tensor:
    """Of P·z + Q·δ + c over a unit's box."""
    return constant + value * middle - value.abs() * radius + change * shift - change.abs() * width


def _opposite(one: TensorInterval, two: TensorInterval) -> Tensor:
    return ((one.low >= 0) & (two.high <= 0)).unsqueeze(1)


def _difference(change: Tensor, lines: DifferenceLines) -> tuple[Tensor, Tensor]:
    rising = change >= 0
    return (
        change * torch.where(rising, lines.lower, lines.upper),
        change * torch.where(rising, lines.below, lines.above),
    )


def _through_max_pool(
    rows: Functional, step: Step, boxes: list[Enclosure], index: int, value: Tensor, change: Tensor | None
) -> None:
    assert isinstance(step.operation, MaxPool)
    (parent,) = step.parents
    pair = _own(rows, boxes[parent]), _own(rows, boxes[index])
    sides = _side(rows, pair[0]), _side(rows, pair[1])
    new, moved, constant = pool_terms(step.operation.settings, sides, pair, value, change)
    rows.constant = rows.constant + constant.flatten(2).sum(2)
    rows.slack = rows.slack + gamma(constant[0, 0].numel()) * constant.abs().flatten(2).sum(2)
    rows.add(parent, new, moved)


def _through_concatenation(
    rows: Functional, step: Step, boxes: list[Enclosure], value: Tensor, change: Tensor | None
) -> None:
    assert isinstance(step.operation, Concatenate)
    dimension = step.operation.dimension
    sizes = [boxes[parent].original.low.shape[dimension] for parent in step.parents]
    values = value.split(sizes, dimension + 1)
    changes = [None] * len(sizes) if change is None else change.split(sizes, dimension + 1)
    for parent, part, moved in zip(step.parents, values, changes, strict=True):
        rows.add(parent, part, moved)


def _through_log_softmax(rows: Functional, step: Step, box: Enclosure, value: Tensor, change: Tensor | None) -> None:
    """Rows whose coefficients sum to zero do not see the logarithm; others end at the box."""
    balanced = not bool(value.sum(2).any()) and (change is None or not bool(change.sum(2).any()))
    exact = bool((value == value.round()).all()) and (change is None or bool((change == change.round()).all()))
    if balanced and exact:  # sums of small whole numbers are not rounded
        rows.add(step.parents[0], value, change)
    else:
        _stop(rows, box, value, change)


def _stop(rows: Functional, box: Enclosure, value: Tensor, change: Tensor | None) -> None:
    """Replace a term by its minimum over the step's box."""
    for term, side in ((value, _side(rows, box)), (change, box.difference)):
        if term is not None:
            rows.constant = rows.constant + dot(term.clamp(min=0), side.low) + dot(term.clamp(max=0), side.high)
            rows.slack = rows.slack + gamma(side.low[0].numel()) * dot(term.abs(), side.magnitude)


def _over_ball(rows: Functional, ball: Ball) -> Tensor:
    value, _ = rows.terms.get(0, (None, None))
    slack = rows.slack + 32 * UNIT * rows.constant.abs() + TINY
    if value is None:
        return rows.constant - slack * (1 + 64 * UNIT)
    size = value.abs().flatten(2)
    reach = ball.radius * size.sum(2) if ball.norm == "inf" else _euclidean(size, ball.radius)
    scale = dot(size, ball.inputs.abs() + ball.radius)
    points = (ball.inputs.abs() + ball.radius).flatten(1).sum(1, keepdim=True)
    slack = slack + gamma(size.shape[2]) * scale + size.shape[2] * TINY * (1 + points)
    return dot(value, ball.inputs) + rows.constant - reach - slack * (1 + 64 * UNIT)


def _euclidean(size: Tensor, radius: float) -> Tensor:
    """Radius times length of magnitudes (batch, rows, entries), scaled so that their squares do not underflow."""
    top = size.amax(2, keepdim=True)
    relative = (size / top).nan_to_num(0.0, torch.inf, torch.inf)  # 0/0 where all of them are zero
    return radius * top.squeeze(2) * torch.linalg.vector_norm(relative, dim=2)
