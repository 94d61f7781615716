"""Try a mutant: run tests in a forked process in which one module is loaded from changed source.

Nothing is written to the tree, so that trials can run side by side and beside an editor. Forking after everything but
this library is imported saves the start-up, which would be most of a trial.
"""

import importlib
import math
import os
import pkgutil
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

import pytest
import torch
from hypothesis import Phase, settings

KILLED, SURVIVED, TIMED_OUT, LOST = "killed", "survived", "timed out", "lost"
WAITING = 10  # for deadlocks: even a machine with ten times the work of its cores gets as far in this time
_TICK = 0.02
_NO_TESTS = (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
_OWN = ("pruneproof", "tests", "test_", "conftest")


class _Changed(SourceFileLoader):
    source = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Finder:
    """Finds one module as everybody does, and loads it from other source."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(
        self, name: str, path: list[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path) if name == self.name else None
        if found is None or found.origin is None:
            return None
        loader = _Changed(name, found.origin)
        loader.source = self.source
        return spec_from_file_location(name, found.origin, loader=loader)


def prepare() -> None:
    """Import what the library imports, but not the library, and let Hypothesis stop at the first failure it finds."""
    reading, writing = os.pipe()
    if not os.fork():
        os.close(reading)
        import pruneproof

        for found in pkgutil.walk_packages(pruneproof.__path__, "pruneproof."):
            with suppress(Exception):
                importlib.import_module(found.name)
        with os.fdopen(writing, "w") as pipe:
            pipe.write("\n".join(name for name in sys.modules if not name.startswith(_OWN)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        names = pipe.read().split("\n")
    os.wait()
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)
    torch.set_num_threads(1)
    settings.register_profile("no shrinking", phases=[Phase.explicit, Phase.generate])
    settings.load_profile("no shrinking")  # the profile of tests/conftest.py takes from it what it does not set itself


def start(module: str, source: str, tests: list[str], limit: float) -> int:
    """Fork a process that runs the tests with the module's source replaced; returns its process id.

    It, and each process that it starts, may take so many seconds of processor time, which other work on the machine
    does not use up; then the system ends it.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 5))  # SIGXCPU, then SIGKILL
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        sys.meta_path.insert(0, _Finder(module, source))  # pyright: ignore[reportArgumentType]: a finder by duck typing
        code = int(pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]))
    finally:
        os._exit(code)


def outcome(child: int, began: float, limit: float) -> str | None:
    """What the tests showed, or `None` while they run: `LOST` if they cannot be found.

    Over the limit of processor time, or waiting for `WAITING` times as long by the clock, the process is ended and
    whatever it started.
    """
    finished, status = os.waitpid(child, os.WNOHANG)
    if finished:
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            return TIMED_OUT
        return SURVIVED if code == 0 else LOST if code in _NO_TESTS else KILLED
    if time.monotonic() - began > WAITING * limit:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return TIMED_OUT
    time.sleep(_TICK)
    return None
