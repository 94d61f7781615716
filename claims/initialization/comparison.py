"""What the claims judge alike: rows read back, accuracies by seed, paired differences, the table of accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pruneproof.claims.claim import Outcome, Verdict
from pruneproof.claims.engine.cell import Row, read_rows
from pruneproof.claims.estimates import Comparison, Estimate, conclude, decide, mean, paired_difference

from .measure import ABLATED, CONTROLS, METHODS, EarlyRow, LateRow
from .setting import DENSITY, NETWORKS

MARGIN = 2.5  # points of accuracy that an ablation may cost
CONTROL = 10.0  # points by which random pruning must be worse at 5 %, or the test could not see a loss
ORDER = (*METHODS, "grasp_abs", *CONTROLS)
BY_SEED = Mapping[int, float]  # seed → accuracy in per cent


def early_rows(rows: Sequence[Row]) -> list[EarlyRow]:
    """The rows of networks pruned at initialisation or later in training."""
    return read_rows(EarlyRow, [row for row in rows if row["kind"] == "early"])


def late_rows(rows: Sequence[Row]) -> list[LateRow]:
    """The rows of networks pruned after training."""
    return read_rows(LateRow, [row for row in rows if row["kind"] == "late"])


def conditions_of(rows: Sequence[EarlyRow] | Sequence[LateRow]) -> list[tuple[str, float]]:
    """(network, density) of the rows: the digits CNN first, and 5 % first."""
    return sorted(
        {(row.network, row.density) for row in rows},
        key=lambda condition: (condition[0] != "cnn", condition[0], condition[1] != DENSITY, condition[1]),
    )


def early(
    rows: Sequence[EarlyRow],
    condition: tuple[str, float],
    method: str,
    ablation: str = "none",
    *,
    at: int = 0,
    restart: bool | None = None,
) -> dict[int, float]:
    """Accuracies of a method.

    Args:
        rows: Of any networks, densities and methods.
        condition: (network, density).
        method: Name of the method or control.
        ablation: `"none"` or the name of an ablation.
        at: Step at which the network was pruned.
        restart: Whether the whole recipe followed.

    Returns:
        Seed → accuracy in per cent.
    """
    wanted = (*condition, method, ablation, at, restart)
    return {
        row.seed: 100 * row.accuracy
        for row in rows
        if (row.network, row.density, row.method, row.ablation, row.at, row.restart) == wanted
    }


def late(rows: Sequence[LateRow], condition: tuple[str, float], variant: str) -> dict[int, float]:
    """Accuracies of pruning after training: seed → accuracy in per cent."""
    return {
        row.seed: 100 * row.accuracy for row in rows if (row.network, row.density, row.variant) == (*condition, variant)
    }


def difference(first: BY_SEED, second: BY_SEED) -> Estimate | None:
    """The paired difference in points, or None without a common seed."""
    return paired_difference(first, second) if first.keys() & second.keys() else None


def named(condition: tuple[str, float], text: str) -> str:
    """A comparison with where it was made, such as "5 %: snip − random"."""
    network, density = condition
    return f"{'' if network == 'cnn' else f'{network}, '}{100 * density:g} %: {text}"


def outcome(
    comparisons: Sequence[Comparison],
    measured: Mapping[str, object],
    rows: Sequence[EarlyRow] | Sequence[LateRow],
    table: list[Row],
    note: str = "",
) -> Outcome:
    """What `conclude` says of the comparisons, in the words that these claims share.

    Args:
        comparisons: The parts of the criterion.
        measured: What is printed.
        rows: From which seeds, networks and densities are read.
        table: Printed below.
        note: Appended to the scope.
    """
    conditions = conditions_of(rows)
    networks = [NETWORKS[name] for name in dict.fromkeys(network for network, _ in conditions)]
    densities = sorted({density for _, density in conditions}, reverse=True)
    scope = f"On {' and '.join(networks)} at {', '.join(f'{100 * d:g} %' for d in densities)} density"
    made = conclude(comparisons, (row.seed for row in rows), scope, dict(measured), table)
    return replace(made, scope=f"{made.scope}; {note}." if note else f"{made.scope}.")


def judge_preserved(rows: Sequence[Row], ablation: str) -> Outcome:
    """AI3 and AI4: ablated minus original, not worse by `MARGIN`; the random control shows that losses are seen.

    Args:
        rows: Stored rows of the claim.
        ablation: `"shuffle"` or `"reinitialize"`.
    """
    tried = early_rows(rows)
    comparisons, printed = list[Comparison](), dict[str, Estimate]()
    for condition in conditions_of(tried):
        for method in (*ABLATED, "grasp"):
            delta = difference(early(tried, condition, method, ablation), early(tried, condition, method))
            if delta is None:
                continue
            name = named(condition, f"{method}: {ablation} − original")
            printed[name] = delta
            if method != "grasp":
                comparisons.append(Comparison(name, delta, above=-MARGIN))
    controls = [
        Comparison(named(condition, f"{method} − random (control)"), delta, above=CONTROL)
        for condition in conditions_of(tried)
        if condition[1] == DENSITY
        for method in ABLATED
        if (delta := difference(early(tried, condition, method), early(tried, condition, "random"))) is not None
    ]
    measured = printed | {each.name: each.estimate for each in controls}
    made = outcome(comparisons, measured, tried, accuracy_table(tried, ("none", ablation)))
    made = replace(made, bounds={**made.bounds, **{each.name: (each.above, each.below) for each in controls}})
    if made.verdict is not Verdict.HOLDS or decide(controls).verdict is Verdict.HOLDS:
        return made
    scope = f"{made.scope[:-1]}; the random control is not shown to be {CONTROL:.0f} points worse."
    return replace(made, verdict=Verdict.INCONCLUSIVE, scope=scope)


def accuracy_table(rows: Sequence[EarlyRow], ablations: Sequence[str]) -> list[Row]:
    """The accuracies of all methods, as scored and under ablations, by density.

    Args:
        rows: Of networks pruned at initialisation.
        ablations: `"none"` and names of ablations.
    """
    names = {
        (method, a): method.replace("_", " ") + ("" if a == "none" else f", {a}") for method in ORDER for a in ablations
    }
    return by_density(
        {at: {label: early(rows, at, *name) for name, label in names.items()} for at in conditions_of(rows)}
    )


def by_density(levels: Mapping[tuple[str, float], Mapping[str, BY_SEED]]) -> list[Row]:
    """Mean accuracies in per cent: one line per network and name that have any, a column per density.

    Args:
        levels: (network, density) → name of the method → seed → accuracy.
    """
    densities = sorted({density for _, density in levels}, reverse=True)
    table = list[Row]()
    for network, name in dict.fromkeys((network, name) for (network, _), names in levels.items() for name in names):
        found = {f"at {d:.0%}": levels.get((network, d), {}).get(name) for d in densities}
        if any(found.values()):
            means = {density: mean([*each.values()]) if each else None for density, each in found.items()}
            table.append({"network": network, "accuracy, % of": name} | means)
    return table
