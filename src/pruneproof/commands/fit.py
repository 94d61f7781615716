"""Fit the scaling law to your own results and name the smallest network for a target error."""

import json as json_text
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Annotated, Any

import numpy as np
import tyro

from pruneproof.checks import require_integer
from pruneproof.environment import require
from pruneproof.errors import FileAccessError, InvalidValueError
from pruneproof.theory.scaling.report import FitReport, as_json, as_text, fit_report

ENDINGS = (".svg", ".png", ".pdf")
PATIENCE = 2.0  # seconds of silence


def main(
    results: Annotated[Path, tyro.conf.Positional],
    target_error: Annotated[float | None, tyro.conf.arg(metavar="SHARE", help_behavior_hint="")] = None,
    json: tyro.conf.FlagCreatePairsOff[bool] = False,
    plot: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None,
    seed: int = 0,
) -> int:
    """Fit the scaling law of pruned networks to a table of results.

    The CSV needs the columns network, width, depth, density, error, and may have dense_error, seed, samples. Printed:
    the constants with 95 % intervals (or "not identified"), every competing curve by AICc and on held-out points, how
    well the smaller networks predict the larger ones, and for a target error the smallest network. With too few points
    for the law, the simplest curve is fitted instead. docs/fit.md explains every line.

    Example: pruneproof fit results.csv --target-error 0.06 --plot fit.svg

    Args:
        results: The CSV file.
        target_error: Allowed error in (0, 1), the share of wrong examples.
        json: Print one JSON object instead of the table.
        plot: File for the three pictures (.svg, .png, .pdf).
        seed: Seed of the folds and of the bootstrap.
    """
    require_integer("fit", "--seed", seed, least=0)
    if plot is not None:
        require("fit", "matplotlib")
        _check_plot(plot)
    with _waiting():
        report = fit_report(results, target_error, generator=np.random.default_rng(seed))
    print(json_text.dumps(as_json(report), indent=2) if json else as_text(report))
    if plot is not None:
        _draw(report, plot)
        print(f"pictures: {plot}", file=sys.stderr)
    return 0


def _check_plot(path: Path) -> None:
    """Refuse before the fit what could not be written after it."""
    if path.suffix.lower() not in ENDINGS:
        raise InvalidValueError(f"--plot: {path} must end in one of {', '.join(ENDINGS)}. Choose another name.")
    with _writing(path), TemporaryFile(dir=path.parent):
        pass


@contextmanager
def _writing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise FileAccessError(
            f"--plot: {path} cannot be written: {error.strerror or error}. Choose a file in an existing folder."
        ) from None


@contextmanager
def _waiting() -> Generator[None]:
    """Say on standard error what is under way, once it has taken a while."""
    notice = Timer(PATIENCE, print, ("fitting all curves, with folds and a bootstrap …",), {"file": sys.stderr})
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()


def _draw(report: FitReport, path: Path) -> None:
    """Error per network; for the law also everything on one curve, and what it leaves."""
    from matplotlib.figure import Figure

    from pruneproof.theory.scaling.plots import draw_networks, draw_one_curve, draw_residuals

    fitted = report.fitted
    rising = "p" in fitted.parameters
    figure = Figure(figsize=(12 if rising else 4, 3.6), layout="constrained")
    panels: Any = figure.subplots(1, 3 if rising else 1, squeeze=False)[0]
    draw_networks(panels[0], fitted)
    if rising:
        draw_one_curve(panels[1], fitted)
        draw_residuals(panels[2], fitted)
    with _writing(path):
        figure.savefig(path)
