"""Measures of a representation against closed forms and naive versions."""

import math

import numpy as np
import pytest
import torch

from triptych.evaluation.representation.geometry import (
    CHUNK,
    LARGEST,
    alignment,
    effective_rank,
    mean_std,
    retrieval,
    uniformity,
    unit_std,
)


def normal(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn(d: int) -> torch.Tensor:
    return torch.linalg.qr(normal(d, d, seed=3))[0]


def units(z: torch.Tensor) -> np.ndarray:
    z = z.double().numpy()
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def cross(k: int, d: int) -> torch.Tensor:
    """±e₁ … ±e_k: unit vectors with the same variance 1/k along each of k axes, and mean 0."""
    axes = torch.eye(d, dtype=torch.float64)[:k]
    return torch.cat([axes, -axes])


def test_the_spread_of_lengths_sees_what_directions_do_not():
    """All shrunk to a thousandth: directions as even as before, and nothing left of their lengths."""
    z = normal(300, 64) + 2
    expected = np.mean([np.std(z[:, j].numpy()) for j in range(64)])
    assert mean_std(z) == pytest.approx(expected, rel=1e-12)
    assert mean_std(z + 100) == pytest.approx(expected, rel=1e-9)
    assert mean_std(z / 1000) == pytest.approx(expected / 1000, rel=1e-12)
    assert unit_std(z / 1000) == pytest.approx(unit_std(z), rel=1e-12)
    assert mean_std(torch.ones(5, 3)) == 0.0


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_k_directions_of_equal_energy_have_rank_k(k: int):
    z = cross(k, 40) @ turn(40)
    assert effective_rank(z) == pytest.approx(k, rel=1e-9)
    assert effective_rank(3 * z) == pytest.approx(k, rel=1e-9)
    assert effective_rank(z.repeat(5, 1)) == pytest.approx(k, rel=1e-9)
    assert effective_rank(z.float()) == pytest.approx(k, rel=1e-4)
    lengths = normal(2 * k, 1).abs() + 0.1
    assert effective_rank(z * lengths) == pytest.approx(k, rel=1e-9), "only directions count"


def test_rank_is_the_exponential_of_the_entropy_of_the_covariance_spectrum():
    """Energies 1/2, 1/4, 1/8, 1/8 have entropy 7/4 · log 2."""
    z = cross(4, 6)[[0, 0, 0, 0, 1, 1, 2, 3]]
    assert effective_rank(torch.cat([z, -z])) == pytest.approx(2**1.75)


@pytest.mark.parametrize(("n", "d"), [(30, 12), (12, 30), (2, 5)])
def test_rank_is_that_of_numpys_covariance_with_more_and_with_fewer_rows_than_columns(n, d):
    z = normal(n, d) @ turn(d).abs() + 0.3
    values = np.linalg.svd(np.cov(units(z).T), compute_uv=False)
    p = values / values.sum()
    expected = math.exp(-sum(x * math.log(x) for x in p if x > 0))
    assert effective_rank(z) == pytest.approx(expected, rel=1e-9)


def test_rank_of_a_large_set_is_that_of_rows_evenly_spaced():
    z = (normal(2 * LARGEST + 5, 30) @ normal(30, LARGEST + 1, 1)).float()
    assert effective_rank(z) == effective_rank(z[::3])
    assert effective_rank(z) == pytest.approx(effective_rank(z[:, :LARGEST]), rel=0.02)


def test_rank_sees_past_a_common_direction():
    """A mean far from 0 is no dimension in which images differ."""
    z = normal(400, 8) @ turn(8)
    far = torch.cat([z, torch.full((400, 1), 100.0, dtype=torch.float64)], 1)
    assert effective_rank(z) > 7.8
    assert effective_rank(far) > 7.8


@pytest.mark.parametrize(("noise", "rank"), [(0, 1), (0.01, 1.002), (0.1, 1.12)])
def test_plus_and_minus_one_direction_has_full_spread_and_rank_one(noise: float, rank: float):
    u = normal(1, 512, seed=1).sign()
    z = torch.tensor([[1.0], [-1.0]]).double().repeat(500, 1) * u + noise * normal(1000, 512)
    assert unit_std(z) == pytest.approx(1, abs=1e-2)
    assert effective_rank(z) == pytest.approx(rank, abs=0.01)


def test_the_roots_of_the_spectrum_would_hide_a_single_direction():
    """What the docstring says of the same measure on the singular values of the rows."""
    u = normal(1, 512, seed=1).sign()
    z = torch.tensor([[1.0], [-1.0]]).double().repeat(1000, 1) * u + 0.1 * normal(2000, 512)
    values = np.linalg.svd(units(z), compute_uv=False)
    p = values / values.sum()
    assert math.exp(-(p * np.log(p)).sum()) == pytest.approx(131, abs=3)


@pytest.mark.parametrize("d", [3, 64, 512])
def test_spread_of_isotropic_directions_is_one(d: int):
    assert unit_std(normal(20_000 if d == 3 else 2000, d)) == pytest.approx(1, abs=5e-3)
    assert unit_std(cross(d, d)) == pytest.approx(1, rel=1e-12)


def test_spread_is_numpys_of_unit_rows_and_falls_with_the_noise_around_a_point():
    z = normal(50, 7) + 2
    assert unit_std(z) == pytest.approx(units(z).std(0).mean() * math.sqrt(7), rel=1e-12)
    point = normal(1, 400, seed=1).sign()
    for noise in (0.1, 0.01):
        expected = noise / math.sqrt(1 + noise**2)
        assert unit_std(point + noise * normal(5000, 400)) == pytest.approx(expected, rel=0.02)


def test_alignment_is_two_minus_two_cosines():
    a, b = normal(30, 5, 1), normal(30, 5, 2)
    expected = np.mean([2 - 2 * float(x @ y) for x, y in zip(units(a), units(b), strict=True)])
    assert alignment(a, b) == pytest.approx(expected, rel=1e-12)
    assert alignment(a, 7 * a) == pytest.approx(0, abs=1e-15)
    assert alignment(a, -a) == pytest.approx(4, rel=1e-12)


def test_uniformity_of_simple_sets():
    square = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -4.0]])
    # Of three others two are at a squared distance of 2, one of 4.
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)
    assert uniformity(square) == pytest.approx(expected, rel=1e-12)
    assert uniformity(square, t=1) == pytest.approx(
        math.log((2 * math.exp(-2) + math.exp(-4)) / 3), rel=1e-12
    )
    # A regular simplex: every pair at 2 + 2/(k − 1).
    k = 9
    simplex = torch.eye(k) - 1 / k
    assert uniformity(simplex) == pytest.approx(-2 * (2 + 2 / (k - 1)), rel=1e-6)


def test_uniformity_over_more_rows_than_a_chunk_is_that_of_all_pairs():
    z = normal(CHUNK + 23, 3)
    points = units(z)
    squares = ((points[:, None] - points) ** 2).sum(-1)
    pairs = np.exp(-2 * squares[np.triu_indices(len(z), 1)])
    assert uniformity(z) == pytest.approx(math.log(pairs.mean()), rel=1e-9)


def test_retrieval_is_the_share_of_own_nearest_over_more_rows_than_a_chunk():
    a = normal(2 * CHUNK + 9, 6)
    b = a + 0.4 * normal(len(a), 6, 1)
    own = (units(a) @ units(b).T).argmax(1) == np.arange(len(a))
    assert 0.2 < own.mean() < 0.9
    assert retrieval(a, b) == own.mean()
    assert retrieval(a, b.roll(1, 0)) < 0.01
    assert retrieval(a, 5 * a) == 1


def test_a_tie_is_not_found():
    """Else features that are all the same would find the first image, or every one."""
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert retrieval(a, a) == pytest.approx(1 / 3)


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [0.1, 0.7, -0.3]])
def test_rows_that_are_all_the_same_have_no_spread_no_dimension_and_no_neighbour(row):
    z = torch.tensor(row).expand(700, -1)
    assert unit_std(z) == pytest.approx(0, abs=1e-12)
    assert effective_rank(z) == 0
    assert effective_rank(z * torch.rand(700, 1)) == 0, "whatever the rounding of float32"
    assert uniformity(z) == pytest.approx(0, abs=1e-12)
    assert alignment(z, z) == 0
    assert retrieval(z, z) == 0


def test_a_row_of_zeros_is_a_point_of_its_own():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert effective_rank(z) == 1
    assert uniformity(z) == pytest.approx(-2)
    assert alignment(z, z.flip(0)) == 1


def test_tiny_features_are_as_good_as_large_ones():
    z = normal(200, 16)
    for scale in (1e-20, 1e20):
        assert effective_rank(scale * z) == pytest.approx(effective_rank(z), rel=1e-9)
        assert unit_std(scale * z) == pytest.approx(unit_std(z), rel=1e-9)


def test_what_is_not_finite_is_said_and_raises_nothing():
    z = normal(20, 4)
    z[3, 1] = math.nan
    assert math.isnan(unit_std(z)) and math.isnan(effective_rank(z))
