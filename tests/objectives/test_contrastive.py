"""NT-Xent against two loops, its ends, and what autocast must not touch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from triptych.objectives.contrastive import nt_xent


def looks(n: int = 6, d: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, n, d, generator=draw, dtype=torch.float64)
    return z1, z2


def naive(z1: np.ndarray, z2: np.ndarray, temperature: float) -> list[float]:
    """Equation 1 for each pair, one look after the other."""
    z, n = np.concatenate([z1, z2]), len(z1)
    found = np.zeros(n)
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        similar = {}
        for k in range(2 * n):
            cosine = z[i] @ z[k] / (np.linalg.norm(z[i]) * np.linalg.norm(z[k]))
            similar[k] = math.exp(cosine / temperature)
        found[i % n] += -math.log(similar[j] / sum(v for k, v in similar.items() if k != i)) / 2
    return list(found)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_it_is_equation_1_of_every_pair(temperature: float):
    z1, z2 = looks()
    found = nt_xent(z1, z2, temperature)
    np.testing.assert_allclose(found, naive(z1.numpy(), z2.numpy(), temperature), rtol=1e-13)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_minimum_of_two_images_is_reached_where_they_are_opposite(temperature: float):
    """Both looks the same, the other image's opposite: log(1 + (2N − 2) e^(−2/τ)), N = 2."""
    z = torch.tensor([[3.0, 0.0], [-0.5, 0.0]], dtype=torch.float64)
    least = math.log1p(2 * math.exp(-2 / temperature))
    assert nt_xent(z, 2 * z, temperature).tolist() == pytest.approx([least] * 2, rel=1e-12)
    for seed in range(20):
        assert (nt_xent(*looks(2, 3, seed), temperature) > least).all()


def test_the_minimum_of_many_images_is_a_simplex():
    """N unit vectors with cosines −1/(N − 1): log(1 + (2N − 2) e^((−1/(N−1) − 1)/τ)), where its slope is 0."""
    n, temperature = 5, 0.5
    z = torch.eye(n, dtype=torch.float64) - 1 / n
    z1, z2 = z.clone().requires_grad_(), z.clone().requires_grad_()
    found = nt_xent(z1, z2, temperature)
    least = math.log1p((2 * n - 2) * math.exp((-1 / (n - 1) - 1) / temperature))
    assert found.tolist() == pytest.approx([least] * n, rel=1e-12)
    found.sum().backward()
    for gradient in (z1.grad, z2.grad):
        assert gradient.abs().max() < 1e-15
    for seed in range(20):
        assert nt_xent(*looks(n, n, seed), temperature).mean() > least


def test_looks_that_are_all_the_same_cost_the_logarithm_of_the_others():
    z = torch.ones(4, 3, dtype=torch.float64)
    assert nt_xent(z, z, 0.5).tolist() == pytest.approx([math.log(7)] * 4, rel=1e-14)


def test_its_gradient_is_that_of_finite_differences():
    z1, z2 = (z.requires_grad_() for z in looks())
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z1, z2))


def test_exchanging_the_looks_and_the_lengths_of_rows_change_nothing():
    z1, z2 = looks()
    expected = nt_xent(z1, z2, 0.5)
    torch.testing.assert_close(nt_xent(z2, z1, 0.5), expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(nt_xent(7 * z1, z2 / 9, 0.5), expected, rtol=1e-13, atol=0)


def test_half_precision_is_compared_in_float32():
    """Under autocast a product of matrices would be in bf16, which has two to three digits."""
    z1, z2 = (z.bfloat16() for z in looks(32, 16))
    exact = nt_xent(z1.double(), z2.double(), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent(z1, z2, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
