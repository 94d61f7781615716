"""How often the referee is wrong on simulated papers: `python -m tests.claims.simulated.referee [CLAIM …]`.

Draws 200 runs of every claim that is no theorem (or of the claims named), judges them, and writes the rates into the
table of docs/evidence.md.
"""

import hashlib
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from pruneproof.claims.claim import Claim, Verdict
from pruneproof.claims.estimates import proportion
from pruneproof.claims.papers import load_papers
from tests.claims.simulated import initialization, label_noise, pretraining, scaling, sensitivity
from tests.claims.simulated.simulation import RIGHT

SIMULATED = {
    **pretraining.SIMULATED,
    **initialization.SIMULATED,
    **sensitivity.SIMULATED,
    **scaling.SIMULATED,
    **label_noise.SIMULATED,
}
CLAIMS: dict[str, Claim] = {claim.id: claim for paper in load_papers() for claim in paper.claims}
RUNS = 200
PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"
HEAD = (
    "| claim | true, false by | true: holds | not reproduced | false: not reproduced | holds | at the bound: holds | "
    "not reproduced |"
)


def reached(id: str, case: str, seed: int, runs: int = RUNS) -> Counter[Verdict]:
    """The verdicts on simulated runs of a claim."""
    generator, draw = np.random.default_rng(seed), SIMULATED[id].rows[case]
    return Counter(CLAIMS[id].judge(draw(generator)).verdict for _ in range(runs))


def seed_of(id: str, case: str) -> int:
    """The seed of the tests without a salt, see tests/conftest.py."""
    return int.from_bytes(hashlib.sha256(repr(("0", f"{case} {id}")).encode()).digest()[:8], "big") >> 1


def line(id: str) -> str:
    """A row of the table."""
    cells: list[str] = []
    for case in ("true", "false", "bound"):
        verdicts = reached(id, case, seed_of(id, case)) if case in SIMULATED[id].rows else None
        opposite = [verdict for verdict in RIGHT.values() if verdict is not RIGHT.get(case, Verdict.HOLDS)]
        cells += [_rate(verdicts, verdict) for verdict in (RIGHT.get(case, Verdict.HOLDS), *opposite)]
    return f"| {id} | {SIMULATED[id].effect} | {' | '.join(cells)} |"


def _rate(verdicts: Counter[Verdict] | None, verdict: Verdict) -> str:
    if verdicts is None:
        return "–"
    rate = proportion(verdicts[verdict], verdicts.total())
    return f"{verdicts[verdict]} of {rate.n} [{100 * rate.low:.2g}, {100 * rate.high:.3g}] %"


def write(ids: list[str]) -> None:
    """Measure claims, one after the other, and put their rows into the table."""
    for id in ids:
        measured, text = line(id), PAGE.read_text("utf-8")
        known = dict(re.findall(r"^(?=\| (\w+\d) \|)(.*)$", text, flags=re.MULTILINE)) | {id: measured}
        table = "\n".join([HEAD, "|---" * 8 + "|", *(known[name] for name in SIMULATED if name in known)])
        start, end = text.index("| claim | true"), text.index("\n\n", text.index("| claim | true"))
        PAGE.write_text(text[:start] + table + text[end:], "utf-8")
        print(measured, flush=True)


if __name__ == "__main__":
    write(sys.argv[1:] or list(SIMULATED))
