"""Where the output cannot hold a character, a command prints another one; it does not fail."""

import os
import subprocess
import sys

import pytest

COMMANDS = {
    "a bound": ["bound", "G1", "loss=0.01", "V=0.3", "k=100"],
    "the list of bounds": ["bound"],
    "help": ["verify", "--help"],
    "an error": ["export", "ρ.sqlite"],
    "this machine": ["doctor"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_in_ascii(name: str) -> None:
    """A minimal container, whose locale is C."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "120"}
    command = [sys.executable, "-m", "pruneproof.cli", *COMMANDS[name]]
    ran = subprocess.run(command, env={**os.environ, **plain}, capture_output=True)
    error = ran.stderr.decode(errors="replace")
    assert ran.returncode == (2 if name == "an error" else 0), error[-300:]
    assert "Traceback" not in error
