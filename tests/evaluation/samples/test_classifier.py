"""The classifier that judges samples: it learns, it is kept, and what is kept is checked."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from triptych.data import DataConfig, load
from triptych.data.places import cache_root
from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.samples import classifier
from triptych.evaluation.samples.classifier import label_classifier
from triptych.evaluation.subject import Subject
from triptych.nets.classifier import Classifier
from triptych.nets.initialise import initialise

CPU = torch.device("cpu")


def subject(dataset: Dataset, binarize="none", progress=lambda *_: None) -> Subject:
    return Subject(nn.Identity(), dataset, binarize, CPU, progress=progress)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, and only a few updates."""
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "STEPS", (3, 3))
    return tmp_path / "classifiers"


def test_it_learns_digits_and_counts_its_confusions(monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", (60, 60))
    digits = load(DataConfig("mnist-5k"))
    made = subject(digits)
    found = label_classifier(made, "test")
    fresh = Classifier(digits.shape, 10)
    initialise(fresh, 0)
    truth = digits.splits["test"].labels
    with torch.inference_mode():
        x = torch.cat([x for _, x in made.blocks("test")])
        untrained = fresh.eval()(x).argmax(-1).numpy()
        predicted = found.network(x).argmax(-1).numpy()
    assert (untrained == truth).mean() < 0.3
    assert found.accuracy == (predicted == truth).mean() > 0.9
    assert (found.confusion == confusion_matrix(truth, predicted)).all()
    labels = Counter(digits.splits["train"].labels.tolist())
    assert found.training_histogram.tolist() == [labels[k] for k in range(10)]
    assert found.classes == tuple("0123456789")
    assert f"{found.accuracy:.3f}" in found.identity


def test_features_are_what_the_last_layer_sees(planted):
    network = Classifier((3, 12, 12), 4).eval()
    x = torch.rand(5, 3, 12, 12)
    with torch.inference_mode():
        features = network.features(x)
        torch.testing.assert_close(network(x), network.head(features))
    assert features.shape == (5, 128)
    assert features.min() == 0, "after a ReLU"


@pytest.mark.parametrize("side", [8, 9, 16, 28, 32, 33, 64, 96])
def test_a_few_pixels_are_left_whatever_the_size(side: int):
    network = Classifier((1, side, side), 2).eval()
    with torch.inference_mode():
        assert 5 <= network.body(torch.rand(1, 1, side, side)).shape[-1] <= 8


def test_the_cache_gives_the_same_weights_to_the_bit(place, planted):
    dataset, steps = planted(shape=(1, 8, 8)), []
    x = torch.rand(7, 1, 8, 8)
    made = subject(dataset, progress=lambda what, done, total: steps.append((done, total)))
    first = label_classifier(made, "test")
    assert steps == [(i, 3) for i in range(1, 4)]
    second = label_classifier(made, "test")
    assert len(steps) == 3, "not trained again"
    assert torch.equal(first.network(x), second.network(x))
    assert first.identity == second.identity
    assert not any(p.requires_grad for p in second.network.parameters())
    assert not second.network.training


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other network"])
def test_a_damaged_file_is_trained_again(place, planted, damage: str):
    dataset = planted(shape=(1, 8, 8))
    first = label_classifier(subject(dataset), "test")
    (path,) = place.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    if damage == "changed":
        data[-10] ^= 1
    elif damage == "other network":
        label_classifier(subject(planted(shape=(3, 8, 8))), "test")
        (other,) = set(place.glob("*.safetensors")) - {path}
        data = bytearray(other.read_bytes())
    path.write_bytes(data[: {"cut": 1000, "empty": 0}.get(damage)])
    steps = []
    second = label_classifier(subject(dataset, progress=lambda *step: steps.append(step)), "test")
    assert len(steps) == 3
    assert second.identity == first.identity, "the same seed ends in the same weights"
    label_classifier(subject(dataset, progress=lambda *_: pytest.fail("trained again")), "test")


def test_an_interrupted_training_leaves_nothing(place, planted):
    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    dataset = planted(shape=(1, 8, 8))
    with pytest.raises(KeyboardInterrupt):
        label_classifier(subject(dataset, progress=stop), "test")
    assert not list(place.glob("*.safetensors*"))
    assert label_classifier(subject(dataset), "test").confusion.sum() == 20


def test_weights_belong_to_data_and_binarization(place, planted):
    dataset = planted(shape=(1, 8, 8))
    for binarize in ("none", "dynamic", "threshold"):
        label_classifier(subject(dataset, binarize), "test")
    label_classifier(subject(dataclasses.replace(dataset, fingerprint="another")), "test")
    assert len(list(place.glob("*.safetensors"))) == 4


def test_it_learns_from_images_binarized_as_the_subjects_are(place):
    """Greys below one half are black when cut: training on them is training on black."""
    labels = np.arange(64) % 2
    greys = np.where(labels, 110, 20).astype(np.uint8)[:, None, None, None]

    def weights(scale: int, binarize: str) -> str:
        images = Images(np.broadcast_to(greys * scale, (64, 1, 8, 8)).copy(), labels)
        dataset = Dataset("g", "G", {"train": images, "test": images}, None, "grey", f"g{scale}")
        return label_classifier(subject(dataset, binarize), "test").identity

    assert weights(1, "threshold") == weights(0, "none") != weights(1, "none")


def test_data_without_labels_says_what_to_do(planted):
    dataset = planted(shape=(1, 8, 8))
    bare = {k: Images(v.pixels, None) for k, v in dataset.splits.items()}
    with pytest.raises(TriptychError, match=r"no labels.*--features RUN"):
        label_classifier(subject(dataclasses.replace(dataset, splits=bare)), "test")


def test_a_cache_that_cannot_be_written_says_so(planted, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "file"))
    assert cache_root() == tmp_path / "file"
    with pytest.raises(TriptychError, match="TRIPTYCH_CACHE"):
        label_classifier(subject(planted(shape=(1, 8, 8))), "test")


def test_a_shift_is_a_crop_of_the_image_with_its_edge_repeated():
    x = torch.rand(400, 2, 20, 20)
    moved = classifier._shifted(x, torch.Generator().manual_seed(0))
    reach, seen = 2, Counter()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    for before, after in zip(padded, moved.numpy(), strict=True):
        shifts = [
            (i, j)
            for i in range(2 * reach + 1)
            for j in range(2 * reach + 1)
            if np.array_equal(before[:, i : i + 20, j : j + 20], after)
        ]
        assert len(shifts) == 1
        seen[shifts[0]] += 1
    assert len(seen) == 25, "every shift occurs"
