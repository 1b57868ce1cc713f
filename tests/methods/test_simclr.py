"""SimCLR is NT-Xent of what it projects, and without negatives the cosine alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from triptych.errors import TriptychError
from triptych.methods.simclr import SimCLRConfig
from triptych.objectives.contrastive import nt_xent
from triptych.objectives.similarity import cosine


def test_the_loss_is_that_of_the_projections_of_each_look_by_itself(built, losses, two_looks):
    method = built("simclr", temperature=0.3)
    found = losses(method)
    z1, z2 = (method.project(method._backbone(x)) for x in two_looks.views)
    torch.testing.assert_close(found.minimise, nt_xent(z1, z2, 0.3), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.terms["cosine"], cosine(z1, z2), rtol=1e-12, atol=1e-14)
    assert found.terms["loss"] is found.minimise and found.minimise.shape == (12,)


def test_without_negatives_an_image_is_compared_with_itself_alone(built, losses):
    """−cos / τ: what is left of the cross-entropy when its denominator is gone."""
    method = built("simclr", negatives=False)
    found = losses(method)
    torch.testing.assert_close(found.minimise, -2 * found.terms["cosine"], rtol=1e-14, atol=0)
    with_them = losses(built("simclr"))
    torch.testing.assert_close(found.terms["cosine"], with_them.terms["cosine"])
    # −s/τ and log of the sum: the same weights, another slope.
    assert (with_them.minimise - found.minimise).min() > 0


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_none_is_refused(temperature: float):
    with pytest.raises(TriptychError, match=r"--method.temperature"):
        replace(SimCLRConfig(), temperature=temperature)
