"""What SL5 and SL8 share: the AICc of the law less that of another curve, seed by seed."""

from collections.abc import Sequence

from pruneproof.claims.estimates import Comparison, mean
from pruneproof.theory.scaling.fitting import fit
from pruneproof.theory.scaling.models import Model

from .measure import PathRow, points_by_seed


def better_than(rows: Sequence[PathRow], task: str, others: Sequence[Model]) -> list[Comparison]:
    """One comparison per other curve: the AICc of the joint fit of the law is lower, fitted seed by seed.

    Args:
        rows: Of any tasks.
        task: Whose rows are taken.
        others: The curves that the law is compared with.
    """
    points = points_by_seed(rows, task).values()
    law = [fit(each).criterion for each in points]
    compared: list[Comparison] = []
    for model in others:
        differences = [mine - fit(each, model).criterion for mine, each in zip(law, points, strict=True)]
        compared.append(Comparison(f"AICc of the law − {model.name}", mean(differences), below=0.0))
    return compared
