"""The networks of the initialization claims: a convolutional net and a perceptron for the 8 × 8 digits.

Weights are drawn by Kaiming's normal rule, variance 2 / fan-in; biases and BatchNorm start as torch starts them.
"""

from itertools import pairwise

import torch
from torch import nn

from pruneproof.prune.methods.ablations import reinitialize

MLP_SIZES = (64, 100, 100, 10)
MLP_INPUT = (1, 64)


def digits_cnn(seed: int) -> nn.Module:
    """conv16–conv32–conv32, 3 × 3, BatchNorm, global average, linear: 14,288 prunable weights, drawn from a seed.

    Example:
        >>> from pruneproof.prune import prunable
        >>> sum(weight.numel() for weight in prunable(digits_cnn(0)).values())
        14288
    """
    with torch.random.fork_rng(devices=[]):
        blocks = [*_block(1, 16), *_block(16, 32), *_block(32, 32)]
        net = nn.Sequential(*blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(32, 10))
    return redrawn(net, seed).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def redrawn(net: nn.Module, seed: int) -> nn.Module:
    """A copy of the network with values drawn from a seed by the rule of this module."""
    return reinitialize(net, torch.Generator().manual_seed(seed), initialize=kaiming_normal)


def kaiming_normal(module: nn.Module) -> None:
    """Reset a layer, then draw its weight by Kaiming's normal rule if it is a convolution or linear."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
        module.reset_parameters()
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


def _block(fan_in: int, fan_out: int) -> list[nn.Module]:
    return [nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]


def digits_mlp(seed: int) -> nn.Module:
    """The perceptron 64–100–100–10 with ReLU: 17,400 prunable weights, drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        widths = list(pairwise(MLP_SIZES))
        layers = [module for fan_in, fan_out in widths for module in (nn.Linear(fan_in, fan_out), nn.ReLU())]
    return redrawn(nn.Sequential(*layers[:-1]), seed)
