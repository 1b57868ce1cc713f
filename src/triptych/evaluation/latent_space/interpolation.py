"""The way from one image to another, in latent space and in pixel space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import Subject
from triptych.types import Decodes, Encodes, Samples

__all__ = [
    "between_images",
    "between_samples",
    "end_points",
    "overlay",
    "path_scores",
    "slerp",
    "ways",
]


def between_images(
    subject: Subject, split: str, pairs: int = 6, steps: int = 11
) -> dict[str, Tensor]:
    """Pairs of test images joined at α = 0, 0.1 … 1, decoded latents beside mixed reconstructions.

    Both rows have the same end points, the reconstructions, so that what differs
    is only the way between them:

        latent: decode((1−α) z₁ + α z₂)      pixel: (1−α) decode(z₁) + α decode(z₂)

    Returns ``originals`` (pairs×2×C×H×W), ``latent`` and ``pixel`` (pairs×steps×C×H×W), ``alpha``.
    """
    method = subject.method
    assert isinstance(method, Encodes) and isinstance(method, Decodes)
    originals = subject.examples(split, 2 * pairs)
    # Neighbours in a file sorted by class would be the same digit: join the first half to the second.
    pairs = min(pairs, len(originals) // 2)
    ends = torch.stack([originals[:pairs], originals[pairs : 2 * pairs]], 1)
    alpha = torch.linspace(0, 1, steps, device=subject.device)
    with torch.inference_mode():
        z = method.encode(ends.flatten(0, 1)).view(len(ends), 2, -1)
        mixed = torch.lerp(z[:, :1], z[:, 1:], alpha[None, :, None])
        latent = method.decode(mixed.flatten(0, 1)).view(*mixed.shape[:2], *ends.shape[2:])
        pixel = overlay(latent[:, [0, -1]], alpha)
    return {"originals": ends, "latent": latent, "pixel": pixel, "alpha": alpha}


def between_samples(subject: Subject, pairs: int = 6, steps: int = 11) -> dict[str, Tensor]:
    """Pairs of samples joined at α = 0, 0.1 … 1 by each of the `ways`, from the same end points.

    Returns ``linear``, ``spherical`` and ``pixel`` (pairs×steps×C×H×W in [0, 1]) and ``alpha``.
    """
    method = subject.method
    assert isinstance(method, Samples)
    alpha = torch.linspace(0, 1, steps, device=subject.device)
    return {**ways(method, end_points(subject, pairs), alpha), "alpha": alpha}


def end_points(subject: Subject, pairs: int) -> Tensor:
    """Latents from the prior, pairs×2×latent, the same for every run; none is in two pairs.

    Fewer pairs are the first of more: those of a picture are among those of a score.
    """
    return prior_latents(subject, 2 * pairs).view(pairs, 2, -1)


def ways(method: Samples, z: Tensor, alpha: Tensor) -> dict[str, Tensor]:
    """Three ways between samples: two through latent space, and the overlay of the two pictures.

        linear: G((1−α) z₁ + α z₂)   spherical: G(slerp(z₁, z₂, α))   pixel: (1−α) G(z₁) + α G(z₂)

    Args:
        method: its ``sample`` is G.
        z: end points, pairs×2×latent.
        alpha: steps positions in [0, 1], first 0 and last 1.

    Returns:
        Images of each way, pairs×steps×C×H×W.
    """

    def drawn(latents: Tensor) -> Tensor:
        images = method.sample(latents.flatten(0, 1))
        return images.view(*latents.shape[:2], *images.shape[1:])

    with torch.inference_mode():
        linear = drawn(torch.lerp(z[:, :1], z[:, 1:], alpha[:, None]))
        spherical = drawn(slerp(z[:, :1], z[:, 1:], alpha[:, None]))
        pixel = overlay(linear[:, [0, -1]], alpha)
    return {"linear": linear, "spherical": spherical, "pixel": pixel}


def overlay(ends: Tensor, alpha: Tensor) -> Tensor:
    """Mixtures (1−α) x₁ + α x₂ of two images: ends pairs×2×C×H×W → pairs×steps×C×H×W."""
    return torch.lerp(ends[:, :1], ends[:, 1:], alpha[:, None, None, None])


def slerp(a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    """Spherical interpolation of directions (Shoemake 1985; White 2016, arXiv 1609.04468).

    With ω the angle between a and b, and â, b̂ their directions:

        ‖·‖: (1−α)‖a‖ + α‖b‖      direction: sin((1−α)ω)/sin ω · â + sin(αω)/sin ω · b̂

    The norm goes linearly from one to the other, so that vectors of unequal
    norms stay between them; White's formula, which mixes a and b themselves,
    is the same for equal norms and grows without bound for unequal ones near
    ω = π. Where the great circle is not defined (opposite, or one of them 0)
    or is a point (the same direction) this is the straight line.

    Args:
        a: vectors …×d.
        b: vectors …×d.
        alpha: positions in [0, 1], …×1, broadcast against them.

    Example:
        >>> a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
        >>> slerp(a, b, torch.tensor([0.5]))
        tensor([0.7071, 0.7071])
    """
    size = [v.norm(dim=-1, keepdim=True) for v in (a, b)]
    tiny = torch.finfo(a.dtype).tiny
    u, v = a / size[0].clamp_min(tiny), b / size[1].clamp_min(tiny)
    # The arc cosine loses half of the digits near 0 and π; this form keeps them (Kahan).
    apart, along = (w.norm(dim=-1, keepdim=True) for w in (u - v, u + v))
    angle = 2 * torch.atan2(apart, along)
    undefined = (apart * along == 0) | (angle > math.pi - 1e-5) | (size[0] * size[1] == 0)
    sine = torch.where(undefined, 1, angle.sin())
    turned = (((1 - alpha) * angle).sin() * u + (alpha * angle).sin() * v) / sine
    return torch.where(
        undefined, torch.lerp(a, b, alpha), torch.lerp(size[0], size[1], alpha) * turned
    )


def path_scores(path: Tensor) -> dict[str, Tensor]:
    """Length Σ‖Δ‖ of paths, the same in straight distances between their ends, and largest step max ‖Δ‖.

    Args:
        path: pairs×steps×d features.

    Returns:
        Each score, one value a pair, ≥ 0. The relative length is ≥ 1, and 1 where the ends are equal.
    """
    steps = path.diff(dim=1).norm(dim=2)
    straight = (path[:, -1] - path[:, 0]).norm(dim=1)
    length = steps.sum(1)
    return {
        "path length": length,
        "relative path length": torch.where(straight > 0, length / straight, 1),
        "largest step": steps.amax(1),
    }
