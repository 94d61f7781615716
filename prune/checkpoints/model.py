"""A checkpoint and the model that it belongs to: reading its whole state, and the names that its weights have there."""

from collections.abc import Mapping

from safetensors.torch import load_file
from torch import Tensor, nn

from pruneproof.errors import UnsupportedError

from .checkpoint import Checkpoint


def read_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint.

    Args:
        checkpoint: An open checkpoint.

    Returns:
        Name → tensor; those of safetensors files are mapped from the disk.
    """
    if checkpoint.saved is None:
        return {name: tensor for file in checkpoint.files for name, tensor in load_file(file.path).items()}
    contents = [(tensor, tensor.content) for tensor in checkpoint.tensors]
    return {
        tensor.name: content.view(tensor.dtype).view(tensor.shape)
        for tensor, content in contents
        if content is not None and tensor.dtype is not None
    }


def stored_masks(
    model: nn.Module, masks: Mapping[str, Tensor], checkpoint: Checkpoint, *, where: str
) -> dict[str, Tensor]:
    """Give masks the names that the weights have in the checkpoint: all of them where a weight is tied.

    Args:
        model: The model.
        masks: Name of a parameter → mask.
        checkpoint: Its checkpoint.
        where: The function or command that the user called, for error messages.

    Returns:
        Name of a tensor in the checkpoint → mask.

    Raises:
        UnsupportedError: A weight is not in the checkpoint.
    """
    own = model.state_dict(keep_vars=True)
    stored = {tensor.name for tensor in checkpoint.tensors}
    named = dict[str, Tensor]()
    for name, mask in masks.items():
        names = [other for other in own if own[other] is own.get(name) and other in stored]
        if not names:
            raise UnsupportedError(
                f"{where}: {checkpoint.path} does not hold the weight {name}, so it cannot be pruned there. Exclude "
                "it, or save the model again."
            )
        named |= dict.fromkeys(names, mask)
    return named
