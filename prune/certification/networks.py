"""Networks and data as files, and the hashes by which a certificate names them.

A network is a factory `package.module:function` that builds the architecture (it is imported and called: code that the
reader already has, never code from the certificate), and a safetensors file with its state. A network's hash covers the
name, dtype, shape and bytes of every tensor of its state and the architecture's text; data are hashed as a tensor too.
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

from ...errors import PruneproofError


def load_network(factory: str, checkpoint: Path) -> nn.Module:
    """Build a network and load its state.

    Arguments:
        factory: `package.module:function`, callable without arguments, returning an `nn.Module`.
        checkpoint: a safetensors file with exactly the network's state.

    Raises PruneproofError if either cannot be had.
    """
    module, _, name = factory.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a factory may lie in the working folder
    try:
        model = getattr(import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        received = f"{factory} ({type(error).__name__}: {error})"
        raise _refusal("a factory package.module:function", received, "make it importable (PYTHONPATH)") from error
    if not isinstance(model, nn.Module):
        raise _refusal("a factory of an nn.Module", type(model).__name__, "return the network")
    state = load_tensors(checkpoint)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise _refusal(f"the state of {factory}", f"{checkpoint} ({error})", "save model.state_dict()") from error
    return model.eval()


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
