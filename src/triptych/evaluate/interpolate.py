"""The way from one image to another, in latent space and in pixel space."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evaluate.subject import Subject
from triptych.types import Decodes, Encodes

__all__ = ["between_images"]


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
        pixel = torch.lerp(latent[:, :1], latent[:, -1:], alpha[None, :, None, None, None])
    return {"originals": ends, "latent": latent, "pixel": pixel, "alpha": alpha}
