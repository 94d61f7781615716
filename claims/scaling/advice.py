"""What a reader may believe and do, by verdict, and where the experiments leave the published protocol."""

from collections.abc import Mapping

from pruneproof.claims.claim import Verdict

HOLDS, NOT_REPRODUCED, OPEN = Verdict.HOLDS, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE

ADVICE: Mapping[str, Mapping[Verdict, str]] = {
    "SL2": {
        HOLDS: "Use the scaling law to describe error against density within one family of networks.",
        NOT_REPRODUCED: (
            "The scaling law described this family less closely than published: check its residuals before you use it."
        ),
        OPEN: "Whether the scaling law describes a whole family as closely as published is not decided here.",
    },
    "SL3": {
        HOLDS: "The scaling law, fitted to small networks, predicts the wider ones of the same task.",
        NOT_REPRODUCED: "Do not extrapolate from small networks to wider ones without a measurement.",
        OPEN: "Whether small networks predict wider ones is not decided here.",
    },
    "SL6": {
        HOLDS: "Let the scaling law name the network to prune.",
        NOT_REPRODUCED: "Do not let the scaling law name the network to prune: the best one was usually another.",
        OPEN: "Whether the scaling law names the best network to prune is not decided here.",
    },
}
DEVIATIONS = (
    "The judged family is of perceptrons by width and depth instead of ResNets, with fewer densities than the "
    "published 40 and far fewer networks; small residual networks are printed at full.",
    "Networks rewind to the second epoch instead of the tenth, of a shorter training.",
)
