"""The pages on verification and sweeps are true: the files they show run as the text says."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pruneproof.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pruneproof.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_paper_of_your_own(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")
    (tmp_path / "coin_paper.py").write_text(blocks("verify.md", "python")[0])
    ran = run(tmp_path, "verify", "--paper", "coin_paper")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"COIN1\s+holds", ran.stdout)
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == set(re.findall(r"^\| `([\w.]+)` \|", (DOCS / "verify.md").read_text("utf-8"), flags=re.MULTILINE))


def test_a_sweep_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(blocks("sweep.md", "python")[0])
    (tmp_path / "study.toml").write_text(blocks("sweep.md", "toml")[0])
    assert run(tmp_path, "sweep", "study.toml", "--out", "study").stdout == "9 cells in study/results.sqlite\n"
    assert run(tmp_path, "sweep", "study.toml", "--out", "study", "--resume").returncode == 0
    assert run(tmp_path, "export", "study", "--to", "csv").returncode == 0
    with (tmp_path / "study" / "results.csv").open(newline="") as file:
        errors = {(row["width"], row["seed"]): float(row["error"]) for row in csv.DictReader(file)}
    assert len(errors) == 9 and errors["32", "1"] == 2.0 / 32 + 0.01


@pytest.mark.parametrize("page", ["verify.md", "sweep.md"])
def test_commands_and_options_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks(page, "console") for line in re.findall(r"(pruneproof .*?)(?:  .*)?\n", block)]
    assert lines
    for line in lines:
        _, name, *arguments = line.split()
        with pytest.raises(SystemExit):
            main([name, "--help"])
        told = capsys.readouterr().out
        assert not [word for word in arguments if word.startswith("--") and word not in told], line
