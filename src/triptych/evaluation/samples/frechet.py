"""Two distances of distributions of features: Fréchet and kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.errors import TriptychError

__all__ = ["frechet_distance", "kernel_distance"]

CHUNK = 500
"""Rows of a kernel matrix held at once."""


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½) (Heusel et al. 2017, arXiv 1706.08500).

    The squared 2-Wasserstein distance of the Gaussians with the sets' means and
    unbiased covariances, in float64. The symmetric form has real roots even
    where a covariance is singular: fewer images than features are allowed. At a
    finite size the estimate is biased upward, the more the fewer images there are.

    Args:
        a: N×d features, N ≥ 2.
        b: M×d features, M ≥ 2.

    Returns:
        A distance ≥ 0 but for rounding, in squared units of the features.

    Raises:
        TriptychError: a set of fewer than two images, which has no covariance, or features that are not finite.

    Example:
        >>> a = torch.tensor([[0.0], [2.0]])
        >>> frechet_distance(a, a + 3)
        9.0
    """
    # On the host: not every accelerator has float64.
    a, b = _checked(a, b)
    first, second = torch.cov(a.T).view(a.shape[1], -1), torch.cov(b.T).view(a.shape[1], -1)
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift + first.trace() + second.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased MMD² with the kernel (x·y/d + 1)³, "KID" (Bińkowski et al. 2018, arXiv 1801.01401).

        Σ_{i≠j} k(a_i, a_j) / N(N−1) + Σ_{i≠j} k(b_i, b_j) / M(M−1) − 2 Σ_ij k(a_i, b_j) / NM

    Exact over all pairs, in float64 and in memory that does not grow with N·M.

    Args:
        a: N×d features, N ≥ 2.
        b: M×d features, M ≥ 2.

    Returns:
        An estimate whose expectation is 0 for equal distributions, so it can be negative.

    Raises:
        TriptychError: a set of fewer than two images, which has no pairs, or features that are not finite.

    Example:
        >>> kernel_distance(torch.zeros(3, 1), torch.ones(2, 1))
        7.0
    """
    a, b = _checked(a, b)
    between = _kernel_sum(a, b) / (len(a) * len(b))
    return _within(a) + _within(b) - 2 * between


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets on the host in float64, if a distance between them means anything."""
    if min(len(a), len(b)) < 2:
        raise TriptychError(
            f"a distance of distributions needs two images or more in each set; there are {len(a)} and {len(b)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise TriptychError("features that are not finite numbers have no distance")
    return a.cpu().double(), b.cpu().double()


def _within(x: Tensor) -> float:
    """Mean of the kernel over all ordered pairs of different rows."""
    count, d = x.shape
    same = float((x.square().sum(1) / d + 1).pow(3).sum())
    return (_kernel_sum(x, x) - same) / (count * (count - 1))


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for rows in torch.split(a, CHUNK):
        base = (rows @ b.T).div_(b.shape[1]).add_(1)
        total += float(torch.dot(base.square().flatten(), base.flatten()))
    return total
