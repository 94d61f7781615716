"""`verify --scale full`, from files in CIFAR-10's format to the report: ResNet-20 and VGG-16 are judged."""

import json
from pathlib import Path

import numpy as np
import pytest

from pruneproof.claims.data.cifar import TEST_FILE, TRAIN_FILES
from pruneproof.claims.data.root import VARIABLE
from pruneproof.cli import main

SHORT = '''
"""The claims about initialisation with one epoch instead of 160, at 5 % density; workers import it too."""

from dataclasses import replace

from pruneproof.claims.initialization import CLAIMS as PUBLISHED, PAPER, setting
from pruneproof.claims.initialization.measure import pruned
from pruneproof.claims.training.trainer import Recipe

for name, own in setting.SETTINGS.items():
    setting.SETTINGS[name] = replace(own, recipe=Recipe(epochs=1, batch=128), rewind=0, half=0)


def measure(cell):
    return pruned(cell)


def at_one_density(grid):
    return lambda scale, seeds: [cell for cell in grid(scale, seeds) if cell["density"] == setting.DENSITY]


CLAIMS = tuple(
    replace(claim, measure=measure, grid=at_one_density(claim.grid)) for claim in PUBLISHED if claim.id == "AI6"
)
'''


@pytest.mark.slow
def test_full_judges_the_large_networks_on_files_in_cifars_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty random images, three networks, two seeds: everything but the length of training."""
    generator = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for name in (*TRAIN_FILES, TEST_FILE):
        records = generator.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(4)
        (tmp_path / "data" / name).write_bytes(records.tobytes())
    (tmp_path / "short_full.py").write_text(SHORT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(VARIABLE, "")  # restored afterwards: --data-root sets it
    out = tmp_path / "report"
    command = ["verify", "--paper", "short_full", "--scale", "full", "--seeds", "2", "--workers", "1"]
    command += ["--data-root", str(tmp_path / "data"), "--out", str(out), "--json"]
    assert main(command) == 2
    refused = capsys.readouterr().err
    assert "scale full: 6 cells, about " in refused and "Pass --long" in refused and not out.exists()

    assert main([*command, "--long"]) == 0
    printed = capsys.readouterr()
    assert "scale full: 6 cells, about " in printed.err
    (result,) = json.loads(printed.out)
    for network in ("", "resnet20, ", "vgg16, "):
        for variant in ("ticket shuffle", "ticket reinitialize"):
            estimate = result["measured"][f"{network}5 %: {variant} − original"]
            assert estimate["n"] == 2 and estimate["low"] is not None  # judged: an interval over seeds
    page = (out / "index.html").read_text("utf-8")
    assert "unknown data in CIFAR-10" in page and "ResNet-20 on CIFAR-10" in page and "VGG-16 on CIFAR-10" in page

    assert main([*command, "--long", "--resume"]) == 0  # every cell is there: nothing is computed again
    assert json.loads(capsys.readouterr().out) == [result]
