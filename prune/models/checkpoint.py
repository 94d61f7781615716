"""Networks and data as files, and the hashes by which a certificate names them.

A network is a factory `package.module:function` that builds the architecture (it is imported and called, so whoever
runs this names it; nothing is imported because a certificate says so), and a safetensors file with its state. A
network's hash covers the name, dtype, shape and bytes of every tensor of its state and the architecture's text; data
are hashed as a tensor too.
"""

import hashlib
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pruneproof.errors import PruneproofError

from .evaluation import brief


def load_network(factory: str, checkpoint: Path) -> nn.Module:
    """Build a network and load its state.

    Arguments:
        factory: `package.module:function`, callable without arguments, returning an `nn.Module`.
        checkpoint: a safetensors file with exactly the network's state.

    Raises PruneproofError if either cannot be had.
    """
    model = build_network(factory, where="certify")
    state = load_tensors(checkpoint)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise _refusal(
            f"the state of {factory}", f"{checkpoint} ({brief(error)})", "save model.state_dict()"
        ) from error
    return model.eval()


def build_network(factory: str, *, where: str) -> nn.Module:
    """Import a factory `package.module:function` and call it; `where` is told in the refusal."""
    module, _, name = factory.partition(":")
    if not module or not name:
        remedy = "pass e.g. my_package.nets:resnet20"
        raise PruneproofError(where, required="package.module:function", received=factory, remedy=remedy)
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a factory may lie in the working folder
    try:
        function = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # a module may raise anything; an exit would pass for success
        received, remedy = f"{factory} ({brief(error)})", "make it importable from here (PYTHONPATH)"
        raise PruneproofError(where, required="an importable factory", received=received, remedy=remedy) from error
    try:
        model = function()
    except (Exception, SystemExit) as error:
        received, remedy = f"{factory}, which raised {brief(error)}", "call it in Python to see where"
        raise PruneproofError(where, required="a factory that returns", received=received, remedy=remedy) from error
    if not isinstance(model, nn.Module):
        received = f"{factory}, which returns {type(model).__name__}"
        raise PruneproofError(where, required="a torch module", received=received, remedy="return the network")
    return model


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _refusal("a safetensors file", f"{path} ({error})", "save it by safetensors.torch.save_file") from error


def load_inputs(path: Path) -> Tensor:
    """The tensor `inputs` of a safetensors file."""
    tensors = load_tensors(path)
    if "inputs" not in tensors:
        raise _refusal("a tensor named inputs", f"{path} with {sorted(tensors)}", "save {'inputs': tensor}")
    return tensors["inputs"]


def network_hash(model: nn.Module) -> str:
    """SHA-256 of a network's state and architecture.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = network_hash(layer)
        >>> _ = layer.weight.data.add_(1e-3)
        >>> network_hash(layer) == before
        False
    """
    return _hash([("", str(model).encode()), *((name, _bytes(t)) for name, t in sorted(model.state_dict().items()))])


def data_hash(inputs: Tensor) -> str:
    """SHA-256 of a tensor's dtype, shape and bytes."""
    return _hash([("inputs", _bytes(inputs))])


def _bytes(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    head = f"{plain.dtype}{tuple(plain.shape)}".encode()
    return head + bytes(plain.reshape(-1).view(torch.uint8).numpy())


def _hash(parts: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in parts:  # lengths, so that no two lists of parts run together
        digest.update(f"{len(name)}:{name}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _refusal(required: str, received: object, remedy: str) -> PruneproofError:
    return PruneproofError("certify", required=required, received=received, remedy=remedy)
