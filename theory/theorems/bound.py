"""A statement as a formula with a name, a source and hypotheses, evaluated with a certified rounding direction.

A hypothesis on numbers is a relation between the symbols of the bound, decided in exact and ball
arithmetic before a value is given. What numbers cannot decide (that examples are independent, say)
is for the user to ensure, and listed as such.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import sympy
from flint import arb, ctx, fmpq
from sympy.logic.boolalg import Boolean

from pruneproof.errors import HypothesisError, InvalidTypeError, InvalidValueError, UnknownNameError
from pruneproof.theory.arithmetic import balls
from pruneproof.theory.arithmetic.inversion import crossing

Sense = Literal["<=", ">=", "=="]
Status = Literal["published", "shape", "derived"]
Values = Mapping[sympy.Symbol, fmpq | arb]
_DIRECTION = {"<=": +1, ">=": -1, "==": 0}


@dataclass(frozen=True)
class Assumption:
    """One hypothesis of a statement.

    Args:
        text: The hypothesis in words.
        condition: The same as a sympy relation over the statement's symbols, or `None` when numbers
            cannot decide it: Then the user must ensure it.
        domain: Whether the relation follows from what the symbols mean, such as "a probability is at
            most 1". Values that break it describe no object at all, so that no counterexample can
            show what happens without it.

    Example:
        >>> steps = sympy.Symbol("k", positive=True)
        >>> Assumption("at least one step", steps >= 1).condition
        k >= 1
    """

    text: str
    condition: Boolean | None = None
    domain: bool = False


def whole(symbol: sympy.Symbol, text: str = "", *, least: int = 1) -> Assumption:
    """The hypothesis that a number counts things.

    Args:
        symbol: The number.
        text: The hypothesis in words; default "NAME is a whole number, at least LEAST".
        least: The smallest count that makes sense.

    Returns:
        A decidable assumption.

    Example:
        >>> whole(sympy.Symbol("k", positive=True)).text
        'k is a whole number, at least 1'
    """
    words = text or f"{symbol} is a whole number, at least {least}"
    counts = cast(Boolean, sympy.Eq(symbol, sympy.floor(symbol)))
    return Assumption(words, sympy.And(sympy.Ge(symbol, least), counts), domain=True)


def probability(symbol: sympy.Symbol, text: str) -> Assumption:
    """The hypothesis that a number lies strictly between 0 and 1.

    Args:
        symbol: The number.
        text: The hypothesis in words.

    Returns:
        A decidable assumption.

    Example:
        >>> probability(sympy.Symbol("delta"), "a failure probability").condition
        (delta > 0) & (delta < 1)
    """
    return Assumption(text, sympy.And(sympy.Gt(symbol, 0), sympy.Lt(symbol, 1)), domain=True)


@dataclass(frozen=True, eq=False)
class Bound:
    """The statement "`quantity` `sense` `expr`", under hypotheses.

    Values are given by symbol name; a float stands for the binary fraction it stores.

    Args:
        name: Such as `"G1"`.
        statement: One sentence.
        source: Where it is proved.
        status: `"published"` (checked in the paper), `"shape"` (the published form, its constants
            symbolic), `"derived"` (proved in this package).
        symbols: Symbol → "meaning (unit)".
        assumptions: The hypotheses.
        expr: The right-hand side.
        sense: `"<="`, `">="` or `"=="`; the value is rounded so that the statement stays true.
        obligations: Ids of the machine-checked steps of its proof.
        quantity: What is bounded, such as `"ℓ(u_k)"`.
        suffices: For a requirement, what the quantity is enough for, such as `"enough draws"`: the
            least number that is enough is at most `expr` (`"<="`), or the largest that is admissible
            is at least `expr` (`">="`).
        whole: Whether the quantity counts things.
        strict: For a requirement: whether only numbers beyond `expr` are enough, not `expr` itself.

    Example:
        >>> k, V = sympy.symbols("k V", positive=True)
        >>> symbols = {k: "size (units)", V: "spread"}
        >>> demo = Bound("demo", "loss <= V/(2k)", "none", "derived", symbols, (), V / (2 * k), "<=")
        >>> demo.bound(k=3, V=1)
        0.16666666666666669
    """

    name: str
    statement: str
    source: str
    status: Status
    symbols: Mapping[sympy.Symbol, str]
    assumptions: tuple[Assumption, ...]
    expr: sympy.Expr
    sense: Sense
    obligations: tuple[str, ...] = ()
    quantity: str = ""
    suffices: str = ""
    whole: bool = False
    strict: bool = False

    def bound(self, *, assume: object = False, **values: object) -> float:
        """The value of `expr`, rounded so that the statement stays true.

        Args:
            assume: `True` takes hypotheses for granted that fail or that the values do not decide.
            **values: One number per symbol of `expr` and of the hypotheses; others may be given.

        Returns:
            A float: rounded up for `<=`, down for `>=`, to nearest for `==`.

        Raises:
            HypothesisError: Where a hypothesis fails or is not decided by the values.
            InvalidValueError: For a missing or non-finite value, and where `expr` is undefined.
            UnknownNameError: For a name that is no symbol of the bound.
        """
        return balls.rounded(self.enclose(assume=assume, **values), _DIRECTION[self.sense])

    def enclose(self, *, assume: object = False, **values: object) -> arb:
        """A ball that contains the exact value of `expr`.

        Args:
            assume: As for `bound`.
            **values: As for `bound`.

        Returns:
            The ball.

        Raises:
            PruneproofError: As for `bound`.
        """
        given = self._given(values)
        missing = sorted(map(str, self.expr.free_symbols - given.keys()))
        if missing:
            raise InvalidValueError(
                f"{self.name}: a value needs all symbols of the formula, and {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing. Add {'=…, '.join(missing)}=…."
            )
        if not assume:
            self._require(given)
        used = {symbol: given[symbol] for symbol in self.symbols if symbol in self.expr.free_symbols}
        return balls.enclose(self.expr, used, where=self.name)

    def conclude(self, *, assume: object = False, **values: object) -> str:
        """The conclusion at the values, in one line that names the quantity and the direction.

        Args:
            assume: As for `bound`.
            **values: As for `bound`.

        Returns:
            Such as `"ℓ(u_k) ≤ 0.0193"`; whole numbers are rounded to the safe side.

        Raises:
            PruneproofError: As for `bound`.

        Example:
            >>> from pruneproof.theory.theorems.greedy import G2
            >>> G2.conclude(k=5, D_y=1, gamma=0.5)
            'ℓ(u_k) ≤ 0.02'
        """
        return self.concluded(self.enclose(assume=assume, **values))

    def concluded(self, ball: arb) -> str:
        """The conclusion for a value of `expr` that is known already.

        Args:
            ball: What `enclose` gave.

        Returns:
            As `conclude`.
        """
        quantity = self.quantity or "quantity"
        if self.sense == "==":
            return f"{quantity} = {self._safe(ball)}"
        reverse = bool(self.suffices)
        sign = "≤" if (self.sense == "<=") != reverse else "≥"
        if self.strict and not self.whole:
            sign = {"≤": "<", "≥": ">"}[sign]
        return (
            f"{self.suffices}: {quantity} {sign} {self._safe(ball)}"
            if reverse
            else f"{quantity} {sign} {self._safe(ball)}"
        )

    def _safe(self, ball: arb) -> str:
        """The value as text, rounded to the side on which the statement stays true."""
        if not self.whole:
            return repr(balls.rounded(ball, _DIRECTION[self.sense]))
        with ctx.workprec(balls.LAST_PRECISION):
            if self.sense == "==":
                end = ball.unique_fmpz()
                return repr(float(ball)) if end is None else str(end)
            outer = ball.upper() if self.sense == "<=" else ball.lower()
            needs_ceiling = (self.sense == "<=") == bool(self.suffices)
            number = (outer.floor() + 1 if self.strict else outer.ceil()) if needs_ceiling else outer.floor()
            count = number.unique_fmpz()
            return str(count) if count is not None else repr(float(outer))

    def solve(self, symbol: str, *, value: object, assume: object = False, **values: object) -> arb:
        """The value of one symbol at which `expr` equals a target: in closed form if it occurs once, else by bisection.

        Args:
            symbol: Its name.
            value: The target.
            assume: Take hypotheses for granted that fail or that the values do not decide. Those that
                mention the symbol are checked at the solution, but it need not be a whole number.
            **values: One number for each other symbol of `expr` and of the hypotheses.

        Returns:
            A ball that contains a solution (a point of crossing, where `expr` jumps); `float` gives
            its middle.

        Raises:
            HypothesisError: Where a hypothesis fails or is not decided.
            InvalidValueError: When `expr` never takes the value for positive numbers.

        Example:
            >>> from pruneproof.theory.theorems.greedy import G2
            >>> round(float(G2.solve("k", value=0.02, D_y=1, gamma=0.5)), 12)
            5.0
        """
        unknown = self._symbol(symbol)
        given = self._given(values)
        known = {name: given[name] for name in given if name in self.expr.free_symbols and name != unknown}
        missing = self.expr.free_symbols - known.keys() - {unknown}
        if unknown not in self.expr.free_symbols:
            raise InvalidValueError(
                f"{self.name}: {unknown} does not occur in the formula {self.expr}, which therefore cannot be solved "
                f"for it. Choose one of {', '.join(sorted(map(str, self.expr.free_symbols)))}."
            )
        if missing:
            raise InvalidValueError(
                f"{self.name}: to solve for {unknown}, give every symbol of the formula but that one a value; "
                f"{', '.join(sorted(map(str, missing)))} is missing."
            )
        solution = crossing(self.expr, unknown, value, known, where=self.name)
        if not assume:
            self._require({**given, unknown: solution}, solved=unknown)
        return solution

    def series(self, symbol: str, point: int | sympy.Expr, order: int) -> sympy.Expr:
        """The expansion of `expr` in one symbol.

        Args:
            symbol: Its name.
            point: Where to expand; `sympy.oo` too.
            order: How many terms.

        Returns:
            The expansion with its order term.
        """
        expansion = sympy.series(self.expr, self._symbol(symbol), cast(int, point), order)
        return cast(sympy.Expr, expansion)

    def latex(self) -> str:
        """The right-hand side as LaTeX."""
        return str(sympy.latex(self.expr))

    def check(self, **values: object) -> tuple[tuple[Assumption, bool | None], ...]:
        """Each hypothesis with whether it holds at the values.

        Args:
            **values: Numbers for some or all symbols.

        Returns:
            Pairs of a hypothesis and `True`, `False`, or `None` where the values do not decide it.
        """
        given = self._given(values)
        return tuple((assumption, holds(assumption.condition, given)) for assumption in self.assumptions)

    def substituted(self, expression: sympy.Basic, **values: object) -> sympy.Basic:
        """A formula or relation of this bound with exact numbers for some of its symbols.

        Args:
            expression: Such as `expr`, or the condition of an assumption.
            **values: Numbers that are rational: integers, fractions, floats.

        Returns:
            The formula in the symbols that are left.
        """
        exact = {symbol: number for symbol, number in self._given(values).items() if isinstance(number, fmpq)}
        return expression.xreplace(
            {symbol: sympy.Rational(int(number.p), int(number.q)) for symbol, number in exact.items()}
        ).doit()

    def _require(self, given: Values, *, solved: sympy.Symbol | None = None) -> None:
        """Raise unless every hypothesis on numbers holds; one that fails is named before one that is not decided."""
        undecided: list[Assumption] = []
        for assumption in self.assumptions:
            condition = assumption.condition
            if condition is None:
                continue
            if solved is not None and solved in condition.free_symbols:
                condition = _without_rounding(condition)
            verdict = holds(condition, given)
            if verdict is False:
                raise HypothesisError(
                    f"{self.name}: the hypothesis “{assumption.text}” fails at {_shown(condition, given)}, so the "
                    f"statement says nothing. Change the values, {_OTHERWISE}."
                )
            if verdict is None and solved not in condition.free_symbols:
                undecided.append(assumption)
        if undecided:
            raise HypothesisError(self._undecided(undecided, given))

    def _undecided(self, assumptions: list[Assumption], given: Values) -> str:
        conditions = [cast(Boolean, assumption.condition) for assumption in assumptions]
        texts = "; ".join(f"“{assumption.text}”" for assumption in assumptions)
        subject = f"the hypothesis {texts} is" if len(assumptions) == 1 else f"the hypotheses {texts} are"
        free = {symbol for condition in conditions for symbol in condition.free_symbols}
        missing = [str(symbol) for symbol in self.symbols if symbol in free - given.keys()]
        if missing:
            return f"{self.name}: {subject} not decided without {', '.join(missing)}. Give values, {_OTHERWISE}."
        return (
            f"{self.name}: {subject} not decided at {_shown(sympy.And(*conditions), given)}, where both sides agree to "
            f"{balls.WANTED_BITS} bits. Move the values apart, {_OTHERWISE}."
        )

    def _symbol(self, name: str) -> sympy.Symbol:
        plain = name.replace("_", "")  # L0 is L_0
        for symbol in self.symbols:
            if symbol.name.replace("_", "") == plain:
                return symbol
        known = ", ".join(symbol.name for symbol in self.symbols)
        raise UnknownNameError(f"{self.name}: there is no symbol {name!r}. Use one of its symbols ({known}).")

    def _given(self, values: Mapping[str, object]) -> dict[sympy.Symbol, fmpq | arb]:
        given: dict[sympy.Symbol, fmpq | arb] = {}
        for name, value in values.items():
            symbol = self._symbol(name)
            if symbol in given:
                raise InvalidValueError(
                    f"{self.name}: the symbol {symbol} is given twice, once as {name}. Give it once."
                )
            given[symbol] = balls.exact(value, where=self.name, name=name)
        for symbol, number in given.items():
            balls.respect(symbol, number, where=self.name)
        return given


_OTHERWISE = "or take it for granted with assume=True (on the command line, --assume)"


def _shown(condition: Boolean, given: Values) -> str:
    used = {symbol: number for symbol, number in given.items() if symbol in condition.free_symbols}
    return ", ".join(f"{symbol} = {_short(number)}" for symbol, number in sorted(used.items(), key=str))


def _short(number: fmpq | arb) -> str:
    if isinstance(number, arb):
        return number.str(6)
    return str(number) if len(str(number)) <= 12 else repr(float(arb(number)))


def _without_rounding(condition: Boolean) -> Boolean:
    """A condition without its demand that a number be whole."""
    parts = [part for part in sympy.And.make_args(condition) if not part.has(sympy.floor)]
    return sympy.And(*parts)


def holds(condition: Boolean | None, given: Values) -> bool | None:
    """Three-valued truth of a condition, decided as far as the values go.

    Args:
        condition: A relation, or a combination of relations by and, or, not; `None` is undecided.
        given: Exact numbers or balls for some of its symbols.

    Returns:
        `True`, `False`, or `None` where a symbol is missing or both sides are within rounding of one
        another.
    """
    if condition is None:
        return None
    if isinstance(condition, sympy.And | sympy.Or | sympy.Not):
        parts = [holds(cast(Boolean, part), given) for part in condition.args]
        return _combined(condition, parts)
    if condition in (sympy.true, sympy.false):
        return bool(condition)
    return _compared(condition, given) if condition.free_symbols <= given.keys() else None


def _combined(condition: Boolean, parts: list[bool | None]) -> bool | None:
    if isinstance(condition, sympy.Not):
        return None if parts[0] is None else not parts[0]
    decisive = isinstance(condition, sympy.Or)  # one true part settles Or, one false part settles And
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def _compared(relation: Boolean, given: Values) -> bool | None:
    """Whether an inequality or equation holds at the values; `None` if their balls overlap too much to tell."""
    if not isinstance(relation, sympy.Rel):
        raise InvalidTypeError(
            f"check: a condition must be a relation, got {relation}. Use <, <=, >, >=, sympy.Eq or sympy.Ne."
        )
    left, right = (cast(sympy.Expr, side) for side in relation.args)
    used = {symbol: value for symbol, value in given.items() if symbol in relation.free_symbols}
    difference = balls.enclose(left - right, used, where="check")
    answers: dict[object, tuple[bool, bool]] = {
        sympy.Lt: (difference < 0, difference >= 0),
        sympy.Le: (difference <= 0, difference > 0),
        sympy.Gt: (difference > 0, difference <= 0),
        sympy.Ge: (difference >= 0, difference < 0),
        sympy.Eq: (difference == 0, difference < 0 or difference > 0),
        sympy.Ne: (difference < 0 or difference > 0, difference == 0),
    }
    yes, no = answers[type(relation)]
    return True if yes else False if no else None
