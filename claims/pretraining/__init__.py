"""How much pre-training is enough to discover a good subnetwork? (Wolfe et al., arXiv 2108.00259): eight claims.

Each claim is one module, found by its id (`pt4_dataset_size` holds PT4). `setting` has the controlled tasks and the
network under gradient descent, `growth` what PT4 and PT7 share: how thresholds grow with the dataset.
"""

from pruneproof.claims.claim import Paper

from .advice import ADVICE, DEVIATIONS
from .pt1_selection_bounds import PT1
from .pt2_descent_rate import PT2
from .pt3_threshold_bounds import PT3
from .pt4_dataset_size import PT4
from .pt5_digits import PT5
from .pt6_direct_training import PT6
from .pt7_generic_data import PT7
from .pt8_pruned_size import PT8

PAPER = Paper(
    "pretraining",
    "How much pre-training is enough to discover a good subnetwork?",
    "Cameron R. Wolfe, Fangshuo Liao, Qihan Wang, Junhyung Lyle Kim, Anastasios Kyrillidis",
    2021,
    "2108.00259",
    ADVICE,
    DEVIATIONS,
)
CLAIMS = (PT1, PT2, PT3, PT4, PT5, PT6, PT7, PT8)

__all__ = ["CLAIMS", "PAPER"]
