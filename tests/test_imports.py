"""The import rules: arrows run downwards, no cycles, no leaking names, heavy packages only where they belong."""

import ast
import importlib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("kernels", "theory", "prune", "claims")
PAPERS = ("pretraining", "initialization", "sensitivity", "scaling", "label_noise")
FLOORS: dict[str, list[list[str]]] = {  # of each package, from the top down; a unit imports from lower floors only
    "pruneproof": [
        ["__main__"],
        ["cli"],
        ["commands"],
        ["comparisons"],
        ["claims", "testing"],
        ["prune"],
        ["kernels", "theory"],
        ["checks", "environment", "files", "progress", "timing"],
        ["errors", "plotting", "_version"],
    ],
    "kernels": [
        ["registry"],
        ["sparse"],
        ["masked"],
        ["greedy", "sensitivity", "top_k", "patches", "bits"],
        ["measured", "transforms", "remembered", "rows", "memory_order"],
        ["backend"],
    ],
    "theory": [["theorems"], ["prover"], ["arithmetic"], ["scaling", "statistics"]],
    "prune": [
        ["checkpoints"],
        ["methods", "inspection", "calibration"],
        ["scores", "sparse_layers", "sensitivity"],
        ["flow", "selection"],
        ["masks", "certification"],
        ["models"],
    ],
    "claims": [
        ["report", *PAPERS],
        ["training", "estimates", "verification", "papers"],
        ["claim"],
        ["engine", "data"],
    ],
}
PUBLIC = ("", "kernels", "theory", "prune", "prune.scores", "claims", "testing")


def modules(root: Path) -> dict[str, Path]:
    """Import name, without `pruneproof.` → file."""
    files = [file for name in PACKAGES for file in (root / name).rglob("*.py")]
    own = root / "src" / "pruneproof"
    files += [*own.glob("*.py"), *own.glob("commands/*.py"), *own.glob("testing/*.py")]
    return {_name(file, root): file for file in sorted(files)}


def _name(file: Path, root: Path) -> str:
    base = root if file.relative_to(root).parts[0] in PACKAGES else root / "src" / "pruneproof"
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of this project that a file imports, also inside functions and under TYPE_CHECKING."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (_known(a.name.removeprefix("pruneproof."), known) for a in node.names if _ours(a.name))
        elif isinstance(node, ast.ImportFrom) and (node.level or _ours(node.module or "")):
            above = package[: len(package) - node.level + 1] if node.level else []
            head = (node.module or "").removeprefix("pruneproof").lstrip(".")
            base = ".".join([*above, *([head] if head else [])])
            yield from (_known(f"{base}.{a.name}".lstrip("."), known) for a in node.names)


def _ours(name: str) -> bool:
    return name == "pruneproof" or name.startswith("pruneproof.")


def _known(name: str, known: dict[str, Path]) -> str:
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def edges(root: Path) -> set[tuple[str, str]]:
    """(importer, imported), facades of packages that hold both left out."""
    known = modules(root)
    pairs = {(name, target) for name, file in known.items() for target in imports(name, file, known)}
    return {(a, b) for a, b in pairs if a != b}


def upward(pairs: set[tuple[str, str]]) -> list[str]:
    """The imports that break the table of floors."""
    broken: list[str] = []
    for importer, imported in sorted(pairs):
        for package, floors in FLOORS.items():
            above, below = _unit(package, importer), _unit(package, imported)
            if above and below and above != below and _floor(floors, above) >= _floor(floors, below):
                broken.append(f"{importer} imports {imported}")
    return broken


def _unit(package: str, name: str) -> str:
    """The entry of a package to which a module belongs; nothing for its facade and for modules elsewhere."""
    if package == "pruneproof":
        return name.split(".")[0]
    head, _, rest = name.partition(".")
    return rest.split(".")[0] if head == package else ""


def _floor(floors: list[list[str]], unit: str) -> int:
    return next(number for number, floor in enumerate(floors) if unit in floor)


def cycles(pairs: set[tuple[str, str]]) -> list[str]:
    """The first cycle among modules, facades of packages left out of their own package."""
    graph: dict[str, set[str]] = {}
    for importer, imported in pairs:
        if importer and imported and not importer.startswith(f"{imported}."):
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def clashes(root: Path) -> list[str]:
    """Exports of a package under the name of one of its modules."""
    known = modules(root)
    found: list[str] = []
    for name, file in known.items():
        if file.name == "__init__.py" and name:
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    objects = [a.asname or a.name for a in node.names if _is_object(node, a.name, name, known)]
                    found += [f"{name}.{entry}" for entry in objects if f"{name}.{entry}" in known]
    return found


def _is_object(node: ast.ImportFrom, export: str, package: str, known: dict[str, Path]) -> bool:
    module = f"{package}.{node.module}" if node.level else (node.module or "").removeprefix("pruneproof.")
    return f"{module}.{export}" not in known


EDGES = edges(ROOT)


def test_imports_run_downwards() -> None:
    assert upward(EDGES) == []


def test_no_module_is_part_of_an_import_cycle() -> None:
    assert cycles(EDGES) == []


def test_no_paper_and_no_claim_imports_another() -> None:
    def claim(name: str) -> str:
        parts = name.split(".")
        named = len(parts) == 3 and parts[0] == "claims" and parts[1] in PAPERS and parts[2][:2].isalpha()
        return name if named and parts[2][2:3].isdigit() else ""

    assert [pair for pair in EDGES if claim(pair[0]) and claim(pair[1])] == []


def test_triton_is_imported_by_kernels_only_and_matplotlib_lazily() -> None:
    for name, file in modules(ROOT).items():
        tree = ast.parse(file.read_text("utf-8"))
        at_import = {top for node in tree.body for top in _external(node)}
        if name.startswith("kernels.") and "triton" in at_import:
            assert name.split(".")[-1] == "triton_kernels", name
        if "matplotlib" in at_import:
            assert name in ("plotting", "theory.scaling.plots") or name.startswith("claims.report"), name


def _external(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (a.name.split(".")[0] for a in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield (node.module or "").split(".")[0]


def test_no_package_exports_a_name_of_one_of_its_modules() -> None:
    assert clashes(ROOT) == []


@pytest.mark.parametrize("name", [n for n, f in modules(ROOT).items() if f.name == "__init__.py"])
def test_packages_say_what_they_export(name: str) -> None:
    package = importlib.import_module(f"pruneproof.{name}" if name else "pruneproof")
    for entry in package.__all__:
        assert getattr(package, entry) is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_public_packages_list_their_public_names_only(name: str) -> None:
    package = importlib.import_module(f"pruneproof.{name}" if name else "pruneproof")
    assert sorted(dir(package)) == sorted(package.__all__)


@pytest.mark.parametrize(
    ("file", "text", "check"),
    [
        ("kernels/bits.py", "from pruneproof.prune.masks import masks", "upward"),
        ("kernels/bits.py", "def late():\n    from pruneproof import prune", "upward"),
        ("kernels/bits.py", "import pruneproof.prune.masks.masks", "upward"),
        ("kernels/bits.py", "from .top_k import x", "cycle"),
        ("kernels/__init__.py", "from .top_k import bits", "clash"),
    ],
)
def test_negative_controls_are_found(tmp_path: Path, file: str, text: str, check: str) -> None:
    for name in ("kernels/__init__", "kernels/bits", "prune/__init__", "prune/masks/__init__", "prune/masks/masks"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "src" / "pruneproof").mkdir(parents=True)
    (tmp_path / "kernels" / "top_k.py").write_text("from .bits import y" if check == "cycle" else "")
    assert not cycles(edges(tmp_path)) and not clashes(tmp_path)
    assert check == "cycle" or not upward(edges(tmp_path))
    (tmp_path / file).write_text(text)
    found = {"upward": upward(edges(tmp_path)), "cycle": cycles(edges(tmp_path)), "clash": clashes(tmp_path)}
    assert found[check]
