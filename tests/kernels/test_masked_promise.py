"""`weight_is_masked`: nothing is masked again, the gradient still is, and a debug mode holds the promise."""

import pytest
import torch

from pruneproof.errors import InvalidValueError
from pruneproof.kernels import BitMask, masked_linear
from pruneproof.kernels.masked import cpu

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
    with torch.inference_mode():
        mask.logical_not_()
    torch.testing.assert_close(masked_linear(X, WEIGHT, mask), X @ (WEIGHT * MASK).T)


@pytest.fixture(params=["all", "kept"])
def multiplied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of the CPU: the whole matrix, or the kept weights alone."""
    monkeypatch.setattr(cpu, "LEAST", 0 if request.param == "kept" else WEIGHT.numel() + 1)
    monkeypatch.setattr(cpu, "DENSITY", 1.0)


@pytest.mark.usefixtures("multiplied")
def test_the_weight_is_read_at_every_call_however_it_was_written() -> None:
    weight = WEIGHT.clone()
    masked_linear(X, weight, MASK)
    weight.data.mul_(2)
    weight.numpy()[0] = 3
    torch.testing.assert_close(masked_linear(X, weight, MASK), X @ (weight * MASK).T)


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_an_infinite_input_spoils_what_reads_it_and_gives_no_other_number_elsewhere(value: float) -> None:
    x, column = X.clone(), int(MASK.sum(0).argmax())
    x[0, column] = 0
    expected = masked_linear(x, WEIGHT, MASK)
    x[0, column] = value
    found, reads = masked_linear(x, WEIGHT, MASK), MASK[:, column]
    assert reads.any() and not reads.all() and not found[0, reads].isfinite().any()
    assert (found[0, ~reads].isnan() | found[0, ~reads].isclose(expected[0, ~reads])).all()
    torch.testing.assert_close(found[1:], expected[1:])
