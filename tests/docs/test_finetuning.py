"""The fine-tuning examples leave pruned weights exactly zero, resumed and on two ranks, and only by enforcement."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "examples"
RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPTS = [
    "finetune_and_resume",
    pytest.param("finetune_with_trainer", marks=pytest.mark.slow),  # two ranks import transformers
]


def revived(arguments: list[str], folder: Path) -> list[int]:
    """How many pruned weights are not zero at the end, rank by rank."""
    command = [sys.executable, *arguments, "--toy"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return [int(number) for number in re.findall(r"(\d+) pruned weights are not zero", ran.stdout)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_on_two_ranks(name: str, tmp_path: Path) -> None:
    assert revived([*RANKS, str(FOLDER / f"{name}.py")], tmp_path) == [0, 0]


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_enforcement_pruned_weights_come_back(name: str, tmp_path: Path) -> None:
    script = (FOLDER / f"{name}.py").read_text("utf-8")
    without = re.sub(r"masks\.enforce\(model\)", "masks.apply_(model)", script)
    assert without != script
    (tmp_path / "without.py").write_text(without, "utf-8")
    (count,) = revived(["without.py"], tmp_path)
    assert count > 0
