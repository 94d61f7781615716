"""Workers that would change the rows, or are lost: the rows of one machine, or one line that says why not."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import pruneproof

distributed = pytest.importorskip("distributed", reason="needs pruneproof[cluster]")

SOURCE = Path(pruneproof.__file__).parents[1]
STUDY = """
import os, time
from pathlib import Path
HERE = Path(__file__).parent
running = 0

def beside(cell):  # how many other cells run in the same process, and so share its random numbers
    global running
    running += 1
    most = running
    for _ in range(20):
        time.sleep(0.01)
        most = max(most, running)
    running -= 1
    return {"others": most - 1}

def waits(cell):
    (HERE / "begun").touch()
    for _ in range(3000):
        if (HERE / "go").exists():
            break
        time.sleep(0.01)
    time.sleep(0.05)
    return {"y": 1}

def settings(cell):
    import torch
    return {"threads": torch.get_num_threads(), "y": int(os.environ["OPENBLAS_NUM_THREADS"])}

def kills(cell):
    if cell["seed"] == 3:
        os.abort()
    return {"y": 1}

def order(cell):
    return {"y": "".join({f"{letter}{cell['seed']}" for letter in "abcdefgh"})}
"""


class Cluster:
    """A scheduler on this machine, and what was started with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self.start("dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")

    def start(self, *command: str, path: Path | None = None) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": f"{path or self.folder}{os.pathsep}{SOURCE}"}
        environment.pop("PYTHONHASHSEED", None)
        with (self.folder / f"{command[1]}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=path or self.folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def worker(self, threads: int = 1, path: Path | None = None) -> "subprocess.Popen[str]":
        options = ("--no-nanny", "--no-dashboard", "--nthreads", str(threads), "--local-directory", str(self.folder))
        return self.start("dask", "worker", self.address, *options, path=path)

    def has(self, workers: int) -> None:
        """Wait until so many workers have joined, or for twenty seconds."""
        with suppress(TimeoutError), distributed.Client(self.address, timeout=30) as client:
            client.wait_for_workers(workers, timeout=20)

    def sweep(self, measure: str, cells: int) -> "subprocess.Popen[str]":
        (self.folder / "s.toml").write_text(f'measure = "cluster_cells:{measure}"\n[axes]\nseed = {[*range(cells)]}\n')
        return self.start("pruneproof.cli", "sweep", "s.toml", "--out", "out", "--scheduler", self.address)

    def said(self) -> str:
        return (self.folder / "sweep.log").read_text()

    def rows(self) -> str:
        command = [sys.executable, "-m", "pruneproof.cli", "export", "out", "--out", "rows.csv"]
        subprocess.run(command, cwd=self.folder, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return (self.folder / "rows.csv").read_text()


def until(condition: Path) -> None:
    for _ in range(600):
        if condition.exists():
            return
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster_cells.py").write_text(STUDY)
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def test_a_worker_with_several_threads(cluster: Cluster) -> None:
    """A user starts `dask worker` with its default threads: cells that share random numbers never run side by side."""
    cluster.worker(threads=4)
    cluster.has(1)
    assert cluster.sweep("beside", 12).wait(120) == 0, cluster.said()
    assert {line.rsplit(",", 1)[-1] for line in cluster.rows().split()[1:]} == {"0"}, cluster.said()


def test_a_late_worker_with_other_code(cluster: Cluster) -> None:
    """A worker whose measure has other code joins in mid-run: none of its rows is stored beside the right ones."""
    other = cluster.folder / "other"
    other.mkdir()
    (other / "cluster_cells.py").write_text(STUDY.replace('{"y": 1}', '{"y": 999}').replace('"go"', '"."'))
    cluster.worker()
    cluster.has(1)
    sweep = cluster.sweep("waits", 60)
    until(cluster.folder / "begun")
    cluster.worker(path=other)
    cluster.has(2)
    (cluster.folder / "go").touch()
    sweep.wait(120)
    assert "999" not in cluster.rows(), cluster.said()


def test_the_order_of_a_set(cluster: Cluster) -> None:
    """A measure goes through a set of texts: its rows on a cluster are those of local processes."""
    cluster.worker()
    cluster.has(1)
    assert cluster.sweep("order", 8).wait(120) == 0, cluster.said()
    there = cluster.rows()
    command = [sys.executable, "-m", "pruneproof.cli", "sweep", "s.toml", "--out", "out", "--workers", "1"]
    subprocess.run(command, cwd=cluster.folder, check=True, capture_output=True)
    assert cluster.rows() == there


def test_a_scheduler_that_dies(cluster: Cluster) -> None:
    """A scheduler dies in mid-run: one line names it and says how to go on, without another program's traceback."""
    cluster.worker()
    cluster.has(1)
    sweep = cluster.sweep("waits", 8)
    until(cluster.folder / "begun")
    cluster.scheduler.kill()
    assert sweep.wait(90) == 2
    assert "scheduler" in cluster.said().splitlines()[-1] and "Traceback" not in cluster.said(), cluster.said()


def test_all_workers_die(cluster: Cluster) -> None:
    """The last worker dies in mid-run: within half a minute the waiting user is told that there is none."""
    worker = cluster.worker()
    cluster.has(1)
    sweep = cluster.sweep("waits", 8)
    until(cluster.folder / "begun")
    worker.kill()
    for _ in range(30):  # half a minute
        if sweep.poll() is not None or "worker" in cluster.said():
            break
        time.sleep(1)
    assert "worker" in cluster.said()


def test_what_a_worker_loads_has_one_thread(cluster: Cluster) -> None:
    """A worker was started without limits: the numerical libraries of its cells have the limits of local processes."""
    cluster.worker()
    cluster.has(1)
    assert cluster.sweep("settings", 1).wait(120) == 0, cluster.said()
    assert cluster.rows().splitlines()[1].endswith("1,1")


def test_a_process_that_dies_fails_its_own_cell(cluster: Cluster) -> None:
    """One cell kills its process each time: it is named, and the worker goes on with the others."""
    cluster.worker()
    cluster.has(1)
    assert cluster.sweep("kills", 6).wait(120) == 3, cluster.said()
    assert len(cluster.rows().splitlines()) == 6 and '{"seed":3}' in cluster.said()
