"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "SP3": {
        HOLDS: (
            "The pruned output stayed within the certified bound everywhere; at large radii and low densities the "
            "bound certifies nothing."
        ),
        Verdict.VIOLATED: "The bound on the output's error was exceeded: do not rely on it before the cause is found.",
    },
    "SP8": {
        HOLDS: (
            "With retraining in rounds, pruning by sensitivity to a tenth of the weights cost half a point of "
            "accuracy or less; magnitude may do as well, see its rows."
        ),
        NOT_REPRODUCED: (
            "Pruning by sensitivity to a tenth of the weights cost more than half a point of accuracy here, even with "
            "retraining."
        ),
        OPEN: (
            "Whether pruning by sensitivity to a tenth of the weights, with retraining, costs at most half a point of "
            "accuracy is not decided here."
        ),
    },
    "SP10": {
        HOLDS: "Without retraining, prefer pruning by sensitivity to magnitude over all weights.",
        NOT_REPRODUCED: (
            "Without retraining, try magnitude over all weights first: it is cheaper and was not worse somewhere."
        ),
        OPEN: "Whether pruning by sensitivity beats magnitude over all weights is not decided here (no retraining).",
    },
}
DEVIATIONS = (
    "Networks are perceptrons of LeNet-300-100's size and a small convolutional one, smaller than the published ones.",
    "Claims about output errors are judged without retraining; SP7 and SP8 train.",
)
