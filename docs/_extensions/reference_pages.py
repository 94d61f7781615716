"""Pages written from the code before each build: the public names of the packages, and the help of the commands."""

import contextlib
import inspect
import io
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from textwrap import wrap
from types import ModuleType

from sphinx.application import Sphinx
from sphinx.config import Config

from pruneproof import commands
from pruneproof.cli import main
from pruneproof.theory.prover.verdicts import discharge
from pruneproof.theory.theorems import obligations, proof_page

PACKAGES = (
    "pruneproof.prune",
    "pruneproof.kernels",
    "pruneproof.theory",
    "pruneproof.claims",
    "pruneproof.testing",
    "pruneproof.errors",
)


def named(package: str) -> ModuleType:
    """A module under its public name, which may be that of an attribute: `prune.schedules` is in `prune.selection`."""
    try:
        return import_module(package)
    except ModuleNotFoundError:
        parent, _, name = package.rpartition(".")
        sys.modules[package] = getattr(import_module(parent), name)  # autodoc imports it under this name
        return sys.modules[package]


def public_names(package: str) -> list[str]:
    """The names that a package lists in `__all__`; without one, what it defines."""
    module = named(package)
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed, key=str.lower)
    kinds = inspect.isclass, inspect.isfunction
    own = [name for name, value in vars(module).items() if any(is_kind(value) for is_kind in kinds)]
    here = [name for name in own if vars(module)[name].__module__ == module.__name__]
    return sorted((name for name in here if not name.startswith("_")), key=str.lower)


def members(package: str) -> tuple[list[str], list[str]]:
    """The functions and classes of a package, and its public sub-packages and modules."""
    module = named(package)
    names = public_names(package)
    modules = [name for name in names if inspect.ismodule(getattr(module, name))]
    return [name for name in names if name not in modules], modules


def package_page(package: str) -> str:
    """One package: its docstring, a table of its names, a page for each."""
    names, modules = members(package)
    rows = "\n".join(f"   {name}" for name in names)
    lower = "".join(f"\n{nested(f'{package}.{name}')}" for name in modules)
    return f"""{package}
{"=" * len(package)}

.. automodule:: {package}
   :no-members:

{table(package, rows)}{lower}
"""


def nested(package: str) -> str:
    """A module inside a package, as a section of the package's page."""
    above = public_names(package.rpartition(".")[0])  # has a page already
    names = [name for name in members(package)[0] if name not in above]
    rows = "\n".join(f"   {name}" for name in names)
    return f"""{package}
{"-" * len(package)}

.. automodule:: {named(package).__name__}
   :no-members:

{table(package, rows)}
"""


def table(package: str, rows: str) -> str:
    """The summary of some names, each leading to a page of its own."""
    return (
        f""".. currentmodule:: {package}

.. autosummary::
   :toctree: names
   :nosignatures:

{rows}
"""
        if rows
        else ""
    )


def command_names() -> list[str]:
    """The commands, one module each."""
    return [module.name for module in iter_modules(commands.__path__) if not module.name.startswith("_")]


def command_page(name: str) -> str:
    """One command: what its `--help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([name, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())
    wrapped = [part for line in text.splitlines() for part in (wrap(line, 96) if line[:1].strip() else [line])]
    lines = "\n".join(f"   {line}".rstrip() for line in wrapped)
    title = f"pruneproof {name}"
    return f"{title}\n{'=' * len(title)}\n\n.. code-block:: text\n\n{lines}\n"


def write_pages(folder: Path) -> None:
    """Write every page that changed, and remove those of names that are gone."""
    os.environ.update(COLUMNS="96", TERM="dumb", NO_COLOR="1")
    pages = {folder / "api" / f"{package}.rst": package_page(package) for package in PACKAGES}
    for name in command_names():
        pages[folder / "commands" / f"{name}.rst"] = command_page(name)
    for stale in {*folder.glob("*/*.rst"), *folder.glob("api/names/*.rst")} - set(pages):
        stale.unlink()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def write_proofs(folder: Path) -> None:
    """The page of every theorem that has checked steps, written from the check itself."""
    for stale in folder.glob("*.md"):
        stale.unlink()
    for path in proof_page.write_pages([discharge(step) for step in obligations()], folder):
        text = path.read_text("utf-8")
        product = r"`[^`]*`|(?<!\*)\*(?!\*)"  # outside of code: it is no emphasis
        path.write_text(re.sub(product, lambda found: r"\*" if found[0] == "*" else found[0], text), "utf-8")


def apart(app: Sphinx, config: Config) -> None:
    """Give a class another file name than a function that differs from it by one capital letter."""
    names = [f"{package}.{name}" for package in PACKAGES for name in members(package)[0]]
    lower = [name.lower() for name in names]
    config["autosummary_filename_map"] = {
        name: f"{name}-class"
        for name in names
        if lower.count(name.lower()) > 1 and name.rpartition(".")[2][0].isupper()
    }


def read_markdown(app: object, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Docstrings are written as Markdown with Google sections: say the same in reStructuredText, in place."""
    converted: list[str] = []
    for index, line in enumerate(lines):
        following = [later for later in lines[index + 1 :] if later.strip()]
        indented = bool(following) and _indent(following[0]) > _indent(line)
        if line.rstrip().endswith(":") and lines[index + 1 : index + 2] == [""] and indented:
            line = line.rstrip() + ":"  # what follows is shown as it is
        starts_list = line.lstrip().startswith("- ") and bool(converted) and bool(converted[-1].strip())
        if starts_list and not converted[-1].lstrip().startswith("- ") and _indent(converted[-1]) == _indent(line):
            converted.append("")
        converted.append(line if line.lstrip().startswith((">>>", "...", "..")) else _inline(line))
    lines[:] = converted


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inline(line: str) -> str:
    """Code in backticks stays code also before a plural s; |x| and a* stay mathematics."""
    pieces = re.split(r"(``[^`]*``|`[^`]*`)", line)
    for place, piece in enumerate(pieces):
        if place % 2:
            pieces[place] = f"``{piece.strip('`')}``" + ("\\ " if pieces[place + 1][:1].isalnum() else "")
        else:
            pieces[place] = re.sub(r"(?<![\\*])([|*])(?!\*)", r"\\\1", piece)
    return "".join(pieces)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages at once, since the list of pages is read before the first event."""
    write_pages(Path(app.srcdir) / "docs" / "reference")
    write_proofs(Path(app.srcdir) / "docs" / "reference" / "theorems")
    app.connect("config-inited", apart)
    app.connect("autodoc-process-docstring", read_markdown, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
