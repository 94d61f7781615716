"""Sensitivity-informed pruning (Baykal, Liebenwein, Gilitschenski, Feldman, Rus): seven claims on real digits.

In the paper's order: `settings` (networks and data), `rows` (SP1), `population` (SP2), `guarantee` (SP3), `mixture`
(SP4), `data_free` (SP5), `size` (SP6), `isolation` (SP7), `figures`.
"""

from pruneproof.claims.claim import Paper

from .data_free import SP5
from .guarantee import SP3
from .isolation import SP7
from .mixture import SP4
from .population import SP2
from .rows import SP1
from .size import SP6

PAPER = Paper(
    "sensitivity",
    "SiPPing Neural Networks: Sensitivity-informed Provable Pruning of Neural Networks",
    "Cenk Baykal, Lucas Liebenwein, Igor Gilitschenski, Dan Feldman, Daniela Rus",
    2022,
    "1910.05422",
)
CLAIMS = (SP1, SP2, SP3, SP4, SP5, SP6, SP7)

__all__ = ["SP1", "SP2", "SP3", "SP4", "SP5", "SP6", "SP7", "Paper"]
