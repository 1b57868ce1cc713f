"""Distances of a planted sampler: every figure again from the very features that were compared."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.samples import distances as distribution
from triptych.evaluation.samples.coverage import overlap
from triptych.evaluation.samples.distances import distances
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.samples.frechet import frechet_distance, kernel_distance
from triptych.evaluation.subject import Subject

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
    monkeypatch.setattr(distribution, "MOST", 80)
    monkeypatch.setattr(distribution, "MOST_NEIGHBOURS", 50)
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
    monkeypatch.setattr(distribution, "MOST", 30)
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
