"""The digits are the real ones, split once, drawn by seed, never longer than one."""

import pytest
import torch

from pruneproof.claims.data.digits import TRAIN, digits
from pruneproof.errors import PruneproofError


def test_split_is_a_partition_of_the_bundled_images() -> None:
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    split = digits(dtype=torch.float64)
    ours = torch.cat([split.train_x, split.test_x])
    assert (len(split.train_x), len(split.test_x)) == (TRAIN, 360)
    scaled = torch.from_numpy(images) / images.max() * ours.max()
    key = torch.linspace(1, 2, 64, dtype=torch.float64) ** 3  # tells images apart
    torch.testing.assert_close((ours @ key).sort().values, (scaled @ key).sort().values)
    labels = torch.cat([split.train_y, split.test_y])
    assert labels.bincount().tolist() == torch.from_numpy(classes).bincount().tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_image_is_longer_than_one(dtype: torch.dtype) -> None:
    split = digits(dtype=dtype)
    longest = max(float(part.norm(dim=1).max()) for part in (split.train_x, split.test_x))
    assert 0.999 < longest <= 1


def test_sets_are_nested_within_a_seed_and_differ_between_seeds() -> None:
    small, large, other = digits(60, seed=3), digits(240, seed=3), digits(60, seed=4)
    assert small.train_x.equal(large.train_x[:60]) and small.train_y.equal(large.train_y[:60])
    assert not small.train_x.equal(other.train_x)
    assert small.test_x.equal(other.test_x)


def test_binary_labels_are_signs_of_the_classes() -> None:
    signs, classes = digits(200, seed=1, binary=True), digits(200, seed=1)
    assert signs.train_x.equal(classes.train_x)
    assert signs.train_y.equal(torch.where(classes.train_y < 5, -1.0, 1.0))


@pytest.mark.parametrize("m", [0, TRAIN + 1, 2.0, True])
def test_a_set_that_does_not_exist_is_refused(m: int) -> None:
    with pytest.raises(PruneproofError, match="1 to 1437"):
        digits(m)
