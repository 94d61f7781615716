"""Stored rows survive a move of the code: the key of a cell depends on the stable id of its measure.

The keys were written down before the first move; a key that changes here makes every stored row be computed anew.
"""

import json

import pytest

from pruneproof.claims.engine.cell import task
from pruneproof.claims.papers import KEYS, load_papers

CLAIMS = [claim for paper in load_papers(KEYS) for claim in paper.claims]
KNOWN = {
    "pruneproof.claims.pretraining.selection_bounds:measure": (
        '{"images":"few","iterations":0,"scaling":"ntk","seed":0}',
        "9e161683ffdc43360ead1bb14c0a05b9",
    ),
    "pruneproof.claims.pretraining.descent_rate:measure": (
        '{"d":60,"m":8,"seed":0,"width":60000}',
        "73650e21ef89840459b519075e6eb31b",
    ),
    "pruneproof.claims.pretraining.threshold_bounds:measure": (  # revision 1: columns were renamed
        '{"labels":"random","m":8,"scaling":"ntk","seed":0,"width":512}',
        "9aecbf8e8f7646c05d8490d4ea270c7e",
    ),
    "pruneproof.claims.pretraining.dataset_size:measure": (  # revision 1: thresholds from then on
        '{"family":"generic","iterations":500,"labels":"random","m":320,"scaling":"ntk","seed":100}',
        "aad270a200f66350be0b63de516cbfb9",
    ),
    "pretraining/digits-curves": (
        '{"iterations":3000,"kind":"binarised","m":1437,"ratio":1.5,"seed":200,"width":1024}',
        "7dbacc6b4e41b7cea69c97d171129a82",
    ),
    "pruneproof.claims.pretraining.direct_training:measure": (  # revision 1: set-ups beside the usual one
        '{"iterations":5000,"seed":100,"subject":"selected"}',
        "71e813774d21985ba26bfbcbdd6ecd4b",
    ),
    "pruneproof.claims.initialization.grid:pruned": (
        '{"ablation":"none","at":0,"density":0.05,"kind":"early","method":"snip","network":"cnn","seed":0}',
        "644bf39d681e1ab1a4d4cb2a73759c05",
    ),
    "pruneproof.claims.sensitivity.rows:measure": (
        '{"delta":0.2,"draws":4000,"fraction":0.5,"instance":"block","layer":0,"seed":0}',
        "593dfbd74fb982b0f185986188ad713f",
    ),
    "pruneproof.claims.sensitivity.population:measure": (
        '{"kind":"conformal","network":"mlp","repeats":250,"seed":0}',
        "94a63c97e7cbf050a10fe974d56080c0",
    ),
    "pruneproof.claims.sensitivity.guarantee:measure": (
        '{"density":0.2,"images":24,"kind":"pair","method":"sipp det","network":"mlp","seed":0}',
        "723ff5ee48363af2f3b7ed5aacf30ed4",
    ),
    "pruneproof.claims.sensitivity.mixture:measure": (
        '{"density":0.3,"network":"mlp","seed":0}',
        "f3545a8796a73fe523956d24b12260d5",
    ),
    "pruneproof.claims.sensitivity.data_free:measure": (
        '{"density":0.5,"network":"mlp","seed":0}',
        "cbb258509e5b387e37d72ff988cd9b0e",
    ),
    "pruneproof.claims.sensitivity.size:measure": (
        '{"epsilon":2.0,"network":"mlp","seed":0}',
        "db1e303b0ca8a3371c28dfd58b76c72e",
    ),
    "sensitivity/isolation": (
        '{"density":0.05,"method":"sipp","network":"mlp","seed":0}',
        "eced00733c772a194fd6009410edfe49",
    ),
    "pruneproof.claims.scaling.algebra:measure_algebra": ('{"check":"identities"}', "b06f7ba80b4427ad044aa65e9903b27a"),
    "pruneproof.claims.scaling.path:measure_path": (
        '{"batch":128,"depth":2,"epochs":30,"examples":2000,"levels":24,"momentum":0.9,"rate":0.1,"rewind_epochs":2,"seeds":[0,1,2],"share":0.2,"task":"teacher","width":64}',
        "2408852f8a198ef64065e72cc05b4635",
    ),
    "pruneproof.claims.label_noise.path:measure_path": (
        '{"batch":128,"bias":true,"drops":[50,75],"epochs":100,"hidden":[100,50],"kind":"flipped","lowest":0.003,"momentum":0.9,"noise":0.4,"rate":0.1,"seeds":[0,1,2,3,4],"share":0.2,"task":"digits"}',
        "83f2a204b1277f9a8e8f7991b8ee5264",
    ),
}


@pytest.mark.parametrize("identity", KNOWN)
def test_keys_of_stored_cells_stay(identity: str) -> None:
    cell, key = KNOWN[identity]
    (measure,) = {claim.measure for claim in CLAIMS if getattr(claim.measure, "stable_id", "") == identity}
    asked = task(measure, json.loads(cell))
    assert (asked.cell, asked.key) == (cell, key)


def test_stable_ids_are_unique() -> None:
    ids = {(claim.measure, getattr(claim.measure, "stable_id", None)) for claim in CLAIMS}
    assert None not in {identity for _, identity in ids}
    assert len({identity for _, identity in ids}) == len(ids)
