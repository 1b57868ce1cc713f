"""How far a batch of vectors is from N(0, I), by its shadows along random directions."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.objectives.precise import precise

__all__ = ["epps_pulley", "sketched"]

LIMIT = 3.0
"""Where the integral over t is cut off; the weight is e^−4.5 there, and the authors' code does so too."""

POINTS = 17
"""Of the trapezoidal rule on [0, LIMIT], as in the authors' code."""


def epps_pulley(x: Tensor, points: int = POINTS, limit: float = LIMIT) -> Tensor:
    """N ∫ |φ̂(t) − e^(−t²/2)|² e^(−t²/2) dt, φ̂(t) = (1/N) Σ_n e^(itx_n) (Epps and Pulley 1983).

    The distance of an empirical characteristic function from that of N(0, 1), with the weight of Balestriero and LeCun
    (2025, arXiv 2511.08544, section 4.2.3). It does not grow with N where x is drawn from N(0, 1): its expectation there is
    ∫ (1 − e^(−t²)) e^(−t²/2) dt, which is √2π (1 − 1/√3) = 1.059 over all t. The integrand is even, so that twice the
    trapezoidal rule on [0, limit] is the whole.

    Args:
        x: N×K numbers: N draws along each of K directions.
        points: of the rule.
        limit: where the integral is cut off.

    Returns:
        K values of 0 or more.

    Example:
        >>> epps_pulley(torch.zeros(4, 1)).item() > epps_pulley(torch.tensor([[-1.2], [-0.3], [0.3], [1.2]])).item()
        True
    """
    with precise(x) as (x,):
        t = torch.linspace(0, limit, points, dtype=x.dtype, device=x.device)
        normal = (-t.square() / 2).exp()
        at = x.unsqueeze(-1) * t
        apart = (at.cos().mean(0) - normal).square() + at.sin().mean(0).square()
        return 2 * len(x) * torch.trapezoid(apart * normal, t)


def sketched(z: Tensor, directions: Tensor) -> Tensor:
    """The mean of `epps_pulley` over directions: 0 only if z is N(0, I) along each (the same, definition 2).

    Only N(0, I) has N(0, 1) along every direction (Cramér and Wold 1936); new directions in each step find what the
    last ones missed.

    Args:
        z: N×d; all images of the batch, on however many devices.
        directions: d×K, of any length but 0.

    Returns:
        A scalar.

    Example:
        >>> sketched(torch.zeros(8, 2), torch.eye(2)).item() > 1
        True
    """
    with precise(z, directions) as (z, directions):
        return epps_pulley(z @ (directions / directions.norm(dim=0))).mean()
