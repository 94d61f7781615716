"""`weight_is_masked`: nothing is masked again, the gradient still is, and a debug mode holds the promise."""

import pytest
import torch

from pruneproof.errors import InvalidValueError
from pruneproof.kernels import BitMask, masked_linear

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT, X = torch.randn(6, 40, generator=GENERATOR), torch.randn(3, 40, generator=GENERATOR)
MASK = torch.rand(6, 40, generator=GENERATOR) < 0.2


@pytest.mark.parametrize("packed", [False, True])
def test_a_masked_weight_gives_the_same_outputs_and_gradients(packed: bool) -> None:
    mask = BitMask.pack(MASK) if packed else MASK
    weight = (WEIGHT * MASK).requires_grad_()
    plain, promised = masked_linear(X, weight, mask), masked_linear(X, weight, mask, weight_is_masked=True)
    assert torch.equal(plain, promised)
    gradients = [torch.autograd.grad(y.square().sum(), weight)[0] for y in (plain, promised)]
    assert torch.equal(*gradients) and not gradients[1][~MASK].any()


def test_debug_mode_refuses_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    masked_linear(X, WEIGHT, MASK, weight_is_masked=True)  # undefined, and not looked at
    monkeypatch.setenv("PRUNEPROOF_DEBUG", "1")
    masked_linear(X, WEIGHT * MASK, MASK, weight_is_masked=True)
    with pytest.raises(InvalidValueError, match="weights outside the mask are not zero"):
        masked_linear(X, WEIGHT, MASK, weight_is_masked=True)


def test_a_mask_that_changes_in_place_is_seen() -> None:
    """What is kept beside the mask must not outlive its bits."""
    mask, packed = MASK.clone(), BitMask.pack(MASK)
    for either in (mask, packed):
        masked_linear(X, WEIGHT, either)
    mask.logical_not_()
    packed.words.copy_(BitMask.pack(~MASK).words)
    expected = X @ (WEIGHT * ~MASK).T
    torch.testing.assert_close(masked_linear(X, WEIGHT, mask), expected)
    torch.testing.assert_close(masked_linear(X, WEIGHT, packed), expected)
