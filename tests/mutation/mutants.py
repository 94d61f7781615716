"""The mutants of a module: cosmic-ray's operators applied one at a time to its source, in memory.

Left out are mutants of annotations (nothing reads them when the code runs), mutants inside the construction of an error
message or of a negative control (any falsehood that is refuted is as good as another), and replacements that cannot
differ for the values this library compares (`is None` by `== None`).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

Position = tuple[int, int]
_FREE = {"NegativeControl", "PruneproofError"}
_SAME = {f"core/ReplaceComparisonOperator_{pair}" for pair in ("Is_Eq", "IsNot_NotEq", "Eq_Is", "NotEq_IsNot")}
_PARAMETRISED = {"core/VariableReplacer", "core/VariableInserter"}
OPERATORS = sorted(set(operator_names()) - _SAME - _PARAMETRISED)


@dataclass(frozen=True)
class Place:
    """Where an operator applies in a module: its number among the operator's places, and the line."""

    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Mutant:
    """One change: where, the line before and after, and the changed source."""

    place: Place
    before: str
    after: str
    source: str


def places(source: str) -> Iterator[Place]:
    """Where a module can be mutated, in the order of operators and positions."""
    ignored = _ignored(ast.parse(source))
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(name)()
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in ignored):
                yield Place(name, occurrence, start[0])


def mutant(source: str, place: Place) -> Mutant | None:
    """The mutant at a place, or `None` if the operator makes no other program there."""
    changed = mutate_code(source, get_operator(place.operator)(), place.occurrence)
    if not changed or changed == source or not _compiles(changed):
        return None
    return Mutant(place, *_differing_lines(source, changed), changed)


def _ignored(tree: ast.AST) -> list[tuple[Position, Position]]:
    """Where annotations and the arguments of raised errors and of negative controls stand."""
    found: list[tuple[Position, Position]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.arg | ast.AnnAssign):
            annotation = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            found += _span(annotation) if annotation else []
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found += _arguments(node.exc)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FREE:
            found += _arguments(node)
    return found


def _arguments(call: ast.Call) -> list[tuple[Position, Position]]:
    return [span for argument in (*call.args, *call.keywords) for span in _span(argument)]


def _span(node: ast.expr | ast.keyword) -> list[tuple[Position, Position]]:
    return [((node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset))]


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _differing_lines(source: str, changed: str) -> tuple[str, str]:
    pairs = zip(source.splitlines(), changed.splitlines(), strict=False)
    return next(((old.strip(), new.strip()) for old, new in pairs if old != new), ("", ""))
