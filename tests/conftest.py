"""Strictness for every test: derandomised Hypothesis, deterministic torch, uninitialised memory filled with NaN.

Statistical tests and their false alarms. A test that draws random numbers to hold a probabilistic guarantee

* is marked `@pytest.mark.alpha(p)`, p being its total false-alarm probability: the sum over the examples and looks of
  the α that it hands to `theory.statistics` (Bonferroni). The sum over all tests that ran is printed at the end of the
  session, and a session above `BUDGET` fails;
* takes its seeds from the fixture `salted`: `salted("poisson", k)` is SHA-256 of the salt and its arguments, so seeds
  are never drawn by Hypothesis and never chosen by hand. The salt is the environment variable PRUNEPROOF_SALT, a number
  or a range: `make soak` runs these tests under the salts 1-100.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in background jobs; Ctrl-C is tested
torch.manual_seed(0)  # what modules of tests draw when they are imported is the same in every run
torch.use_deterministic_algorithms(True)  # also fills `torch.empty` with NaN, so that reading it is seen
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

_first, _, _last = os.environ.get("PRUNEPROOF_SALT", "0").partition("-")
SALTS = range(int(_first), int(_last or _first) + 1)
BUDGET = 1e-4 * len(SALTS)  # of one salt: 1e-4
ALPHAS = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def salted(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Seeds for statistical tests: `salted(*names)` → a 63-bit integer that depends on the salt and on the names."""
    salt = str(getattr(request, "param", SALTS[0]))

    def seed(*names: object) -> int:
        digest = hashlib.sha256(repr((salt, *names)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    return seed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where PRUNEPROOF_SALT is a range, repeat what draws random numbers once per salt."""
    if len(SALTS) > 1 and "salted" in metafunc.fixturenames:
        metafunc.parametrize("salted", SALTS, indirect=True, ids="salt{}".format)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under `-m gpu` collect files with GPU tests only: others may import packages that a host with a GPU lacks."""
    if config.getoption("markexpr") != "gpu" or not collection_path.is_file():
        return None
    return None if "mark.gpu" in collection_path.read_text("utf-8") else True


def pytest_configure(config: pytest.Config) -> None:
    """Start the sum of false-alarm probabilities at zero."""
    config.stash[ALPHAS] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start torch's global generator anew: a test that draws from it meets the same numbers in any order of tests."""
    torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Attach the false-alarm probability of a statistical test to its report, which travels to the xdist controller."""
    marker = item.get_closest_marker("alpha")
    if marker is not None:
        item.user_properties.append(("alpha", float(marker.args[0])))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> Generator[None, object, object]:
    """Add up on the side that prints, once per test."""
    if isinstance(report, pytest.TestReport) and report.when == "call":
        for name, value in report.user_properties:
            if name == "alpha":
                config.stash[ALPHAS][report.nodeid] = float(str(value))
    return (yield)


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter", config: pytest.Config) -> None:
    """Print the probability that this run has raised a false alarm."""
    alphas = config.stash[ALPHAS]
    if alphas:
        total = f"{sum(alphas.values()):.2g}"
        line = (
            f"{len(alphas)} statistical tests, false-alarm probability of this run at most {total} (budget {BUDGET:g})"
        )
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run whose false-alarm probability is over the budget."""
    if sum(session.config.stash[ALPHAS].values()) > BUDGET:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
