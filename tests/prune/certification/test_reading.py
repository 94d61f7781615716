"""A reading is held against the network's own outputs, whatever it was that tracing did not see."""

import pytest
import torch
from torch import Tensor, nn

from pruneproof.errors import PruneproofError
from pruneproof.prune.certification.interval_bounds import TensorInterval, check_trace

ONE = torch.ones(1, 1, dtype=torch.float64)


class Plain(nn.Module):
    def __init__(self, outputs: object) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> object:
        return self.outputs


@pytest.mark.parametrize(
    ("outputs", "agree"),
    [
        (torch.tensor([[3.0, 1.0]]), True),
        (torch.tensor([[-torch.inf, 1.0]]), True),  # nothing is known of the first
        (torch.tensor([[3.0, 1.0 + 1e-3]]), False),
        (torch.tensor([[torch.inf, 1.0 + 1e-3]]), False),  # one overflow does not excuse the rest
        (torch.tensor([[3.0, torch.nan]]), False),
        (torch.tensor([[3.0, torch.inf]]), False),
        (torch.tensor([3.0, 1.0]), False),  # would broadcast
        ((torch.tensor([[3.0, 1.0]]),), False),
        (None, False),
    ],
)
def test_a_reading_is_compared_entry_by_entry(outputs: object, agree: bool) -> None:
    if isinstance(outputs, Tensor):
        outputs = outputs.double()
    interval = TensorInterval(torch.tensor([[-torch.inf, 1.0]]).double(), torch.tensor([[torch.inf, 1.0]]).double())
    if agree:
        check_trace(Plain(outputs), ONE, interval, smooth=False)
        return
    with pytest.raises(PruneproofError, match="what its trace says"):
        check_trace(Plain(outputs), ONE, interval, smooth=False)


def test_only_activations_of_the_library_may_err_absolutely() -> None:
    zero = TensorInterval(0.0 * ONE, 0.0 * ONE)
    check_trace(Plain(1e-13 * ONE), ONE, zero, smooth=True)
    with pytest.raises(PruneproofError, match="away"):
        check_trace(Plain(1e-13 * ONE), ONE, zero, smooth=False)
