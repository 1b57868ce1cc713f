"""The residual networks of the SNGAN (Miyato et al. 2018, arXiv 1802.05957, appendix B, table 4), for images of other sizes too.

All layers of a network have one width. At 32×32 they are the paper's: three upsamplings from 4×4; two halvings and
two blocks at 8×8. Of other sizes the number of blocks follows from `triptych.nets.dcgan.halvings`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.nets.dcgan import halvings
from triptych.nets.spectral import SpectralConv2d, SpectralLinear, normalised

__all__ = ["ResidualCritic", "ResidualGenerator"]

WITHIN = math.sqrt(2)
"""Gain of the two convolutions of a block; that of all other layers is 1."""


class _Conv(nn.Conv2d):
    """A square convolution that keeps the size and starts by the rule of Glorot and Bengio (2010), as in the paper's own code."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, gain: float = 1.0, bias: bool = True
    ) -> None:
        self.gain = gain
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def reset_parameters(self) -> None:
        """Uniform weights of variance gain² · 2/(inputs + outputs), and no offset."""
        _glorot(self, self.gain)


class _Linear(nn.Linear):
    """A matrix that starts so."""

    def reset_parameters(self) -> None:
        """Uniform weights of variance 2/(inputs + outputs), and no offset."""
        _glorot(self)


class _SpectralConv(SpectralConv2d, _Conv):
    """`_Conv` with spectral normalisation."""


class _SpectralLinear(SpectralLinear, _Linear):
    """`_Linear` with spectral normalisation."""


def _glorot(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class _Up(nn.Module):
    """Batch norm, ReLU, twice the side, convolution, batch norm, ReLU, convolution; beside it a 1×1 convolution of twice the side.

    Its convolutions have no offset: the normalisation that follows would take it away again, and its gradient is all rounding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = (_Conv(width, width, gain=WITHIN, bias=False) for _ in range(2))
        self.shortcut = _Conv(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×H×W → N×width×2H×2W."""
        out = self.conv1(_doubled(F.relu(self.norm1(x))))
        out = self.conv2(F.relu(self.norm2(out)))
        # A 1×1 convolution of what was doubled is the doubled convolution, for a quarter of the work.
        found: Tensor = out + _doubled(self.shortcut(x))
        return found


class ResidualGenerator(nn.Module):
    """A matrix to the base, an upsampling block for each halving, batch norm, ReLU, a convolution: latent → channels×H×W, no final squashing.

    Example:
        >>> ResidualGenerator(128, (3, 32, 32), 8)(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, inputs: int, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        count, base = halvings(*shape[1:])
        self.base = (width, *base)
        self.first = _Linear(inputs, math.prod(self.base))
        self.blocks = nn.Sequential(*(_Up(width) for _ in range(count)))
        self.norm = nn.BatchNorm2d(width)
        self.last = _Conv(width, shape[0])

    def forward(self, z: Tensor) -> Tensor:
        """N×inputs → N×channels×H×W."""
        x = self.blocks(self.first(z).unflatten(1, self.base))
        out: Tensor = self.last(F.relu(self.norm(x)))
        return out


class _Down(nn.Module):
    """ReLU, convolution, ReLU, convolution beside the identity, both halved by a mean over 2×2 where ``halves`` says so.

    The block that sees the image has no ReLU before it. Where the number of channels or the side changes, the
    shortcut has a 1×1 convolution.
    """

    def __init__(
        self, inputs: int, width: int, halves: bool, spectral: bool, first: bool = False
    ) -> None:
        super().__init__()
        conv = _SpectralConv if spectral else _Conv
        self.halves, self.first = halves, first
        self.conv1, self.conv2 = conv(inputs, width, gain=WITHIN), conv(width, width, gain=WITHIN)
        self.shortcut = conv(inputs, width, 1) if halves or inputs != width else None

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W → N×width×H×W, or half of H and W."""
        return self._out(x, self._within(x))

    def _within(self, x: Tensor) -> Tensor:
        """What the second ReLU is given."""
        out: Tensor = self.conv1(x if self.first else F.relu(x))
        return out

    def _out(self, x: Tensor, within: Tensor) -> Tensor:
        out = self.conv2(F.relu(within))
        # The mean of a 1×1 convolution is the convolution of the mean, for a quarter of the work.
        beside = F.avg_pool2d(x, 2) if self.halves else x
        beside = beside if self.shortcut is None else self.shortcut(beside)
        return (F.avg_pool2d(out, 2) if self.halves else out) + beside

    def slopes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What comes out, and where its two ReLUs let pass; none where there is no first one."""
        before = None if self.first else (x > 0).to(x.dtype)
        within = self._within(x)
        return self._out(x, within), (within > 0).to(x.dtype), before

    def adjoint(self, found: Tensor, within: Tensor, before: Tensor | None) -> Tensor:
        """The gradient by what comes in, from that by what comes out."""
        whole = _doubled(found) / 4 if self.halves else found
        through = F.conv_transpose2d(whole, normalised(self.conv2), padding=1) * within
        through = F.conv_transpose2d(through, normalised(self.conv1), padding=1)
        beside = found
        if self.shortcut is not None:
            beside = F.conv_transpose2d(found, normalised(self.shortcut))
        beside = _doubled(beside) / 4 if self.halves else beside
        return beside + (through if before is None else through * before)


class ResidualCritic(nn.Module):
    """Residual blocks, ReLU, the sum over the last map, and a row of weights: C×H×W → a score, and the gradient of that score.

    The side is halved to twice its base, and two more blocks follow. ``offset`` gives the score a constant of its own.

    Example:
        >>> ResidualCritic((3, 32, 32), 8)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int,
        *,
        offset: bool = False,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        halved = halvings(*shape[1:])[0] - 1
        blocks = [_Down(shape[0], width, halved > 0, spectral, first=True)]
        blocks += [_Down(width, width, True, spectral) for _ in range(halved - 1)]
        blocks += [_Down(width, width, False, spectral) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        linear = _SpectralLinear if spectral else _Linear
        self.last = linear(width, 1, bias=offset)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N scores."""
        score: Tensor = self.last(F.relu(self.blocks(x)).sum((2, 3)))
        return score.flatten()

    def _blocks(self) -> list[_Down]:
        return [block for block in self.blocks if isinstance(block, _Down)]

    def gradient(self, x: Tensor) -> Tensor:
        """∇D(x) of each example, N×C×H×W, written out as a network of its own, as `triptych.nets.dcgan.Critic.gradient` is.

        D is piecewise linear: its gradient is every linear map transposed, in reverse order, and the
        slopes of the ReLUs at x, which do not depend on the weights (almost everywhere).
        """
        kept = []
        with torch.no_grad():
            for block in self._blocks():
                x, within, before = block.slopes(x)
                kept.append((within, before))
            found = (x > 0).to(x.dtype)
        found = found * normalised(self.last)[0][:, None, None]
        for block, slopes in zip(reversed(self._blocks()), reversed(kept), strict=True):
            found = block.adjoint(found, *slopes)
        return found


def _doubled(x: Tensor) -> Tensor:
    """Every pixel four times: N×C×H×W → N×C×2H×2W."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
