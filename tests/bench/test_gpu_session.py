"""A session survives what happens to it: kills at any moment, hanging and crashing cases, a full disk, no GPU.

The kills hit the real session, rehearsed in the interpreter at toy sizes; faults of single cases are shown on a worker
that needs no torch, since the supervisor must not care what its worker does.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import goals
from bench.session import Row, Rows, SessionError, Supervisor, only_one, replace_json
from pruneproof.kernels import backend

ROOT = Path(__file__).resolve().parents[2]
if not backend.triton_installed():
    pytest.skip("there is no Triton for this platform", allow_module_level=True)


def session(out: Path, *more: str, **options: Any) -> subprocess.Popen[str]:
    """The command of a rehearsal, as a user gives it."""
    command = [sys.executable, str(ROOT / "bench" / "gpu_session.py"), "--out", str(out), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    pipe, group = subprocess.PIPE, True
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=group, **options
    )


def lines(out: Path) -> list[bytes]:
    """The lines that are whole."""
    file = out / "rows.jsonl"
    return file.read_bytes().split(b"\n")[:-1] if file.exists() else []


def test_a_session_that_is_killed_again_and_again_loses_no_row_and_ends(tmp_path: Path) -> None:
    moments = random.Random(0)
    kept: list[bytes] = []
    for turn in range(5):
        process = session(tmp_path, "--toy", "--budget", "200")
        time.sleep(moments.uniform(0.2, 6))
        whole_group = turn % 2 == 0  # the supervisor alone, or its worker as well
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.communicate()
        written = lines(tmp_path)
        assert written[: len(kept)] == kept
        kept = written
    printed, complaints = (process := session(tmp_path, "--toy", "--budget", "300")).communicate()
    assert process.returncode == 0, complaints
    rows = [json.loads(line) for line in lines(tmp_path)]
    names = [row["case"] for row in rows]
    assert len(set(names)) == len(names)  # no case was measured twice
    assert names[0] == "machine" and names[-1] == "complete"
    assert {row["status"] for row in rows} == {"ok"}
    assert lines(tmp_path)[: len(kept)] == kept
    assert all(line[3].endswith("rehearsed") for line in goals.table(Rows(tmp_path).read())[1:])  # each names a figure
    assert "| goal |" in (tmp_path / "goals.md").read_text()
    assert not set(names[: len(kept)]) & {line.partition("s  ")[2].partition(":")[0] for line in printed.splitlines()}


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    printed, complaints = (process := session(tmp_path)).communicate()
    assert process.returncode == 2 and not printed
    assert "no CUDA device" in complaints and complaints.count("\n") == 1


def test_a_full_disk_ends_it_in_one_line_and_keeps_the_rows(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the row that reaches it is written in part only."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    _, complaints = (process := session(tmp_path, "--toy", preexec_fn=limited)).communicate()
    assert process.returncode == 2
    said = [line for line in complaints.splitlines() if line.startswith("gpu_session: ")]
    assert len(said) == 1 and "rows.jsonl" in said[0] and "kept" in said[0]
    assert "Traceback" not in complaints
    assert json.loads(lines(tmp_path)[0])["case"] == "machine"


WORKER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from bench.session import Rows, Session, work

def wrong():
    assert 1 == 2, "off by one"

def failing():
    raise RuntimeError("no memory\\nand more")

def run():
    session = Session(Rows(Path({folder!r})), {end}, lambda: True)
    session.case("first", 5, lambda: {{"figure": 1.0}})
    session.case("wrong", 5, wrong)
    session.case("failing", 5, failing)
    session.case("hanging", 1, lambda: time.sleep(1000))
    session.case("crashing", 5, lambda: os.kill(os.getpid(), signal.SIGSEGV))
    session.case("long", {long} + 5, lambda: time.sleep({long}) or {{}})
    session.case("last", 5, dict)

sys.exit(work(run))
"""


def supervised(folder: Path, seconds: float, long: float = 0.0) -> dict[str, Row]:
    """The rows of a worker whose cases fail in every way."""
    end, shown = time.monotonic() + seconds, list[str]()
    code = WORKER.format(root=str(ROOT), folder=str(folder), end=end, long=long)
    rows = Rows(folder)
    with only_one(folder) as lock:
        Supervisor([sys.executable, "-c", code], rows, end, lock, shown.append).run()
    return rows.read()


def test_a_case_that_hangs_or_crashes_costs_itself_only(tmp_path: Path) -> None:
    rows = supervised(tmp_path, 60)
    assert {case: row["status"] for case, row in rows.items()} == {
        "first": "ok", "wrong": "wrong", "failing": "failed", "hanging": "late", "crashing": "failed", "long": "ok",
        "last": "ok",
    }  # fmt: skip
    assert rows["failing"]["error"] == "RuntimeError: no memory"
    assert str(-signal.SIGSEGV) in rows["crashing"]["error"]


def test_the_budget_ends_a_session_and_a_second_start_goes_on(tmp_path: Path) -> None:
    start = time.monotonic()
    first = supervised(tmp_path, 8, long=30)
    assert time.monotonic() - start < 12
    assert "long" not in first and "last" not in first  # the case in progress was not late: it has no row
    assert "last" in supervised(tmp_path, 60)


def test_a_torn_line_is_no_row_and_is_cut_off(tmp_path: Path) -> None:
    rows = Rows(tmp_path)
    rows.append({"case": "a", "status": "ok"})
    with rows.path.open("ab") as file:
        file.write(b'{"case": "b", "sta')
    assert set(rows.read()) == {"a"}
    rows.append({"case": "c", "status": "ok"})
    assert [json.loads(line)["case"] for line in lines(tmp_path)] == ["a", "c"]


def test_a_second_session_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(SessionError, match="in use by another session"), only_one(tmp_path):
        pass


def test_rows_of_another_machine_are_not_continued(tmp_path: Path) -> None:
    Rows(tmp_path).append({"case": "machine", "status": "ok", "figures": {"device": "another GPU"}, "seconds": 0.0})
    _, complaints = (process := session(tmp_path, "--toy")).communicate()
    assert process.returncode == 2 and "another GPU" in complaints and complaints.count("\n") == 1


MACHINE = {"device": "Test GPU", "toy": False}
CHOSEN = {
    "masked": {"fused_tokens": 192, "library_gradient_tokens": 97},
    "sparse": [
        {"format": "bsr64", "max_tokens": 64, "max_stored": 0.4, "min_weights": 1},
        {"format": "csr16", "max_tokens": 2, "max_stored": 0.2, "min_weights": 1},
    ],
}


def adopt(folder: Path, rows: list[Row], table: Path) -> tuple[int, str]:
    """Status and complaints of adopting a session with these rows."""
    for row in rows:
        Rows(folder).append({"status": "ok", "seconds": 0.0, **row})
    _, complaints = (process := session(folder, "--adopt", str(folder), "--table", str(table))).communicate()
    return process.returncode, complaints


def test_adopted_choices_are_what_the_operations_then_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from pruneproof.kernels import measured

    table = tmp_path / "measured.json"
    table.write_text(measured.TABLE.read_text())
    rows = [{"case": "machine", "figures": MACHINE}, {"case": "choice/rows", "figures": CHOSEN}]
    assert adopt(tmp_path, rows, table) == (0, "")
    monkeypatch.setattr(measured, "_table", lambda: measured.read(table))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Test GPU")
    thresholds, was_measured = measured.thresholds(torch.device("cuda"))
    assert was_measured and thresholds["fused_tokens"] == 192 and thresholds["library_gradient_tokens"] == 97
    assert thresholds["skip_live_fraction"] == measured.read()["masked"]["default"]["skip_live_fraction"]  # not reached
    assert [row["format"] for row in measured.measured_rows()["Test GPU"]] == ["csr16", "bsr64"]
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"case": "machine", "figures": MACHINE}], "has no choices"),
        (
            [
                {"case": "machine", "figures": {**MACHINE, "toy": True}},
                {"case": "choice/rows", "figures": CHOSEN},
            ],
            "is a rehearsal",
        ),
        (
            [
                {"case": "machine", "figures": MACHINE},
                {"case": "correct/masked_linear", "status": "wrong", "error": "off"},
                {"case": "choice/rows", "figures": CHOSEN},
            ],
            "wrong results",
        ),
    ],
)
def test_what_must_not_be_adopted_is_refused(tmp_path: Path, rows: list[Row], said: str) -> None:
    table = tmp_path / "measured.json"
    table.write_text("{}")
    status, complaints = adopt(tmp_path, rows, table)
    assert status == 2 and said in complaints and complaints.count("\n") == 1
    assert table.read_text() == "{}"


@pytest.mark.parametrize("threshold", range(14))
def test_bisection_finds_the_last_value_that_wins(threshold: int) -> None:
    from bench.measure_choices import TOKENS, bisected

    asked: list[int] = []

    def wins(tokens: int) -> bool:
        asked.append(tokens)
        return TOKENS.index(tokens) < threshold

    assert bisected(TOKENS, wins) == (TOKENS[threshold - 1] if threshold else 0)
    assert len(asked) <= 4  # of thirteen
    assert bisected(TOKENS, lambda tokens: None) is None


def test_the_table_of_goals_holds_measured_figures_against_promises_and_roofs() -> None:
    goal = goals.goals()[3]
    figures = {goal.figure: 2.5, "microseconds": {goal.ours: {"median": 11.0}}}
    copied = {"ceiling/copy": {"figures": {"bandwidth": 2.15e12}}}
    line = goals.table({goal.case: {"figures": figures}, **copied})[4]
    empty, halved = goals.table({})[4], dict(zip(goals.table({})[0], line, strict=True))
    assert halved["measured"] == "2.5 missed" and halved["µs"] == "11" and halved["roof"] == "bandwidth"
    assert float(halved["µs at the roof"]) == pytest.approx(
        2 * float(empty[6]), rel=0.01
    )  # half of an H200's bandwidth
    assert all(row[3] == row[5] == "" for row in goals.table({})[1:])  # nothing is claimed before it is measured


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text("{}")
    (tmp_path / "table.json.new").mkdir()  # in the way of the new content
    with pytest.raises(SessionError, match="as it was"):
        replace_json(file, {"a": 1})
    assert file.read_text() == "{}"
