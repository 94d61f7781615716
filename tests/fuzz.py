"""Look for a certificate that does not hold and for a false proof: `make fuzz CASES=100000`, or this file.

CASES points of balls, random ones and those that gradient ascent finds, are held against the certificates of random
pairs of networks; those of rectifier networks also in rational arithmetic. One in a thousand as many random
inequalities go to the prover. The first wrong answer stops the run and names its seed.
"""

import sys
from collections import Counter
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.prune.certification.attacks import attack
from tests.theory.prover.fuzz import check


def main(cases: int, first: int = 0) -> Counter[str]:
    """Run the attacks with seeds from `first` on; what was tried."""
    tried: Counter[str] = Counter()
    for seed in count(first):
        if tried["random points"] + tried["points found by gradient ascent"] >= cases:
            break
        tried += attack(seed) + Counter({"pairs of networks": 1})
        if not tried["pairs of networks"] % 10:
            print(dict(tried), flush=True)
    for seed in range(first, first + cases // 1000):
        tried[f"inequalities {check(seed)}"] += 1
    return tried


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]] or [1000]
    print(dict(main(*arguments)), "and no violation")
