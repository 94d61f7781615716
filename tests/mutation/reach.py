"""Which tests execute which lines, and how long each takes: the suite is run once under coverage, and that is stored.

A mutant is then tried only on tests that execute the changed statement, the quickest of the closest files first.
"""

import ast
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from coverage import CoverageData

ROOT = Path(__file__).parent.parent.parent
STORE = ROOT / "build" / "mutation"
LIBRARY = ("kernels", "theory", "prune", "claims", "src")
# Bounds, obligations and other declarations are executed at import, in no test: the tests that hold them to something.
DECLARATIONS = {
    "theory/theorems/": (
        *("test_obligations_discharge", "test_obligations_statements", "test_bound_values", "test_bound_formulas"),
        *("test_bound_enclosure", "test_greedy_bounds", "test_sipp_bounds", "test_hypotheses_are_needed"),
    ),
}
CLOSEST_FILES = 3  # tried first; survivors meet the others too
STAGE_SECONDS = 12.0
LAST_SECONDS = 60.0  # met by survivors only
_SELECTED = "-mnot interpreter and not gpu and not slow"
_QUIETLY = ("--cov-context=test", "--cov-report=", "-pno:cacheprovider")


@dataclass(frozen=True)
class Reach:
    """Seconds of each test by its node id, and for each source file (relative path) the tests of each line."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def stages(self, file: str, span: tuple[int, int] | None) -> list[tuple[list[str], float]]:
        """Tests to try on a change of a statement: of the closest files, of the others, then what was left out.

        What stands outside of functions (`None`) is executed at import, in whatever test that happens: then every test
        that executes anything of the module counts. Tests of `DECLARATIONS` count always.
        """
        lines = self.lines.get(file, {})
        places = lines if span is None else range(span[0], span[1] + 1)
        reaching = {test for line in places for test in lines.get(line, [])} | self._declared(file)
        executed: dict[str, int] = defaultdict(int)
        for tests in lines.values():
            for test_file in {_file(test) for test in tests}:
                executed[test_file] += 1
        files = sorted({_file(test) for test in reaching}, key=lambda name: (-executed[name], name))
        close = set(files[:CLOSEST_FILES])
        split = [[t for t in reaching if (_file(t) in close) is wanted] for wanted in (True, False)]
        stages = [self._affordable(tests, files, STAGE_SECONDS) for tests in split]
        stages.append(self._affordable(list(reaching.difference(*stages)), files, LAST_SECONDS))
        return [(tests, sum(self.seconds[test] for test in tests)) for tests in stages if tests]

    def _declared(self, file: str) -> set[str]:
        holding = next((names for folder, names in DECLARATIONS.items() if file.startswith(folder)), ())
        return {test for test in self.seconds if Path(_file(test)).stem in holding}

    def _affordable(self, tests: list[str], files: list[str], limit: float) -> list[str]:
        """One case of each test function first, quick ones first, within a time limit; then in the order of files."""
        seen: dict[str, int] = defaultdict(int)
        ranked: list[tuple[int, float, str]] = []
        for test in sorted(tests, key=lambda name: (self.seconds[name], name)):
            function = test.partition("[")[0]
            ranked.append((seen[function], self.seconds[test], test))
            seen[function] += 1
        chosen: list[str] = []
        total = 0.0
        for _, seconds, test in sorted(ranked):
            if chosen and (total + seconds > limit):
                continue
            chosen.append(test)
            total += seconds
        return sorted(chosen, key=lambda name: (files.index(_file(name)), self.seconds[name]))


def reach(jobs: int) -> Reach:
    """The reach of the tests as they are now; measured afresh where a test file, or the library, has changed."""
    STORE.mkdir(parents=True, exist_ok=True)
    stored = STORE / "reach.json"
    library = _digest(path for folder in LIBRARY for path in (ROOT / folder).rglob("*.py"))
    strictness = _digest([ROOT / "tests" / "conftest.py"])
    files = {str(path.relative_to(ROOT)): _digest([path]) for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    known = json.loads(stored.read_text()) if stored.exists() else {}
    if known.get("library") != [library, strictness]:
        known = {"files": {}, "seconds": {}, "lines": {}}
    changed = [file for file, digest in files.items() if known["files"].get(file) != digest]
    if changed:
        seconds, lines = _measured(changed, jobs)
        kept = {test for test in known["seconds"] if _file(test) in files and _file(test) not in changed}
        known["seconds"] = {test: known["seconds"][test] for test in kept} | seconds
        known["lines"] = _merged(known["lines"], lines, kept)
        stored.write_text(json.dumps(known | {"library": [library, strictness], "files": files}))
    lines = {file: {int(line): tests for line, tests in found.items()} for file, found in known["lines"].items()}
    return Reach(known["seconds"], lines)


def statement(source: str, line: int) -> tuple[int, int] | None:
    """First and last line of the innermost statement that a line belongs to; `None` outside of functions."""
    nodes = list(ast.walk(ast.parse(source)))
    bodies = [(node.body[0].lineno, node.end_lineno or 0) for node in nodes if isinstance(node, ast.FunctionDef)]
    if not any(first <= line <= last for first, last in bodies):
        return None
    spans = [(node.lineno, node.end_lineno or node.lineno) for node in nodes if isinstance(node, ast.stmt)]
    return min((span for span in spans if span[0] <= line <= span[1]), key=lambda span: span[1] - span[0])


Lines = dict[str, dict[str, list[str]]]


def _measured(files: list[str], jobs: int) -> tuple[dict[str, float], Lines]:
    """Run tests in a process of its own, with coverage's context set to the running test."""
    child = os.fork()
    if not child:
        recorder = _Recorder()
        os.environ["COVERAGE_FILE"] = str(STORE / "coverage")
        pytest.main(
            [*files, f"-n{jobs}", _SELECTED, "-q", "-Wdefault", "--cov=pruneproof", *_QUIETLY],
            plugins=[recorder],
        )
        (STORE / "seconds.json").write_text(json.dumps(recorder.passed()))
        os._exit(0)
    os.waitpid(child, 0)
    seconds: dict[str, float] = json.loads((STORE / "seconds.json").read_text())
    return seconds, _lines(seconds)


def _lines(seconds: dict[str, float]) -> Lines:
    data = CoverageData(str(STORE / "coverage"))
    data.read()
    found: Lines = {}
    for file in data.measured_files():
        by_line = data.contexts_by_lineno(file)
        tests = {line: {context.partition("|")[0] for context in contexts} for line, contexts in by_line.items()}
        name = os.path.relpath(os.path.realpath(file), ROOT)
        found[name] = {str(line): sorted(reaching & seconds.keys()) for line, reaching in tests.items() if line > 0}
    return found


def _merged(old: Lines, new: Lines, kept: set[str]) -> Lines:
    return {
        file: {
            line: [t for t in old.get(file, {}).get(line, []) if t in kept] + new.get(file, {}).get(line, [])
            for line in old.get(file, {}) | new.get(file, {})
        }
        for file in old | new
    }


class _Recorder:
    """Seconds of each test that passed, gathered on the side that prints."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def passed(self) -> dict[str, float]:
        return {test: seconds for test, seconds in self._seconds.items() if test not in self._failed}


def _file(test: str) -> str:
    return test.partition("::")[0]


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
