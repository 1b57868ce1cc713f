"""The Wasserstein game with a Lipschitz penalty (Arjovsky et al. 2017; Gulrajani et al. 2017; Petzka et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["gradient_norm", "input_gradient", "interpolates", "lipschitz_penalty"]


def interpolates(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    """x̂ = t·x + (1 − t)·y, the points where the penalty is taken (Gulrajani et al. 2017, Algorithm 1).

    Args:
        x: N×…, the real images.
        y: the generated ones, of the same shape.
        t: N values in [0, 1], **one** for each example: the whole of x̂ lies on the segment from y to x.

    Example:
        >>> interpolates(torch.ones(2, 3), torch.zeros(2, 3), torch.tensor([0.25, 1.0])).tolist()
        [[0.25, 0.25, 0.25], [1.0, 1.0, 1.0]]
    """
    return torch.lerp(y, x, t.view(-1, *[1] * (x.ndim - 1)))


def input_gradient(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """∇f(x̂) of each example by automatic differentiation, itself differentiable in the critic's weights.

    Right for any critic that scores each example alone (no batch normalisation). A
    network that can write its gradient out does without differentiating twice; see
    `triptych.nets.dcgan.Critic.gradient`.

    Args:
        critic: N×… → N scores.
        points: N×…

    Returns:
        N×…, the shape of the points.

    Example:
        >>> w = torch.tensor([3.0, 4.0])
        >>> input_gradient(lambda x: x @ w, torch.zeros(1, 2)).tolist()
        [[3.0, 4.0]]
    """
    # Not the caller's graph: the points are data here, and only the critic learns from the penalty.
    points = points.detach().requires_grad_(True)
    with torch.enable_grad():
        score = critic(points).sum()
        (gradient,) = torch.autograd.grad(score, points, create_graph=True)
    return gradient


def gradient_norm(gradient: Tensor) -> Tensor:
    """‖∇f(x̂)‖₂ of each example, over **all** of its pixels and channels together.

    Args:
        gradient: N×…, of any precision.

    Returns:
        N norms, in float32 or wider. Where a gradient is zero the norm's own derivative is taken as 0, not 0/0.

    Example:
        >>> gradient_norm(torch.tensor([[[3.0], [4.0]], [[0.0], [0.0]]])).tolist()
        [5.0, 0.0]
    """
    wide = torch.promote_types(gradient.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(gradient.flatten(1).to(wide), dim=1)
    return norm


def lipschitz_penalty(norm: Tensor, kind: Literal["one-sided", "two-sided"]) -> Tensor:
    """How far a gradient norm violates the constraint, squared: zero or more, one value an example.

    ``one-sided`` is max(0, ‖∇f‖ − 1)² (Petzka et al. 2018, arXiv 1709.08894, eq. 8), which
    leaves slopes below 1 alone as 1-Lipschitz asks; ``two-sided`` is (‖∇f‖ − 1)² (Gulrajani et al. 2017, arXiv 1704.00028, eq. 3).

    Example:
        >>> norm = torch.tensor([0.5, 1.0, 3.0])
        >>> lipschitz_penalty(norm, "one-sided").tolist(), lipschitz_penalty(norm, "two-sided").tolist()
        ([0.0, 0.0, 4.0], [0.25, 0.0, 4.0])
    """
    excess = norm - 1
    return (excess.clamp(min=0) if kind == "one-sided" else excess).square()
