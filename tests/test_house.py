"""The house: arrows run downwards only, files and functions stay small, no file is named for nothing."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("kernels", "theory", "prune", "claims")
MAY_IMPORT = {
    "kernels": {"kernels"},
    "theory": {"theory"},
    "prune": {"prune", "kernels", "theory"},
    "claims": {"claims", "prune", "kernels", "theory"},
}
LONGEST_MODULE = 250
LONGEST_FUNCTION = 40
LONGEST_KERNEL = 80
SAYS_NOTHING = {"utils", "helpers", "common", "misc"}

FILES = sorted(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))
OWN = [*FILES, *sorted(f for f in (ROOT / "src" / "pruneproof").glob("**/*.py") if f.resolve() not in FILES)]


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _docstring_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1 if ast.get_docstring(function) else 0


def _imported_packages(file: Path) -> set[str]:
    """The packages of ours that a file names, whether it imports them relatively or absolutely."""
    depth = len(file.relative_to(ROOT).parts)
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth and node.module:
            named.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("pruneproof."):
            named.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            named |= {a.name.split(".")[1] for a in node.names if a.name.startswith("pruneproof.")}
    return named & set(PACKAGES)


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_imports_run_downwards(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    assert _imported_packages(file) <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("file", OWN, ids=_name)
def test_modules_and_functions_stay_small(file: Path) -> None:
    text = file.read_text("utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    assert file.stem not in SAYS_NOTHING
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            is_kernel = any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
            lines = (node.end_lineno or node.lineno) - node.lineno - _docstring_lines(node)
            assert lines <= (LONGEST_KERNEL if is_kernel else LONGEST_FUNCTION), f"{node.name} has {lines} lines"


def test_the_import_reader_sees_an_upward_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The false twin: a kernel that imports from `prune`, in each of the ways that Python allows."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "kernels").mkdir()
    file = tmp_path / "kernels" / "gram.py"
    for line in ("from ..prune.masks import Masks", "from .. import prune", "import pruneproof.prune.masks"):
        file.write_text(line)
        assert _imported_packages(file) == {"prune"}
