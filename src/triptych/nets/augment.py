"""Differentiable augmentation: what a critic sees of real and of generated images alike (Zhao et al. 2020, arXiv 2006.10738, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["DRAWS", "augment", "coloured", "cut", "moved"]

DRAWS = 7
"""Uniform numbers an image: three of its colours, two of its place, two of the hole in it."""


def augment(x: Tensor, draws: Tensor, colour: float, translation: float, cutout: float) -> Tensor:
    """T(x): colours, then place, then a hole, of a strength each; 0 leaves out.

    Every image has draws of its own. Gradients flow through T to the image, and to the generator that made it.

    Args:
        x: N×C×H×W in [−1, 1]; what comes out may lie outside of it.
        draws: N×7, uniform in [0, 1).
        colour: 1 is the paper's.
        translation: share of the side by which an image moves at most; the paper's is 1/8.
        cutout: side of the hole, as a share of the image's; the paper's is 1/2.

    Example:
        >>> x = torch.rand(2, 3, 8, 8)
        >>> torch.equal(augment(x, torch.rand(2, 7), 0.0, 0.0, 0.0), x)
        True
    """
    if colour:
        x = coloured(x, draws[:, :3], colour)
    if translation:
        x = moved(x, draws[:, 3:5], translation)
    if cutout:
        x = cut(x, draws[:, 5:], cutout)
    return x


def coloured(x: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Brightness + s(u − ½), distance to the mean over channels × (1 + s(2u − 1)), to that over the image × (1 + s(u − ½)).

    At s = 1 brightness moves within ±½, saturation is multiplied by 0 to 2 and contrast by ½ to 3/2.
    An image of one channel has no saturation, which stays 0.
    """
    brightness, saturation, contrast = (strength * (draws - 0.5)).view(-1, 3, 1, 1, 1).unbind(1)
    x = x + brightness
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, 1 + 2 * saturation)
    level = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(level, x, 1 + contrast)


def moved(x: Tensor, draws: Tensor, share: float) -> Tensor:
    """Every image moved by whole pixels, at most ``share`` of its sides (rounded) both ways; 0 moves in, which is grey."""
    # Products with matrices of 0 and 1, exact and with an adjoint that is the same on every device; not in less than single precision.
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = (
            _shift(side, draws[:, i], share, x.dtype) for i, side in enumerate(x.shape[2:])
        )
        return rows.unsqueeze(1) @ x @ columns.unsqueeze(1).mT


def _shift(side: int, draw: Tensor, share: float, dtype: torch.dtype) -> Tensor:
    """N matrices side×side: row i of one has its 1 at column i − shift."""
    most = int(share * side + 0.5)
    shift = (draw * (2 * most + 1)).floor() - most
    place = torch.arange(side, device=draw.device)
    return (place[:, None] - place == shift[:, None, None]).to(dtype)


def cut(x: Tensor, draws: Tensor, share: float) -> Tensor:
    """A rectangle of ``share`` of the sides (rounded) set to 0, its middle anywhere in the image; it may reach beyond the edge."""
    rows, columns = (_hole(side, draws[:, i], share) for i, side in enumerate(x.shape[2:]))
    inside = rows[:, :, None] & columns[:, None, :]
    return x.masked_fill(inside.unsqueeze(1), 0.0)


def _hole(side: int, draw: Tensor, share: float) -> Tensor:
    """N rows of ``side``: whether the hole is there."""
    size = int(share * side + 0.5)
    # Of an even size the middle is an edge of pixels, of which there is one more.
    begin = (draw * (side + 1 - size % 2)).floor() - size // 2
    place = torch.arange(side, device=draw.device) - begin[:, None]
    return (place >= 0) & (place < size)
