"""Precision and recall, density and coverage against scikit-learn and on sets whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from triptych.errors import TriptychError
from triptych.evaluation.samples.coverage import CHUNK, overlap


def cloud(count: int, seed: int, d: int = 6, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, d)) + shift)


def naive(real: np.ndarray, samples: np.ndarray) -> tuple[float, float, float, float]:
    """By the papers' definitions, point by point."""

    def radii(x, k):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, k]

    distance = np.array([[np.linalg.norm(s - r) for r in real] for s in samples])
    near, wide, back = radii(real, 3), radii(real, 5), radii(samples, 3)
    precision = np.mean([any(row <= near) for row in distance])
    recall = np.mean([any(column <= back) for column in distance.T])
    density = sum(int(x) for row in distance for x in row <= wide) / (5 * len(samples))
    coverage = np.mean([any(distance[:, i] <= wide[i]) for i in range(len(real))])
    return precision, recall, density, coverage


@pytest.mark.parametrize(("n", "m", "shift"), [(90, 90, 0.0), (60, 140, 0.4), (140, 60, 1.0)])
def test_all_four_are_the_papers_definitions(n: int, m: int, shift: float):
    real, samples = cloud(n, 0), 0.8 * cloud(m, 1, shift=shift)
    expected = naive(real.numpy(), samples.numpy())
    assert overlap(real, samples) == pytest.approx(expected, abs=1e-12)
    assert len({round(v, 3) for v in expected}) == 4, "the case tells all four apart"


def test_more_points_than_a_chunk():
    real, samples = cloud(CHUNK + 40, 0, 3), cloud(CHUNK + 11, 1, 3, 0.5)
    expected = naive(real.numpy(), samples.numpy())
    assert overlap(real, samples) == pytest.approx(expected, abs=1e-12)


def test_equal_sets_cover_each_other_and_distant_ones_do_not():
    real = cloud(200, 0)
    assert overlap(real, real) == (1, 1, 6 / 5, 1), "each is in its own ball and in five others"
    assert overlap(real, real + 100) == (0, 0, 0, 0)


def test_copies_are_in_each_others_balls_though_these_have_no_radius():
    """Three images, each thirty times, far from the origin: distances are rounding errors."""
    three = cloud(3, 0, 40) * 7 + 1000 / 3
    real, samples = three.repeat(30, 1), three.flip(0).repeat(20, 1)
    # Each sample lies in the balls of its thirty copies, over k = 5.
    assert overlap(real, samples) == (1, 1, 6, 1)
    assert overlap(real, samples + 1e-3) == (0, 0, 0, 0)


def test_a_lost_mode_costs_recall_and_coverage_and_a_wild_one_precision_and_density():
    """Precision is of the samples, recall of the real images: a well-known package had them swapped."""
    one, other = cloud(150, 0), cloud(150, 1, shift=50)
    both = torch.cat([one, other])
    lost = overlap(both, cloud(300, 2))
    assert lost.precision > 0.75 and lost.density > 0.8
    assert 0.3 < lost.recall < 0.5 and lost.coverage <= 0.5
    wild = overlap(one, torch.cat([cloud(150, 3), other]))
    assert 0.3 < wild.precision < 0.5 and wild.density < 0.6
    assert wild.recall > 0.75 and wild.coverage > 0.85


def test_precision_and_recall_change_places_with_the_sets():
    a, b = cloud(120, 0), 0.5 * cloud(80, 1)
    forward, back = overlap(a, b), overlap(b, a)
    assert forward.precision == back.recall != forward.recall == back.precision


def test_density_of_equal_distributions_is_one_on_average():
    found = [overlap(cloud(200, 2 * i), cloud(200, 2 * i + 1)).density for i in range(30)]
    assert abs(np.mean(found) - 1) < 3 * np.std(found) / np.sqrt(30) < 0.05


def test_features_far_from_the_origin_lose_no_neighbours():
    """As differences of squares these distances would drown, in double precision too."""
    real, samples = cloud(100, 0) + 1e7, cloud(100, 1) + 1e7
    expected = naive(real.numpy(), samples.numpy())
    assert overlap(real, samples) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 50), (50, 5)])
def test_too_few_points_say_so(n: int, m: int):
    with pytest.raises(TriptychError, match="more than 5 images in each set; there are 5"):
        overlap(cloud(n, 0), cloud(m, 1))
