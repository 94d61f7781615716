"""The five papers: claims, data, training, runner, store, report."""

if __name__ == "claims":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.claims; `import claims` from the checkout means another package (try `python -P`)"
    )

from .claim import Claim as Claim
from .claim import Figure as Figure
from .claim import Outcome as Outcome
from .claim import Paper as Paper
from .claim import Scale as Scale
from .claim import Verdict as Verdict
from .process_pool import processes as processes
from .runner import Result as Result
from .runner import judge as judge
from .runner import run as run
from .store import Store as Store
