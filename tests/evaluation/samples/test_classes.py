"""The class histogram of planted samples: their shares counted, and held against the training data's."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.evaluation.samples.classes import class_histogram
from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.samples.histogram import ALPHA, unmix
from triptych.evaluation.subject import Subject
from triptych.types import DataSpec, Method

N = 10_000


class Shades(Method):
    """Draws 1×2×2 images of three greys, with probabilities ½, 0.3 and 0.2 by the first coordinate."""

    latent = 4

    def sample(self, z: torch.Tensor) -> torch.Tensor:
        level = (z[:, 0] > 0).float() + (z[:, 0] > 0.8416212).float()
        return (level / 2)[:, None, None, None].expand(-1, 1, 2, 2)

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError


class Reads(nn.Module):
    """Scores of three classes, highest for the image's own grey."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -(x.mean((1, 2, 3))[:, None] - torch.tensor([0.0, 0.5, 1.0])).abs()


ERRORS = np.array([[990, 10, 0], [0, 1000, 0], [0, 30, 970]])


def measured(training: list[int], confusion: np.ndarray = ERRORS):
    images = Images(np.zeros((3, 1, 2, 2), np.uint8), np.arange(3))
    data = Dataset("shades", "Shades", {"train": images, "test": images}, None, "grey", "f00d")
    method = Shades(None, DataSpec((1, 2, 2), "grey")).eval()
    subject = Subject(method, data, "none", torch.device("cpu"), "best")
    accuracy = float(np.trace(confusion) / confusion.sum())
    judge = LabelClassifier(
        Reads(), ("black", "grey", "white"), accuracy, confusion, np.array(training), "reader"
    )
    return class_histogram(subject, judge, "test")


def test_samples_are_counted_and_held_against_the_training_shares():
    results, arrays = measured([2000, 2000, 6000])
    result, value = results["samples/class_histogram"], results["samples/class_histogram"].value
    counts = arrays["counts"]
    assert counts.sum() == N == result.n
    # The shares are those of a standard normal; three binomial deviations.
    assert np.abs(counts - [5000, 3000, 2000]).max() < 3 * math.sqrt(N / 4)
    assert value["predicted_share"] == (counts / N).tolist()
    assert value["training_share"] == [0.2, 0.2, 0.6]
    assert value["expected_share"] == pytest.approx([0.198, 0.22, 0.582], abs=1e-6)
    assert value["z"] == pytest.approx(
        (counts / N - value["expected_share"]) / np.array(value["stderr"]), rel=1e-2
    )
    assert value["mark"] == ["over", "over", "under"]
    assert value["verdict"] == "black and grey over-represented, white under-represented"
    assert value["classes"] == ["black", "grey", "white"]
    assert value["classifier_accuracy"] == pytest.approx(0.98667, abs=1e-5)
    assert value["unmixed_share"] == pytest.approx(unmix(counts, arrays["confusion"]), abs=1e-6)
    assert result.protocol["classifier"] == "reader"
    assert result.protocol["confusion"] == "test (3000)"
    assert result.protocol["alpha"] == ALPHA
    assert result.stderr is None and "may not transfer to blurry samples" in result.note


def test_a_second_measurement_is_the_same():
    first, second = measured([5000, 3000, 2000]), measured([5000, 3000, 2000])
    assert first[0] == second[0]
    assert all((first[1][name] == second[1][name]).all() for name in ("counts", "confusion"))


def test_a_generator_with_the_training_shares_is_cleared_where_the_confusion_transfers():
    """`Reads` makes no error on these samples: a confusion that has some finds a difference."""
    training = [5000, 3000, 2000]
    fair = measured(training, np.diag([1000, 1000, 1000]))[0]["samples/class_histogram"].value
    assert fair["mark"] == ["", "", ""] and fair["p"] > ALPHA
    assert "no class differs" in fair["verdict"]
    assert measured(training)[0]["samples/class_histogram"].value["mark"] == ["", "under", ""]
