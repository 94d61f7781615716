"""Sensitivity-informed pruning (Baykal, Liebenwein, Gilitschenski, Feldman, Rus): ten claims on real digits.

Each claim is one module, found by its id (`sp1_half_rows` holds SP1). `setting` has the networks, the data and the
pruning methods, `measure` the comparison of methods that SP5, SP9 and SP10 share.
"""

from pruneproof.claims.claim import Paper

from .advice import ADVICE, DEVIATIONS
from .sp1_half_rows import SP1
from .sp2_population import SP2
from .sp3_network_guarantee import SP3
from .sp4_mixture import SP4
from .sp5_data_free import SP5
from .sp6_size import SP6
from .sp7_isolation import SP7
from .sp8_prune_retrain import SP8
from .sp9_magnitude_by_layer import SP9
from .sp10_magnitude import SP10

PAPER = Paper(
    "sensitivity",
    "SiPPing Neural Networks: Sensitivity-informed Provable Pruning of Neural Networks",
    "Cenk Baykal, Lucas Liebenwein, Igor Gilitschenski, Dan Feldman, Daniela Rus",
    2022,
    "1910.05422",
    ADVICE,
    DEVIATIONS,
)
CLAIMS = (SP1, SP2, SP3, SP4, SP5, SP6, SP7, SP8, SP9, SP10)

__all__ = ["CLAIMS", "PAPER"]
