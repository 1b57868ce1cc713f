"""What a shift along a direction of latent space does to samples: how far, where to, and which attributes change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.evaluation.subject import BLOCK, Each, Network

__all__ = [
    "ATTRIBUTES",
    "SHIFTS",
    "Start",
    "Survey",
    "Values",
    "attributes",
    "hue_change",
    "start",
    "survey",
]

Values = npt.NDArray[Any]
Survey = Mapping[str, Values]
"""A measure's name, ``movement@10`` for one at ε = 10, → its value for each direction."""

SHIFTS = (1.0, 10.0, 20.0, 50.0, 100.0)
"""ε of the reference report, in standard deviations of the prior. Attributes are compared at the first."""

ATTRIBUTES = ("brightness", "contrast", "stroke", "hue")
LUMA = (0.299, 0.587, 0.114)


class Start(NamedTuple):
    """What samples are before any shift: whatever they become must be held against it."""

    n: int
    diversity: float
    """RMS distance between two of them, in units of that between two real images."""
    winner: int | None = None
    """The class predicted most often; none where nobody can tell."""
    share: float | None = None
    """Of the samples in it."""


def start(images: Tensor, real: Tensor, classify: Network | None = None) -> Start:
    """Samples N×C×H×W beside real images, and the class that most of them have."""
    with torch.inference_mode():
        diversity = (
            images.var(0, correction=0).sum() / real.var(0, correction=0).sum().clamp(min=1e-12)
        ).sqrt()
        if classify is None:
            return Start(len(images), float(diversity))
        counts = torch.bincount(classify(images).argmax(-1))
    winner = int(counts.argmax())
    return Start(len(images), float(diversity), winner, int(counts[winner]) / len(images))


def attributes(images: Tensor) -> dict[str, Tensor]:
    """Brightness, contrast and stroke of images N×C×H×W in [0, 1], from their luma (ITU-R BT.601).

    Brightness is its mean and contrast its standard deviation over pixels, both
    in [0, 1]. Stroke is Σ|luma − mean| / Σ‖∇luma‖ in pixels: w·(1 − p) for sharp
    straight strokes w pixels wide that cover a share p, whatever their contrast
    and whether they are light or dark; 0 for an image of one level.
    """
    luma = images.mean(1)
    if images.shape[1] == 3:
        luma = (images * images.new_tensor(LUMA)[:, None, None]).sum(1)
    down = F.pad(luma.diff(dim=1), (0, 0, 0, 1))
    across = F.pad(luma.diff(dim=2), (0, 1))
    brightness = luma.mean((1, 2))
    ink = (luma - brightness[:, None, None]).abs().sum((1, 2))
    return {
        "brightness": brightness,
        "contrast": luma.std((1, 2), correction=0),
        "stroke": ink / torch.hypot(down, across).sum((1, 2)).clamp(min=1e-6),
    }


def _chroma(images: Tensor) -> Tensor:
    """Σ over pixels of chroma · exp(i·hue), complex, for images …×3×H×W (Hanbury 2008, hexagonal projection)."""
    red, green, blue = images.sum((-2, -1)).unbind(-1)
    return torch.complex(red - (green + blue) / 2, (green - blue) * math.sqrt(3) / 2)


def hue_change(before: Tensor, after: Tensor) -> Tensor:
    """Turn of the mean hue, arg Σₙ v′ₙ v̄ₙ with v = Σ over pixels of chroma · exp(i·hue), in degrees.

    A circular mean over all pixels of N images …×N×3×H×W, each weighted by its
    chroma: grey has no hue and no say. In (−180, 180]; red → green is +120.
    """
    turn = (_chroma(after) * _chroma(before).conj()).sum(-1)
    return torch.rad2deg(turn.angle())


def survey(
    sample: Network,
    z: Tensor,
    directions: Tensor,
    shifts: Sequence[float] = SHIFTS,
    classify: Network | None = None,
    each: Each = map,
) -> dict[str, Values]:
    """What x = sample(z + ε u) is, against sample(z), for every direction u and shift ε.

    Args:
        sample: N×latent → N×C×H×W in [0, 1], in ``eval()``: statistics of a batch would
            partly cancel the shift that its rows share.
        z: N×latent, the same for all directions.
        directions: D×latent, of unit length.
        shifts: ε, ascending; attributes are taken at the first, classes at all others.
        classify: N×C×H×W → N×K logits, if anybody can tell.
        each: how the few directions that are sampled at once are gone through.

    Returns:
        D values of each: ``movement@ε``, the RMS change of a pixel, mean over latents;
        ``diversity@ε``, the RMS distance between two shifted samples in units of that at ε = 0;
        ``class@ε``, the class predicted most often, ``share@ε`` of the samples in it, and
        ``confidence@ε``, its mean probability over all samples; the mean signed change of
        every attribute (hue of colour images only).
    """
    with torch.inference_mode():
        start = sample(z)
    steps = z.new_tensor(shifts)[:, None, None]

    def measure(u: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            moved = z + steps * u[:, None, None]
            images = sample(moved.flatten(0, 2))
            images = images.view(*moved.shape[:3], *images.shape[1:])
            found = _movements(start, images, shifts) | _changes(start, images[:, 0])
            if classify is not None:
                found |= _classes(classify, images[:, 1:], shifts[1:])
            return found

    few = max(1, BLOCK // (len(shifts) * len(z)))
    found = list(each(measure, torch.split(directions, few)))
    return {name: torch.cat([f[name] for f in found]).cpu().double().numpy() for name in found[0]}


def _movements(start: Tensor, images: Tensor, shifts: Sequence[float]) -> dict[str, Tensor]:
    """Movement and diversity of images D×ε×N×C×H×W."""
    movement = (images - start).square().mean((3, 4, 5)).sqrt().mean(2)
    # The mean square distance of two is twice the variance: N terms in place of N².
    whole = start.var(0).sum().sqrt().clamp(min=1e-12)
    diversity = images.var(2).sum((2, 3, 4)).sqrt() / whole
    return {
        f"{name}@{shift:g}": values[:, i]
        for name, values in (("movement", movement), ("diversity", diversity))
        for i, shift in enumerate(shifts)
    }


def _changes(start: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Mean change of every attribute of images D×N×C×H×W."""
    before = attributes(start)
    after = attributes(images.flatten(0, 1))
    found = {k: (v.view(images.shape[:2]) - before[k]).mean(1) for k, v in after.items()}
    return found | ({"hue": hue_change(start, images)} if start.shape[1] == 3 else {})


def _classes(classify: Network, images: Tensor, shifts: Sequence[float]) -> dict[str, Tensor]:
    """Where the samples D×ε×N×C×H×W go, and how surely."""
    probability = classify(images.flatten(0, 2)).softmax(-1)
    probability = probability.view(*images.shape[:3], -1)
    predicted = F.one_hot(probability.argmax(-1), probability.shape[-1]).to(probability)
    share, winner = predicted.mean(2).max(-1)
    confidence = probability.mean(2).gather(-1, winner[..., None])[..., 0]
    return {
        f"{name}@{shift:g}": values[:, i]
        for name, values in (("class", winner), ("share", share), ("confidence", confidence))
        for i, shift in enumerate(shifts)
    }
