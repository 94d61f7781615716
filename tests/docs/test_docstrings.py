"""Docstrings of public names are in Google style and complete: arguments, results, errors; all examples are right."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pruneproof

MODULES = (
    *("kernels", "theory", "theory.prover", "theory.theorems", "prune", "prune.scores", "prune.checkpoints", "testing"),
    *(f"theory.scaling.{name}" for name in ("comparison", "fitting", "intervals", "points", "smallest_network")),
    *(f"theory.statistics.{name}" for name in ("calibration", "double_descent", "exact_tests")),
    *("prune.selection.schedules", "checks", "errors"),
)
OTHER_DIALECTS = re.compile(
    r"^ *(\*\*(Arguments|Returns|Raises)|Arguments:|:(param|returns?|raises)\b|(Parameters|Returns)\n *-{3,}|"
    r"(Raises|Returns) \S)",
    re.MULTILINE,
)


def public() -> Iterator[tuple[str, Any]]:
    """(qualified name, object): what packages export, and the public methods of exported classes."""
    for module in MODULES:
        package = importlib.import_module(f"pruneproof.{module}")
        for name in package.__all__ if hasattr(package, "__all__") else _defined(package):
            thing = getattr(package, name)
            if inspect.isclass(thing):
                yield f"{module}.{name}", thing
                for method, value in vars(thing).items():
                    function = getattr(value, "__func__", value)  # of a class method
                    if inspect.isfunction(function) and not method.startswith("_") and function.__doc__:
                        yield f"{module}.{name}.{method}", function
            elif inspect.isfunction(thing):
                yield f"{module}.{name}", thing


def _defined(module: Any) -> list[str]:
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return sorted(name for name in own if "Example:" in (vars(module)[name].__doc__ or ""))  # those for users have one


NAMES = dict(public())


def complaints(thing: Any) -> list[str]:
    """What the docstring of a function or class lacks."""
    text = inspect.getdoc(thing) or ""
    faults = ["no docstring"] if not text else []
    faults += ["another dialect"] if OTHER_DIALECTS.search(text) else []
    if inspect.isclass(thing):
        return faults
    signature = inspect.signature(thing)
    arguments = [name for name in signature.parameters if name not in ("self", "cls")]
    undocumented = [name for name in arguments if name not in _documented(text)]
    faults += [f"no Args: {', '.join(undocumented)}"] if undocumented else []
    silent = signature.return_annotation in (None, "None", "Never", inspect.Signature.empty)
    if arguments and not silent and not re.search("^(Returns|Yields):", text, re.MULTILINE):
        faults.append("no Returns")
    if any(isinstance(node, ast.Raise) and node.exc for node in _body(thing)) and "\nRaises:" not in text:
        faults.append("no Raises")
    return faults


def _documented(text: str) -> set[str]:
    section = re.search(r"^Args:\n((?: +.*\n?|\n(?= ))*)", text, re.MULTILINE)
    lines = re.findall(r"^    (\*{0,2}[\w, *]+):", section[1], re.MULTILINE) if section else []
    return {name.strip(" *") for line in lines for name in line.split(",")}


def _body(function: Any) -> Iterator[ast.AST]:
    """The nodes of a function, those of functions inside it left out; none where hypothesis made it."""
    function = inspect.unwrap(function)
    stack: list[ast.AST] = []
    if Path(function.__code__.co_filename).is_file():
        stack += ast.iter_child_nodes(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0])
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_of_public_names_are_complete(name: str) -> None:
    assert complaints(NAMES[name]) == []


def test_negative_controls_are_found() -> None:
    def silent(model: int, *, density: float) -> int:
        """Prune it.

        Args:
            model: Any.

        Returns nothing useful.
        """
        if density > 1:
            raise ValueError(density)
        return model

    assert complaints(silent) == ["another dialect", "no Args: density", "no Returns", "no Raises"]


@pytest.mark.parametrize(
    "name", sorted({each.name for each in pkgutil.iter_modules(pruneproof.__path__)} - {"__main__"})
)
def test_every_example_gives_what_it_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    module = importlib.import_module(f"pruneproof.{name}")
    inside = pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}.")
    modules = [module, *(importlib.import_module(each.name) for each in inside)]
    failed = {each.__name__: doctest.testmod(each, optionflags=doctest.ELLIPSIS).failed for each in modules}
    assert not any(failed.values()), {name: number for name, number in failed.items() if number}


def test_a_wrong_example_would_be_seen() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=lambda text: None).failed == 1
