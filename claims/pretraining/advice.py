"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "PT3": {
        HOLDS: (
            "The loss of a pruned network obeys the proved bounds. They ask for more pre-training than is needed: "
            "take their numbers as upper limits."
        ),
        Verdict.VIOLATED: (
            "A proved bound on the pruned loss was exceeded: do not rely on it before the cause is found."
        ),
    },
    "PT4": {
        HOLDS: (
            "On data of fixed conditioning, plan for pre-training that grows with the logarithm of the dataset's size."
        ),
        NOT_REPRODUCED: (
            "Do not count on pre-training that grows only with the logarithm of the dataset's size, "
            "even at fixed conditioning."
        ),
        OPEN: ("Whether the pre-training needed grows with the logarithm of the dataset's size is not decided here."),
    },
    "PT5": {
        HOLDS: "On images, pre-train longer before pruning when there are more of them.",
        NOT_REPRODUCED: "On images, more data did not ask for more pre-training.",
        OPEN: "Whether more images need more pre-training is not decided here.",
    },
    "PT8": {
        HOLDS: (
            "At a fixed dataset, selecting twice as many neurons adds a constant number of iterations until the loss "
            "is below 2V/k."
        ),
        NOT_REPRODUCED: "Do not count on pre-training that grows only with the logarithm of the size kept.",
        OPEN: "Whether the pre-training needed grows with the logarithm of the size kept is not decided here.",
    },
}
DEVIATIONS = (
    "Networks have one hidden layer and are trained on 12,800 examples at most (50,000 at full); the dataset sizes "
    "span one or two decades.",
    "Neurons are selected greedily with replacement, as the theorems say; fine-tuning after selection is "
    "not part of the criteria.",
)
