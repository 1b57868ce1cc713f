"""Barlow Twins is equation 1 of what it projects, each look standardised by itself."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize("weight", [5e-3, 0.0])
def test_the_loss_is_equation_1_of_the_correlations(built, losses, two_looks, weight: float):
    method = built("barlow", off_diagonal_weight=weight)
    found = losses(method)
    # What comes before the last layer, standardised here and by nobody's batch normalisation.
    raw = [method.projector[:-1](method._backbone(x)).detach() for x in two_looks.views]
    a, b = ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in raw)
    d = a.shape[1]
    c = torch.tensor(
        [[float((a[:, i] * b[:, j]).sum()) / len(a) for j in range(d)] for i in range(d)]
    )
    alike = sum((1 - float(c[i, i])) ** 2 for i in range(d))
    others = sum(float(c[i, j]) ** 2 for i in range(d) for j in range(d) if i != j)
    assert found.minimise.item() == pytest.approx(alike + weight * others, rel=1e-6)
    assert found.terms["invariance"].item() == pytest.approx(alike, rel=1e-6)
    assert found.terms["redundancy"].item() == pytest.approx(others, rel=1e-6)
    assert found.minimise.shape == () and found.terms["cosine"].shape == (12,)


def test_correlations_in_the_batch_are_those_of_pearson(built, losses, two_looks):
    """But for the small number that batch normalisation adds to a variance."""
    method = built("barlow")
    z1, z2 = (method.project(method._backbone(x)) for x in two_looks.views)
    both = torch.corrcoef(torch.cat([z1, z2], 1).T)
    d = z1.shape[1]
    expected = (1 - both[:d, d:].diagonal()).square().sum()
    torch.testing.assert_close(losses(method).terms["invariance"], expected, rtol=0.02, atol=1e-3)
