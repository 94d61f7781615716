"""A checkpoint and the model that it belongs to: reading its whole state, and the names that its weights have there."""

from collections.abc import Mapping

from safetensors.torch import load_file
from torch import Tensor, nn

from pruneproof.errors import UnsupportedError
from pruneproof.prune.models.checkpoint import build_network, load_state

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


def load_model(
    checkpoint: Checkpoint, factory: str, *, allow_missing: bool, allow_extra: bool, where: str
) -> tuple[nn.Module, list[str]]:
    """Call `package.module:function`, which returns a module, and load the checkpoint into it.

    Args:
        checkpoint: An open checkpoint.
        factory: What builds the module.
        allow_missing: Whether the checkpoint may lack parameters, which stay as the factory set them.
        allow_extra: Whether it may hold tensors that the module has not.
        where: The function or command that the user called, for error messages.

    Returns:
        The module, and one sentence for each kind of difference that was accepted.

    Raises:
        PruneproofError: Either cannot be found, or they do not fit.
    """
    model = build_network(factory, where="--factory")
    accepted = {"allow_missing": allow_missing, "allow_extra": allow_extra}
    return model, load_state(model, read_state(checkpoint), source=checkpoint.path, where=where, **accepted)


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
