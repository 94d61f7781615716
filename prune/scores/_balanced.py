"""A pooled scoring batch with the same number of examples of every class, as SNIP and GraSP want it."""

import torch
from torch import Tensor

from pruneproof.checks import require_integer, require_type
from pruneproof.errors import InvalidValueError
from pruneproof.prune.models.evaluation import require_generator


def balanced_batch(
    inputs: Tensor, labels: Tensor, per_class: int = 10, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the same number of examples of each class without replacement.

    Args:
        inputs: (n, …).
        labels: (n,) integer classes.
        per_class: Examples of each class that occurs in `labels`; Frankle et al. (2021) take 10.
        generator: The only source of randomness; it advances.

    Returns:
        Inputs (classes · per_class, …) and their labels, ordered by class.

    Raises:
        InvalidValueError: Lengths differ, there are no labels, or a class has too few examples.
        InvalidTypeError: An argument is of another type.

    Example:
        >>> x, y = balanced_batch(torch.arange(8.0), torch.arange(8) % 2, 2, generator=torch.Generator())
        >>> y.tolist()
        [0, 0, 1, 1]
    """
    require_generator("balanced_batch", generator)
    for data in (inputs, labels):
        require_type("balanced_batch", data, Tensor, "inputs and labels must be tensors", "Convert them.")
    if labels.ndim != 1 or not labels.numel() or inputs.shape[:1] != labels.shape or labels.is_floating_point():
        raise InvalidValueError(
            f"balanced_batch: there must be one integer label per input, at least one, got inputs "
            f"{tuple(inputs.shape)} and labels {labels.dtype} {tuple(labels.shape)}. Check the data."
        )
    require_integer("balanced_batch", "per_class", per_class)
    order = torch.randperm(len(labels), generator=generator, device=generator.device).to(labels.device)
    classes, counts = labels.unique(return_counts=True)
    if int(counts.min()) < per_class:
        raise InvalidValueError(
            f"balanced_batch: there are {int(counts.min())} examples of class {int(classes[counts.argmin()])}, fewer "
            f"than per_class={per_class}. Ask for fewer, or pass more data."
        )
    index = torch.cat([order[labels[order] == label][:per_class] for label in classes])
    return inputs[index.to(inputs.device)], labels[index]
