"""The command line: `pruneproof COMMAND …`, one module of `pruneproof.commands` per command.

A command module holds a one-line docstring (shown by `pruneproof --help`) and a function `main` whose signature is its
options; `main` returns the exit status. Only the module of the command that runs is imported.
"""

import ast
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ._version import __version__
from .commands import INTERRUPTED, MISUSE
from .errors import InvalidValueError, PruneproofError, UnknownNameError, did_you_mean

_SHELLS = ("bash", "zsh", "tcsh")


def _commands() -> dict[str, str]:
    """Command name → its one-line summary, read without importing anything."""
    folder = Path(__file__).parent / "commands"
    files = sorted(file for file in folder.glob("*.py") if not file.stem.startswith("_"))
    return {file.stem: _summary(file) for file in files}


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return docstring.partition("\n")[0]


def _overview() -> str:
    commands = _commands()
    width = max(map(len, commands), default=0)
    rows = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in commands.items())
    return f"""pruneproof {__version__}: neural network pruning with proofs

usage: pruneproof COMMAND [OPTIONS]

{rows}

example: pruneproof verify --paper pretraining
`pruneproof COMMAND --help` explains a command and shows an example.
`pruneproof --completion SHELL` prints the completion of all commands for bash, zsh or tcsh."""


def run() -> int:
    """Run the command of this process, which SIGTERM then ends as Ctrl-C does, whatever characters it can print."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a process without a console has none
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue] (it is a text file)
    return main()


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second signal ends at once
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 for success, 1 for a violated theorem or refused proof, 2 for misuse."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"pruneproof {__version__}")
        return 0
    name, *rest = arguments
    try:
        if name == "--completion":
            return _print_completion(rest)
        if name not in _commands():
            raise UnknownNameError(
                f"pruneproof has no command {name!r}.{did_you_mean(name, _commands())} "
                f"The commands are {', '.join(_commands())}."
            )
        return _run(name, rest)
    except PruneproofError as error:
        print(_as_options(str(error), name), file=sys.stderr)
        return MISUSE
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails again
        return 0
    except Exception as error:
        notes = [note for note in getattr(error, "__notes__", []) if note.startswith("Raised by")]
        if not notes:
            raise
        what = f"{type(error).__name__}: {error}".strip()
        stop = "" if what.endswith((".", "!", "?")) else "."
        print(" ".join(f"{what}{stop} {notes[0]}".split()), file=sys.stderr)
        return MISUSE
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept", file=sys.stderr)
        return INTERRUPTED


def _as_options(message: str, command: str) -> str:
    """Arguments as the command line spells them: `density=0.1` becomes `--density 0.1`."""
    if command not in _commands():
        return message
    known = signature(import_module(f"{__package__}.commands.{command}").main).parameters.values()
    for parameter in [each.name for each in known if "Positional" not in str(each.annotation)]:
        option = "--" + parameter.replace("_", "-")
        message = re.sub(rf"(?<![\w.-]){parameter}=(?=[\w.\"'(\[])", f"{option} ", message)
        message = re.sub(rf"(?<![\w.-]){parameter}=(?!=)", option, message)
    return message


def _print_completion(shells: Sequence[str]) -> int:
    """One script for all commands; only here every command is imported."""
    import tyro

    if len(shells) != 1 or shells[0] not in _SHELLS:
        raise InvalidValueError(f"pruneproof --completion takes one of {', '.join(_SHELLS)}, got {' '.join(shells)!r}.")
    commands = {name: import_module(f"{__package__}.commands.{name}").main for name in _commands()}
    tyro.extras.subcommand_cli_from_dict(commands, prog="pruneproof", args=["--tyro-print-completion", shells[0]])
    return 0  # not reached: tyro prints and exits


def _run(name: str, arguments: list[str]) -> int:
    import tyro

    command = import_module(f"{__package__}.commands.{name}")
    given = merged(name, arguments, get_type_hints(command.main))
    return int(tyro.cli(command.main, prog=f"pruneproof {name}", args=given) or 0)


def merged(command: str, arguments: list[str], types: dict[str, Any]) -> list[str]:
    """`--exclude a --exclude b` as `--exclude a b`: of an option given twice, the parser would take the last alone.

    Raises:
        InvalidValueError: An option that takes one value is given twice, or one that takes several without any.
    """
    current = list[str]()
    groups, several, single = [current], dict[str, list[str]](), set[str]()
    for word in arguments:
        option, equals, value = word.partition("=")
        option = option.replace("_", "-")
        kind = types.get(option.removeprefix("--").replace("-", "_"), bool)
        if not word.startswith("--"):
            current.append(word)
        elif Ellipsis in get_args(kind) or any(get_origin(part) is dict for part in get_args(kind)):
            if option not in several:
                several[option] = [option]
                groups.append(several[option])
            current = several[option]
            current += [value] if equals else []
        elif option in single and kind is not bool:
            raise InvalidValueError(f"{command}: {option} is given twice. Pass one value.")
        else:
            single.add(option)
            current = [word]
            groups.append(current)
    empty = [option for option, group in several.items() if len(group) == 1]
    if empty:
        raise InvalidValueError(f"{command}: {empty[0]} needs at least one value. Pass one, or leave the option out.")
    return [word for group in groups for word in group]


if __name__ == "__main__":
    sys.exit(run())
