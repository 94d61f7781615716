"""The sources of a measure are those of its project, found without running them."""

import sys
from pathlib import Path

import pytest

from pruneproof.claims.engine.sources import project_files, source_digests
from pruneproof.cli import main

FILES = {
    "study_of_sources.py": "import json\nimport numpy\nfrom study_parts import model\n\n"
    "def train(cell):\n    from study_parts.deep import rate\n    return {'y': rate}\n",
    "study_parts/__init__.py": "",
    "study_parts/model.py": "from . import layers\n",
    "study_parts/layers.py": "import study_of_sources\n",
    "study_parts/deep.py": "rate = 1\n",
    "study_parts/unused.py": "raise SystemExit\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "study_parts").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("study_")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_a_projects_own_imports_are_followed_also_inside_functions_and_in_circles(folder: Path) -> None:
    assert set(project_files("study_of_sources")) == {
        "study_of_sources",
        *("study_parts", "study_parts.model", "study_parts.layers", "study_parts.deep"),
    }
    assert "study_parts.deep" not in sys.modules


@pytest.mark.parametrize("name", FILES)
def test_a_digest_changes_with_every_file_that_is_imported(folder: Path, name: str) -> None:
    before = source_digests(["study_of_sources"])
    (folder / name).write_text(FILES[name] + "# changed\n")
    assert (source_digests(["study_of_sources"]) != before) == (name != "study_parts/unused.py")


def test_a_digest_does_not_depend_on_the_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_digests(["study_of_sources"])
    other = folder / "elsewhere"
    (other / "study_parts").mkdir(parents=True)
    for name in FILES:
        (folder / name).rename(other / name)
    monkeypatch.syspath_prepend(other)
    assert source_digests(["study_of_sources"]) == before


def test_a_measure_of_this_package_rests_on_what_it_imports() -> None:
    files = project_files("pruneproof.claims.scaling.sl1_algebra")
    assert "pruneproof.theory.scaling.models" in files and "pruneproof.claims.engine.cell" in files
    assert "pruneproof.commands.verify" not in files


def test_rows_of_changed_sources_are_kept_and_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user edits what his measure imports and resumes: the old rows stay, and he is told of it once."""
    (folder / "s.toml").write_text('measure = "study_of_sources:train"\n[axes]\nseed = [0, 1]\n')
    command = ["sweep", "s.toml", "--out", "out", "--workers", "1", "--resume"]
    assert main(command) == 0 and main(command) == 0
    assert "has changed" not in capsys.readouterr().err
    (folder / "study_parts" / "deep.py").write_text("rate = 2\n")
    assert main(command) == 0
    assert "the code of study_of_sources:train, or what it imports, has changed" in capsys.readouterr().err
