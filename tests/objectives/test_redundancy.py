"""Correlations, variances and covariances against loops over their sums, their gradients, and their ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych.objectives.redundancy import (
    covariance_penalty,
    cross_correlation,
    off_diagonal,
    on_diagonal,
    variance_hinge,
)

N, D = 9, 4


def drawn(seed: int = 0, n: int = N, d: int = D) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standardised(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / z.std(0, correction=0)


def naive_correlation(z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """Equation 2 of Zbontar et al., of embeddings that are centred: a sum for each pair of dimensions."""
    z1, z2 = z1 - z1.mean(0), z2 - z2.mean(0)
    c = np.zeros((D, D))
    for i in range(D):
        for j in range(D):
            top = sum(z1[b, i] * z2[b, j] for b in range(N))
            left = math.sqrt(sum(z1[b, i] ** 2 for b in range(N)))
            right = math.sqrt(sum(z2[b, j] ** 2 for b in range(N)))
            c[i, j] = top / (left * right)
    return c


def test_correlations_are_equation_2():
    z1, z2 = drawn(0), drawn(1)
    found = cross_correlation(standardised(z1), standardised(z2))
    np.testing.assert_allclose(found, naive_correlation(z1.numpy(), z2.numpy()), rtol=1e-12)


def test_both_sums_are_equation_1():
    c = drawn(2, D, D)
    alike = sum((1 - float(c[i, i])) ** 2 for i in range(D))
    others = sum(float(c[i, j]) ** 2 for i in range(D) for j in range(D) if j != i)
    assert float(on_diagonal(c)) == pytest.approx(alike, rel=1e-13)
    assert float(off_diagonal(c)) == pytest.approx(others, rel=1e-13)


def test_small_correlations_are_not_lost_beside_a_large_diagonal():
    """Subtracted from the whole, they would be below float32's rounding."""
    c = 1e3 * torch.eye(50) + 1e-4 * (1 - torch.eye(50))
    assert float(off_diagonal(c)) == pytest.approx(50 * 49 * 1e-8, rel=1e-5)


def barlow(z1: Tensor, z2: Tensor) -> Tensor:
    c = cross_correlation(standardised(z1), standardised(z2))
    return on_diagonal(c) + 5e-3 * off_diagonal(c)


def test_gradients_of_the_correlations_are_those_of_finite_differences():
    z1, z2 = (drawn(seed).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(barlow, (z1, z2))


def test_correlations_are_1_of_a_dimension_with_itself_and_the_loss_then_0():
    basis = torch.tensor([[1, 1], [-1, 1], [1, -1], [-1, -1]], dtype=torch.float64)
    torch.testing.assert_close(barlow(basis, 3 * basis + 1), torch.zeros((), dtype=torch.float64))
    # One dimension repeated: the first sum is 0, and every other correlation is 1.
    repeated = basis[:, :1].expand(-1, 5)
    c = cross_correlation(repeated, repeated)
    assert (float(on_diagonal(c)), float(off_diagonal(c))) == (0.0, 20.0)


def naive_hinge(z: np.ndarray) -> float:
    """Equations 1 and 2 of Bardes et al."""
    total = 0.0
    for j in range(z.shape[1]):
        mean = sum(z[:, j]) / len(z)
        variance = sum((x - mean) ** 2 for x in z[:, j]) / (len(z) - 1)
        total += max(0.0, 1 - math.sqrt(variance + 1e-4))
    return total / z.shape[1]


def naive_covariance(z: np.ndarray) -> float:
    """Equations 3 and 4: C = 1/(n − 1) Σ (z − z̄)(z − z̄)ᵀ, and the squares off its diagonal over d."""
    mean = sum(z) / len(z)
    c = sum(np.outer(row - mean, row - mean) for row in z) / (len(z) - 1)
    d = len(c)
    return sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_variance_and_covariance_are_their_equations(scale: float):
    z = scale * drawn(3) + 5
    assert float(variance_hinge(z)) == pytest.approx(naive_hinge(z.numpy()), rel=1e-12)
    assert float(covariance_penalty(z)) == pytest.approx(naive_covariance(z.numpy()), rel=1e-11)


def test_their_gradients_are_those_of_finite_differences():
    z = (0.5 * drawn(4)).requires_grad_()
    assert torch.autograd.gradcheck(variance_hinge, (z,))
    assert torch.autograd.gradcheck(covariance_penalty, (z,))


def test_the_ends_of_the_hinge():
    """No variance costs 1 − √ε and has a slope that is finite; enough of it costs nothing."""
    flat = torch.full((6, 3), 2.0, dtype=torch.float64, requires_grad=True)
    found = variance_hinge(flat)
    assert found.item() == pytest.approx(1 - 1e-2, abs=1e-12)
    found.backward()
    assert flat.grad.isfinite().all()
    assert variance_hinge(3 * drawn(0)) == 0


def test_a_common_offset_changes_neither():
    z = drawn(5)
    for of in (variance_hinge, covariance_penalty):
        torch.testing.assert_close(of(z + 100), of(z), rtol=1e-9, atol=1e-12)


def test_sums_over_the_batch_are_in_float32_under_autocast():
    z = (standardised(drawn(0, 64, 16)) + 0.1).bfloat16()
    exact = z.double()
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_correlation(z, z), covariance_penalty(z), variance_hinge(z)
    expected = cross_correlation(exact, exact), covariance_penalty(exact), variance_hinge(exact)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)
