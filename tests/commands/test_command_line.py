"""The command line itself: unknown commands, an impatient reader, the exit status of misuse."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from safetensors.torch import load_file, save_file

import pruneproof
from pruneproof.cli import main, merged

NAMES = sorted(file.stem for file in (Path(pruneproof.__file__).parent / "commands").glob("[!_]*.py"))
COMMAND = [sys.executable, "-m", "pruneproof.cli"]


def test_an_unknown_command_is_misuse_in_one_line() -> None:
    ran = subprocess.run([*COMMAND, "prove-it"], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1 and "no command 'prove-it'. Did you mean prove?" in ran.stderr
    assert "verify" in ran.stderr


def test_the_package_is_a_command_too() -> None:
    by_module = subprocess.run([sys.executable, "-m", "pruneproof", "--version"], capture_output=True, text=True)
    by_cli = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True)
    assert by_module.returncode == 0 and by_module.stdout == by_cli.stdout != ""


COMPLETE = """
source {script}
COMP_WORDS=({words}); COMP_CWORD={index}
$(complete -p pruneproof | sed 's/.*-F \\([^ ]*\\).*/\\1/') pruneproof
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pruneproof", "ver"], "verify"),
        (["pruneproof", "verify", "--li"], "--list"),
        (["pruneproof", "prune", "--method", "sy"], "synflow"),
    ],
)
def test_completion_knows_every_command(words: list[str], expected: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(subprocess.run([*COMMAND, "--completion", "bash"], capture_output=True, text=True).stdout)
    code = COMPLETE.format(script=script, words=" ".join(words), index=len(words) - 1)
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert expected in ran.stdout.split(), ran.stderr


def test_completion_for_an_unknown_shell_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "fish"]) == 2
    assert "bash, zsh, tcsh" in capsys.readouterr().err


def test_the_overview_names_every_command_with_a_summary() -> None:
    ran = subprocess.run(COMMAND, capture_output=True, text=True)
    rows = [line.split(maxsplit=1) for line in ran.stdout.splitlines() if line.startswith("  ")]
    assert ran.returncode == 0
    assert {"verify", "bound", "prove", "prune", "certify"} <= {row[0] for row in rows}
    assert all(len(row) == 2 for row in rows)


def test_a_reader_that_stops_reading_is_no_error() -> None:
    """`pruneproof bound --json | head -c 1` with a pipe that is closed before the first write."""
    code = (
        "import os, subprocess, sys; read, write = os.pipe(); os.close(read); "
        "ran = subprocess.run(sys.argv[1:], stdout=write, stderr=subprocess.PIPE, text=True); "
        "print(ran.returncode, repr(ran.stderr))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *COMMAND, "bound", "--json"], capture_output=True, text=True)
    assert ran.stdout == "0 ''\n"


@pytest.mark.parametrize("name", NAMES)
def test_help_names_what_is_to_be_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert f"Example: pruneproof {name}" in shown
    for typed in ("{None}", "STR [", "(default: None)", "(default: )"):
        assert typed not in shown


def options(name: str) -> dict[str, object]:
    return get_type_hints(import_module(f"pruneproof.commands.{name}").main)


SEVERAL = [(name, option) for name in NAMES for option, kind in options(name).items() if Ellipsis in get_args(kind)]


@pytest.mark.parametrize(("name", "option"), SEVERAL, ids="-".join)
def test_an_option_of_several_values_may_be_repeated(name: str, option: str) -> None:
    flag = "--" + option.replace("_", "-")
    assert merged(name, ["m", flag, "a", "--out", "o", flag, "b"], options(name)) == ["m", flag, "a", "b", "--out", "o"]
    assert merged(name, ["m", f"{flag}=a", f"{flag}=b", "c"], options(name)) == ["m", flag, "a", "b", "c"]


def test_pairs_may_be_repeated_and_underscores_are_hyphens() -> None:
    merging = merged("certify", ["--lipschitz", "GELU", "1.1", "--lipschitz", "SiLU", "1.2"], options("certify"))
    assert merging == ["--lipschitz", "GELU", "1.1", "SiLU", "1.2"]
    assert merged("prune", ["--input_shape", "1", "--input-shape=8"], options("prune")) == ["--input-shape", "1", "8"]


@pytest.mark.parametrize("words", [["--exclude"], ["--exclude", "--exclude"], ["--exclude", "--density", "0.5"]])
def test_a_list_without_values_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that of a shell variable that is not set."""
    assert main(["prune", "m.safetensors", *words]) == 2
    assert capsys.readouterr().err == "prune: --exclude needs at least one value. Pass one, or leave the option out.\n"


def test_every_list_that_is_repeated_counts(tmp_path: Path) -> None:
    source, target = tmp_path / "m.safetensors", tmp_path / "p.safetensors"
    names = ("one", "two", "three")  # of different values: equal ones would be tied
    save_file({f"{name}.weight": torch.arange(1.0, 17).view(4, 4) + i for i, name in enumerate(names)}, source)
    arguments = ["prune", str(source), "--density", "0.5", "--exclude", "one", "--exclude", "two", "--out", str(target)]
    assert main(arguments) == 0
    assert [int(value.count_nonzero()) for _, value in sorted(load_file(target).items())] == [16, 8, 16]


def test_a_flag_may_be_repeated() -> None:
    assert merged("verify", ["--list", "--seeds", "2", "--list"], options("verify")).count("--list") == 2


def test_an_option_of_one_value_is_refused_when_it_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "m.safetensors", "--density", "0.1", "--exclude", "a", "--density=0.2"]) == 2
    assert capsys.readouterr().err == "prune: --density is given twice. Pass one value.\n"


def test_advice_names_options_as_they_are_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function says `exclude=`; whoever typed a command reads `--exclude`."""
    save_file({"0.weight": torch.randn(8, 8)}, tmp_path / "model.safetensors")
    files = [str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "out.safetensors")]
    assert main(["prune", *files, "--scope", "3:5"]) == 2
    said = capsys.readouterr().err
    assert "--exclude" in said and "exclude=" not in said
