"""What keeps the dimensions of an embedding from repeating each other, and from carrying nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.objectives.precise import precise

__all__ = [
    "covariance_penalty",
    "cross_correlation",
    "off_diagonal",
    "on_diagonal",
    "variance_hinge",
]

EPSILON = 1e-4
"""Added to a variance before its root is taken, whose slope has no end at 0 (Bardes et al. 2022, section 4.1)."""


def cross_correlation(z1: Tensor, z2: Tensor) -> Tensor:
    """C_ij = Σ_b z1_bi z2_bj / N (Zbontar et al. 2021, arXiv 2103.03230, equation 2): N×d, N×d → d×d in [−1, 1].

    Every column has mean 0 and variance 1 over the batch, as batch normalisation without weights leaves it.

    Example:
        >>> z = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        >>> cross_correlation(z, z)
        tensor([[1., 0.],
                [0., 1.]])
    """
    with precise(z1, z2) as (z1, z2):
        return z1.T @ z2 / len(z1)


def on_diagonal(c: Tensor) -> Tensor:
    """Σ_i (1 − C_ii)², how far the views of an image are from the same in each dimension (the same, equation 1).

    Example:
        >>> on_diagonal(torch.tensor([[1.0, 9.0], [9.0, 0.5]]))
        tensor(0.2500)
    """
    return (1 - c.diagonal()).square().sum()


def off_diagonal(c: Tensor) -> Tensor:
    """Σ_i Σ_{j≠i} C_ij², how much dimensions repeat each other (the same, equation 1).

    Example:
        >>> off_diagonal(torch.tensor([[5.0, 1.0], [2.0, 5.0]]))
        tensor(5.)
    """
    return (c - torch.diag(c.diagonal())).square().sum()


def variance_hinge(z: Tensor) -> Tensor:
    """(1/d) Σ_j max(0, 1 − √(Var z_j + ε)), ε = 1e-4 (Bardes et al. 2022, arXiv 2105.04906, equations 1 and 2).

    The variance is the one with N − 1. 0 where every dimension has a standard deviation of 1 or more; N×d → a scalar.

    Example:
        >>> variance_hinge(torch.tensor([[2.0, 3.0], [-2.0, 3.0]]))
        tensor(0.4950)
    """
    with precise(z) as (z,):
        return (1 - (z.var(0) + EPSILON).sqrt()).relu().mean()


def covariance_penalty(z: Tensor) -> Tensor:
    """(1/d) Σ_{i≠j} Cov(z_i, z_j)², the covariance with N − 1 (the same, equations 3 and 4); N×d → a scalar.

    Example:
        >>> covariance_penalty(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
        tensor(4.)
    """
    with precise(z) as (z,):
        centred = z - z.mean(0)
        return off_diagonal(centred.T @ centred / (len(z) - 1)) / z.shape[1]
