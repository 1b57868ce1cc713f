"""How features lie on the unit sphere: spread, dimensions, and what two views of an image share.

Every measure but `mean_std` is of rows of unit length, as the losses and the neighbours that
compare by cosine see them; a row of zeros stays one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["alignment", "effective_rank", "mean_std", "retrieval", "uniformity", "unit_std"]

CHUNK = 500
"""Rows compared with all others at once."""

LARGEST = 1000
"""Rows and columns of a matrix whose eigenvalues take 0.1 s; they take eight times that for twice as many."""

NOTHING = 1e-12
"""Total variance of unit vectors, at most 1, below which it is rounding of float32."""


def unit_std(z: Tensor) -> float:
    """Mean over dimensions of std(z / ‖z‖) · √d (Chen and He 2021, arXiv 2011.10566, section 4.1).

    1 for directions that are spread evenly and 0 for one and the same. That it is
    near 1 does not say that they are many: for ±u with uᵢ = ±1/√d it is 1 as well.

    Args:
        z: N×d features.

    Returns:
        A number in [0, 1]: the deviation is the one without Bessel's correction.

    Example:
        >>> round(unit_std(torch.tensor([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -2.0]])), 6)
        1.0
    """
    z = _unit(z)
    return float(z.std(0, correction=0).mean()) * math.sqrt(z.shape[1])


def mean_std(z: Tensor) -> float:
    """Mean over dimensions of std(z), of rows as they are (Bardes et al. 2022, arXiv 2105.04906, section 4.1).

    For projections that are to have 1 in each dimension: 0 where all are one point, which directions do not show
    where that point is nought.

    Args:
        z: N×d features.

    Example:
        >>> mean_std(torch.tensor([[1.0, 3.0], [-1.0, 3.0]]))
        0.5
    """
    return float(_wide(z).std(0, correction=0).mean())


def effective_rank(z: Tensor) -> float:
    """exp(−Σ p log p), p the singular values of the covariance over their sum (Roy and Vetterli 2007).

    How many directions the unit vectors vary in. The singular values of the
    covariance, in which Jing et al. (2022, arXiv 2110.09348) look for dimensional
    collapse, are shares of variance. With their roots, those of the matrix of rows
    itself, 2,000 rows ±u with a tenth of noise seem to have 131 of 512 dimensions; here it is 1.1.

    Args:
        z: N×d features. Where both are above 1,000, rows evenly spaced stand for all, at most 1,000.

    Returns:
        A number in [1, min(N − 1, d)], 0 where all rows point the same way, NaN where one is not finite.

    Example:
        >>> round(effective_rank(torch.eye(8)), 6)
        7.0
    """
    if min(z.shape) > LARGEST:
        z = z[:: math.ceil(len(z) / LARGEST)]
    z = _unit(z)
    z = z - z.mean(0)
    # Both products have the same eigenvalues; the smaller is quicker.
    product = z @ z.T if len(z) < z.shape[1] else z.T @ z
    if not product.isfinite().all():
        return math.nan
    variance = torch.linalg.eigvalsh(product / len(z)).clamp(min=0)
    total = variance.sum()
    if total < NOTHING:
        return 0.0
    return float(torch.special.entr(variance / total).sum().exp())


def alignment(z1: Tensor, z2: Tensor) -> float:
    """E ‖z₁ − z₂‖² of the unit vectors of two views (Wang and Isola 2020, arXiv 2005.10242).

    Args:
        z1: N×d features of one view of each image.
        z2: those of another view, in the same order.

    Returns:
        A number in [0, 4]: 2 − 2·(mean cosine), 0 where the views agree.

    Example:
        >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        2.0
    """
    return float((_unit(z1) - _unit(z2)).square().sum(1).mean())


def uniformity(z: Tensor, t: float = 2.0) -> float:
    """Log E exp(−t ‖x − y‖²) over pairs of different rows of unit length (Wang and Isola 2020).

    Args:
        z: N×d features, N ≥ 2.
        t: how local it looks; 2 in the paper.

    Returns:
        A number in [−4t, 0], the lower the more evenly spread: 0 where all rows
        point the same way, near −2t for random directions in many dimensions.

    Example:
        >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        -8.0
    """
    z = _unit(z)
    squares, total = z.square().sum(1), z.new_zeros(())
    for start in range(0, len(z), CHUNK):
        part = slice(start, start + CHUNK)
        distance = squares[part, None] + squares - 2 * (z[part] @ z.T)
        distance.diagonal(start).fill_(math.inf)
        total += (-t * distance.clamp(min=0)).exp().sum()
    return math.log(float(total) / (len(z) * (len(z) - 1)))


def retrieval(z1: Tensor, z2: Tensor) -> float:
    """Share of first views to which, by cosine, no second view is as near as that of the same image.

    It needs no labels. By chance it is 1/N; of features that are all the same it is 0.

    Args:
        z1: N×d features of one view of each image.
        z2: those of another view, in the same order.

    Example:
        >>> retrieval(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[5.0, 1.0], [1.0, 0.0]]))
        0.0
    """
    z1, z2 = _unit(z1), _unit(z2)
    right = torch.zeros((), dtype=torch.int64, device=z1.device)
    for start in range(0, len(z1), CHUNK):
        cosine = z1[start : start + CHUNK] @ z2.T
        own = cosine.diagonal(start).clone()
        cosine.diagonal(start).fill_(-math.inf)
        right += (own > cosine.amax(1)).sum()
    return int(right) / len(z1)


def _unit(z: Tensor) -> Tensor:
    """Rows of unit length in float64."""
    return F.normalize(_wide(z), dim=1, eps=1e-30)


def _wide(z: Tensor) -> Tensor:
    """In float64, on the host where the device has none."""
    z = z.detach()
    return z.cpu().double() if z.device.type == "mps" else z.double()
