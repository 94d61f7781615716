"""Back-substitution through the pair: a lower bound, over the ball, of any linear functional of (z, δ) at a step.

The functional P·z + Q·δ + c is carried from its step to the input. A linear map replaces it by
(WᵀP + (Ŵ−W)ᵀQ)·a + (ŴᵀQ)·α; a rectifier by one of two relaxations, unit by unit: *joint*, which bounds the difference
of the two rectifiers by lines in δ, or *apart*, which bounds P·a + Q·α = (P−Q)·a + Q·â by lines in z and ẑ (what
CROWN does on the explicit difference network). The one with the larger minimum over the unit's box is kept. In the
manner of differential verification (ReluDiff, NeuroDiff: Paulsen, Wang, Wang, 2020) and CROWN (Zhang et al., 2018).

All rounding is collected in `slack`; magnitudes come from the enclosures, so the bound holds in exact arithmetic.
Cost per row: one transposed pass through the pair, shared by the images of a batch down to the first nonlinearity.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .graph import Add, Concatenate, Lipschitz, LogSoftmax, MaxPool, Rectifier, Step
from .interval_bounds import Enclosure, TensorInterval
from .linear_maps import PairMap
from .relaxations import DifferenceLines, Lines, difference_lines, pool_terms, rectifier_lines
from .rounding import TINY, UNIT, gamma

ORIGINAL, PRUNED, DIFFERENCE = 0, 1, 2


@dataclass(frozen=True)
class Ball:
    """Inputs (batch, *item) and the radius of the closed ball around each, in the norm `inf` or `2`."""

    inputs: Tensor
    radius: float
    norm: str


@dataclass
class Functional:
    """Rows of P·z + Q·δ + constant, each P and Q (batch, rows, *item) by step; Q is None on one network alone.

    A batch of one stands for rows that all images share: linear maps are the same for all of them.
    """

    network: int
    terms: dict[int, tuple[Tensor, Tensor | None]]
    constant: Tensor
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

    def signed(self, rows: Tensor) -> "Functional":
        """Of n shared rows those that each image asks for, (batch, k) numbers: row i itself, or n + i its negative."""
        many = self.constant.shape[1]
        row, sign = rows % many, torch.where(rows < many, 1.0, -1.0).double()

        def picked(shared: Tensor) -> Tensor:
            return shared[0][row] * sign[(..., *[None] * (shared.ndim - 2))]

        terms = {
            step: (picked(value), None if change is None else picked(change))
            for step, (value, change) in self.terms.items()
        }
        constant, slack = (part.expand(len(row), -1).gather(1, row) for part in (self.constant, self.slack))
        chosen = Functional(self.network, terms, constant * sign)
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
    steps: list[Step],
    boxes: list[Enclosure],
    index: int,
    units: Tensor,
    wanted: Tensor,
    network: int,
    ball: Ball,
) -> tuple[Tensor, Tensor]:
    """Lower bounds of single units of a step and of their negatives, of z, ẑ or δ.

    Args:
        steps, boxes: Of the pair; boxes at least of the steps before `index`.
        index: The step.
        units: (many,) positions in the flattened item.
        wanted: (batch, 2 · many) bool: which images ask for which units, and then for which of their negatives.
        network: ORIGINAL, PRUNED or DIFFERENCE.
        ball: The inputs.

    Returns:
        Columns of `wanted`, (batch, k), k the largest number that an image asks for, and the bounds of these, −inf for
        those that an image did not ask for.
    """
    shape = boxes[index].original.low.shape[1:]
    one = torch.zeros(1, len(units), shape.numel(), dtype=torch.float64)
    one[0, torch.arange(len(units)), units] = 1.0
    one = one.unflatten(2, shape)
    term = (torch.zeros_like(one), one) if network == DIFFERENCE else (one, None)
    shared = Functional(
        ORIGINAL if network == DIFFERENCE else network,
        {index: term},
        torch.zeros(1, len(units), dtype=torch.float64),
    )
    _substitute(steps, boxes, shared, linear_only=True)
    most = int(wanted.sum(1).max())
    rows = wanted.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :most]
    bounds = lower_bounds(steps, boxes, shared.signed(rows), ball)
    asked = wanted.gather(1, rows)  # an image's bounds do not depend on the others in its batch
    return rows, torch.where(asked, bounds, -torch.inf)


def _substitute(steps: list[Step], boxes: list[Enclosure], rows: Functional, *, linear_only: bool = False) -> None:
    """Carry a functional to the input, or down to the first step that is relaxed image by image."""
    while rows.terms and (index := max(rows.terms)):
        if linear_only and not isinstance(steps[index].operation, PairMap | Add):
            return
        _replace(steps[index], index, boxes, rows)


def _replace(step: Step, index: int, boxes: list[Enclosure], rows: Functional) -> None:
    """Replace the terms at a step by terms at the steps that it reads."""
    value, change = rows.terms.pop(index)
    if not isinstance(step.operation, PairMap):  # which charges this together with its own
        _account(rows, boxes[index], value, change)
    match step.operation:
        case PairMap():
            _through_map(rows, index, step, boxes, value, change)
        case Rectifier():
            _through_rectifier(rows, step, boxes, value, change)
        case Lipschitz():
            _stop(rows, boxes[index], value, change)
        case MaxPool():
            _through_max_pool(rows, step, boxes, index, value, change)
        case Add():
            for parent in step.parents:
                rows.add(parent, value, change)
        case Concatenate():
            _through_concatenation(rows, step, boxes, value, change)
        case LogSoftmax():
            _through_log_softmax(rows, step, boxes[index], value, change)
        case None:
            raise AssertionError("only step 0 is the input")


def _side(rows: Functional, box: Enclosure) -> TensorInterval:
    return box.pruned if rows.network == PRUNED else box.original


def _account(
    rows: Functional,
    box: Enclosure,
    value: Tensor,
    change: Tensor | None,
    reach: Tensor | float = 0.0,
    moved: Tensor | float = 0.0,
) -> None:
    """Coefficients summed or multiplied a few times are relatively exact: charge 32 roundings of their reach.

    `reach` and `moved` are what a step charges beside that per unit of |P| and of |Q|.
    """
    size = dot(value.abs(), 32 * UNIT * _side(rows, box).magnitude + reach)
    if change is not None:
        span = box.difference.magnitude + 2 * box.original.magnitude
        size = size + dot(change.abs(), 32 * UNIT * span + moved)
    rows.slack = rows.slack + size + 32 * UNIT * rows.constant.abs() + _underflow(rows, box, change)


def _underflow(rows: Functional, box: Enclosure, change: Tensor | None) -> Tensor:
    """A coefficient that underflows errs by less than 2^-1074 before it meets the box; TINY is 2^53 times that."""
    reach = _side(rows, box).total
    if change is not None:
        reach = reach + box.difference.total + box.original.total
    return TINY * (1 + reach)


def _through_map(
    rows: Functional, index: int, step: Step, boxes: list[Enclosure], value: Tensor, change: Tensor | None
) -> None:
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
    _charge_map(rows, layer, boxes[index], boxes[parent], value, change)
    rows.add(parent, new, moved)


def _charge_map(
    rows: Functional, layer: PairMap, image: Enclosure, box: Enclosure, value: Tensor, change: Tensor | None
) -> None:
    """The map's biases, and γ|P|(|W| max|a| + |b|) for the roundings of its transpose."""
    sizes = layer.slack or (None, None, None)
    offsets = layer.offset or (0.0, 0.0, 0.0)
    reach = layer.apply(sizes[rows.network], _side(rows, box).magnitude) + offsets[rows.network]
    rate = gamma(layer.terms + reach[0].numel())
    moved = None
    if change is not None:
        moved = layer.apply(sizes[PRUNED], box.difference.magnitude)
        if layer.biases is not None:
            moved = moved + layer.apply(sizes[DIFFERENCE], box.original.magnitude) + offsets[DIFFERENCE]
    _account(rows, image, value, change, rate * reach, 0.0 if moved is None else rate * moved)
    if layer.biases is not None:
        rows.constant = rows.constant + dot(value, layer.biases[rows.network].expand_as(reach[:1]))
        if change is not None:
            rows.constant = rows.constant + dot(change, layer.biases[DIFFERENCE].expand_as(reach[:1]))
    rows.slack = rows.slack + layer.terms * _underflow(rows, box, change)


def _through_rectifier(
    rows: Functional, step: Step, boxes: list[Enclosure], value: Tensor, change: Tensor | None
) -> None:
    """Units of one sign in the whole ball are linear: only the others, in any image of the batch, are relaxed."""
    assert isinstance(step.operation, Rectifier)
    slope, (parent,) = step.operation.slope, step.parents
    box = boxes[parent]
    sides = [_side(rows, box)] if change is None else [box.original, box.pruned]
    on = torch.stack([side.low >= 0 for side in sides]).all(0).flatten(1)
    off = torch.stack([side.high <= 0 for side in sides]).all(0).flatten(1)
    bent = (~(on | off)).any(0).nonzero().squeeze(1)
    active = on.unsqueeze(1).to(value.dtype)
    new = value.flatten(2) * active
    moved = None if change is None else change.flatten(2) * active
    if len(bent):
        columns = Enclosure(*(_columns(side, bent) for side in (box.original, box.pruned, box.difference)))
        part = value.flatten(2).index_select(2, bent)
        if change is None:
            part, constant = _one(part, rectifier_lines(_side(rows, columns)))
        else:
            part, other, constant = _both(part, change.flatten(2).index_select(2, bent), columns)
            assert moved is not None
            moved.index_copy_(2, bent, other)
        new.index_copy_(2, bent, part)
        rows.constant = rows.constant + (1 - slope) * constant.sum(2)
        rows.slack = rows.slack + gamma(len(bent)) * constant.abs().sum(2)
    rows.slack = rows.slack + TINY * value[0, 0].numel()
    new = new.reshape(value.shape)
    moved = None if moved is None else moved.reshape(value.shape)
    if slope:
        new = slope * value + (1 - slope) * new
        moved = None if moved is None or change is None else slope * change + (1 - slope) * moved
    rows.add(parent, new, moved)


def _columns(side: TensorInterval, units: Tensor) -> TensorInterval:
    return TensorInterval(side.low.flatten(1)[:, units], side.high.flatten(1)[:, units])


def _one(value: Tensor, lines: Lines) -> tuple[Tensor, Tensor]:
    return value * torch.where(value >= 0, lines.lower, lines.upper), value.clamp(max=0) * lines.intercept


def _both(value: Tensor, change: Tensor, box: Enclosure) -> tuple[Tensor, Tensor, Tensor]:
    """P·a + Q·α ≥ P′·z + Q′·δ + c, joint or apart, whichever has the larger minimum over the unit's box."""
    first = rectifier_lines(box.original)
    joint_z, joint_c = _one(value, first)
    joint_d, extra = _difference(change, difference_lines(box))
    joint_c = joint_c + extra
    apart_z, apart_c = _one(value - change, first)
    apart_d, extra = _one(change, rectifier_lines(box.pruned))
    apart_z, apart_c = apart_z + apart_d, apart_c + extra
    take = _minimum(apart_z, apart_d, apart_c, box) > _minimum(joint_z, joint_d, joint_c, box)
    take = take | _opposite(box.original, box.pruned) | _opposite(box.pruned, box.original)  # where apart is exact
    return (
        torch.where(take, apart_z, joint_z),
        torch.where(take, apart_d, joint_d),
        torch.where(take, apart_c, joint_c),
    )


def _opposite(one: TensorInterval, two: TensorInterval) -> Tensor:
    return ((one.low >= 0) & (two.high <= 0)).unsqueeze(1)


def _difference(change: Tensor, lines: DifferenceLines) -> tuple[Tensor, Tensor]:
    rising = change >= 0
    return (
        change * torch.where(rising, lines.lower, lines.upper),
        change * torch.where(rising, lines.below, lines.above),
    )


def _minimum(value: Tensor, change: Tensor, constant: Tensor, box: Enclosure) -> Tensor:
    total = constant
    for rows, side in ((value, box.original), (change, box.difference)):
        middle, radius = 0.5 * (side.low + side.high).unsqueeze(1), 0.5 * (side.high - side.low).unsqueeze(1)
        total = total + rows * middle - rows.abs() * radius
    return total


def _through_max_pool(
    rows: Functional, step: Step, boxes: list[Enclosure], index: int, value: Tensor, change: Tensor | None
) -> None:
    assert isinstance(step.operation, MaxPool)
    (parent,) = step.parents
    pair = boxes[parent], boxes[index]
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
