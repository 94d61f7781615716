"""Which networks are pruned at which scale; sizes were fixed from their cost; see docs/pilots.md.

`quick` and `standard` shorten the published training (1000 epochs of SGD at 0.1 without momentum) to 100 epochs with
momentum 0.9, the same total step; `quick` also shrinks the mixtures to 20 features at the same Bayes error (ν√D = 5).
`full` trains the mixtures as published. Noise: mixtures 5 % (linear) and 25 % (XOR) permuted, digits 40 % flipped.
"""

from pruneproof.claims.claim import Scale
from pruneproof.claims.engine.cell import Cell
from pruneproof.claims.training.trainer import device_of

MIXTURE_SEEDS = {Scale.QUICK: 3, Scale.STANDARD: 5, Scale.FULL: 5}
DIGITS_SEEDS = {Scale.QUICK: 5, Scale.STANDARD: 10, Scale.FULL: 20}  # 360 test images: more seeds, cheap ones
NOISE = {"linear": 0.05, "xor": 0.25}
DIGITS_NOISE = 0.4
HIDDEN = [100, 50]
WIDE = {Scale.QUICK: [200, 100], Scale.STANDARD: [400, 200], Scale.FULL: [800, 400]}
WIDTHS = (200, 100, 50)
REFERENCE_WIDTH = 100  # where two tasks or two probabilities are compared

_SHORT = {"epochs": 100, "momentum": 0.9, "rate": 0.1, "drops": []}
_PUBLISHED = {"epochs": 1000, "momentum": 0.0, "rate": 0.1, "drops": []}
_MIXTURES = {
    Scale.QUICK: _SHORT | {"examples": 2000, "features": 20, "nu": 1.25**0.5, "batch": 256},
    Scale.STANDARD: _SHORT | {"examples": 10_000, "features": 100, "nu": 0.5, "batch": 1024},
    Scale.FULL: _PUBLISHED | {"examples": 10_000, "features": 100, "nu": 0.5, "batch": 1024},
}
_MIXTURE_PATH = {"bias": False, "share": 0.2, "lowest": 0.008, "kind": "permuted"}
_DIGITS = {
    "task": "digits", "kind": "flipped", "bias": True, "share": 0.2, "lowest": 0.003,
    "epochs": 100, "batch": 128, "rate": 0.1, "momentum": 0.9, "drops": [50, 75],
}  # fmt: skip


def digits_cell(scale: Scale, seeds: int | None, *, noise: float = DIGITS_NOISE, hidden: list[int] = HIDDEN) -> Cell:
    """One digits network with its seeds.

    Example:
        >>> digits_cell(Scale.QUICK, 2)["seeds"]
        [0, 1]
    """
    own = {"noise": noise, "hidden": hidden, "seeds": _numbered(DIGITS_SEEDS[scale], seeds)}
    return _DIGITS | own | device_of(scale)


def mixture_cell(scale: Scale, seeds: int | None, task: str, width: int) -> Cell:
    """One two-layer bias-free network on a mixture with its seeds.

    Example:
        >>> mixture_cell(Scale.FULL, None, "xor", 100)["epochs"]
        1000
    """
    own = {"task": task, "noise": NOISE[task], "hidden": [width], "seeds": _numbered(MIXTURE_SEEDS[scale], seeds)}
    return _MIXTURES[scale] | _MIXTURE_PATH | own | device_of(scale)


def _numbered(usual: int, asked: int | None) -> list[int]:
    return list(range(usual if asked is None else asked))
