"""The criterion of PT3, and how loose the thresholds of T1, T2 and T3 turn out to be."""

from statistics import median

from pruneproof.claims.claim import Outcome, Verdict
from pruneproof.claims.engine.cell import Row

CRITERION = (
    "At every checkpoint of every run and every k: the pruned loss is at most T1's bound; from T1's threshold on it "
    "is at "
    "most 2V/k; from T2's threshold on (neurons spanning the outputs, margin certified positive) at most T2's "
    "bound; from "
    "T3's threshold on, for k > 4mV, no example is misclassified. Losses are allowed 2^-44 times the largest squared "
    "length for rounding. One exception violates the theorem."
)


def judge(rows: list[Row]) -> Outcome:
    """Count exceptions; compare predicted with measured thresholds."""
    excesses = [
        row[name] for row in rows for name in ("excess T1", "excess T1 regime", "excess T2") if row[name] is not None
    ]
    lost = sum(row["lost T3"] for row in rows)
    useful = [row for row in rows if not row["vacuous T1"] and row["measured T1"] is not None]
    third = [row for row in rows if row["checked T3"] and row["measured T3"] is not None]
    return Outcome(
        Verdict.VIOLATED if max(excesses) > 0 or lost else Verdict.HOLDS,
        {
            "largest excess of a loss over T1, 2V/k or T2": max(excesses),
            "runs and sizes": len(rows),
            "of these 2V/k says nothing (at least the loss of the empty network)": sum(
                row["vacuous T1"] for row in rows
            ),
            "checkpoints at which T3 applied": sum(row["checked T3"] for row in rows),
            "misclassified there": lost,
            "T1 threshold, predicted - measured, median iterations": _gap(useful, "T1"),
            "T3 threshold, predicted - measured, median iterations": _gap(third, "T3"),
            "runs past T2's threshold": sum(row["excess T2"] is not None for row in rows if row["k"] == rows[0]["k"]),
        },
        tuple(sorted({row["seed"] for row in rows})),
        "two-layer tanh networks on random directions in R^40, (m, N) = "
        + ", ".join(f"({m}, {width})" for m, width in sorted({(row["m"], row["width"]) for row in rows}))
        + ", two kinds of labels, two scalings, 250 iterations",
        [_line(row) for row in rows],
    )


def _gap(rows: list[Row], theorem: str) -> float | str:
    gaps = [row[f"predicted {theorem}"] - row[f"measured {theorem}"] for row in rows]
    return median(gaps) if gaps else "none applied"


def _line(row: Row) -> Row:
    names = ("m", "width", "labels", "scaling", "seed", "k", "V", "D_y", "gamma_s", "eigenvalue", "norm_squared", "q")
    return {name: row[name] for name in names} | {
        "q from": row["contraction"],
        "T1 predicted": row["predicted T1"],
        "T1 measured": row["measured T1"],
        "2V/k": "vacuous" if row["vacuous T1"] else "active",
        "T2 predicted": row["predicted T2"],
        "T3 predicted": row["predicted T3"] if row["predicted T3"] is not None else "vacuous (k ≤ 4mV)",
        "T3 measured": row["measured T3"],
    }
