"""SIGReg's loss by hand, and the directions that it is given."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.methods.sigreg import SIGRegConfig
from triptych.types import Noise

DIRECTIONS = torch.randn(8, 5, generator=torch.Generator().manual_seed(2)).double()


def statistic(x: Tensor) -> float:
    """The authors' quadrature, written out: 17 points on [0, 3], twice."""
    total, h = 0.0, 3 / 16
    for k in range(17):
        t = k * h
        normal = math.exp(-(t**2) / 2)
        apart = ((t * x).cos().mean() - normal) ** 2 + (t * x).sin().mean() ** 2
        total += apart.item() * normal * h * (0.5 if k in (0, 16) else 1.0)
    return 2 * len(x) * total


@pytest.mark.parametrize("weight", [0.02, 0.5, 0.0])
def test_the_loss_shares_out_views_and_regulariser(built, losses, two_looks, weight: float):
    method = built("sigreg", regulariser_weight=weight, directions=5)
    found = losses(method, directions=DIRECTIONS)
    z1, z2 = (method.project(method._backbone(x)) for x in two_looks.views)
    middle = (z1 + z2) / 2
    views = torch.stack([(z - middle).square().mean() for z in (z1, z2)]).mean().item()
    along = [[statistic(z @ (a / a.norm())) for a in DIRECTIONS.T] for z in (z1, z2)]
    regulariser = sum(map(sum, along)) / 10
    assert found.terms["invariance"].mean().item() == pytest.approx(views, rel=1e-10)
    assert found.terms["regulariser"].item() == pytest.approx(regulariser, rel=1e-10)
    expected = (1 - weight) * views + weight * regulariser
    assert found.minimise.mean().item() == pytest.approx(expected, rel=1e-10)


def test_all_images_of_a_batch_are_held_against_the_same_directions(built):
    (phase,) = built("sigreg", directions=5).phases()
    assert phase.noise == {"directions": Noise((8, 5), shared=True)}


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(TriptychError, match=r"--method.regulariser-weight 1.0 .* give 0.02"):
        replace(SIGRegConfig(), regulariser_weight=1.0)
