"""Record what one network computes as a `torch.fx` graph, and refuse what such a record would leave out.

What is recorded, read and run is a copy in float64 with evaluation statistics: `if self.training` takes the branch that
is deployed, and nothing of the user's network changes. A parametrised weight is the one that float64 computes.
"""

import copy
import operator
from typing import Any

import torch
from torch import fx, nn

from ...errors import PruneproofError
from ..trial import brief, trial


def evaluable(model: nn.Module) -> nn.Module:
    """A copy that computes in float64 on the CPU, with evaluation statistics.

    Raises PruneproofError for what is no module, cannot be copied, or has hooks: those run outside `forward`.
    """
    if not isinstance(model, nn.Module):
        raise PruneproofError("certify", required="a torch.nn.Module", received=type(model).__name__, remedy="pass one")
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):  # pyright: ignore[reportPrivateUsage]
            received = f"{name or 'the network'} ({type(module).__name__})"
            remedy = "remove hooks and weight norm, make masks permanent (torch.nn.utils.prune.remove)"
            required = "modules without forward hooks or a forward of the instance"
            raise PruneproofError("certify", required=required, received=received, remedy=remedy)
    with trial("certify", required="a network that can be copied", remedy="try copy.deepcopy(network)"):
        return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()


def is_layer(module: nn.Module) -> bool:
    """Is the module one operation: is what runs torch's own code, whatever else its class adds (a parametrisation)?"""
    code = [module.forward, getattr(module, "_conv_forward", module.forward)]
    return not isinstance(module, nn.Sequential) and all(
        str(getattr(function, "__module__", "")).startswith("torch.nn.") for function in code
    )


class _Value(fx.Proxy):
    """A value being traced. Unlike torch.fx's own it tells `x += y`, which overwrites x, from `x + y`."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


def trace(model: nn.Module) -> list[fx.Node]:
    """The operations of a network in evaluation order: one input, operations, one output.

    Raises PruneproofError if `torch.fx` cannot trace it, or if it takes or returns several values.
    """
    try:
        nodes = list(_Tracer().trace(model).nodes)
    except Exception as error:  # a forward that meets a proxy where it wants a tensor may raise anything
        why = f"{type(model).__name__} ({brief(error)})"
        raise PruneproofError(
            "certify",
            required="a network torch.fx can trace",
            received=why,
            remedy="remove control flow on data",
        ) from error
    inputs = [str(node.target) for node in nodes if node.op == "placeholder"]
    output = nodes[-1].args[0]
    if len(inputs) == 1 and isinstance(output, fx.Node):
        return nodes
    received = f"arguments {', '.join(inputs)}" if len(inputs) != 1 else f"an output of type {type(output).__name__}"
    remedy = "wrap it in a module that passes the one and returns the other"
    raise PruneproofError("certify", required="one input and one output tensor", received=received, remedy=remedy)
