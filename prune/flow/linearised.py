"""The positive linear copy of a network, which SynFlow and the path certificate evaluate.

Every parameter is replaced by its absolute value in double precision, every activation and dropout
by the identity, a gated linear unit by the sum of its halves, every normaliser by its scale and
shift alone: BatchNorm divides by the stored standard deviation and subtracts no mean, LayerNorm,
GroupNorm, InstanceNorm and RMSNorm do not normalise. Weights that are computed (by weight norm,
spectral norm, `torch.nn.utils.prune`) count with their computed values. On a network of linear
layers, such modules and pooling the copy is a positively homogeneous, increasing function of its
input, and R = Σ f(1) is a polynomial with non-negative coefficients in the weights.

Modules stay the objects that they were, with all their attributes, since `forward` methods read
them; only what they compute changes. Functions called inside `forward` (softmax, `F.gelu`) are left
as they are; `F.relu` is the identity on what they see. The gates of recurrent layers have no such
copy, and a model that chooses by its data which parts run (by `topk`, comparisons, …) has none
either: both are refused (`Unrouted`).

`reduce_outputs` makes signals zero or one, forwards and backwards: what reaches a unit, without
overflow or underflow.

Cost: one copy of the model in double precision.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.activation import __all__ as _activation_names
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.instancenorm import _InstanceNorm  # pyright: ignore[reportPrivateUsage]
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pruneproof.errors import InvalidTypeError, UnsupportedError, described
from pruneproof.prune.masks.enforcement import release
from pruneproof.prune.models.evaluation import Inputs, copied, require_examples, require_sizes
from pruneproof.prune.models.parameters import store_computed

_NOT_ELEMENTWISE = ("MultiheadAttention", "GLU")
_ELEMENTWISE = tuple(getattr(nn, name) for name in _activation_names if name not in _NOT_ELEMENTWISE)
_CHANNELWISE = (_BatchNorm, _InstanceNorm, nn.GroupNorm)
_TRAILING = (nn.LayerNorm, nn.RMSNorm)
_NORMALISERS = (*_CHANNELWISE, *_TRAILING, nn.LocalResponseNorm)
_ROUTERS = frozenset("topk argmax argmin sort argsort msort kthvalue multinomial bernoulli gumbel_softmax".split())
_NUMBERS = frozenset("__bool__ __float__ __index__ __int__ item tolist".split())
_CHOOSES_NOTHING = re.compile("is(finite|inf|nan)|.*_like|new_.*")  # whatever the values of a finite tensor are


def linearised(model: nn.Module) -> nn.Module:
    """A positive linear copy of a model in double precision; the model itself is untouched.

    Args:
        model: Any module that can be copied.

    Returns:
        A module with the same names for the parameters of linear and convolutional layers; a weight
        that was computed is a parameter of its own name.

    Source: the linearisation of SynFlow (Tanaka et al. 2020), in evaluation mode, double precision.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, -0.5)
        >>> linearised(nn.Sequential(layer, nn.Tanh()))(torch.ones(1, 2, dtype=torch.float64)).item()
        1.0
    """
    positive = copied("connectivity", model, dtype=torch.float64).eval()
    release(positive)  # a copy of an enforced model is enforced, and would lose derivatives
    store_computed(positive)
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    for module in positive.modules():
        _linearise(module)
    return positive.requires_grad_(True)


def _linearise(module: nn.Module) -> None:
    """Let the module compute its positive linear counterpart from now on."""
    if isinstance(module, (*_ELEMENTWISE, _DropoutNd, nn.LocalResponseNorm)):
        _compute(module, _identity)
    elif isinstance(module, nn.GLU):
        _compute(module, _sum_of_halves(module))
    elif isinstance(module, (*_CHANNELWISE, *_TRAILING)):
        _fold_deviation(module)
        _compute(module, _scale_and_shift(module))


def _compute(module: Any, forward: Callable[..., Tensor]) -> None:
    module.forward = forward


def _identity(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _sum_of_halves(module: nn.GLU) -> Callable[[Tensor], Tensor]:
    return lambda x: gated(x, module.dim)


def gated(x: Tensor, dim: int = -1) -> Tensor:
    """What stands for a gated linear unit: both halves reach its output."""
    value, gate = x.chunk(2, dim)
    return value + gate


def _scale_and_shift(module: Any) -> Callable[[Tensor], Tensor]:
    channelwise = isinstance(module, _CHANNELWISE)

    def shaped(values: Tensor, x: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (x.ndim - 2)) if channelwise else values

    def forward(x: Tensor) -> Tensor:
        weight, bias = module.weight, getattr(module, "bias", None)  # read anew: `functional_call` may replace them
        x = x if weight is None else x * shaped(weight, x)
        return x if bias is None else x + shaped(bias, x)

    return forward


def _fold_deviation(module: Any) -> None:
    """Take the stored standard deviation into the scale, so that there is one factor."""
    variance: Tensor | None = getattr(module, "running_var", None)
    if variance is None:
        return
    scale = (variance + module.eps).rsqrt()
    module.weight = nn.Parameter(scale if module.weight is None else module.weight.detach() * scale)


def is_normaliser(module: nn.Module) -> bool:
    """Whether the copy lets the module only scale and shift."""
    return isinstance(module, _NORMALISERS)


def require_followable(where: str, model: nn.Module) -> None:
    """Refuse a model with recurrent layers, through whose gates no positive linear copy leads.

    Raises:
        UnsupportedError: For such a model.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            raise UnsupportedError(
                f"{where}: the gates of the recurrent layer {name or 'itself'} ({type(module).__name__}) cannot be "
                "followed by a positive linear copy of the network. Score the model by magnitude, SNIP or GraSP."
            )


class Unrouted(TorchFunctionMode):
    """While the block runs, a model whose data choose what runs is refused.

    A path through what one example did not choose would seem dead. Choosing is: a function that
    ranks or draws (`topk`, `argmax`, `multinomial`, …) on a tensor that depends on weights, and any
    use of truth values, whole numbers or numbers of Python made from one: by comparisons, `nonzero`,
    `item`, `int`, also where they were made without derivatives. Whole numbers of the input
    (positions of tokens, say) choose nothing that depends on weights, and pass; so do `isnan` and
    its like, and the positions that come with `max` if nothing uses them. Refused is also an
    embedding of real numbers, which a shape stands for. Not seen are choices inside compiled or
    scripted code and inside operations that define their own derivative.

    Args:
        where: The public function that asks, for the error message.

    Raises:
        UnsupportedError: The model chooses so, or looks up real numbers in an embedding.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> with Unrouted("synflow"):
        ...     weight[weight.detach() > 0]
        Traceback (most recent call last):
            ...
        pruneproof.errors.UnsupportedError: synflow: the model calls gt on what it computed, ...
    """

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self._made = dict[int, tuple[Tensor, str]]()  # from weights but without derivative, by what; held for its id

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, unless it routes."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        given = given[:1] if name.endswith("_as") else given  # the other tensor gives its shape or dtype
        dependent = any(tensor.requires_grad or id(tensor) in self._made for tensor in given)
        if name != "__get__":  # an attribute, such as the shape
            self._refuse_choices(name, given, dependent)
        result = self.called(name, func, args, kwargs)
        if dependent and not _CHOOSES_NOTHING.fullmatch(name):
            made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and not leaf.requires_grad]
            self._made |= {id(tensor): (tensor, name.strip("_")) for tensor in made}
        return result

    def called(self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What the function gives, or what stands for it."""
        return func(*args, **kwargs)

    def _refuse_choices(self, name: str, given: list[Tensor], dependent: bool) -> None:
        """Refuse a function that chooses by a tensor which depends on weights, or by made-up real numbers."""
        if name in ("embedding", "embedding_bag") and given and given[0].is_floating_point():
            raise UnsupportedError(
                f"{self.where}: the model looks up whole numbers in an embedding, and a shape stands for real ones. "
                "Pass the inputs themselves, such as torch.zeros(1, 8, dtype=torch.long), from Python, or choose a "
                "method that does not run the model, such as magnitude."
            )
        choices = [name] if name in _ROUTERS and dependent else []
        if torch.is_grad_enabled():  # not inside an operation that defines its own derivative
            choices += [self._made[id(t)][1] for t in given if id(t) in self._made and not t.is_floating_point()]
            choices += [name.strip("_")] if name in _NUMBERS and dependent else []
        if choices:
            raise UnsupportedError(
                f"{self.where}: the model calls {choices[0]} on what it computed, so the data decide which parts run "
                "(routing, as in a mixture of experts), and made-up inputs do not tell which weights matter. "
                "Score by SNIP, GraSP or Wanda on data, or examine the parts one by one; write an activation of your "
                "own by the functions of torch.nn.functional."
            )


def flow_inputs(where: str, input_shape: Sequence[int] | Inputs, device: torch.device) -> Inputs:
    """Ones of a shape, or inputs whose floating-point tensors are replaced by ones in double precision.

    Args:
        where: The public function that asks, for the error message.
        input_shape: Sizes, or a tensor, a tuple or a mapping of inputs.
        device: Where the ones are made.

    Raises:
        InvalidTypeError: It is neither.
        InvalidValueError: A size is below 1, or there is no example.

    Example:
        >>> flow_inputs("synflow", (1, 2), torch.device("cpu"))
        tensor([[1., 1.]], dtype=torch.float64)
    """
    given: object = input_shape
    if isinstance(given, Sequence) and all(type(size) is int for size in cast("Sequence[object]", given)):
        sizes = cast("Sequence[int]", given)
        require_sizes(where, sizes)
        return torch.ones(tuple(sizes), dtype=torch.float64, device=device)
    if not isinstance(given, Tensor | tuple | Mapping):
        raise InvalidTypeError(
            f"{where}: the inputs must be a shape, a tensor, a tuple or a mapping, got {described(given)}. "
            "Pass the shape of a batch of one example, such as (1, 3, 32, 32)."
        )
    require_examples(where, given)
    return _with_ones(given)


def _with_ones(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_ones(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_with_ones(each) for each in value)
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.ones_like(value, dtype=torch.float64, requires_grad=False)
    return value


def reduce_outputs(modules: Iterable[nn.Module]) -> None:
    """From now on every tensor that these modules give becomes x ≠ 0 as a number, and so does its derivative.

    Args:
        modules: Changed in place, by a forward hook on each.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> for parameter in layer.parameters(): _ = nn.init.constant_(parameter, 1e-30)
        >>> reduce_outputs([layer])
        >>> layer(torch.ones(1)).item()
        1.0
    """
    for module in modules:
        module.register_forward_hook(lambda module, inputs, output: _reduced(output))


def pass_back(modules: Iterable[nn.Module]) -> None:
    """From now on every tensor that these modules give becomes ones, and its derivative x ≠ 0 as a number.

    A derivative then tells what reaches the output, whatever the input reaches.

    Args:
        modules: Changed in place, by a forward hook on each.
    """
    for module in modules:
        module.register_forward_hook(lambda module, inputs, output: _ones_passing_back(output))


def _ones_passing_back(output: Any) -> Any:
    return _Passing.apply(output) if isinstance(output, Tensor) else output


def _reduced(output: Any) -> Any:
    return _Indicator.apply(output) if isinstance(output, Tensor) else output


def reaches(x: Tensor) -> Tensor:
    """Where a signal or a derivative arrives, of whatever sign; NaN does not.

    Example:
        >>> reaches(torch.tensor([2.0, -1.0, 0.0, torch.inf, torch.nan])).tolist()
        [True, True, False, True, False]
    """
    return (x > 0) | (x < 0)


class _Indicator(torch.autograd.Function):
    """x ≠ 0 as a number, both forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return reaches(x).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return reaches(gradients[0]).to(gradients[0].dtype)


class _Passing(torch.autograd.Function):
    """Ones forwards; x ≠ 0 as a number backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.ones_like(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return reaches(gradients[0]).to(gradients[0].dtype)
