"""Selection straight from the features: a pass over them per choice, and no neurons × neurons matrix.

Certified screening shortens the pass: it reads a low-precision copy of the features, proves that most
neurons cannot win, and scores the rest again exactly. For neuron i let q_i be the copy of Φ_i and
e_i ≥ ‖Φ_i − q_i‖; let r = z − k y, r' its float32 rounding, and d_i the product q_i·r' over m points
in float32. Then, with γ = m·u/(1 − m·u) and u = 2⁻²⁴,

    |Φ_i·r − d_i| ≤ e_i‖r‖ + ‖q_i‖‖r − r'‖ + γ‖q_i‖‖r'‖ = w_i,

so the score ½‖Φ_i‖² + Φ_i·r lies within w_i of its estimate. Rows and r are scaled to maximum 127 or
1 before they are rounded, so nothing overflows, and what underflows is far below the γ term. A neuron
whose lower end exceeds the smallest upper end (plus the tie width) cannot be chosen; the others are
scored exactly from the full rows. Derivation: gpu.md.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .rules import Path, tie_width


class FeatureProducts:
    """The products a selection asks for, each computed when it is asked for.

    Args:
        features: (neurons, points) float. `target`: (points,) float.

    Cost: one product of the features with a vector per `column`. Columns are remembered, up to a quarter of the
    features' memory: selection with replacement asks for many of them again.

    Example:
        >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(1).tolist()
        [0.0, 1.0]
    """

    def __init__(self, features: Tensor, target: Tensor) -> None:
        self.features, self.target = features, target
        self.correlation = features @ target
        self.diagonal = torch.einsum("ij,ij->i", features, features)
        self.energy = float(target.double().square().sum())
        self._columns: dict[int, Tensor] = {}

    def column(self, neuron: int) -> Tensor:
        """Inner products ⟨Φ_i, Φ_neuron⟩ with every neuron i, (neurons,).

        Example:
            >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(0).tolist()
            [1.0, 0.0]
        """
        if neuron in self._columns:
            return self._columns[neuron]
        column = self.features @ self.features[neuron]
        if 4 * len(self._columns) < self.features.shape[1]:
            self._columns[neuron] = column
        return column


UNIT = 2.0**-24
SLACK = 1 + 2.0**-20  # covers the float64 rounding of the bound's own arithmetic
COPIES = {"int8": torch.int8, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Screen:
    """A low-precision copy of features (neurons, points): `copy · scale` with row errors at most `error`.

    Rows of the copy are padded with zeros once, so that the kernel that reads them needs no masks.
    """

    copy: Tensor
    scale: Tensor
    error: Tensor
    length: Tensor

    @classmethod
    def of(cls, features: Tensor, kind: str = "int8") -> "Screen":
        """Copy `features` as "int8" (a quarter of float32's bytes, scaled by row) or "bfloat16" (half)."""
        top = features.abs().amax(1).double()
        scale = torch.where(top > 0, top / (127 if kind == "int8" else 1), 1.0)
        neurons, points = features.shape
        copy = torch.zeros(neurons, padded(points), dtype=COPIES[kind], device=features.device)
        error, length = torch.empty_like(top), torch.empty_like(top)
        for start in range(0, len(features), 1024):  # bounds the float64 working memory
            rows = slice(start, start + 1024)
            exact, by = features[rows].double(), scale[rows, None]
            copy[rows, :points] = (exact / by).round().to(torch.int8) if kind == "int8" else exact.to(copy.dtype)
            kept = copy[rows, :points].double() * by
            error[rows], length[rows] = (exact - kept).norm(dim=1), kept.norm(dim=1)
        return cls(copy, scale, error * SLACK, length * SLACK)

    def intervals(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """(estimate, width) of Φ_i·r for every neuron, float64 (neurons,) each."""
        short, (top, norm, rounding) = self.scaled(r)
        width = SLACK * top * (self.error * norm + self.length * rounding)
        by_block = [block[:, : len(r)].float() @ short for block in self.copy.split(1024)]
        return torch.cat(by_block).double() * (self.scale * top), width

    def scaled(self, r: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """R divided by its largest entry, in float32; that entry, ‖r‖ and the rounding of r as multiples of it."""
        top = r.abs().max()
        unit = torch.where(top > 0, r / top, r)
        short = unit.float()
        rounding = (unit - short.double()).norm() + self.gamma(len(r)) * short.double().norm()
        return short, (top, unit.norm(), rounding)

    @staticmethod
    def gamma(points: int) -> float:
        """γ of a sum of so many products in float32."""
        return points * UNIT / (1 - points * UNIT)


def padded(points: int) -> int:
    """The length to which rows are padded: a multiple of the widest tile that adds an eighth at most, or of 64."""
    tiles = (2048, 1024, 512, 256, 128)
    return next((-(-points // t) * t for t in tiles if -(-points // t) * t <= 1.125 * points), -(-points // 64) * 64)


@dataclass(eq=False)
class ScreenedState:
    """What changes from step to step: r = z − k y (points,), the step k (scalar), bars against repeats (neurons,)."""

    residual: Tensor
    step: Tensor
    barred: Tensor


def screened_path(products: FeatureProducts, target: Tensor, steps: int, replacement: bool, kind: str = "int8") -> Path:
    """The equal-weight path in float64 arithmetic on the features as given, read mostly from a copy of `kind`.

    In torch: the definition of what the kernels do, which `launch.screened_path` runs on a GPU.
    """
    features, y = products.features, target.double()
    screen, half, tie = prepared(products, kind)
    state = ScreenedState(torch.zeros_like(y), y.new_zeros(()), torch.zeros_like(half))
    rows = [screened_step(features, screen, half, y, tie, state, replacement) for _ in range(steps)]
    chosen, losses = (torch.stack(column) for column in zip(*rows, strict=True))
    return path_of(chosen, losses, len(features))


def prepared(products: FeatureProducts, kind: str) -> tuple[Screen, Tensor, float]:
    """The copy of the features, ½‖Φ_i‖², and the tie width."""
    half = row_energies(products.features) / 2
    return Screen.of(products.features, kind), half, tie_width(2 * half, products.energy)


def path_of(chosen: Tensor, losses: Tensor, neurons: int) -> Path:
    """The path of these choices; reads them back."""
    weights = torch.bincount(chosen, minlength=neurons).double() / len(chosen)
    return Path(chosen.tolist(), losses.tolist(), weights)


def screened_step(
    features: Tensor, screen: Screen, half: Tensor, y: Tensor, tie: float, state: ScreenedState, replacement: bool
) -> tuple[Tensor, Tensor]:
    """One choice and the loss after it."""
    state.step += 1
    state.residual -= y
    estimate, width = screen.intervals(state.residual)
    estimate += half + state.barred
    allowed = tie * state.step
    limit = (estimate + width).min() + allowed
    exact = rescore(features, state.residual, half, estimate - width, limit) + state.barred
    w = (exact <= exact.min() + allowed).to(torch.uint8).argmax()  # argmax returns the first
    state.residual += features.index_select(0, w[None])[0].double()
    if not replacement:
        state.barred.index_fill_(0, w[None], torch.inf)
    return w, (state.residual / state.step).square().sum() / 2


def rescore(features: Tensor, r: Tensor, half: Tensor, lower: Tensor, limit: Tensor) -> Tensor:
    """Float64 scores of the neurons whose lower end is within the limit, inf elsewhere."""
    alive = (lower <= limit).nonzero()[:, 0]
    scores = torch.full_like(half, torch.inf)
    scores[alive] = half[alive] + features[alive].double() @ r
    return scores


def row_energies(features: Tensor) -> Tensor:
    """‖Φ_i‖² in float64, a thousand rows at a time."""
    return torch.cat([rows.double().square().sum(1) for rows in features.split(1024)])
