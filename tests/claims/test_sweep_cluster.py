# pyright: reportPrivateUsage=false
"""A sweep on a real Dask scheduler: a worker is killed in mid-run, the rows are those of an undisturbed local run."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import pruneproof
from pruneproof.claims.engine import executors as cluster
from pruneproof.claims.engine import sources
from pruneproof.cli import main
from pruneproof.errors import PruneproofError, StateError

pytest.importorskip("distributed", reason="needs pruneproof[cluster]")

STUDY = """
import os, time
from pathlib import Path

def train(cell):
    with Path(cell["log"]).open("a") as log:
        print(os.getppid(), cell["seed"], file=log)
    time.sleep(0.05)
    return {"error": cell["seed"] / 7}
"""
SWEEP = """
measure = "cluster_study:train"
[axes]
seed = {seeds}
[fixed]
log = "{log}"
"""
CELLS = 60


REMEDY = "Install the same versions and sources on every worker and restart it."


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder}{os.pathsep}{Path(pruneproof.__file__).parents[1]}"
    return {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}


@contextmanager
def server(folder: Path, *arguments: str) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", *arguments]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment(folder), cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker(folder: Path, address: str) -> tuple[str, ...]:
    return (
        "dask",
        "worker",
        address,
        "--no-nanny",
        "--nthreads",
        "1",
        "--no-dashboard",
        "--local-directory",
        str(folder),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster_study.py").write_text(STUDY)
    (tmp_path / "log").touch()
    (tmp_path / "sweep.toml").write_text(SWEEP.format(seeds=list(range(CELLS)), log=tmp_path / "log"))
    return tmp_path


@pytest.fixture
def scheduler(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    with server(folder, "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"):
        yield address


def sweep(folder: Path, out: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pruneproof.cli", "sweep", "sweep.toml", "--out", out, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=pipe, stderr=pipe, text=True)


def contents(folder: Path, out: str) -> list[str]:
    connection = sqlite3.connect(folder / out / "results.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def wait_for_lines(log: Path, number: int) -> list[str]:
    deadline = time.monotonic() + 60
    while len(lines := log.read_text().splitlines()) < number:
        assert time.monotonic() < deadline, "the workers do not start"
        time.sleep(0.02)
    return lines


def test_a_killed_worker_loses_nothing(folder: Path, scheduler: str) -> None:
    with server(folder, *worker(folder, scheduler)) as first, server(folder, *worker(folder, scheduler)) as second:
        running = sweep(folder, "cluster", "--scheduler", scheduler)
        busy = {int(line.split()[0]) for line in wait_for_lines(folder / "log", 15)}
        assert busy <= {first.pid, second.pid}
        os.kill(min(busy), signal.SIGKILL)
        out, err = running.communicate(timeout=90)
        assert (running.returncode, out) == (0, f"{CELLS} cells in cluster/results.sqlite\n"), err
    computed = [line.split()[1] for line in (folder / "log").read_text().splitlines()]
    assert set(computed) == set(map(str, range(CELLS)))
    assert len(computed) <= CELLS + 1 + 4 * 2  # only what the dead worker had may run again, never what was stored
    assert sweep(folder, "alone", "--workers", "2").communicate(timeout=60)[0].startswith(f"{CELLS} cells")
    assert contents(folder, "cluster") == contents(folder, "alone")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "tcp://"])
def test_a_scheduler_that_is_down_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(PruneproofError, match="no scheduler answers"), cluster.executor_for(address):
        pass


@pytest.mark.parametrize("command", [["sweep", "sweep.toml"], ["verify", "--paper", "label_noise"]])
def test_a_scheduler_that_is_down_leaves_everything_untouched(
    folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    assert main([*command, "--out", "out", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert "no scheduler answers" in error and error.count("\n") == 1
    assert not (folder / "out").exists()


def test_workers_with_other_code_are_refused_before_any_work(folder: Path, scheduler: str) -> None:
    with server(folder, *worker(folder, scheduler)):
        deadline = time.monotonic() + 60
        while "Registered to" not in (folder / "server.log").read_text():
            assert time.monotonic() < deadline, "the worker does not start"
            time.sleep(0.05)
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "cluster_study.py").write_text(STUDY + "# another version\n")
        (folder / "elsewhere" / "sweep.toml").write_text((folder / "sweep.toml").read_text())
        refused = sweep(folder / "elsewhere", "out", "--scheduler", scheduler)
        err = refused.communicate(timeout=60)[1]
    assert refused.returncode == 2
    assert "another source of cluster_study" in err
    assert REMEDY in err
    assert "Traceback" not in err
    assert not (folder / "elsewhere" / "out").exists()
    assert (folder / "log").read_text() == ""


class Client:
    """What a client of a cluster says, without one."""

    def __init__(self, answers: dict[str, dict[str, str]] | Exception, status: str = "running") -> None:
        self.answers, self.status, self.plugins = answers, status, list[Any]()

    def wait_for_workers(self, *_: object, **__: object) -> None:
        if not self.answers:
            raise TimeoutError

    def nthreads(self) -> dict[str, int]:
        return {} if isinstance(self.answers, Exception) else dict.fromkeys(self.answers, 1)

    def run(self, *_: object) -> dict[str, dict[str, str]]:
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def get_executor(self, **_: object) -> None:
        pass

    def register_plugin(self, plugin: object, **_: object) -> None:
        self.plugins.append(plugin)


HERE = cluster.about([])
UNSUITABLE: dict[str, dict[str, dict[str, str]] | Exception] = {
    **{f"another {name}": {"tcp://w": HERE | {name: "other"}} for name in HERE},
    "no answer to one question": {"tcp://w": {}},
    "a second worker": {"tcp://v": HERE, "tcp://w": HERE | {"torch": "other"}},
    "a worker without this package": ModuleNotFoundError("No module named 'pruneproof'"),
}


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_an_unsuitable_worker_is_refused_with_the_remedy(kind: str) -> None:
    client: Any = Client(UNSUITABLE[kind])
    with pytest.raises(StateError, match=f"has another .* {REMEDY}$"):
        cluster._check_workers(client, "tcp://s", [])
    cluster._check_workers(cast("Any", Client({"tcp://v": HERE})), "tcp://s", [])  # a suitable one passes


@pytest.mark.parametrize("suitable", [True, False])
def test_a_worker_that_joins_late_is_sent_away_with_the_remedy(
    suitable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client: Any = Client({"tcp://v": HERE})
    cluster._watch_joins(client, [])
    if not suitable:
        monkeypatch.setattr(sources, "about", lambda modules: HERE | {"torch": "other"})  # what the worker has
    left = list[object]()
    worker = SimpleNamespace(close=None, loop=SimpleNamespace(add_callback=lambda *_, **__: left.append(1)))
    client.plugins[0].setup(worker)
    assert bool(left) != suitable and (REMEDY in capsys.readouterr().err) != suitable


def test_without_workers_the_message_says_how_to_start_some() -> None:
    with pytest.raises(StateError, match=r"has no workers\. Start some with `dask worker tcp://s`"):
        cluster._check_workers(cast("Any", Client({})), "tcp://s", [])
    for client, trouble in (
        (Client({}), "has no worker; start some with `dask worker tcp://s`"),
        (Client({}, "connecting"), "does not answer; start it again"),
        (Client({"tcp://v": HERE}), ""),
    ):
        said = cluster.Cluster(cast("Any", client), "tcp://s").trouble()
        assert said.endswith(trouble) and bool(said) == bool(trouble)
