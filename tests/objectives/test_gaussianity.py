"""The distance from N(0, 1) against quadrature, a closed form, and its expectation under the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from triptych.objectives.gaussianity import LIMIT, epps_pulley, sketched


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_quadrature(x: np.ndarray, limit: float) -> float:
    """N ∫ |φ̂(t) − φ(t)|² φ(t) dt over [−limit, limit], φ the characteristic function of N(0, 1), in complex numbers."""

    def apart(t: float) -> float:
        normal = math.exp(-(t**2) / 2)
        return float(abs(np.exp(1j * t * x).mean() - normal) ** 2 * normal)

    return len(x) * quad(apart, -limit, limit, epsabs=1e-12, limit=200)[0]


def closed(x: np.ndarray) -> float:
    """The same over all t (Baringhaus and Henze 1988): three Gaussian integrals.

    √2π/N Σ_jk e^(−(x_j−x_k)²/2) − 2√π Σ_j e^(−x_j²/4) + N √(2π/3).
    """
    n = len(x)
    pairs = np.exp(-((x[:, None] - x) ** 2) / 2).sum() * math.sqrt(2 * math.pi) / n
    single = 2 * math.sqrt(math.pi) * np.exp(-(x**2) / 4).sum()
    return float(pairs - single + n * math.sqrt(2 * math.pi / 3))


DRAWS = {
    "normal": drawn(12),
    "shifted": drawn(12) + 2,
    "wide": 3 * drawn(12),
    "one point": torch.zeros(12, dtype=torch.float64),
    "two": torch.tensor([-1.0, 1.0], dtype=torch.float64),
}


@pytest.mark.parametrize("x", DRAWS.values(), ids=DRAWS)
def test_it_is_the_integral(x: Tensor):
    found = epps_pulley(x[:, None], points=4001, limit=LIMIT).item()
    assert found == pytest.approx(by_quadrature(x.numpy(), LIMIT), rel=1e-5)


@pytest.mark.parametrize("x", DRAWS.values(), ids=DRAWS)
def test_over_all_t_it_is_the_closed_form(x: Tensor):
    found = epps_pulley(x[:, None], points=401, limit=12.0).item()
    assert found == pytest.approx(closed(x.numpy()), rel=1e-9)


@pytest.mark.parametrize("x", DRAWS.values(), ids=DRAWS)
def test_seventeen_points_are_enough(x: Tensor):
    """The default against the whole integral: what is cut off and the rule's error are under 3 % of it, or of its expectation."""
    found = epps_pulley(x[:, None]).item()
    assert found == pytest.approx(closed(x.numpy()), rel=0.03, abs=0.03 * 1.06)


def test_a_point_at_nought_costs_what_its_integral_says():
    """φ̂ = 1: N ∫ (1 − e^(−t²/2))² e^(−t²/2) dt = N √2π (1 − √2 + 1/√3)."""
    expected = 8 * math.sqrt(2 * math.pi) * (1 - math.sqrt(2) + 1 / math.sqrt(3))
    found = epps_pulley(torch.zeros(8, 1, dtype=torch.float64), points=401, limit=12.0)
    assert found.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [4, 64])
def test_its_expectation_under_the_null_does_not_depend_on_the_number_of_draws(n: int):
    """∫ (1 − e^(−t²)) e^(−t²/2) dt = √2π (1 − 1/√3): the mean of 20,000 batches within four of its errors."""
    found = epps_pulley(drawn(n, 20_000, seed=n), points=61, limit=6.0)
    expected = math.sqrt(2 * math.pi) * (1 - 1 / math.sqrt(3))
    error = found.std().item() / math.sqrt(len(found))
    assert abs(found.mean().item() - expected) < 4 * error
    assert error < 0.01


def test_its_gradient_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(epps_pulley, (drawn(5, 3).requires_grad_(),))
    z, a = drawn(5, 3).requires_grad_(), drawn(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda z: sketched(z, a), (z,))


def test_a_sketch_is_the_mean_over_directions_of_unit_length():
    z, a = drawn(20, 3), drawn(3, 7, seed=1)
    each = [epps_pulley((z @ (v / v.norm()))[:, None]).item() for v in a.T]
    assert sketched(z, a).item() == pytest.approx(np.mean(each), rel=1e-12)
    torch.testing.assert_close(sketched(z, 5 * a), sketched(z, a), rtol=1e-12, atol=0)


def test_the_same_marginals_along_the_axes_are_told_apart_by_others():
    """(x, x) has N(0, 1) along both axes and is no N(0, I): only a direction between them shows it."""
    x = drawn(500)
    both = torch.stack([x, x], 1)
    apart = drawn(500, 2, seed=3)
    axes, turned = torch.eye(2).double(), torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    assert sketched(both, axes) < 3
    assert sketched(both, turned) > 20
    assert sketched(apart, turned) < 3


def test_half_precision_is_projected_in_float32():
    z, a = drawn(64, 8).bfloat16(), drawn(8, 16, seed=1).float()
    exact = sketched(z.double(), a.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = sketched(z, a)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)
