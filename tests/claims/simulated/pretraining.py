"""Simulated rows of PT4–PT8: thresholds and losses that grow with the data, or fall with the neurons, as stated.

Noise is that of published rows. In PT4, PT7 and PT8 the onset of a run's growth varies by a factor of exp(0.12), its
thresholds by exp(0.15) from run to run and again from series to series, and all are rounded up to a checkpoint. In PT5
thresholds vary by exp(0.5); in PT6 slopes vary by 0.03 (selected) and 0.11 (direct) from seed to seed.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from pruneproof.claims.claim import Scale, fresh_seeds
from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.claims.pretraining import CLAIMS, growth, pt5_digits, pt6_direct_training
from pruneproof.claims.pretraining.setting import checkpoints
from tests.claims.simulated.simulation import Simulation, around

BY_ID = {claim.id: claim for claim in CLAIMS}
IMAGES = "some images (60000 + 10000 images, SHA-256 0)"

ONSET = {"k=64": 70.0, "k=128": 60.0, "k=m": 55.0}  # examples, of the published logarithms
CONDITION = {"conditioned": lambda m: 13.2, "generic": lambda m: 51 * (m / 56) ** 0.94}  # of the published rows
Growth = Callable[[float, float, float], float]  # log m of a run, log of the onset, condition number → threshold


@cache
def cells(id: str) -> list[Cell]:
    return BY_ID[id].grid(Scale.STANDARD, None)


def reached(times: list[int], time: float) -> int | None:
    """The first checkpoint that is not before a time, or None after the last."""
    place = int(np.searchsorted(times, time))
    return times[place] if place < len(times) else None


def grows(id: str, law: Growth, generator: np.random.Generator) -> list[Row]:
    """PT4, PT7: thresholds of pruned networks follow a law."""
    rows: list[Row] = []
    times = checkpoints(cells(id)[0]["iterations"])
    for cell in cells(id):
        size = np.log(cell["m"]) + 0.12 * generator.standard_normal()
        condition = CONDITION[cell["family"]](cell["m"]) * np.exp(0.02 * generator.standard_normal())
        shared = cell | {"condition": condition, "eigenvalue": 0.5, "norm_squared": 1.0}
        run = 0.15 * generator.standard_normal()
        for subject, onset in ONSET.items():
            for target in growth.TARGETS:
                time = law(size, np.log(onset), condition) * np.exp(run + 0.15 * generator.standard_normal())
                rows.append(shared | {"subject": subject, "target": target, "threshold": reached(times, time)})
    return rows


def logarithm(size: float, onset: float, condition: float) -> float:
    return 90 * (size - onset)


def power(exponent: float, size: float, onset: float, condition: float) -> float:
    return 40 * np.exp(exponent * (size - onset - 0.8))


def theorem(size: float, onset: float, condition: float) -> float:
    return 0.08 * condition * (size + growth.LOG_8L0)


def later(exponent: float, generator: np.random.Generator) -> list[Row]:
    """PT5: thresholds grow as m to some power, on digits and on the images that a user brings."""
    own = cells("PT5")[0]
    brought = [
        own | {"data": IMAGES, "kind": pt5_digits.JUDGED, "m": m, "seed": seed}
        for m in pt5_digits.BROUGHT_SIZES[Scale.STANDARD]
        for seed in fresh_seeds(pt5_digits.BROUGHT_SEEDS)
    ]
    times = checkpoints(own["iterations"], own["ratio"])
    return [
        cell | {"k": k, "t": times} | errors(times, 150 * (cell["m"] / 500) ** exponent * (128 / k) ** 0.5, generator)
        for cell in cells("PT5") + brought
        for k in pt5_digits.KEPT
    ]


def errors(times: list[int], threshold: float, generator: np.random.Generator) -> dict[str, list[float]]:
    """Curves that are above every target before the threshold, and zero from it on."""
    curves = [threshold * np.exp(0.5 * generator.standard_normal()) for _ in range(2)]
    pruned, dense = ([0.5 if t < time else 0.0 for t in times] for time in curves)
    return {"pruned_error": pruned, "dense_error": dense}


def falls(effect: float, generator: np.random.Generator) -> list[Row]:
    """PT6: the slope of selected networks is −1.5, the end of its range, less the effect."""
    slopes = {pt6_direct_training.SELECTED: (-1.5 - effect, 0.03)}
    rows: list[Row] = []
    for cell in cells("PT6"):
        own, level = generator.normal(*slopes.get(cell["subject"], (-1.0, 0.11))), generator.normal(-4.3, 0.15)
        for n in pt6_direct_training.SIZES:
            loss = np.exp(level + own * np.log(n / 90) + 0.03 * generator.standard_normal())
            rows.append(cell | {"n": n, "loss": loss, "dense": 1e-5, "V": 20.0})
    return rows


def prunes(law: Growth, generator: np.random.Generator) -> list[Row]:
    """PT8: thresholds follow a law in k."""
    rows: list[Row] = []
    for cell in cells("PT8"):
        times = checkpoints(cell["iterations"])
        onset = np.log(180) + 0.12 * generator.standard_normal()
        run = 0.15 * generator.standard_normal()
        for k in (round(256 * 2 ** (i / 2)) for i in range(13)):
            time = law(np.log(k), onset, 1.0) * np.exp(run + 0.15 * generator.standard_normal())
            rows.append(cell | {"k": k, "threshold": reached(times, time), "V": 20.0})
    return rows


def laws(rows: Callable[[Growth, np.random.Generator], list[Row]], effect: str, false: Growth) -> Simulation:
    """Thresholds grow like a logarithm, or by another law."""
    return Simulation(effect, {"true": partial(rows, logarithm), "false": partial(rows, false)})


SIMULATED = {
    "PT4": laws(partial(grows, "PT4"), "a + b·log m, or m", partial(power, 1.0)),
    "PT5": around(later, 1.0, "of the slope"),
    "PT6": around(falls, 0.5, "of the slope"),
    "PT7": laws(partial(grows, "PT7"), "a + b·log m, or T3's own shape, κ·(log m + log 4)", theorem),
    "PT8": laws(prunes, "a + b·log k, or the square root of k", partial(power, 0.5)),
}
