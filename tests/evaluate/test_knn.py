"""Nearest neighbours against scikit-learn's."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.evaluate.knn import CHUNK, features, knn, knn_predict
from triptych.evaluate.subject import BLOCK, Subject
from triptych.types import DataSpec, Method


def clouds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seven overlapping classes in twelve dimensions."""
    centres = np.random.default_rng(99).normal(size=(7, 12))
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 7, count)
    return (centres[labels] + 1.5 * draw.normal(size=(count, 12))).astype(np.float32), labels


def reference(bank, labels, queries, k: int, temperature: float) -> np.ndarray:
    model = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    )
    return model.fit(bank.astype(np.float64), labels).predict(queries.astype(np.float64))


@pytest.mark.parametrize(
    ("k", "temperature"), [(1, 0.1), (20, 0.1), (200, 0.1), (200, 0.07), (50, 1.0)]
)
def test_predictions_are_those_of_scikit_learn(k: int, temperature: float):
    bank, labels = clouds(800, 0)
    queries, _ = clouds(CHUNK + 200, 1)
    found = knn_predict(*map(torch.from_numpy, (bank, labels, queries)), k, temperature)
    expected = reference(bank, labels, queries, k, temperature)
    assert (found.numpy() == expected).mean() > 0.999, "but for ties that rounding decides"
    assert 0.3 < (expected == clouds(CHUNK + 200, 1)[1]).mean() < 0.95


def test_a_low_temperature_approaches_the_nearest_neighbour():
    """exp(cos / t) overflows single precision below t ≈ 0.011; the votes must not."""
    bank, labels = clouds(300, 0)
    queries, _ = clouds(200, 1)
    tensors = [torch.from_numpy(v) for v in (bank, labels, queries)]
    found = knn_predict(*tensors, 50, 0.005)
    assert (found.numpy() == reference(bank, labels, queries, 50, 0.005)).mean() > 0.99


def test_more_neighbours_than_there_are_is_all_of_them():
    bank, labels = clouds(30, 0)
    queries, _ = clouds(50, 1)
    found = knn_predict(*map(torch.from_numpy, (bank, labels, queries)), 200, 0.1)
    assert (found.numpy() == reference(bank, labels, queries, 30, 0.1)).all()


@dataclass(frozen=True)
class Nothing:
    pass


class Mean(Method):
    """Encodes an image as its twelve pixels, in reverse and centred: a fixed map."""

    Config = Nothing
    gauge = ""

    def __init__(self) -> None:
        super().__init__(Nothing(), DataSpec((1, 3, 4), "grey"))
        self.flatten = nn.Flatten()

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def encode(self, x):
        return self.flatten(x).flip(-1) - 0.5


def split(count: int, seed: int) -> Images:
    values, labels = clouds(count, seed)
    pixels = np.clip(values * 20 + 128, 0, 255).astype(np.uint8).reshape(-1, 1, 3, 4)
    return Images(pixels, labels)


def test_accuracy_of_encoder_and_of_pixels_with_all_images_of_both_splits():
    splits = {"train": split(BLOCK + 40, 0), "test": split(BLOCK + 11, 1)}
    subject = Subject(
        Mean().eval(), Dataset("d", "D", splits, None, "grey", ""), "none", torch.device("cpu")
    )
    found = knn(subject, "test", k=30)
    flat = {k: v.pixels.reshape(len(v), -1).astype(np.float64) / 255 for k, v in splits.items()}
    for name, shift in (("test/knn_top1", 0.5), ("test/knn_top1_pixels", 0.0)):
        bank, queries = flat["train"] - shift, flat["test"] - shift
        expected = reference(bank, splits["train"].labels, queries, 30, 0.1)
        share = (expected == splits["test"].labels).mean()
        result = found[name]
        assert result.n == BLOCK + 11
        assert result.value == pytest.approx(share, abs=1.5 / result.n)
        spread = math.sqrt(result.value * (1 - result.value) / result.n)
        assert result.stderr == pytest.approx(spread)
        assert result.protocol["k"] == 30
        assert result.protocol["bank"] == f"train ({BLOCK + 40})"
    assert (
        found["test/knn_top1"].protocol["features"]
        != found["test/knn_top1_pixels"].protocol["features"]
    )
    assert features(subject, "test").shape == (BLOCK + 11, 12)
