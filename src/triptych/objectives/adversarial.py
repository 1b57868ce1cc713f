"""Games of a critic D and a generator G: what each minimises, by the scores of images and of samples.

`a` = D(x) of images and `b` = D(G(z)) of samples, N scores each; what comes out is one value an example.
The game of Wasserstein and the penalties on slopes are in `triptych.objectives.wasserstein`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LOSSES", "PAIRED", "Loss", "critic_loss", "generator_loss", "squared_norm"]

Loss = Literal["non-saturating", "hinge", "least-squares", "relativistic", "wasserstein"]

LOSSES: tuple[Loss, ...] = get_args(Loss)

PAIRED: tuple[Loss, ...] = ("relativistic",)
"""Losses by which a generator is held against images too."""


def critic_loss(kind: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises.

    - ``non-saturating``: −log σ(a) − log(1 − σ(b)) = log(1 + e^−a) + log(1 + e^b) (Goodfellow et al. 2014, arXiv 1406.2661,
      eq. 1), nats; from 0, and log 4 where it cannot tell.
    - ``hinge``: max(0, 1 − a) + max(0, 1 + b) (Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957, eq. 16);
      from 0, and 2 where it cannot tell.
    - ``least-squares``: ½(a − 1)² + ½b² (Mao et al. 2017, arXiv 1611.04076, eq. 9); from 0, and ¼ where it cannot tell (a = b = ½).
    - ``relativistic``: log(1 + e^−(a − b)) of an image and a sample paired (Jolicoeur-Martineau 2018, arXiv 1807.00734, section 4;
      Huang et al. 2024, arXiv 2501.05441, eq. 2), nats; from 0, and log 2 where it cannot tell.
    - ``wasserstein``: b − a (Arjovsky et al. 2017, arXiv 1701.07875, eq. 3); of either sign.

    Example:
        >>> zero = torch.zeros(1)
        >>> [round(critic_loss(kind, zero, zero).item(), 4) for kind in LOSSES]
        [1.3863, 2.0, 0.5, 0.6931, 0.0]
    """
    if kind == "non-saturating":
        return F.softplus(-real) + F.softplus(fake)
    if kind == "hinge":
        return F.relu(1 - real) + F.relu(1 + fake)
    if kind == "least-squares":
        return 0.5 * ((real - 1).square() + fake.square())
    if kind == "relativistic":
        return F.softplus(fake - real)
    return fake - real


def generator_loss(kind: Loss, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """What the generator minimises; a paired loss needs the scores of images too.

    - ``non-saturating``: −log σ(b) = log(1 + e^−b) (Goodfellow et al. 2014, section 3), nats.
    - ``hinge`` and ``wasserstein``: −b.
    - ``least-squares``: ½(b − 1)².
    - ``relativistic``: log(1 + e^−(b − a)), nats.

    Example:
        >>> generator_loss("least-squares", torch.tensor([0.0, 1.0])).tolist()
        [0.5, 0.0]
    """
    if kind == "non-saturating":
        return F.softplus(-fake)
    if kind == "least-squares":
        return 0.5 * (fake - 1).square()
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake)
    return -fake


def squared_norm(gradient: Tensor) -> Tensor:
    """‖∇D(x)‖² of each example over all of its pixels: R₁ at images, R₂ at samples, without γ/2 (Mescheder et al. 2018, arXiv 1801.04406, eqs. 9 and 10).

    Args:
        gradient: N×…, of any precision.

    Returns:
        N values in float32 or wider, 0 or more.

    Example:
        >>> squared_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [25.0, 1.0]
    """
    wide = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(wide).square().sum(1)
