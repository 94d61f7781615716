"""ResNet-20 and VGG-16 for 32 × 32 images, as Frankle et al. (2021) prune them; Kaiming-normal weights from a seed."""

import torch
from torch import Tensor, nn

from .networks import redrawn

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: maximum over 2 × 2


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with BatchNorm, added to their input (by a 1 × 1 convolution if the shape changes)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(fan_in, fan_out, stride), nn.ReLU(), *_convolution(fan_out, fan_out, 1))
        changed = stride > 1 or fan_in != fan_out
        self.shortcut = nn.Sequential(*_convolution(fan_in, fan_out, stride, 1)) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in, h, w) → (batch, fan_out, h / stride, w / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet20(seed: int) -> nn.Module:
    """Three stages of three residual blocks, 16, 32 and 64 channels.

    Example:
        >>> resnet20(0)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    with torch.random.fork_rng(devices=[]):
        layers: list[nn.Module] = [*_convolution(3, 16, 1), nn.ReLU()]
        for fan_in, fan_out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
            layers.append(ResidualBlock(fan_in, fan_out, stride))
            layers += [ResidualBlock(fan_out, fan_out, 1) for _ in range(2)]
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return _placed(redrawn(net, seed))


def vgg16(seed: int) -> nn.Module:
    """Thirteen 3 × 3 convolutions with BatchNorm, four maxima over 2 × 2, global average, linear."""
    with torch.random.fork_rng(devices=[]):
        layers, fan_in = list[nn.Module](), 3
        for fan_out in _VGG16:
            layers += [*_convolution(fan_in, fan_out, 1), nn.ReLU()] if fan_out else [nn.MaxPool2d(2)]
            fan_in = fan_out or fan_in
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return _placed(redrawn(net, seed))


def _placed(net: nn.Module) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _convolution(fan_in: int, fan_out: int, stride: int, kernel: int = 3) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(fan_in, fan_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(fan_out)
