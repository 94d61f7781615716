"""Sensitivity-informed pruning (Baykal, Liebenwein, Gilitschenski, Feldman, Rus): seven claims on real digits.

Each claim is one module, found by its id (`sp1_half_rows` holds SP1). `setting` has the networks, the data and the
pruning methods that several claims compare.
"""

from pruneproof.claims.claim import Paper

from .sp1_half_rows import SP1
from .sp2_population import SP2
from .sp3_network_guarantee import SP3
from .sp4_mixture import SP4
from .sp5_data_free import SP5
from .sp6_size import SP6
from .sp7_isolation import SP7

PAPER = Paper(
    "sensitivity",
    "SiPPing Neural Networks: Sensitivity-informed Provable Pruning of Neural Networks",
    "Cenk Baykal, Lucas Liebenwein, Igor Gilitschenski, Dan Feldman, Daniela Rus",
    2022,
    "1910.05422",
)
CLAIMS = (SP1, SP2, SP3, SP4, SP5, SP6, SP7)

__all__ = ["CLAIMS", "PAPER"]
