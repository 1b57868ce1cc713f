"""VICReg's three terms by the paper's formulas with the scale of the authors' code, and what each weight takes away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.methods.vicreg import VICRegConfig


def terms(z1: np.ndarray, z2: np.ndarray) -> tuple[float, float, float]:
    """Mean squared difference; half of each hinge on the deviation; the squares off the diagonal of each covariance over d."""
    n, d = z1.shape
    invariance = sum((z1[b, j] - z2[b, j]) ** 2 for b in range(n) for j in range(d)) / (n * d)
    variance = covariance = 0.0
    for z in (z1, z2):
        deviation = np.sqrt(z.var(0, ddof=1) + 1e-4)
        variance += sum(max(0.0, 1 - s) for s in deviation) / d / 2
        c = np.cov(z.T)
        covariance += sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    return invariance, variance, covariance


@pytest.mark.parametrize("weights", [(25, 25, 1), (25, 0, 1), (25, 25, 0), (1, 0, 0)])
def test_the_loss_is_the_sum_of_what_has_a_weight(built, losses, two_looks, weights):
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    method = built("vicreg", **dict(zip(names, map(float, weights), strict=True)))
    found = losses(method)
    z = [method.project(method._backbone(x)).detach().numpy() for x in two_looks.views]
    expected = terms(*z)
    assert found.minimise.shape == (12,)
    total = sum(w * t for w, t in zip(weights, expected, strict=True))
    assert found.minimise.mean().item() == pytest.approx(total, rel=1e-9)
    for name, value in zip(("invariance", "variance", "covariance"), expected, strict=True):
        assert found.terms[name].mean().item() == pytest.approx(value, rel=1e-9)


def test_projections_are_not_normalised(built, two_looks):
    """Or their variance would be 1 whatever was learned, and the hinge would see nothing."""
    method = built("vicreg")
    z = method.project(method._backbone(two_looks.views[0]))
    assert (z.std(0) - 1).abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variance_weight": -1.0}, r"--method.variance-weight -1.0 is too small"),
        ({"invariance_weight": 0.0}, r"--method.invariance-weight 0 would compare no views"),
    ],
)
def test_weights_that_mean_nothing_are_refused(change: dict, said: str):
    with pytest.raises(TriptychError, match=said):
        replace(VICRegConfig(), **change)
