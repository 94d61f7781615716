"""The table printed under a claim: mean accuracy of every network, density and method, as published and ablated."""

from collections.abc import Sequence

from pruneproof.claims.engine.cell import Row
from pruneproof.claims.estimates import accuracies, estimate

from .grid import DENSITY
from .variants import CONTROLS, METHODS

ORDER = (*METHODS, "grasp_abs", *CONTROLS)


def accuracy_table(rows: Sequence[Row], ablations: Sequence[str]) -> list[Row]:
    """One line per network, density and method that the rows hold, the verdict's density first.

    Arguments:
        rows: of early cells; others are passed over.
        ablations: one column each, in per cent.
    """
    places = {(row["network"], float(row["density"])) for row in rows if row["kind"] == "early"}
    table = list[Row]()
    for network, density in sorted(places, key=lambda place: (place[0] != "cnn", place[1] != DENSITY, place)):
        for method in ORDER:
            place = {"kind": "early", "network": network, "density": density, "method": method, "at": 0}
            columns = {name: accuracies(rows, ablation=name, restart=None, **place) for name in ablations}
            if any(columns.values()):
                line: Row = {"network": network, "density": f"{density:.0%}", "method": method}
                means = {name: round(estimate(column).mean, 2) for name, column in columns.items() if column}
                seeds = max(len(column) for column in columns.values())
                table.append(line | {name: means.get(name, "") for name in ablations} | {"seeds": seeds})
    return table
