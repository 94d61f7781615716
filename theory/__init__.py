"""Statements: symbolic bounds, certified evaluation, proof obligations, statistics of tests."""

if __name__ == "theory":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.theory; `import theory` from the checkout means another package (try `python -P`)"
    )

from .bound import Assumption as Assumption
from .bound import Bound as Bound
from .catalogue import bounds as bounds
