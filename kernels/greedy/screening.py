"""Inner products straight from the features: a pass over them per choice, and no neurons × neurons matrix.

Certified screening: read a low-precision copy of the features, prove most neurons cannot win, re-score the rest.

For neuron i let q_i be the copy of Φ_i and e_i ≥ ‖Φ_i − q_i‖; let r = z − k y, r' its float32 rounding, and d_i the
product q_i·r' over m points in float32. Then, with γ = m·u/(1 − m·u) and u = 2⁻²⁴,

    |Φ_i·r − d_i| ≤ e_i‖r‖ + ‖q_i‖‖r − r'‖ + γ‖q_i‖‖r'‖ = w_i,

so the score ½‖Φ_i‖² + Φ_i·r lies within w_i of its estimate. Rows and r are scaled to maximum 127 or 1 before they are
rounded, so nothing overflows, and what underflows is far below the γ term. A neuron whose lower end exceeds the
smallest upper end (plus the tie width) cannot be chosen; the others are scored exactly from the full rows. Derivation:
gpu.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pruneproof.kernels.backend import choose

from .rules import Path, tie_width


class FeatureProducts:
    """The products a selection asks for, each computed when it is asked for.

    Args:
        features: (neurons, points) float. `target`: (points,) float.

    Cost: one product of the features with a vector per `column`.

    Example:
        >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(1).tolist()
        [0.0, 1.0]
    """

    def __init__(self, features: Tensor, target: Tensor) -> None:
        self.features, self.target = features, target
        self.correlation = features @ target
        self.diagonal = torch.einsum("ij,ij->i", features, features)
        self.energy = float(target.double().square().sum())

    def column(self, neuron: int) -> Tensor:
        """Inner products ⟨Φ_i, Φ_neuron⟩ with every neuron i, (neurons,).

        Example:
            >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(0).tolist()
            [1.0, 0.0]
        """
        return self.features @ self.features[neuron]


UNIT = 2.0**-24
SLACK = 1 + 2.0**-20  # covers the float64 rounding of the bound's own arithmetic
COPIES = {"int8": torch.int8, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Screen:
    """A low-precision copy of features (neurons, points): `copy · scale` with row errors at most `error`."""

    copy: Tensor
    scale: Tensor
    error: Tensor
    length: Tensor

    @classmethod
    def of(cls, features: Tensor, kind: str = "int8") -> "Screen":
        """Copy `features` as "int8" (a quarter of float32's bytes, scaled by row) or "bfloat16" (half)."""
        top = features.abs().amax(1).double()
        scale = torch.where(top > 0, top / (127 if kind == "int8" else 1), 1.0)
        copy = torch.empty(features.shape, dtype=COPIES[kind], device=features.device)
        error, length = torch.empty_like(top), torch.empty_like(top)
        for start in range(0, len(features), 1024):  # bounds the float64 working memory
            rows = slice(start, start + 1024)
            exact, by = features[rows].double(), scale[rows, None]
            copy[rows] = (exact / by).round().to(torch.int8) if kind == "int8" else exact.to(copy.dtype)
            kept = copy[rows].double() * by
            error[rows], length[rows] = (exact - kept).norm(dim=1), kept.norm(dim=1)
        return cls(copy, scale, error * SLACK, length * SLACK)

    def intervals(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """(estimate, width) of Φ_i·r for every neuron, float64 (neurons,) each."""
        top = r.abs().max()
        unit = torch.where(top > 0, r / top, r)
        short = unit.float()
        points = self.copy.shape[1]
        gamma = points * UNIT / (1 - points * UNIT)
        rounding = (unit - short.double()).norm() + gamma * short.double().norm()
        width = SLACK * top * (self.error * unit.norm() + self.length * rounding)
        return self._product(short).double() * (self.scale * top), width

    def _product(self, r: Tensor) -> Tensor:
        if choose("greedy_select", r, wide=True).backend == "triton":
            from .launch import screen

            return screen(self.copy, r)
        return torch.cat([block.float() @ r for block in self.copy.split(1024)])


@dataclass(eq=False)
class ScreenedState:
    """What changes from step to step: r = z − k y (points,), the step k (scalar), bars against repeats (neurons,)."""

    residual: Tensor
    step: Tensor
    barred: Tensor


def screened_path(products: FeatureProducts, target: Tensor, steps: int, replacement: bool, kind: str = "int8") -> Path:
    """The equal-weight path in float64 arithmetic on the features as given, read mostly from a copy of `kind`."""
    features = products.features
    screen = Screen.of(features, kind)
    half = row_energies(features) / 2
    tie = tie_width(2 * half, products.energy)
    y = target.double()
    state = ScreenedState(torch.zeros_like(y), y.new_zeros(()), torch.zeros_like(half))
    advance = _repeatable(lambda: screened_step(features, screen, half, y, tie, state, replacement), state)
    chosen = torch.empty(steps, dtype=torch.int64, device=y.device)
    losses = y.new_empty(steps)
    for k in range(steps):
        chosen[k], losses[k] = advance()
    weights = torch.bincount(chosen, minlength=len(features)).double() / steps
    return Path(chosen.tolist(), losses.tolist(), weights)


def screened_step(
    features: Tensor, screen: Screen, half: Tensor, y: Tensor, tie: float, state: ScreenedState, replacement: bool
) -> tuple[Tensor, Tensor]:
    """One choice and the loss after it, on the device throughout: nothing is read back by the host."""
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


def _repeatable(step: Callable[[], tuple[Tensor, Tensor]], state: ScreenedState) -> Callable[[], tuple[Tensor, Tensor]]:
    """The step itself, or on a GPU one captured graph of it: its dozen small kernels are dear to launch."""
    if not state.residual.is_cuda:
        return step
    step()  # compiles and warms up; then everything it changed is set back
    for tensor in (state.residual, state.step, state.barred):
        tensor.zero_()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return result

    return replay


def rescore(features: Tensor, r: Tensor, half: Tensor, lower: Tensor, limit: Tensor) -> Tensor:
    """Float64 scores of the neurons whose lower end is within the limit, inf elsewhere."""
    if r.device.type == "cuda":
        from .launch import rescore_on_gpu

        return rescore_on_gpu(features, r, half, lower, limit)
    alive = (lower <= limit).nonzero()[:, 0]
    scores = torch.full_like(half, torch.inf)
    scores[alive] = half[alive] + features[alive].double() @ r
    return scores


def row_energies(features: Tensor) -> Tensor:
    """‖Φ_i‖² in float64, a thousand rows at a time."""
    return torch.cat([rows.double().square().sum(1) for rows in features.split(1024)])
