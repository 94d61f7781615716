"""Try a mutant: run tests in a forked process in which one module is loaded from changed source.

Nothing is written to the tree, so that trials can run side by side and beside an editor. Forking after torch and pytest
are imported saves their start-up, which would be most of a trial.
"""

import importlib
import os
import signal
import sys
import time
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

import pytest
import torch

importlib.import_module("hypothesis")  # before the fork, once for all trials

KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
_TICK = 0.02


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


def start(module: str, source: str, tests: list[str], unless: str) -> int:
    """Fork a process that runs the tests with the module's source replaced; returns its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        torch.set_num_threads(1)
        sys.meta_path.insert(0, _Finder(module, source))  # pyright: ignore[reportArgumentType]: a finder by duck typing
        code = int(
            pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-k", f"not ({unless})"])
        )
    finally:
        os._exit(code)


def outcome(child: int, began: float, limit: float) -> str | None:
    """What a trial showed, or `None` while it runs; a trial over the limit is ended, itself and whatever it started."""
    finished, status = os.waitpid(child, os.WNOHANG)
    if finished:
        code = os.waitstatus_to_exitcode(status)
        if code not in (0, 1, 2) and code > 0:
            raise RuntimeError(f"pytest ended with {code}: no tests were run")
        return SURVIVED if code == 0 else KILLED
    if time.monotonic() - began > limit:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return TIMED_OUT
    time.sleep(_TICK)
    return None
