"""Distances against naive versions and closed forms, and those of a planted sampler from the features that were compared."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.samples import distances as module
from triptych.evaluation.samples.distances import (
    CHUNK,
    distances,
    frechet_distance,
    kernel_distance,
    overlap,
)
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.subject import Subject


def skewed(count: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
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
    a, b = skewed(n, d, 0), skewed(m, d, 1, 0.5)
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
    a = skewed(300, 16, 0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 0.25) == pytest.approx(16 * 0.25**2)
    assert frechet_distance(a[:1].expand(9, -1), a[:1].expand(5, -1) + 1) == pytest.approx(16)


def test_frechet_of_fewer_images_than_features():
    """Both covariances singular: the trace of the root is a nuclear norm of the centred sets."""
    a, b = skewed(20, 64, 0).float(), skewed(30, 64, 1).float()
    x, y = a.double().numpy(), b.double().numpy()
    u, v = (x - x.mean(0)) / np.sqrt(19), (y - y.mean(0)) / np.sqrt(29)
    cross = np.linalg.svd(u @ v.T, compute_uv=False).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (u**2).sum() + (v**2).sum() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "m", "d"), [(13, 13, 5), (20, 9, 3), (2, 2, 1)])
def test_kernel_distance_is_the_sum_over_all_pairs(n: int, m: int, d: int):
    a, b = skewed(n, d, 0), skewed(m, d, 1, 0.5)
    assert kernel_distance(a, b) == pytest.approx(naive_kernel(a.numpy(), b.numpy()), rel=1e-10)


def test_kernel_distance_of_more_rows_than_a_chunk():
    a, b = skewed(CHUNK + 7, 6, 0), skewed(2 * CHUNK + 1, 6, 1)

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


CPU = torch.device("cpu")
NAMES = ("frechet", "kid", "precision", "recall", "density", "coverage")


class Sampler(nn.Module):
    """Uniform levels of four pixels, pushed towards white by a share."""

    latent = 4

    def __init__(self, push: float = 0.0) -> None:
        super().__init__()
        self.push = push

    def sample(self, z: Tensor) -> Tensor:
        uniform = torch.special.ndtr(z).view(-1, 1, 2, 2)
        return torch.lerp(uniform, torch.ones(()), self.push)


class Recorder:
    """Pixels as features, and every call's features kept."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(x.flatten(1))
        return self.seen[-1]


def subject(
    train: int, test: int, push: float = 0.0, binarize="none", progress: Callable = lambda *_: None
) -> Subject:
    """Images of uniform levels; no two are equal."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (train + test, 1, 2, 2)).astype(np.uint8)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) == train + test
    splits = {"train": Images(pixels[:train], None), "test": Images(pixels[train:], None)}
    dataset = Dataset("d", "D", splits, None, "grey", "f")
    return Subject(Sampler(push), dataset, binarize, CPU, "best", progress)


def measured(made: Subject, split: str = "test"):
    recorder = Recorder()
    return distances(made, split, Extractor("pixels", recorder)), recorder.seen


def test_every_figure_is_the_mean_over_sets_with_the_error_of_their_spread():
    found, seen = measured(subject(train=250, test=60, push=0.1))
    real, sets, floor = seen[0], seen[1:6], seen[6:]
    assert len(floor) == 4, "training images for four sets of as many as the test has"
    for suffix, each in (("", sets), ("_floor", floor)):
        assert all(len(features) == 60 for features in each)
        values = [
            (frechet_distance(real, x), kernel_distance(real, x), *overlap(real, x)) for x in each
        ]
        for name, mine in zip(NAMES, zip(*values, strict=True), strict=True):
            result = found[f"test/{name}{suffix}"]
            assert result.value == pytest.approx(np.mean(mine))
            error = np.std(mine, ddof=1) / math.sqrt(len(each))
            assert result.stderr == pytest.approx(error, abs=1e-12)
            assert result.n == 60 * len(each)
            protocol = result.protocol
            assert (protocol["features"], protocol["dimension"]) == ("pixels", 4)
            assert (protocol["samples"], protocol["sets"]) == (60, len(each))
            assert (protocol["split"], protocol["reference_images"]) == ("test", 60)
    assert len(found) == 12
    assert found["test/precision"].protocol["k"] == 3
    assert found["test/coverage"].protocol["k"] == 5
    assert "biased upward" in found["test/frechet"].note
    assert "biased" not in found["test/kid"].note


def test_sets_are_independent_and_the_same_for_every_run():
    made = subject(train=250, test=60)
    _, first = measured(made)
    _, again = measured(made)
    assert all(map(torch.equal, first, again))
    rows = torch.cat(first[1:6])
    assert len(rows.unique(dim=0)) == len(rows)


def test_the_floor_is_of_distinct_training_images():
    made = subject(train=250, test=60)
    _, seen = measured(made)
    pixels = {name: images.pixels.reshape(-1, 4) for name, images in made.dataset.splits.items()}
    floor = (torch.cat(seen[6:]) * 255).round().int().numpy()
    assert len(np.unique(floor, axis=0)) == len(floor) == 240
    assert {tuple(row) for row in floor} < {tuple(row) for row in pixels["train"]}
    assert {tuple(row) for row in (seen[0] * 255).round().int().numpy()} == {
        tuple(row) for row in pixels["test"]
    }
    assert not np.array_equal(floor[:60], pixels["train"][:60]), "a file may be sorted by class"


def test_samples_of_another_distribution_are_far_above_the_floor_and_equal_ones_are_not():
    near, _ = measured(subject(train=1200, test=300))
    far, _ = measured(subject(train=1200, test=300, push=0.4))
    for name in ("frechet", "kid"):
        floor, error = near[f"test/{name}_floor"].value, near[f"test/{name}_floor"].stderr
        together = math.hypot(error, near[f"test/{name}"].stderr)
        assert abs(near[f"test/{name}"].value - floor) < 4 * together
        assert far[f"test/{name}"].value - floor > 20 * together
    for name in ("recall", "coverage"):
        assert far[f"test/{name}"].value < 0.7 * near[f"test/{name}_floor"].value


def test_fewer_training_images_than_test_images_make_one_small_floor():
    found, seen = measured(subject(train=40, test=100))
    assert len(seen[6:]) == 1 and len(seen[6]) == 40
    result = found["test/kid_floor"]
    assert result.stderr is None
    assert "no standard error" in result.note
    assert (
        "fewer training images (40) than reference images (100), so that it is no floor"
        in result.note
    )
    assert (result.protocol["samples"], result.protocol["sets"], result.n) == (40, 1, 40)
    assert found["test/kid"].stderr is not None


def test_large_splits_are_cut_at_random(monkeypatch):
    monkeypatch.setattr(module, "MOST", 80)
    monkeypatch.setattr(module, "MOST_NEIGHBOURS", 50)
    made = subject(train=500, test=300)
    found, seen = measured(made)
    assert [len(x) for x in seen] == [80] * 11
    chosen = (seen[0] * 255).round().int().numpy()
    first = made.dataset.splits["test"].pixels.reshape(-1, 4)[:80]
    assert len({tuple(row) for row in chosen} & {tuple(row) for row in first}) < 40
    assert found["test/kid"].protocol["reference_images"] == 80
    assert found["test/recall"].protocol["reference_images"] == 50
    assert found["test/recall"].protocol["samples"] == 50
    assert found["test/recall"].n == 250
    expected = np.mean([overlap(seen[0][:50], x[:50]).recall for x in seen[1:6]])
    assert found["test/recall"].value == pytest.approx(expected)


def test_the_training_split_itself_has_a_floor_only_of_images_left_over(monkeypatch):
    everything, _ = measured(subject(train=100, test=20), "train")
    assert set(everything) == {f"train/{name}" for name in NAMES}
    monkeypatch.setattr(module, "MOST", 30)
    _, seen = measured(subject(train=100, test=20), "train")
    assert [len(x) for x in seen] == [30] * 8
    rows = torch.cat([seen[0], *seen[6:]])
    assert len(rows.unique(dim=0)) == 90, "no image is compared with itself"


def test_real_images_are_binarized_as_the_subject_is():
    _, seen = measured(subject(train=60, test=30, binarize="dynamic"))
    for features in (seen[0], *seen[6:]):
        assert set(features.unique().tolist()) == {0, 1}
    assert len(seen[1].unique()) > 2, "samples are as the model makes them"


def test_a_handful_of_images_is_not_measured():
    assert measured(subject(train=50, test=5)) == ({}, [])
    assert len(measured(subject(train=50, test=6))[0]) == 12


def test_a_generator_that_broke_says_so():
    with pytest.raises(TriptychError, match="best weights are not finite"):
        measured(subject(train=50, test=20, push=math.nan))


def test_progress_comes_to_its_end():
    told: dict[str, tuple[int, int]] = {}

    def note(what: str, done: int, total: int) -> None:
        assert done > told.get(what, (0, 0))[0]
        told[what] = done, total

    measured(subject(train=150, test=30, progress=note))
    assert len(told) == 3
    assert all(done == total for done, total in told.values())


def test_fewer_images_than_features_are_said_to_have_no_full_covariance():
    """Four features: four images span three directions, and six leave none out."""
    many, _ = measured(subject(train=50, test=20))
    assert "full rank" not in many["test/frechet"].note
    made, recorder = subject(train=50, test=20), Recorder()

    def wide(x: Tensor) -> Tensor:
        return torch.cat([recorder(x)] * 6, 1)

    found = distances(made, "test", Extractor("pixels", wide))
    assert "no more than 20 images in a set for 24 features" in found["test/frechet"].note
    assert "full rank" not in found["test/kid"].note
