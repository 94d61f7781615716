"""The pictures of a fitted law show what was fitted."""

import numpy as np
import pytest

from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import LAW, joint
from pruneproof.theory.scaling.points import points_from_rows


def test_points_on_the_law_lie_on_the_line_of_their_network() -> None:
    """Dense errors that differ fivefold: one line through all would be a zigzag of up to 0.1.

    Between 80 places of a line over three decades (6.9 in ln m) the chord is off by at most slope × step/8 < 0.01.
    """
    matplotlib = pytest.importorskip("matplotlib.figure", reason="needs pruneproof[verify]")
    from pruneproof.theory.scaling.plots import draw_one_curve

    rows = [
        {"network": width, "width": width, "depth": 1, "density": 0.6**i, "error": 0.5, "dense_error": 3.2 / width}
        for width in (16, 32, 80) for i in range(12)
    ]  # fmt: skip
    points = points_from_rows(rows)
    truth = {"p": 3.0, "gamma": 1.2, "upper_error": 0.7, "psi": 1.0}
    fitted = fit(points.replaced(error=np.exp(joint(LAW, points).log_error(truth, points))))
    axes = matplotlib.Figure().subplots()
    draw_one_curve(axes, fitted)
    dots, lines = axes.lines[::2], axes.lines[1::2]
    assert len(dots) == len(lines) == 3
    for dot, line in zip(dots, lines, strict=True):
        assert dot.get_color() == line.get_color()
        on_line = np.interp(np.log(dot.get_xdata()), np.log(line.get_xdata()), line.get_ydata())
        assert np.abs(on_line - dot.get_ydata()).max() < 0.01
