"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "SP3": {
        HOLDS: ("The propagated error is a guarantee you can use: the pruned output stayed within it everywhere."),
        Verdict.VIOLATED: "The propagated error was exceeded: do not rely on it before the cause is found.",
    },
    "SP8": {
        HOLDS: (
            "With retraining in rounds, sensitivities prune ten times at half a point of accuracy or "
            "less; so may magnitude, see its rows."
        ),
        NOT_REPRODUCED: (
            "Ten-fold pruning by sensitivities cost more than half a point of accuracy here, even with retraining."
        ),
        OPEN: ("Whether ten-fold pruning with retraining stays within half a point of accuracy is not decided here."),
    },
    "SP10": {
        HOLDS: "Without retraining, prefer sensitivities to magnitude over all weights.",
        NOT_REPRODUCED: (
            "Without retraining, try magnitude over all weights first: it is cheaper and was not worse somewhere."
        ),
        OPEN: "Against magnitude over all weights, without retraining, nothing is decided here.",
    },
}
DEVIATIONS = (
    "Networks are perceptrons of LeNet-300-100's size and a small convolutional one, smaller than the published ones.",
    "Claims about output errors are judged without retraining; SP7 and SP8 train.",
)
