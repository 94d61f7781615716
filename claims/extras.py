"""The optional parts: what each package is for, and one clear line when it is missing."""

from importlib.util import find_spec

from ..errors import PruneproofError

# import name → (extra that installs it, what it is for)
EXTRAS = {
    "matplotlib": ("verify", "the pictures and formulas of the report"),
    "sklearn": ("verify", "the digits data of the claims"),
    "distributed": ("cluster", "sweeps and verification on a cluster (--scheduler)"),
    "z3": ("proof", "the proof obligations that are discharged by z3"),
    "pyarrow": ("cluster", "export to Parquet"),
}


def require(where: str, module: str) -> None:
    """Raise `PruneproofError` if an optional package is missing.

    Arguments:
        where: the public name that needs it.
        module: its import name, a key of `EXTRAS`.
    """
    if find_spec(module) is None:
        extra, purpose = EXTRAS[module]
        remedy = f"pip install 'pruneproof[{extra}]'"
        raise PruneproofError(where, required=f"{module} for {purpose}", received="no such package", remedy=remedy)
