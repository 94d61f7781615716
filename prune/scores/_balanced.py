"""A pooled scoring batch with the same number of examples of every class, as SNIP and GraSP want it."""

import torch
from torch import Tensor

from pruneproof.errors import PruneproofError, described, require_type


def balanced_batch(
    inputs: Tensor, labels: Tensor, per_class: int = 10, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the same number of examples of each class without replacement.

    **Arguments:**

    - `inputs`: (n, …).
    - `labels`: (n,) integer classes.
    - `per_class`: examples of each class that occurs in `labels`; Frankle et al. (2021) take 10.
    - `generator`: the only source of randomness; it advances.

    **Returns:** inputs (classes · per_class, …) and their labels, ordered by class.

    **Raises:** `PruneproofError` if lengths differ, there are no labels, or a class has too few examples.

    Example:
        >>> x, y = balanced_batch(torch.arange(8.0), torch.arange(8) % 2, 2, generator=torch.Generator())
        >>> y.tolist()
        [0, 0, 1, 1]
    """
    where = "balanced_batch"
    remedy = "pass torch.Generator().manual_seed(seed)"
    require_type(where, generator, torch.Generator, required="a torch.Generator", remedy=remedy)
    for data in (inputs, labels):
        require_type(where, data, Tensor, required="tensors of inputs and labels", remedy="convert them")
    if labels.ndim != 1 or not labels.numel() or inputs.shape[:1] != labels.shape or labels.is_floating_point():
        received = f"inputs {tuple(inputs.shape)}, labels {labels.dtype} {tuple(labels.shape)}"
        raise PruneproofError(where, required="one integer label per input", received=received, remedy="check the data")
    if isinstance(per_class, bool) or not isinstance(per_class, int):
        required, remedy = "a whole number of examples per class", "pass e.g. 10"
        raise PruneproofError(where, required=required, received=described(per_class), remedy=remedy)
    order = torch.randperm(len(labels), generator=generator, device=generator.device).to(labels.device)
    classes, counts = labels.unique(return_counts=True)
    if per_class < 1 or int(counts.min()) < per_class:
        received = f"{per_class} per class, and {int(counts.min())} of class {int(classes[counts.argmin()])}"
        remedy = "ask for fewer, or pass more data"
        raise PruneproofError(where, required="1 to as many as each class has", received=received, remedy=remedy)
    index = torch.cat([order[labels[order] == label][:per_class] for label in classes])
    return inputs[index.to(inputs.device)], labels[index]
