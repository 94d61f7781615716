"""The page on `pruneproof fit` is true: its table gives the answer that it prints, its options and fields exist."""

import json
import re
from pathlib import Path

import pytest

from pruneproof.cli import main
from pruneproof.theory.scaling.points import OPTIONAL, REQUIRED

PAGE = (Path(__file__).parents[2] / "docs" / "fit.md").read_text("utf-8")
NUMBER = r"[+-]?\d+(?:\.\d+)?"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.csv").write_text(blocks("csv")[0], encoding="utf-8")
    return tmp_path


def test_the_example_prints_what_the_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word; numbers within 2 % or one unit of the last printed place, for other linear algebra."""
    assert main(blocks("console")[0].split()[2:]) == 0
    printed, promised = capsys.readouterr().out, blocks("text")[0]
    assert re.sub(rf"\s*{NUMBER}", "#", printed) == re.sub(rf"\s*{NUMBER}", "#", promised)
    numbers = zip(re.findall(NUMBER, printed), re.findall(NUMBER, promised), strict=True)
    for found, said in numbers:
        last = 10.0 ** -len(said.partition(".")[2])
        assert float(found) == pytest.approx(float(said), rel=0.02, abs=1.001 * last)


def test_every_option_of_the_page_runs_and_json_has_its_fields(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot, as_json, seed = (line.split()[2:] for line in blocks("console")[1].splitlines())
    assert main(as_json) == 0
    answer = json.loads(capsys.readouterr().out)
    told = PAGE[PAGE.index("`--json` prints") : PAGE.index("What does not exist")]
    fields = {*answer, *answer["constants"]["p"], *answer["extrapolation"], *answer["candidates"][0]}
    assert set(re.findall(r"`(\w+)`", told)) == fields
    assert main(seed) == 0
    pytest.importorskip("matplotlib", reason="needs pruneproof[verify]")
    assert main(plot) == 0
    assert (folder / "fit.svg").exists()


def test_every_column_is_on_the_page() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted((*REQUIRED, *OPTIONAL))
