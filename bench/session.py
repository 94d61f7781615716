"""Measure case after case in a process that may hang, crash or be killed, and lose one case at most.

A worker computes the cases and appends one line of JSON per case to `rows.jsonl`, synced before it goes on. Its
supervisor watches the clock: a case past its deadline is ended with its process, noted as late, and a new worker goes
on with the next one. Cases that have a row are never measured again, so a second start continues the first. Nothing
here needs more than Python itself: the supervisor imports no torch and survives whatever a GPU does to the worker.
"""

import ctypes
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]
REFUSED, AGAIN = 2, 75  # exit statuses of a worker: its message says all; its device is lost, but not the rest
STARTING = 180.0  # seconds until a worker's first case: importing torch, waking the GPU
LEAST = 3.0  # seconds of the budget left under which no case is begun


class SessionError(Exception):
    """Something that ends the session, said in one line."""


class Rows:
    """The file of results: one JSON object a line, at most the last one torn by a kill."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rows.jsonl"

    def read(self) -> dict[str, Row]:
        """The latest row of every case, without a torn last line."""
        content = self.path.read_bytes() if self.path.exists() else b""
        rows = (json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines())
        return {row["case"]: row for row in rows}

    def append(self, row: Row) -> None:
        """Write a row and wait until it is on the disk; a torn line before it is cut off first."""
        line = (json.dumps(row) + "\n").encode()
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT)
            try:
                end = self._whole(file)
                if os.pwrite(file, line, end) < len(line):
                    raise OSError("the disk took only a part of the row")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise SessionError(f"{self.path}: {error.strerror or error}; the rows before this one are kept") from error

    def _whole(self, file: int) -> int:
        """The length of the file after cutting off what follows its last newline."""
        size = os.fstat(file).st_size
        tail = os.pread(file, min(size, 1 << 20), max(0, size - (1 << 20)))  # no line is nearly as long
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            os.ftruncate(file, size - torn)
        return size - torn


def replace_json(path: Path, content: object) -> None:
    """Write a file whole or not at all: to another name first, synced, then renamed."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("w") as file:
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if beside.is_file():
            beside.unlink()
        raise SessionError(f"{path}: {error.strerror or error}; the file is as it was") from error


@contextmanager
def only_one(folder: Path) -> Generator[int]:
    """Hold the folder's lock, which a worker inherits: no second session writes to the same rows."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise SessionError(f"{folder}: {error.strerror}; name another folder with --out") from error
    try:
        for _ in range(50):  # the worker of a killed session takes a moment to die
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SessionError(f"{folder} is in use by another session; wait for it, or name another folder with --out")
        yield lock
    finally:
        os.close(lock)


class Session:
    """The worker's side: measures the cases that have no row yet, within the budget."""

    def __init__(self, rows: Rows, end: float, device_works: Callable[[], bool]) -> None:
        self.rows, self.end, self.device_works = rows, end, device_works
        self.known = rows.read()

    def case(self, case: str, seconds: float, measure: Callable[[], Row]) -> Row | None:
        """The figures of a case, measured now or before; None if it failed, was late, or there is no time for it."""
        if case not in self.known:
            if self.end - time.monotonic() < LEAST:
                raise OutOfTime
            _tell({"case": case, "seconds": seconds})
            self.known[case] = self._measured(case, measure)
            _tell({"row": self.known[case]})
            if self.known[case]["status"] == "failed" and not self.device_works():
                os._exit(AGAIN)  # after such an error nothing of CUDA works in this process, its clean-up included
        row = self.known[case]
        return row["figures"] if row["status"] == "ok" else None

    def _measured(self, case: str, measure: Callable[[], Row]) -> Row:
        start = time.perf_counter()
        try:
            outcome: Row = {"status": "ok", "figures": measure()}
        except AssertionError as error:
            outcome = {"status": "wrong", "error": one_line(error)}
        except Exception as error:
            outcome = {"status": "failed", "error": one_line(error)}
        row = {"case": case, **outcome, "seconds": round(time.perf_counter() - start, 3)}
        self.rows.append(row)
        return row


class OutOfTime(Exception):
    """The budget is spent."""


def one_line(error: BaseException) -> str:
    """The kind and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__


def _tell(message: Row) -> None:
    print(json.dumps(message), flush=True)


def work(run: Callable[[], None]) -> int:
    """Run a worker's cases and turn what ends them into an exit status; dies with its supervisor (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    try:
        run()
    except OutOfTime:
        pass
    except SessionError as error:
        _tell({"refused": str(error)})
        return REFUSED
    return 0


class Supervisor:
    """Starts workers, ends the late ones, and shows every row as it comes."""

    def __init__(self, command: Sequence[str], rows: Rows, end: float, lock: int, say: Callable[[str], None]) -> None:
        self.command, self.rows, self.end, self.lock, self.say = command, rows, end, lock, say
        self.case: str | None = None  # the one in progress
        self.limit = end  # when it, or the start of a worker, is late

    def run(self) -> None:
        """Until all cases have rows or the budget is spent; raises SessionError where no worker can go on."""
        while time.monotonic() < self.end - LEAST and not self._finished():
            pass

    def _finished(self) -> bool:
        """Run one worker; whether nothing is left to do for another."""
        self.case, status = None, None
        worker = subprocess.Popen(self.command, stdout=subprocess.PIPE, pass_fds=[self.lock])
        try:
            in_time = self._follow(worker)
            status = worker.wait(timeout=30) if in_time else None
        finally:
            worker.kill()
            worker.communicate()  # reaps it and closes the pipe
        if not in_time and time.monotonic() >= self.end:
            return True  # the case in progress gets no row: a second start measures it
        if self.case is not None:
            error = f"its process ended with status {status}" if in_time else "ended at its deadline"
            self._note({"case": self.case, "status": "failed" if in_time else "late", "error": error})
            return False
        if status not in (0, AGAIN):
            ended = f"ended with status {status}" if in_time else f"reached none within {STARTING:.0f} s"
            raise SessionError(f"the process that measures the cases {ended}; what it said is above")
        return status == 0

    def _note(self, row: Row) -> None:
        self.rows.append(row)
        self.say(shown(row))

    def _follow(self, worker: subprocess.Popen[bytes]) -> bool:
        """Show what the worker reports until it ends (True), a deadline passes, or the budget is spent."""
        self.limit = time.monotonic() + STARTING
        for message in _messages(worker, lambda: min(self.limit, self.end)):
            if message is None:
                return False
            if "refused" in message:
                raise SessionError(message["refused"])
            self.case = message.get("case")
            self.limit = time.monotonic() + message.get("seconds", STARTING)
            if "row" in message:
                self.say(shown(message["row"]))
        return True


def _messages(worker: subprocess.Popen[bytes], limit: Callable[[], float]) -> Iterator[Row | None]:
    """The worker's messages as they come, then the end; None once the limit has passed."""
    assert worker.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as ready:
        ready.register(worker.stdout, selectors.EVENT_READ)
        while True:
            if not ready.select(max(0.0, limit() - time.monotonic())):
                yield None
                return
            read = os.read(worker.stdout.fileno(), 1 << 16)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            yield from map(json.loads, lines)


def shown(row: Row) -> str:
    """One line about a case: how it ended, how long it took, its leading figures."""
    if row["status"] != "ok":
        return f"{row['status']:>6}  {row['case']}: {row['error']}"
    figures = ", ".join(f"{name} {brief(value)}" for name, value in row["figures"].items() if _leads(value))
    return f"{row['seconds']:5.1f}s  {row['case']}: {figures}"


def brief(value: object) -> str:
    """Three digits of a number; anything else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _leads(value: object) -> bool:
    return isinstance(value, str | int | float)
