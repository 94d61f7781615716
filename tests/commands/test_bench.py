"""`pruneproof bench`: lines as they come, figures kept, an earlier run beside them, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pruneproof import comparisons, timing
from pruneproof.cli import main
from pruneproof.commands import bench
from pruneproof.comparisons import COMPARISONS, Comparison, Sides, Work, measure, require_agreement
from pruneproof.errors import PruneproofError
from pruneproof.timing import Contender

TINY = {
    "masked_linear": (48, 80, 3),
    "masked_linear_kept": (48, 80, 3),
    "sparse_linear": (48, 80, 3),
    "top_k_masks": (100,),
    "select": (20_000,),
    "greedy_corrective": (40, 10),
    "sensitivities": (20, 30, 10),
    "synflow": (4, 2),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> tuple[Comparison, ...]:
    table = tuple(replace(c, shapes=(TINY[c.name],)) for c in COMPARISONS if c.name in ("top_k_masks", "sensitivities"))
    monkeypatch.setattr(comparisons, "COMPARISONS", table)
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    monkeypatch.setattr(comparisons, "ceilings", lambda: {"bandwidth": 1e10, "product": 1e11})
    return table


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: c.name)
def test_both_sides_of_each_comparison_agree_and_are_measured(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LEAST", 1)
    rows = measure(comparison, TINY[comparison.name], 0)
    assert {row.figure for row in rows} == set(comparison.goals)
    for row in rows:
        assert row.goal is None and row.ratio.low <= row.ratio.value <= row.ratio.high
        assert row.peer in row.medians and row.work.bytes > 0


def test_a_result_that_is_off_by_more_than_rounding_is_not_timed() -> None:
    exact, size = torch.tensor([1.0], dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64)
    bound = 4 * 3 * 2.0**-24 / (1 - 3 * 2.0**-24)
    require_agreement(exact + bound, exact, size, 3)
    with pytest.raises(PruneproofError, match="rounding"):
        require_agreement(exact + 1.001 * bound, exact, size, 3)


def test_lines_come_and_figures_are_kept(
    tiny: tuple[Comparison, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "today.json"
    assert main(["bench", "--out", str(out), "--shape", "top_k_masks", "2000"]) == 0
    shown = capsys.readouterr().out
    rows = json.loads(out.read_text())["rows"]
    assert [(row["name"], row["shape"]) for row in rows] == [
        ("top_k_masks", "2000"),
        ("top_k_masks", "100"),
        ("sensitivities", "20x30x10"),
    ]
    for row in rows:
        ratio = row["ratio"]
        assert f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]" in shown
    assert main(["bench", "--compare", str(out)]) == 0
    assert capsys.readouterr().out.count("before") == 1 + len(tiny)


def test_a_change_is_one_only_where_intervals_are_apart(tiny: tuple[Comparison, ...]) -> None:
    row = measure(tiny[0], (100,), 0)[0]
    row = replace(row, ratio=replace(row.ratio, value=1.0, low=0.9, high=1.1))
    for low, high, word in ((1.2, 1.3, "better"), (0.5, 0.8, "worse"), (1.0, 1.2, "no change seen")):
        assert bench._change(row, {"value": 1.0, "low": low, "high": high}).endswith(word)  # pyright: ignore


def test_an_interruption_keeps_finished_lines(
    tiny: tuple[Comparison, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: int) -> Sides:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparisons, "COMPARISONS", (tiny[0], replace(tiny[1], sides=interrupted)))
    out = tmp_path / "today.json"
    assert main(["bench", "--out", str(out)]) == 130
    assert [row["name"] for row in json.loads(out.read_text())["rows"]] == ["top_k_masks"]
    assert "top_k_masks" in capsys.readouterr().out


def test_sides_that_disagree_are_named_and_the_others_measured(
    tiny: tuple[Comparison, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: int) -> Sides:
        raise PruneproofError("bench: the two keep different weights.")

    monkeypatch.setattr(comparisons, "COMPARISONS", (replace(tiny[0], sides=wrong), tiny[1]))
    assert main(["bench"]) == 1
    shown = capsys.readouterr().out
    assert "different weights" in shown and "sensitivities" in shown


def test_a_missing_peer_leaves_its_line_out(
    tiny: tuple[Comparison, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    monkeypatch.setattr(comparisons, "COMPARISONS", (replace(tiny[0], needs="sklearn"),))
    assert main(["bench"]) == 0
    assert "pip install 'pruneproof[verify]'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shape", "masked", "1x1x1"], "Did you mean masked_linear"),
        (["--shape", "masked_linear", "64x64"], "OUTxINxTOKENS"),
        (["--shape", "masked_linear", "64x0x1"], "OUTxINxTOKENS"),
        (["--shape", "top_k_masks", "many"], "ENTRIES"),
        (["--compare", "missing.json"], "cannot be read"),
    ],
)
def test_refusals_come_before_any_work(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "ceilings", lambda: pytest.fail("measured before refusing"))
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.out == ""


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "other", "rows": [{}]}', '{"format": "pruneproof bench 1", "rows": [{}]}']
)
def test_another_file_is_no_earlier_run(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    assert main(["bench", "--compare", str(file)]) == 2
    assert "not what bench --out wrote" in capsys.readouterr().err


def test_the_best_peer_is_the_one_held_against() -> None:
    sides = Sides(
        {
            name: Contender(lambda s=s: {"seconds": s})
            for name, s in (("pruneproof", 2.0), ("slow", 8.0), ("fast", 4.0))
        },
        Work(1, 1),
    )
    row = measure(Comparison("made up", "N", "both", {"seconds": 1.0}, ((1,),), lambda n: sides), (1,), 0)[0]
    assert (row.peer, row.ratio.value, row.goal) == ("fast", 0.5, 1.0)


def test_a_folder_is_refused_before_anything_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err == f"bench: {tmp_path} is a folder, and a file is to be written. Name the file.\n" and not told.out
