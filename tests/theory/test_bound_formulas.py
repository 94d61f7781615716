"""The value of a bound is that of its formula, written a second time in plain floats.

Those on greedy selection and pre-training are in `test_bound_values.py`.
"""

import math
import random
from collections.abc import Callable

import pytest

from pruneproof.theory import bounds

CLOSE = 1e-12  # relative: a few dozen roundings of the plain formula; the bound itself is rounded once
Values = dict[str, float]


def _inverse(log: float, linear: float, square: float) -> float:
    """The positive root ε of ε² = 2·linear·ε + 2·log·square."""
    return linear + math.sqrt(linear**2 + 2 * log * square)


def _s3(v: Values) -> float:
    part = min(v["r"], v["b"] / 2)
    return part * (v["b"] - part)


def _ratio(v: Values, power: float) -> float:
    return (v["epsilon_up"] / v["epsilon_np"]) ** power


def _scaling(v: Values, density: float) -> float:
    big = v["p"] ** 2 * _ratio(v, 2 / v["gamma"])
    return v["epsilon_np"] * ((density**2 + big) / (density**2 + v["p"] ** 2)) ** (v["gamma"] / 2)


def _smallest(v: Values) -> float:
    target = (v["epsilon_k"] / v["epsilon_np"]) ** (2 / v["gamma"])
    return v["p"] * math.sqrt((_ratio(v, 2 / v["gamma"]) - target) / (target - 1))


def _size(v: Values, log: float) -> float:
    return v["C"] * v["Sigma"] * (6 + 2 * v["epsilon"]) / (3 * v["epsilon"] ** 2) * log


def _cube(value: float) -> float:
    return value ** (1 / 3)


def _kappa(v: Values) -> float:
    root = math.sqrt(math.log(v["neurons"] * v["widest"]))
    return root * (1 + root * math.log(8 * v["neurons"] * v["widest"] / v["delta"]))


FORMULAS: dict[str, Callable[[Values], float]] = {
    "scaling-single": lambda v: _scaling(v, v["d"]),
    "scaling-joint": lambda v: _scaling(v, v["d"] * v["l"] ** v["phi"] * v["w"] ** v["psi"]),
    "scaling-steep": lambda v: v["epsilon_np"] * _ratio(v, v["p"] ** 2 / (v["d"] ** 2 + v["p"] ** 2)),
    "scaling-smallest": _smallest,
    "S1": lambda v: 2 * math.exp(-v["m"] / _size(v, 1.0)),
    "S1-size": lambda v: _size(v, math.log(2 / v["delta"])),
    "S1-error": lambda v: _inverse(
        math.log(2 / v["delta"]),
        v["C"] * v["Sigma"] * math.log(2 / v["delta"]) / (3 * v["m"]),
        v["C"] * v["Sigma"] / v["m"],
    ),
    "S2": lambda v: v["share"],
    "S2-published": lambda v: v["C"] * v["dropped"],
    "S2-symmetric": lambda v: 1 / (2 / v["share"] - 1),
    "S3": lambda v: 2 * math.exp(-v["rest"] * v["epsilon"] ** 2 / (2 * _s3(v) + 2 * v["b"] * v["epsilon"] / 3)),
    "S3-error": lambda v: _inverse(
        math.log(2 / v["delta"]), v["b"] * math.log(2 / v["delta"]) / (3 * v["rest"]), _s3(v) / v["rest"]
    ),
    "S4": lambda v: 2 * math.exp(-v["tau"] * v["epsilon"] ** 2 / (2 * v["C"] * (v["r"] + v["epsilon"] / 3))),
    "S4-error": lambda v: _inverse(
        math.log(2 / v["delta"]), v["C"] * math.log(2 / v["delta"]) / (3 * v["tau"]), v["C"] * v["r"] / v["tau"]
    ),
    "S4-size": lambda v: v["Sigma"] * v["tau"],
    "S5-rank": lambda v: math.ceil((1 - v["beta"]) * (v["held_out"] + 1)),
    "S5-failure": lambda v: v["beta"] + v["delta"],
    "S6": lambda v: v["epsilon"] * v["z_plus"] + v["epsilon"] * v["z_minus"],
    "SiPP-sample": lambda v: math.ceil(v["C"] * math.log(8 * v["neurons"] * v["widest"] / v["delta"])),
    "S1-sample": lambda v: _size(v, math.log(2 * v["points"] / v["delta"])),
    "N1": lambda v: math.log1p(v["epsilon"]) / (v["layers"] - 1) / v["amplification"],
    "N1-published": lambda v: v["epsilon"] / 2 / (v["layers"] - 1) / v["amplification"],
    "N2": lambda v: v["gain"] * v["incoming"] + v["epsilon_plus"] * v["z_plus"] + v["epsilon_minus"] * v["z_minus"],
    "N2-class": lambda v: v["error"] + v["error"],
    "N3": lambda v: min(v["n"], math.ceil(_size(v, math.log(4 * v["neurons"] / v["delta"])))),
    "N4": lambda v: v["budget"] * _cube(v["cost"] ** 2 * v["Sigma"]) / v["total"],
    "CoreNet-kappa": _kappa,
    "CoreNet-size": lambda v: math.ceil(
        8
        * v["Sigma"]
        * math.log(v["neurons"] * v["widest"])
        * math.log(8 * v["neurons"] / v["delta"])
        / v["epsilon"] ** 2
    ),
}


RANGES: dict[str, tuple[float, float]] = {
    "delta": (0.01, 0.3),
    "beta": (0.01, 0.3),
    "share": (0.1, 0.9),
    "epsilon": (0.1, 0.9),
    "epsilon_np": (0.05, 0.1),
    "epsilon_k": (0.15, 0.2),
    "epsilon_up": (0.5, 0.9),
    "gamma": (0.5, 2.0),
    "C": (1.1, 3.0),
}
WHOLE = {"neurons", "widest", "layers", "n", "points", "held_out", "m", "rest", "l", "w"}


def _values(symbols: list[str], seed: int) -> Values:
    draw = random.Random(f"{seed} {symbols}")
    whole = {name: draw.randint(5, 400) for name in symbols if name in WHOLE}
    return {name: whole.get(name) or draw.uniform(*RANGES.get(name, (0.5, 4.0))) for name in symbols}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", FORMULAS)
def test_the_value_is_that_of_the_formula(name: str, seed: int) -> None:
    bound = next(bound for bound in bounds() if bound.name == name)
    values = _values([str(symbol) for symbol in bound.symbols], seed)
    assert bound.bound(assume=True, **values) == pytest.approx(FORMULAS[name](values), rel=CLOSE)


def test_no_bound_is_without_a_second_formula() -> None:
    papers = ("greedy", "pretraining", "2108.00259")
    elsewhere = {bound.name for bound in bounds() if any(name in bound.source for name in papers)}
    assert {bound.name for bound in bounds()} - elsewhere <= set(FORMULAS)


@pytest.mark.parametrize(
    ("epsilon", "layers", "stated"), [(0.99, 2, True), (1.0, 2, False), (1.5, 2, False), (0.5, 1, False)]
)
def test_n1_is_stated_below_one_and_for_two_layers_or_more(epsilon: float, layers: int, stated: bool) -> None:
    n1 = next(bound for bound in bounds() if bound.name == "N1")
    told = n1.check(epsilon=epsilon, layers=layers, amplification=1.5)
    assert all(holds is not False for _, holds in told) is stated
