"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "AI2": {
        HOLDS: ("Train first and prune by magnitude if you can afford it: no method at initialisation reaches it."),
        NOT_REPRODUCED: (
            "At some density a method at initialisation passed magnitude pruning after training: compare on "
            "your own network."
        ),
        OPEN: (
            "Whether pruning at initialisation falls behind magnitude pruning after training is not "
            "decided here at every density."
        ),
    },
    "AI1": {
        HOLDS: "If you must prune at initialisation, any of the methods is better than random pruning.",
        NOT_REPRODUCED: (
            "A method at initialisation is not always better than random pruning: keep a random mask as your control."
        ),
        OPEN: "Not every method is shown to beat random pruning at every density.",
    },
    "AI3": {
        HOLDS: (
            "Such methods choose a density for each layer; which weights they keep within a layer does not matter."
        ),
        NOT_REPRODUCED: "At some density it matters which weights are kept within a layer, not only how many.",
        OPEN: "Whether only the densities of the layers matter is not decided here at every density.",
    },
}
DEVIATIONS = (
    "The networks of the verdicts are small convolutional ones with short recipes of their own; ResNet-20 and VGG-16 "
    "with the published recipe are judged beside them at `full`, where CIFAR-10 is at hand.",
)
