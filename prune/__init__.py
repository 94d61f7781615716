"""Pruning primitives: masks, scores, selection, methods, ablations, certificates."""

if __name__ == "prune":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.prune; `import prune` from the checkout means another package (try `python -P`)"
    )

from . import scores as scores
from .enforcement import Enforcement as Enforcement
from .enforcement import release as release
from .masks import Masks as Masks
from .parameters import prunable as prunable
from .selection import select as select
