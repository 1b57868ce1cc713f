"""Residual networks (He et al. 2016) with the names and shapes of torchvision's state dicts."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ResNet", "Stem"]

Stem = Literal["imagenet", "cifar", "half"]

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks in each of the four stages; from 50 layers on they are bottlenecks."""


class _Conv(nn.Conv2d):
    """A convolution without bias, padded to keep the size, that starts as torchvision's do."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    def reset_parameters(self) -> None:
        """He's normal rule for what goes out (He et al. 2015)."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        """A 3×3 convolution that gives a single pixel is a matrix product with the taps that meet the image.

        Exactly so: the others meet only padding, and their gradient is 0 either way. On a
        1×1 map that is the centre tap, a ninth of the work.

        A 1×1 convolution with a stride is one without on the pixels that it reads. On CPUs with AVX2 and no AVX-512
        the gradient of the former, channels last, writes where it must not (PyTorch 2.6 and 2.13) and ends the process.
        """
        height, width = input.shape[2:]
        if self.kernel_size == (1, 1) and self.stride != (1, 1) and input.device.type == "cpu":
            down, right = self.stride
            return F.conv2d(input[:, :, ::down, ::right], self.weight)
        if self.kernel_size != (3, 3) or height > self.stride[0] or width > self.stride[1]:
            return super().forward(input)
        taps = self.weight[:, :, 1 : 1 + height, 1 : 1 + width]
        return F.linear(input.flatten(1), taps.flatten(1))[:, :, None, None]


class _Basic(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _Conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _Conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×width×H/stride×W/stride."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))

    def last_norm(self) -> nn.BatchNorm2d:
        """The norm before the sum."""
        return self.bn2


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside the identity; the stride is in the middle, as in torchvision."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _Conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _Conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _Conv(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×4·width×H/stride×W/stride."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))

    def last_norm(self) -> nn.BatchNorm2d:
        """The norm before the sum."""
        return self.bn3


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_Conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """The backbone alone, without a classifier: N×C×H×W → N×features, the mean over the last map.

    ``stem`` is what comes before the first block: ``imagenet`` 7×7 stride 2 and max-pool (a 32×32 image
    is 8×8 then), ``cifar`` 3×3 at full size, ``half`` 3×3 stride 2. Only the first has the shapes of
    torchvision's ``conv1``; every other name and shape agrees with any of them, at width 64.

    Example:
        >>> net = ResNet(18)
        >>> net.features, net(torch.zeros(2, 3, 32, 32)).shape
        (512, torch.Size([2, 512]))
        >>> sum(p.numel() for p in net.parameters()) + 512 * 1000 + 1000  # with torchvision's classifier
        11689512
    """

    def __init__(
        self, depth: int = 18, stem: Stem = "imagenet", width: int = 64, channels: int = 3
    ) -> None:
        super().__init__()
        kind = _Bottleneck if depth >= 50 else _Basic
        large = stem == "imagenet"
        self.conv1 = _Conv(channels, width, 7 if large else 3, 1 if stem == "cifar" else 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        inputs = width
        for stage, count in enumerate(BLOCKS[depth]):
            outputs, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = []
            for number in range(count):
                blocks.append(kind(inputs, outputs, stride if number == 0 else 1))
                inputs = outputs * kind.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.features = inputs

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×features."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x.mean((2, 3))

    @torch.no_grad()
    def silence_residuals(self) -> None:
        """Start every block as its shortcut: the last norm's weight is 0 (Goyal et al. 2017, section 5.1)."""
        for block in self.modules():
            if isinstance(block, (_Basic, _Bottleneck)):
                block.last_norm().weight.zero_()
