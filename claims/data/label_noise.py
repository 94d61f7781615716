"""Three inequivalent kinds of symmetric label noise, each under its own name, and what each does to a posterior.

A share q of the examples, exactly round(q·n), is chosen; of those, with C classes of frequency π:

- `permuted`: their labels are permuted among themselves. Class counts stay; q (1 − Σ π²) change on average.
- `uniform`: their labels are drawn uniformly from all classes, the old one included; q (C − 1)/C change on average.
- `flipped`: their labels are drawn uniformly from the other classes; exactly q change.

The posterior of a noisy label is (1 − q) p + q π, (1 − q) p + q/C and (1 − q) p + q (1 − p)/(C − 1) in turn.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from pruneproof.errors import InvalidValueError

Noise = Literal["permuted", "uniform", "flipped"]


def noisy_labels(labels: Tensor, share: float, kind: Noise, classes: int, generator: torch.Generator) -> Tensor:
    """Labels with one kind of symmetric noise.

    Args:
        labels: (n,) int64 in 0 … classes − 1; left unchanged.
        share: q in [0, 1], the share of examples that is chosen.
        kind: "permuted", "uniform" or "flipped"; see the module.
        classes: at least two.
        generator: chooses examples and labels.

    Raises:
        InvalidValueError: for a share outside [0, 1], an unknown kind, fewer than two classes or labels out of range.

    Example:
        >>> clean = torch.arange(1000) % 10
        >>> noisy = noisy_labels(clean, 0.4, "flipped", 10, torch.Generator().manual_seed(0))
        >>> int((noisy != clean).sum())
        400
    """
    _check(share, kind, classes)
    if labels.dim() != 1 or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes):
        ends = f" in {int(labels.min())} … {int(labels.max())}" if labels.numel() else ""
        raise InvalidValueError(
            f"noisy_labels: labels must have shape (n,) and lie in 0 … {classes - 1}, "
            f"got shape {tuple(labels.shape)}{ends}. Number the classes from 0."
        )
    chosen = torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]
    old = labels[chosen]
    if kind == "permuted":
        new = old[torch.randperm(len(old), generator=generator)]
    elif kind == "uniform":
        new = torch.randint(classes, old.shape, generator=generator)
    else:
        new = (old + torch.randint(1, classes, old.shape, generator=generator)) % classes
    noisy = labels.clone()
    noisy[chosen] = new
    return noisy


def noisy_posterior(posterior: Tensor, share: float, kind: Noise) -> Tensor:
    """The posterior (n, C) of the noisy label, from that of the clean one; class frequencies are its column means.

    Args:
        posterior: (n, C) true conditional probabilities.
        share, kind: as for `noisy_labels`.

    Raises:
        InvalidValueError: for a share outside [0, 1] or an unknown kind.

    Example:
        >>> noisy_posterior(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 0.4, "flipped")
        tensor([[0.6000, 0.4000],
                [0.4000, 0.6000]])
    """
    classes = posterior.shape[1]
    _check(share, kind, classes)
    if kind == "permuted":
        replaced = posterior.mean(0).expand_as(posterior)
    elif kind == "uniform":
        replaced = torch.full_like(posterior, 1 / classes)
    else:
        replaced = (1 - posterior) / (classes - 1)
    return (1 - share) * posterior + share * replaced


def _check(share: float, kind: Noise, classes: int) -> None:
    if not 0 <= share <= 1 or kind not in get_args(Noise) or classes < 2:
        raise InvalidValueError(
            f"noisy_labels: a share in [0, 1], a kind of {get_args(Noise)} and two classes or more are needed, got "
            f"{share}, {kind!r} and {classes}. Name the noise explicitly."
        )
