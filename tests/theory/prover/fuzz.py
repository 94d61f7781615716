"""Random inequalities against exact evaluation: `python tests/theory/prover/fuzz.py 10000` looks for a false proof.

A random formula f is compared with its value, or its Taylor polynomial, at a random point a (both sides touch there),
or with a number near its smallest sampled value. Where a point of the box certainly violates the claim, `proved` is
wrong; where the answer is `refuted`, the point must violate it by another evaluation (mpmath, 60 digits). Proofs are
confirmed from their certificates.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import mpmath
import sympy
from sympy import Rational

from pruneproof.errors import PruneproofError
from pruneproof.theory.arithmetic.balls import enclose
from pruneproof.theory.prover.certificate import certificate, verify
from pruneproof.theory.prover.search import prove

x = sympy.Symbol("x", real=True)
DIGITS = 60
UNARY = [
    sympy.exp,
    lambda f: sympy.exp(-f),
    lambda f: sympy.log(2 + f**2),
    lambda f: sympy.sqrt(1 + f**2),
    sympy.sin,
    sympy.cos,
    sympy.sinh,
    sympy.cosh,
    sympy.tanh,
    sympy.atan,
    sympy.erf,
    lambda f: sympy.tan(sympy.tanh(f)),
    lambda f: sympy.asin(sympy.tanh(f)),
    lambda f: sympy.acos(sympy.sin(f) / 2),
    lambda f: f**2,
    lambda f: 1 / (1 + f**2),
    sympy.Abs,
    lambda f: sympy.Max(f, Rational(1, 3)),
]
SPECIAL = [x * sympy.log(x), sympy.sqrt(x), sympy.log(x), sympy.sin(x) / x, 1 / x, x**x, (1 - sympy.exp(-x)) / x]


def formula(draw: random.Random, depth: int) -> sympy.Expr:
    """A random formula of x."""
    if depth == 0:
        return x + Rational(draw.randint(-4, 4), draw.choice((1, 2, 3))) * draw.choice((0, 1))
    first = formula(draw, depth - 1)
    kind = draw.random()
    if kind < 0.55:
        return draw.choice(UNARY)(first)
    second = formula(draw, draw.randint(0, depth - 1))
    number = Rational(draw.randint(-6, 6), draw.choice((1, 2, 5)))
    if kind < 0.7:
        return first + number * second
    if kind < 0.9:
        return first * second + number
    return draw.choice(SPECIAL) + number * first


def ranges(draw: random.Random, special: bool) -> tuple[Any, Any]:
    """A random range, and a point of its closure."""
    low = Rational(0) if special else draw.choice([Rational(-2), Rational(-1, 2), Rational(0), Rational(1, 3)])
    width = draw.choice([Rational(1, 10), Rational(1, 2), Rational(1), Rational(3), sympy.oo])
    high = low + width
    anchor = draw.choice([low, low, low + (width if width.is_finite else 2), low + Rational(1, 20)])
    left_open = special or draw.random() < 0.3
    return sympy.Interval(low, high, left_open, draw.random() < 0.3), anchor


def samples(box: Any, anchor: Any) -> Iterator[Any]:
    """Points of a range: close to the anchor, spread over it, and far out."""
    near = [anchor + sign * Rational(1, 2**power) for power in range(1, 44, 3) for sign in (1, -1)]
    end = box.end if box.end.is_finite else box.start + 8
    spread = [box.start + (end - box.start) * Rational(step, 24) for step in range(25)]
    far = [] if box.end.is_finite else [box.start + 2**power for power in range(1, 30, 3)]
    yield from (point for point in [*near, anchor, *spread, *far] if box.contains(point) == True)  # noqa: E712


def certain(difference: sympy.Expr, point: Any) -> int:
    """The sign of the difference at a point, 0 if it is not certain or not defined."""
    try:
        ball = enclose(difference, {x: point})
    except PruneproofError:
        return 0
    return 1 if ball > 0 else -1 if ball < 0 else 0


def claim(draw: random.Random) -> tuple[sympy.Expr, Any, Any] | None:
    """A difference that is claimed not to be negative, its range, and the point of interest."""
    f = formula(draw, draw.randint(1, 3))
    box, anchor = ranges(draw, any(f.has(part) for part in SPECIAL) or f.has(sympy.log(x)))
    try:
        kind = draw.random()
        if kind < 0.4:
            other: Any = f.subs(x, anchor)
        elif kind < 0.7:
            order = draw.randint(1, 4)
            other = sum(
                (sympy.diff(f, x, n).subs(x, anchor) * (x - anchor) ** n / sympy.factorial(n) for n in range(order)),
                sympy.S.Zero,
            )
        else:
            heights = [float(enclose(f, {x: point})) for point in samples(box, anchor)]
            other = sympy.Rational(round(min(heights) * 10**6) + draw.choice((-1, 1, 10, -1000)), 10**6)
    except (PruneproofError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    if other.has(sympy.nan, sympy.zoo, sympy.oo, sympy.I) or other.atoms(sympy.Float):
        return None
    return draw.choice((1, -1)) * (f - other), box, anchor


def check(seed: int) -> str:
    """Try one random claim; the verdict, or `skipped`. Raises `AssertionError` for a wrong answer."""
    draw = random.Random(seed)
    made = claim(draw)
    if made is None:
        return "skipped"
    difference, box, anchor = made
    strict = draw.random() < 0.3
    relation = sympy.Gt if strict else sympy.Ge
    inequality = relation(difference, 0, evaluate=False)
    try:
        proof = prove(inequality, {x: box}, max_boxes=draw.choice((20, 150)), seconds=None)
    except PruneproofError:
        return "refused"
    if proof.verdict == "proved":
        violated = next((point for point in samples(box, anchor) if certain(difference, point) < 0), None)
        assert violated is None, f"seed {seed}: {proof.problem} is proved, and false at {violated}"
        assert verify(certificate(proof)) is None, f"seed {seed}: the certificate is not confirmed"
    if proof.verdict == "refuted":
        assert proof.witness is not None
        point = Rational(str(proof.witness["x"]))
        assert box.contains(point), f"seed {seed}: the witness {point} is outside {box}"
        with mpmath.workdps(DIGITS):
            value = mpmath.mpmathify(str(sympy.N(difference.subs(x, point), DIGITS)))
        assert value <= mpmath.mpf(10) ** -(DIGITS // 2), f"seed {seed}: {proof.problem} holds at the witness {point}"
    return proof.verdict


def main(count: int, first: int = 0) -> Counter[str]:
    """Try many random claims and count the answers."""
    return Counter(check(seed) for seed in range(first, first + count))


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    begin = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(dict(main(number, begin)))
