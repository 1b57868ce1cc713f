"""How far two sets of features cover each other: precision and recall, density and coverage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from triptych.errors import TriptychError

__all__ = ["K_DENSITY", "K_PRECISION", "Overlap", "overlap"]

K_PRECISION = 3
"""Neighbour that sets a radius for precision and recall, as their authors chose."""

K_DENSITY = 5
"""Neighbour that sets a radius for density and coverage, as their authors chose."""

CHUNK = 500
"""Rows of a matrix of distances held at once."""

TIE = 1e-9
"""A neighbour on the rim of a ball is in it, whichever way rounding went: copies of real images are."""

ROUNDING = 1e-13
"""Share of the largest squared length that rounding may put between copies: a ball around equals has no radius else."""


class Overlap(NamedTuple):
    """Four answers to "are the samples real, and are they all that is real?".

    Precision and density fall when samples look like nothing real; recall and
    coverage when some of what is real is never sampled.
    """

    precision: float
    """Share of the samples inside the union of balls around real images, 0 to 1."""
    recall: float
    """Share of the real images inside the union of balls around samples, 0 to 1."""
    density: float
    """In how many real balls a sample lies, over k: about 1 for equal distributions, may exceed it."""
    coverage: float
    """Share of the real balls that have a sample in them, 0 to 1."""


def overlap(real: Tensor, samples: Tensor) -> Overlap:
    """Precision and recall with k = 3 (Kynkäänniemi et al. 2019), density and coverage with k = 5 (Naeem et al. 2020).

    The ball of a point reaches to its k-th nearest neighbour in its own set, itself
    not counted (arXiv 1904.06991, 2002.09797). In float64; memory is bounded by
    chunks of rows × the larger set.

    Args:
        real: N×d features of real images, N > 5.
        samples: M×d features of samples, M > 5.

    Raises:
        TriptychError: a set has too few points for its neighbours.
    """
    few = min(len(real), len(samples))
    if few <= K_DENSITY:
        raise TriptychError(
            f"density and coverage need more than {K_DENSITY} images in each set; there are {few}"
        )
    # On the host: not every accelerator has float64.
    real, samples = real.cpu().double(), samples.cpu().double()
    # Distances are differences of squares: near the origin they lose the fewest digits.
    centre = real.mean(0)
    real, samples = real - centre, samples - centre
    near, wide = _radii(real)
    near_samples, _ = _radii(samples)
    precise, balls = 0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for chunk, radii in zip(
        torch.split(samples, CHUNK), torch.split(near_samples, CHUNK), strict=True
    ):
        distance = _squared(chunk, real)
        precise += int((distance <= near).any(1).sum())
        recalled |= (distance <= radii[:, None]).any(0)
        inside = distance <= wide
        balls += int(inside.sum())
        covered |= inside.any(0)
    return Overlap(
        precise / len(samples),
        float(recalled.double().mean()),
        balls / (K_DENSITY * len(samples)),
        float(covered.double().mean()),
    )


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of all pairs, not negative."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return torch.addmm(lengths, a, b.T, alpha=-2).clamp_(min=0)


def _radii(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squared radii of every point's ball, for precision and for density."""
    found = []
    for start in range(0, len(x), CHUNK):
        distance = _squared(x[start : start + CHUNK], x)
        rows = torch.arange(len(distance))
        distance[rows, start + rows] = torch.inf
        found.append(distance.topk(K_DENSITY, largest=False).values)
    slack = ROUNDING * x.square().sum(1).max()
    nearest = torch.cat(found) * (1 + TIE) + slack
    return nearest[:, K_PRECISION - 1], nearest[:, K_DENSITY - 1]
