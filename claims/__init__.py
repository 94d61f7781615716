"""The five papers: claims, data, training, runner, store, report."""

if __name__ == "claims":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.claims; `import claims` from the checkout means another package (try `python -P`)"
    )

from .claim import Claim, Figure, Outcome, Paper, Scale, Verdict
from .engine.executors import processes
from .engine.store import Store
from .verification import Result, judge, run

__all__ = ["Claim", "Figure", "Outcome", "Paper", "Result", "Scale", "Store", "Verdict", "judge", "processes", "run"]


def __dir__() -> list[str]:
    return __all__
