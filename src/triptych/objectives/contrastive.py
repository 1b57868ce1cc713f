"""Telling the other look at an image among the looks at other images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.objectives.precise import precise

__all__ = ["nt_xent"]


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross-entropy, NT-Xent (Chen et al. 2020, arXiv 2002.05709, equation 1).

    Of 2N looks, s_ij the cosine of two: ℓ_ij = −log exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ), where j is the other look at
    the image of i and k goes over the 2N − 1 others.

    Args:
        z1: projections of one look at each image, N×d; all images of the batch, on however many devices.
        z2: those of the other, in the same order.
        temperature: τ.

    Returns:
        N values, ½ (ℓ_ij + ℓ_ji) of each image; none is below log(1 + (2N − 2) exp(−2/τ)).

    Example:
        >>> z = torch.eye(2)
        >>> nt_xent(z, z, 1.0)
        tensor([0.5514, 0.5514])
    """
    with precise(z1, z2) as (z1, z2):
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        cosines = z @ z.T / temperature
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        others = cosines.masked_fill(itself, float("-inf")).logsumexp(1)
        # In the order of the rows: first the pairs of the first looks, then the same of the second.
        pairs = torch.diagonal(cosines, len(z1)).repeat(2)
        return (others - pairs).view(2, -1).mean(0)
