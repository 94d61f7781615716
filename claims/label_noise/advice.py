"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "LN1": {
        HOLDS: (
            "With noisy labels prune past the peak of the test error: sparser networks can be better "
            "than the dense one."
        ),
        NOT_REPRODUCED: (
            "The second descent of the test error under label noise did not appear here: do not prune "
            "in the hope of it."
        ),
        OPEN: "Whether the test error descends twice under label noise is not decided here.",
    },
    "LN5": {
        HOLDS: "The pruned network is also less overconfident, judged on labels with the same noise.",
        NOT_REPRODUCED: "Do not expect the pruned network to be less overconfident.",
        OPEN: "Whether pruning makes the network less overconfident is not decided here.",
    },
    "LN2": {
        HOLDS: "Start from whatever width you have: pruning ends at networks of comparable size.",
        NOT_REPRODUCED: "The size that pruning ends at does depend on the width you start from.",
        OPEN: "Whether the final size depends on the width one starts from is not decided here.",
    },
}
DEVIATIONS = (
    "`quick` and `standard` train for 100 epochs with momentum 0.9 instead of 1000 without; `full` trains "
    "the mixtures as published.",
    "Image networks are small perceptrons; the published ones include a ResNet-18 on CIFAR-10.",
)
