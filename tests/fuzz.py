"""Look for a certificate that does not hold and for a false proof: `make fuzz CASES=100000`, or this file."""

import argparse
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pruneproof.errors import one_line
from pruneproof.progress import Meter
from tests.prune.certification.attacks import attack
from tests.theory.prover.fuzz import check

HELP = """Look for a certificate that does not hold and for a false proof.

A case is a ball around an input, certified for a random network and a pruned copy (perceptrons, residual and
convolutional networks; both norms and methods, five radii, several batch sizes). Every ball is attacked at 128 random
points, half of them on its boundary; in the maximum norm also at 16 that gradient ascent finds. The points of
rectifier networks are evaluated in rational arithmetic too, two a ball. One random inequality per hundred cases goes
to the prover; its proofs are held against exact values, its refutations against another evaluation."""
EPILOG = """Each seed is 8 balls of one pair, and the same on every run. A wrong answer is printed with its seed, and
the run goes on; Ctrl-C ends it with the report of what was tried and the command that continues. The exit status is 0
without a wrong answer, 1 with one, 130 after Ctrl-C.

examples:
  make fuzz CASES=100000                          about an hour on one core
  python tests/fuzz.py 100000 --first 5000        seeds from 5000 on
  python tests/fuzz.py 8 --first 4711             seed 4711 alone, to see a reported one again"""
SEEDS_PER_INEQUALITY = 12  # of 8 balls each: about a hundred cases
REPORT_EVERY = 60.0  # seconds, where no terminal shows a progress bar


def main(cases: int, first: int = 0) -> int:
    """Run the attacks with seeds from `first` on, print what was tried and what was wrong; the exit status."""
    tried, inequalities, wrong = Counter[str](), Counter[str](), list[str]()
    start = said = time.monotonic()

    def report(seed: int) -> str:
        many, pairs = (", ".join(f"{n:,} {what}" for what, n in parts.items()) for parts in (inequalities, tried))
        return (
            f"seeds {first} to {seed - 1}, {time.monotonic() - start:.0f} s: {pairs or 'nothing'}; "
            f"inequalities: {many or 'none'}; wrong answers: {len(wrong)}"
        )

    seed = first
    try:
        with Meter("attacking balls", counted=True) as meter:
            for seed in count(first):
                if tried["balls"] >= cases:
                    break
                try:
                    found = attack(seed)
                    answers = [check(seed)] if seed % SEEDS_PER_INEQUALITY == 0 else []
                    tried, inequalities = tried + found, inequalities + Counter(answers)
                except Exception as error:  # whatever else goes wrong is a finding as well
                    wrong.append(f"seed {seed}: {one_line(error)}")
                    tried["balls"] += 8
                    print(f"WRONG {wrong[-1]}", flush=True)
                meter(tried["balls"], cases)
                if not sys.stderr.isatty() and time.monotonic() - said > REPORT_EVERY:
                    said = time.monotonic()
                    print(report(seed + 1), flush=True)
    except KeyboardInterrupt:
        print(report(seed), *wrong, sep="\n")
        print(f"interrupted: continue with python tests/fuzz.py {cases - tried['balls']} --first {seed}")
        return 130
    print(report(seed), *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=HELP, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("cases", type=int, nargs="?", default=1000, help="how many balls to attack (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (default: 0)")
    asked = parser.parse_args()
    sys.exit(main(asked.cases, asked.first))
