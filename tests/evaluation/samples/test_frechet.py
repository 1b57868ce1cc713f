"""Fréchet and kernel distance against naive versions in double precision and against closed forms."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from triptych.errors import TriptychError
from triptych.evaluation.samples.frechet import CHUNK, frechet_distance, kernel_distance


def features(count: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Correlated and far from Gaussian."""
    draw = np.random.default_rng(seed)
    mix = np.random.default_rng(100 + seed % 3).normal(size=(d, d))
    return torch.from_numpy(np.maximum(draw.normal(size=(count, d)) @ mix + shift, 0))


def with_moments(count: int, mean, covariance, seed: int) -> torch.Tensor:
    """Points whose mean and unbiased covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    x = x - x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return torch.from_numpy(white @ np.linalg.cholesky(covariance).T + mean)


def naive_frechet(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.cov(a.T), np.cov(b.T)
    root = sqrtm(first @ second).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)


def naive_kernel(a: np.ndarray, b: np.ndarray) -> float:
    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    aa = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    bb = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    ab = sum(k(x, y) for x in a for y in b) / (n * m)
    return aa + bb - 2 * ab


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 7), (400, 400, 32), (60, 80, 24)])
def test_frechet_is_the_formula_with_a_matrix_root(n: int, m: int, d: int):
    a, b = features(n, d, 0), features(m, d, 1, 0.5)
    expected = naive_frechet(a.numpy(), b.numpy())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_frechet_of_commuting_gaussians_is_that_of_their_deviations():
    """For covariances with common axes: Σ (μ − μ')² + Σ (σ − σ')²."""
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    first, second = np.array([3.0, 1.0, 0.5, 2.0]), np.array([1.0, 1.0, 2.5, 0.1])
    shift = np.array([0.3, -1.0, 2.0, 0.0])
    a = with_moments(50, np.zeros(4), turn * first**2 @ turn.T, 1)
    b = with_moments(70, shift, turn * second**2 @ turn.T, 2)
    expected = (shift**2).sum() + ((first - second) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_of_equal_sets_is_nought_and_of_moved_ones_the_way():
    a = features(300, 16, 0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 0.25) == pytest.approx(16 * 0.25**2)
    assert frechet_distance(a[:1].expand(9, -1), a[:1].expand(5, -1) + 1) == pytest.approx(16)


def test_frechet_of_fewer_images_than_features():
    """Both covariances singular: the trace of the root is a nuclear norm of the centred sets."""
    a, b = features(20, 64, 0).float(), features(30, 64, 1).float()
    x, y = a.double().numpy(), b.double().numpy()
    u, v = (x - x.mean(0)) / np.sqrt(19), (y - y.mean(0)) / np.sqrt(29)
    cross = np.linalg.svd(u @ v.T, compute_uv=False).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (u**2).sum() + (v**2).sum() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "m", "d"), [(13, 13, 5), (20, 9, 3), (2, 2, 1)])
def test_kernel_distance_is_the_sum_over_all_pairs(n: int, m: int, d: int):
    a, b = features(n, d, 0), features(m, d, 1, 0.5)
    assert kernel_distance(a, b) == pytest.approx(naive_kernel(a.numpy(), b.numpy()), rel=1e-10)


def test_kernel_distance_of_more_rows_than_a_chunk():
    a, b = features(CHUNK + 7, 6, 0), features(2 * CHUNK + 1, 6, 1)

    def total(x, y):
        return ((x @ y.T / 6 + 1) ** 3).numpy()

    n, m = len(a), len(b)
    aa, bb = total(a, a), total(b, b)
    expected = (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1))
    expected -= 2 * total(a, b).mean()
    assert kernel_distance(a.float(), b.float()) == pytest.approx(expected, rel=1e-4)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_is_unbiased_also_for_small_sets():
    draw = torch.Generator().manual_seed(0)

    def repeated(shift: float) -> tuple[float, float]:
        found = [
            kernel_distance(
                torch.randn(12, 4, generator=draw, dtype=torch.float64),
                torch.randn(20, 4, generator=draw, dtype=torch.float64) + shift,
            )
            for _ in range(2000)
        ]
        return float(np.mean(found)), float(np.std(found) / np.sqrt(len(found)))

    mean, error = repeated(0)
    assert abs(mean) < 3 * error < 0.05
    # With u = x·y/d of d independent coordinates, by the first three moments of N(s, 1).
    first, second, third = 0.5, 1 + 0.5**2, 0.5**3 + 3 * 0.5
    d, s = 4, 0.5
    shift2 = d * s**2 / d
    pairs2 = (d * (second**2) + d * (d - 1) * first**4) / d**2
    null2, cross2 = d / d**2, d * second / d**2
    same3 = (
        d * third**2 + 3 * d * (d - 1) * second**2 * first**2 + d * (d - 1) * (d - 2) * first**6
    ) / d**3
    expected = (3 * shift2 + 3 * pairs2 + same3) + 3 * null2 - 2 * 3 * cross2
    mean, error = repeated(s)
    assert abs(mean - expected) < 3 * error < 0.2 * expected


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_sets_without_a_spread_have_no_distance(distance):
    some, one = torch.rand(5, 3), torch.rand(1, 3)
    with pytest.raises(TriptychError, match="two images or more in each set; there are 5 and 1"):
        distance(some, one)
    broken = torch.where(torch.rand(5, 3) > 2, 1.0, torch.nan)
    with pytest.raises(TriptychError, match="not finite"):
        distance(some, broken)
    assert np.isfinite(distance(some, torch.rand(2, 3)))
