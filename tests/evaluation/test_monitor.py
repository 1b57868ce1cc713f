"""What is watched in training, on planted generators whose every figure is known."""

import numpy as np
import pytest
import torch
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.evaluation.monitor import WATCHED, Monitor
from triptych.evaluation.samples.distances import frechet_distance
from triptych.evaluation.samples.extractors import Untrained
from triptych.evaluation.samples.mode_collapse import LOW, spread
from triptych.evaluation.subject import Subject, as_levels
from triptych.runs import Run
from triptych.types import HasCritic, LipschitzCritic, Moment

CPU = torch.device("cpu")


class Planted(nn.Module):
    """Gives real training images, or always the first of them; its critic is the mean level."""

    latent = 2

    def __init__(self, images) -> None:
        super().__init__()
        self.images, self.collapsed = images, False

    def sample(self, z):
        pick = (z[:, 0] * 1e4).long().abs() % len(self.images)
        return self.images[pick * (not self.collapsed)]

    def critic(self, x):
        return x.mean((1, 2, 3))

    def scaled(self, x):
        return 2 * x - 1


@pytest.fixture
def watched(digits, tmp_path):
    method = Planted(torch.from_numpy(digits.splits["train"].pixels.copy()).float() / 255)
    run = Run.create(tmp_path / "run", {})
    return method, run, Monitor(Subject(method, digits, "none", CPU), run)


def look(monitor: Monitor, run: Run, step: int, **kind: bool) -> dict:
    found = monitor(Moment(step, 500, **{"due": True, "landmark": False, **kind}))
    run.log({"step": step, **found})
    return found


def test_its_figures_are_those_of_the_samples(watched, digits):
    method, run, monitor = watched
    found = look(monitor, run, 1)
    real = torch.from_numpy(digits.splits["valid"].pixels.copy()).float() / 255
    index = torch.linspace(0, len(real) - 1, min(1000, len(real))).round().long()
    real = real[index]
    samples = method.sample(monitor._latents)
    features = Untrained(1, CPU)
    expected = frechet_distance(features(real), features(samples))
    assert found["valid/frechet_untrained"] == pytest.approx(expected, rel=1e-4)
    assert isinstance(method, HasCritic), "a critic that promises nothing is watched all the same"
    assert not isinstance(method, LipschitzCritic)
    gap = 2 * (real.mean() - samples.mean())
    assert found["valid/critic_gap"] == pytest.approx(gap.item(), abs=1e-4)
    seen = torch.from_numpy(digits.splits["train"].pixels.copy()).float() / 255
    index = torch.linspace(0, len(seen) - 1, 1000).round().long()
    memory = 2 * (seen[index].mean() - real.mean())
    assert found["valid/critic_memory"] == pytest.approx(memory.item(), abs=1e-4)
    assert 0.5 < found["samples/diversity"] < 2, "real images are as far apart as real images"


def test_pictures_are_kept_at_landmarks_alone_and_are_the_same_latents(watched):
    method, run, monitor = watched
    look(monitor, run, 3)
    look(monitor, run, 5, landmark=True)
    look(monitor, run, 10, landmark=True)
    kept = run.moments()
    assert list(kept) == [5, 10]
    first = as_levels(method.sample(monitor._latents[:WATCHED]))
    assert (kept[5] == first).all()
    assert (kept[10] == first).all()


def test_a_collapse_is_named_once_with_its_first_step(watched):
    method, run, monitor = watched
    for step in (100, 200, 300):
        assert "alarm" not in look(monitor, run, step)
    method.collapsed = True
    first = look(monitor, run, 400)
    assert first["samples/diversity"] < LOW
    assert first["valid/frechet_untrained"] > 10 * run.metrics()[0]["valid/frechet_untrained"]
    assert "alarm" not in first
    assert "collapsed at step 400" in look(monitor, run, 500)["alarm"]
    assert "alarm" not in look(monitor, run, 600)
    assert [since for since, _ in run.alarms()] == [400]
    healthy = [m["step"] for m in run.metrics() if "samples/healthy_step" in m]
    assert healthy == [100, 200, 300], "the best weights are from before the collapse"


def test_samples_that_are_no_numbers_are_an_alarm_and_never_the_best(watched):
    method, run, monitor = watched
    look(monitor, run, 100)
    method.images = method.images * float("nan")
    broken = look(monitor, run, 200)
    assert set(broken) == {"alarm", "since"}
    assert "not finite" in broken["alarm"]
    assert broken["since"] == 200
    assert look(monitor, run, 300) == {}


def test_untrained_features_are_the_same_everywhere_and_tell_images_apart():
    x = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    first = Untrained(3, CPU)(x)
    torch.manual_seed(2)
    assert torch.equal(first, Untrained(3, CPU)(x))
    assert first.shape == (40, 128)
    assert spread(first) > 0.01
    assert first.std() < 10


@pytest.mark.parametrize("count", [1, 5, 63])
def test_few_validation_images_leave_the_comparison_to_the_training_images(tmp_path, count):
    """No distance to a handful, and as many real images as samples: else the samples look collapsed."""
    levels = np.random.default_rng(0).integers(0, 256, (900, 1, 8, 8), np.uint8)
    splits = {"train": Images(levels, None), "valid": Images(levels[:1].repeat(count, 0), None)}
    dataset = Dataset("d", "D", splits, None, "grey", "")
    method = Planted(torch.from_numpy(levels).float() / 255)
    run = Run.create(tmp_path / "run", {})
    found = look(Monitor(Subject(method, dataset, "none", CPU), run), run, 300)
    assert set(found) == {"samples/diversity", "samples/healthy_step"}
    assert 0.2 < found["samples/diversity"] < 1.5


def test_real_images_with_duplicates_say_nothing_of_diversity(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), np.uint8).repeat(10, 0)
    dataset = Dataset("d", "D", {"train": Images(levels, None)}, None, "grey", "")
    method = Planted(torch.from_numpy(levels).float() / 255)
    run = Run.create(tmp_path / "run", {})
    found = look(Monitor(Subject(method, dataset, "none", CPU), run), run, 300)
    assert found == {"samples/healthy_step": 300}
