"""A result that is printed says in one line what it is; the tensors it holds are asked for by name."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruneproof import prune


def scored(model: nn.Module, inputs: Tensor) -> prune.AblationStudy:
    return prune.ablation_study(
        lambda: nn.Linear(8, 4),
        lambda model: None,
        lambda model: 0.5,
        densities=[0.5, 0.25],
        scores={"magnitude": prune.scores.magnitude},
    )


RESULTS: dict[str, Callable[[nn.Sequential, Tensor], object]] = {
    "magnitude": lambda model, inputs: prune.magnitude(model, density=0.5),
    "inspect_model": lambda model, inputs: prune.inspect_model(model),
    "sipp": lambda model, inputs: prune.sipp(model, inputs, density=0.5, variant="det"),
    "pfp": lambda model, inputs: prune.pfp(model, inputs, density=0.5),
    "certify": lambda model, inputs: prune.certify(model, model, inputs, radius=0.01),
    "certify_population": lambda model, inputs: prune.certify_population(model, model, inputs),
    "connectivity": lambda model, inputs: prune.connectivity(model, prune.magnitude(model, density=0.5), (1, 64)),
    "greedy_subnetwork": lambda model, inputs: prune.greedy_subnetwork(model, inputs, 10),
    "calibrated": lambda model, inputs: prune.calibrated(model, [inputs], density=0.5),
    "ablation_study": scored,
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_shown_in_one_line(name: str) -> None:
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    shown = repr(RESULTS[name](model, torch.rand(32, 64)))
    assert "\n" not in shown and len(shown) < 300 and "tensor(" not in shown


def test_the_table_of_an_inspection_is_what_the_command_prints() -> None:
    layer = nn.Linear(4, 2, bias=False)
    nn.init.ones_(layer.weight)
    masks = prune.Masks({"weight": torch.tensor([[True, True, False, False], [True, False, False, False]])})
    assert str(prune.inspect_model(layer, masks, input_shape=(1, 4))).splitlines() == [
        "weight  shape  kept  density  bytes  packed  kept MACs",
        "weight    2×4     3   37.50%     32      20          3",
        "",
        "weights kept: 3 of 8 (37.50%)",
        "multiply–accumulates (MACs) with kept weights: 3 of 8",
        "bytes in memory: 32 as the tensors are now",
        "bytes if packed: 20, as kept values and one bit per weight",
        "speed of weight: faster only if empty rows or columns are removed; no speed-up expected on dense kernels",
    ]
