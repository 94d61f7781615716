"""The competing curves ln ε(m) of a scaling-law fit: the law, its limit, log-Hill, clipped power law, constant.

Every curve sees the invariant m = l^φ w^ψ d and the dense error ε_np of each point; its parameters are searched as
logarithms (φ and ψ as they are) inside the bounds given here. Derivations are in theory/theorems/scaling_law/proof.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .points import Floats, Points

Curve = Callable[[dict[str, Floats], Floats, Floats], Floats]


@dataclass(frozen=True)
class Model:
    """One family of curves.

    Args:
        name: Shown in tables.
        parameters: Names of the fitted parameters; `depth` and `width` exponents are phi and psi.
        curve: (parameters, m, ε_np) → ln ε, all of shape (n,) or broadcast to it.
    """

    name: str
    parameters: tuple[str, ...]
    curve: Curve

    def log_error(self, values: dict[str, float], points: Points) -> Floats:
        """ln ε (n,) at the parameter values.

        Example:
            >>> from pruneproof.theory.scaling.points import points_from_rows
            >>> row = {"network": "a", "width": 1, "depth": 1, "density": 1, "error": 0.1}
            >>> LAW.log_error({"p": 1e-9, "gamma": 1.0, "upper_error": 0.5}, points_from_rows([row])).round(6).tolist()
            [-2.302585]
        """
        depth, width = values.get("phi", 0.0), values.get("psi", 0.0)
        invariant = points.depth**depth * points.width**width * points.density
        given = {name: np.asarray(value) for name, value in values.items()}
        return self.curve(given, invariant, points.dense_error)


def _law(values: dict[str, Floats], m: Floats, dense: Floats) -> Floats:
    """ln ε_np + γ/2 · ln(1 − s + s·e^r) with s = p²/(m² + p²) and r = 2/γ · ln(ε↑/ε_np), for every r and every s."""
    gamma = values["gamma"]
    rise = 2 * np.log(values["upper_error"] / dense) / gamma
    invariant, transition = 2 * np.log(m), 2 * np.log(values["p"])
    share = transition - np.logaddexp(invariant, transition)  # ln s
    rest = invariant - np.logaddexp(invariant, transition)  # ln(1 − s)
    near = np.log1p(np.exp(share) * np.expm1(np.clip(rise, -1, 1)))  # exact where r is small
    return np.log(dense) + gamma / 2 * np.where(abs(rise) > 1, np.logaddexp(rest, share + rise), near)


def _hill(values: dict[str, Floats], m: Floats, dense: Floats) -> Floats:
    power = values.get("q", np.asarray(2.0))
    return np.log(dense) + np.log(values["upper_error"] / dense) * expit(power * np.log(values["p"] / m))


def _clipped(values: dict[str, Floats], m: Floats, dense: Floats) -> Floats:
    top = np.log(values["upper_error"])
    return np.clip(top - values["gamma"] * np.log(m / values["p"]), np.minimum(np.log(dense), top), top)


def _constant(values: dict[str, Floats], m: Floats, dense: Floats) -> Floats:
    return np.broadcast_to(np.log(values["upper_error"]), m.shape)


AT_LIMIT = 1e-3  # distance to a limit of the search, in search coordinates: a tenth of a percent of the value

LAW = Model("scaling law", ("p", "gamma", "upper_error"), _law)
STEEP_LIMIT = Model("limit γ → ∞", ("p", "upper_error"), _hill)
LOG_HILL = Model("log-Hill", ("p", "q", "upper_error"), _hill)
CLIPPED = Model("clipped power law", ("p", "gamma", "upper_error"), _clipped)
CONSTANT = Model("constant", ("upper_error",), _constant)
MODELS = (LAW, STEEP_LIMIT, LOG_HILL, CLIPPED, CONSTANT)


def joint(model: Model, points: Points) -> Model:
    """The model with exponents for those of depth and width that vary over the points.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [{"network": w, "width": w, "depth": 1, "density": 1, "error": 0.1} for w in (1, 2)]
        >>> joint(LAW, points_from_rows(rows)).parameters
        ('p', 'gamma', 'upper_error', 'psi')
    """
    if model is CONSTANT:
        return model
    exponents = (("phi", points.depth), ("psi", points.width))
    varying = tuple(name for name, column in exponents if np.ptp(column) > 0)
    return Model(model.name, model.parameters + varying, model.curve)


def carries(points: Points, model: Model) -> bool:
    """Whether the points determine the constants of a model, exponents of depth and width included.

    Needed are two places (network, density) more than constants, and as many different densities as the curve has
    constants of its own: dense networks alone, however many, say nothing about pruning.

    Example:
        >>> from pruneproof.theory.scaling.points import points_from_rows
        >>> rows = [{"network": w, "width": w, "depth": 1, "density": 1, "error": 0.1} for w in range(1, 8)]
        >>> carries(points_from_rows(rows), LAW), carries(points_from_rows(rows), CONSTANT)
        (False, True)
    """
    constants = len(joint(model, points).parameters)
    return points.places >= constants + 2 and points.densities >= len(model.parameters)


def bounds(model: Model, points: Points) -> tuple[Floats, Floats]:
    """Lower and upper search limits of the model's parameters, in search coordinates (logarithms but for φ and ψ)."""
    limits = {
        "p": (np.log(points.density.min()) - 5, np.log(points.density.max()) + 3),
        "gamma": (np.log(0.05), np.log(50.0)),
        "q": (np.log(0.2), np.log(50.0)),
        "upper_error": (np.log(points.error.min()) - 1, 0.0),
        "phi": (-4.0, 6.0),
        "psi": (-4.0, 6.0),
    }
    pairs = np.array([limits[name] for name in model.parameters])
    return pairs[:, 0], pairs[:, 1]


def at_limits(model: Model, coordinates: Floats, limits: tuple[Floats, Floats]) -> tuple[str, ...]:
    """The parameters that sit at a limit of the search, where a descent stops a little inside it.

    Args:
        model: The family of curves.
        coordinates: Search coordinates of its parameters.
        limits: Lower and upper search limits, from `bounds`.
    """
    low, high = limits
    touching = (coordinates - low < AT_LIMIT) | (high - coordinates < AT_LIMIT)
    return tuple(name for name, touches in zip(model.parameters, touching, strict=True) if touches)


def to_search(model: Model, values: dict[str, float]) -> Floats:
    """Search coordinates of parameter values."""
    return np.array([values[name] if name in ("phi", "psi") else np.log(values[name]) for name in model.parameters])


def from_search(model: Model, coordinates: Floats) -> dict[str, float]:
    """Parameter values of search coordinates."""
    pairs = zip(model.parameters, coordinates, strict=True)
    return {name: float(x if name in ("phi", "psi") else np.exp(x)) for name, x in pairs}
