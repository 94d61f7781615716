"""The source files that a measure runs, found by reading imports without executing them.

Rows of a measure belong to its sources: workers of a cluster must have the same ones, and a run that is
resumed after they changed says so.
"""

import ast
import platform
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pruneproof._version import __version__
from pruneproof.environment import installed

_INSTALLED = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def project_files(module: str) -> dict[str, Path]:
    """The files of a module and of all it imports from its own project, also inside functions.

    What is installed or part of Python belongs to no project: there, versions are compared. This
    package counts as part of every project.

    Args:
        module: Import name.

    Returns:
        Import name → file.
    """
    return _reached(module, _source)


def _reached(module: str, source: Callable[[str], "_Source | None"]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in files and (found := source(name)) is not None:
            files[name] = found.file
            waiting += found.imports
    return files


def digest(files: Iterable[Path]) -> str:
    """A digest of the contents of some files, in the order given."""
    contents = blake2b(digest_size=8)
    for file in files:
        contents.update(blake2b(file.read_bytes(), digest_size=16).digest())
    return contents.hexdigest()


def source_digests(modules: Iterable[str]) -> dict[str, str]:
    """A digest of the `project_files` of each module; of their names too, but not of where they lie."""
    source = cache(_source)  # modules share most of what they import: each file is read once
    reached = {module: dict(sorted(_reached(module, source).items())) for module in sorted(set(modules))}
    return {
        module: blake2b(" ".join([*files, digest(files.values())]).encode(), digest_size=8).hexdigest()
        for module, files in reached.items()
    }


def about(modules: Iterable[str]) -> dict[str, str]:
    """The code that would compute cells here.

    Args:
        modules: The modules of the measures.

    Returns:
        What is compared → its version or digest.
    """
    found = {"pruneproof": __version__, "python": platform.python_version(), "torch": installed("torch")}
    found["source of pruneproof"] = digest(_own_sources())
    return found | {f"source of {module}": value for module, value in source_digests(modules).items()}


def _own_sources() -> list[Path]:
    root = Path(__file__).parents[2]
    packages = [folder.resolve() for folder in sorted(root.iterdir()) if (folder / "__init__.py").is_file()]
    return [*sorted(root.glob("*.py")), *(file for folder in packages for file in sorted(folder.rglob("*.py")))]


class _Source(NamedTuple):
    """The file of a module of some project, and the modules that it may import, its own package among them."""

    file: Path
    imports: tuple[str, ...]


def _source(name: str) -> _Source | None:
    if (file := _file(name)) is None:
        return None
    parents = [name.rpartition(".")[0]] if "." in name else []
    return _Source(file, (*parents, *_imports(name, file)))


def _file(name: str) -> Path | None:
    """The file of a module of some project; None for what is installed, built in, or no module at all."""
    top, *rest = name.split(".")
    spec = _spec(top)
    if spec is None or (top != "pruneproof" and _is_installed(spec)):
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and Path(spec.origin).suffix == ".py" else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *rest)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _spec(top: str) -> ModuleSpec | None:
    try:
        return find_spec(top)  # imports nothing for a name without dots
    except (ImportError, ValueError):
        return None


def _is_installed(spec: ModuleSpec) -> bool:
    if spec.origin in ("built-in", "frozen"):
        return True
    origin = Path(spec.origin or next(iter(spec.submodule_search_locations or [""])))
    return any(origin.is_relative_to(folder) for folder in _INSTALLED)


def _imports(name: str, file: Path) -> Iterator[str]:
    """Every name that a file may import, modules and what is taken from them alike."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in _nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
            base = ".".join([*(parents if node.level else []), *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _nodes(file: Path) -> tuple[ast.AST, ...]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
