"""Few images and odd labels, for all three methods from training to page: nothing is lost without its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import experiment, metrics
from triptych.cli.display import training_display
from triptych.config import merge
from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation import generation
from triptych.evaluation.labels import judged
from triptych.evaluation.latent_space.scorecard import scorecard
from triptych.evaluation.samples.classifier import weakness
from triptych.evaluation.suite import EvaluateConfig
from triptych.reporting.figures.likelihood import k_curve
from triptych.reporting.figures.representation import representation_curves
from triptych.reporting.page.page import compose
from triptych.runs import Run

METHODS: dict[str, dict[str, Any]] = {
    "simsiam": {
        "depth": 10,
        "stem": "half",
        "width": 4,
        "projector": [8, 8],
        "predictor_width": 4,
    },
    "vae": {"latent": 2, "hidden": [8]},
    "wgan": {"latent": 3, "width": 2, "critic_steps": 1},
}


def images(labels: np.ndarray, seed: int) -> np.ndarray:
    """Noise, dark on one side: on the left for even classes, on the right for odd ones."""
    x = np.random.default_rng(seed).integers(100, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    for image, label in zip(x, labels, strict=True):
        image[:, slice(4) if label % 2 == 0 else slice(4, 8)] //= 6
    return x


def cycle(count: int, classes: int = 2) -> np.ndarray:
    return np.arange(count) % classes


UNKNOWN = "unknown"
"""In the place of labels: images that have none."""


def archive(**splits: Any) -> dict[str, np.ndarray]:
    """Members of an npz: split → labels, or the number of images without."""
    found = {}
    for seed, (split, labels) in enumerate(splits.items()):
        unknown = isinstance(labels, int)
        found[f"x_{split}"] = images(np.zeros(labels) if unknown else labels, seed)
        if not unknown:
            found[f"y_{split}"] = labels
    return found


TRAIN, VALID, TEST = cycle(45), cycle(12), cycle(20)

SITUATIONS: dict[str, dict[str, np.ndarray]] = {
    "ordinary": archive(train=TRAIN, valid=VALID, test=TEST),
    "no labels": archive(train=45, valid=12, test=20),
    "validation unlabelled": archive(train=TRAIN, valid=np.full(12, -1), test=TEST),
    "test unlabelled": archive(train=TRAIN, valid=VALID, test=20),
    "training unlabelled": archive(train=45, valid=VALID, test=TEST),
    "one class": archive(train=cycle(45, 1), valid=cycle(12, 1), test=cycle(20, 1)),
    "a class in test only": archive(train=TRAIN, valid=VALID, test=cycle(20, 4)),
    "no class known": archive(train=TRAIN, valid=VALID, test=TEST + 2),
    "a class in training only": archive(train=cycle(45, 3), valid=VALID, test=TEST),
    "a class of one image": archive(train=np.r_[cycle(44), 2], valid=VALID, test=cycle(20, 3)),
    "two classes of one image": archive(train=cycle(2), valid=VALID, test=TEST),
    "test of five": archive(train=TRAIN, valid=VALID, test=cycle(5)),
    "test of three": archive(train=TRAIN, valid=VALID, test=cycle(3)),
    "test of one": archive(train=TRAIN, valid=VALID, test=cycle(1)),
    "validation of one": archive(train=TRAIN, valid=cycle(1), test=TEST),
    "no validation": archive(train=TRAIN, test=TEST),
    "nineteen": {"images": images(cycle(19), 0)},
    "ten": {"images": images(cycle(10), 0), "labels": cycle(10)},
}

JUDGED = ("knn_top1", "knn_balanced", "linear_top1", "logistic_top1")

ALL_ONE = "the training images are all of one class"
NONE_KNOWN = "none of the 20 test images is of a class that the training images have"

# Situation → the reason why images of a split are not judged by the training images' labels.
REASONS: dict[str, dict[str, str]] = {
    "no labels": dict.fromkeys(("valid", "test"), "these data have no labels"),
    "validation unlabelled": {"valid": "the validation images have no labels"},
    "test unlabelled": {"test": "the test images have no labels"},
    "training unlabelled": dict.fromkeys(("valid", "test"), "the training images have no labels"),
    "one class": dict.fromkeys(("valid", "test"), ALL_ONE),
    "no class known": {"test": NONE_KNOWN},
    "no validation": {"valid": "there is no validation split"},
    "nineteen": dict.fromkeys(("valid", "test"), "these data have no labels"),
}

FEATURES = (
    *("features/std", "features/effective_rank", "features/backbone_rank"),
    *("features/alignment", "features/uniformity", "features/retrieval"),
)


@pytest.fixture(scope="module", autouse=True)
def smaller():
    """Fewer latents, directions, pairs, samples and steps of the classifier: the same code in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triptych.evaluation.latent_space.directions.LATENTS", 4)
        patch.setattr("triptych.evaluation.latent_space.directions.RANDOM", 30)
        patch.setattr("triptych.evaluation.latent_space.pullback.LATENTS", 3)
        patch.setattr("triptych.evaluation.samples.classes.SAMPLES", 500)
        patch.setattr("triptych.evaluation.samples.classifier.STEPS", (60, 60))
        patch.setattr(generation, "scorecard", partial(scorecard, pairs=8))
        yield


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Run]:
    """Trains a few steps on a situation and evaluates: ``measured(method, situation)``."""

    def make(method: str, situation: str, **evaluation: Any) -> Run:
        arrays = SITUATIONS[situation]
        np.savez(tmp_path / "data.npz", **arrays)
        count = len(arrays.get("x_train", arrays.get("images")))
        data = {"name": str(tmp_path / "data.npz")}
        config = merge(
            experiment.default_config(method),
            {
                "method": METHODS[method],
                "data": data | ({"holdout": 0} if situation == "no validation" else {}),
                "train": {
                    **{"duration": "2 steps", "validate_every": "1 steps", "log_every": 1},
                    **{"device": "cpu", "threads": 1, "compile": "off"},
                    "batch_size": min(8, count // 2) if count > 2 else 2,
                },
            },
        )
        run = experiment.train(config, tmp_path / "run")
        experiment.evaluate(run.path, EvaluateConfig(samples=5, dtype="fp32", **evaluation))
        return run

    return make


def complete(run: Run) -> tuple[dict[str, Any], dict[str, str]]:
    """Results and what was left out, which is no number that nobody can read."""
    results, said = run.results(), run.left_out()
    json.dumps(results, allow_nan=False)
    assert all(said.values()), "each with its reason"
    assert not set(results) & set(said)
    return results, said


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_simsiam_learned_is_judged_as_far_as_labels_go(measured, situation: str):
    run = measured("simsiam", situation)
    results, said = complete(run)
    expected = REASONS.get(situation, {})
    for name in (*JUDGED, "knn_top1_pixels", "knn_top1_untrained"):
        if "test" in expected:
            assert said[f"test/{name}"] == expected["test"]
        else:
            assert 0 <= results[f"test/{name}"]["value"] <= 1
            assert results[f"test/{name}"]["stderr"] > 0, "no ± 0 at 0 and 1"
    for name in ("valid/knn_top1", "valid/knn_balanced"):
        if "valid" in expected:
            assert said[name] == expected["valid"]
        else:
            assert 0 <= results[name]["value"] <= 1
    first, *rest = [
        line for line in run.metrics() if "seconds" in line and "train/loss" not in line
    ]
    for split in ("valid", "test"):
        logged = [f"{split}/knn_top1" in line for line in (first, *rest)]
        assert logged == [split not in expected] * len(logged)
        if split in expected:
            assert f"{split}/knn_top1" in first["left_out"]
            assert expected[split] in first["left_out"]
    assert not any("left_out" in line for line in rest), "said once"

    for name in FEATURES:
        assert results[name]["n"] >= 2
    few = situation == "ten"
    assert ("verdict" in said) == few, "eight training images have no more than seven directions"
    assert few or results["verdict"]["n"] >= 10
    assert ("feature-map" in said) == (
        situation in ("test of three", "test of one", "nineteen", "ten")
    )
    assert run.arrays("neighbours") is not None
    assert representation_curves(run) is not None


@pytest.mark.parametrize("situation", [*REASONS, "test of one", "ten"])
def test_a_vae_is_measured_whatever_the_labels(measured, situation: str):
    run = measured("vae", situation)
    results, said = complete(run)
    assert {"test/elbo", "test/log_likelihood", "latent/kl_per_dimension"} <= results.keys()
    assert ("valid/elbo" in said) == (situation == "no validation")
    expected = REASONS.get(situation, {}).get("test")
    for name in ("test/knn_top1", "test/knn_balanced", "test/knn_top1_pixels"):
        assert said.get(name) == expected
    alone = situation in ("test of one", "nineteen", "ten")
    assert (results["test/elbo"]["stderr"] is None) == alone
    assert ("latent/active_units" in said) == ("interpolation" in said) == alone
    assert k_curve(run) is not None, "without bars where there is one image"


WATCHED = {f"valid/{name}" for name in ("frechet_untrained", "critic_gap", "critic_memory")}
DISTANCES = {"frechet", "kid", "precision", "recall", "density", "coverage"}


@pytest.mark.parametrize(
    ("situation", "reasons"),
    [
        ("a class in test only", {}),
        ("no labels", {"samples/class_histogram": "no labels"}),
        ("one class", {"samples/class_histogram": "one class"}),
        ("a class in training only", {"samples/class_histogram": "no test image is of 2,"}),
        ("test of three", {"interpolation/control": "4 held-out images or more; test images: 3"}),
    ],
)
def test_samples_of_a_wgan_are_compared_as_far_as_images_go(measured, situation, reasons):
    run = measured("wgan", situation)
    results, said = complete(run)
    assert said.keys() >= WATCHED, "12 validation images are too few"
    assert "64 held-out images or more; 12 are" in said["valid/critic_gap"]
    assert "valid/critic_gap" in run.metrics()[0]["left_out"]
    for name, why in reasons.items():
        assert why in said[name]
    few = situation == "test of three"
    for end in ("", "_floor"):
        names = {f"test/{name}{end}" for name in DISTANCES}
        assert names <= (said if few else results).keys()
    if few:
        assert "test images: 3" in said["test/frechet"]
    else:
        assert "interpolation/control" not in said
    known = not few and "samples/class_histogram" not in reasons
    assert ("samples/class_histogram" in results) == known
    weak = situation in ("no labels", "one class", "test of three")
    assert ("interpolation/entropy" in said) == weak
    assert {
        "latent/coordinates",
        "interpolation/scorecard",
        "critic/gradient_norm",
    } <= results.keys()


@pytest.mark.parametrize("method", METHODS)
def test_training_images_are_not_judged_by_themselves(measured, method: str):
    run = measured(method, "ordinary", split="train")
    results, said = complete(run)
    if method == "wgan":
        names = ["samples/class_histogram", "interpolation/entropy"]
        assert "all training images" in said["interpolation/control"]
    else:
        names = [f"train/{name}" for name in JUDGED[: 4 if method == "simsiam" else 2]]
    for name in names:
        assert "judged by themselves" in said[name]
    assert ("neighbours" in said) == (method == "simsiam")
    assert not any(name.startswith("train/knn") for name in results)


@pytest.mark.parametrize(("method", "situation"), [("simsiam", "ten"), ("vae", "test of one")])
def test_the_page_is_written_and_says_what_was_not_measured(
    measured, method: str, situation: str, monkeypatch: pytest.MonkeyPatch
):
    run = measured(method, situation)
    few = {"k-curve": k_curve, "representation-curves": representation_curves}
    monkeypatch.setattr("triptych.reporting.page.sections.figures", lambda run, reference: few)
    page = compose([run.path])
    assert not page.sections[0].lost
    assert "Not measured" in page.html
    for name, why in run.left_out().items():
        assert metrics.label(name) in page.html and why in page.html.replace("&#39;", "'")


def test_images_of_classes_that_the_bank_lacks_are_counted_and_left_out(measured):
    """Half of the test images cannot be right: the share is of the others, and says so."""
    results = measured("simsiam", "a class in test only").results()
    for name in (*JUDGED, "knn_top1_pixels", "knn_top1_untrained"):
        result = results[f"test/{name}"]
        assert result["n"] == 10
        assert "10 of 20 test images are of 2 classes that no training image has" in result["note"]
    assert results["test/knn_top1_pixels"]["value"] == 1
    assert results["valid/knn_top1"]["n"] == 12


@pytest.mark.parametrize("method", ["simsiam", "wgan"])
def test_a_batch_of_one_is_refused_before_anything_is_written(planted, tmp_path, method: str):
    dataset = planted(shape=(1, 8, 8))
    config = experiment.default_config(method)
    for size, said in ((1, "give 2 or more"), (65, "say --batch-size 32")):
        changed = {"method": METHODS[method], "train": {"batch_size": size, "device": "cpu"}}
        with pytest.raises(TriptychError, match=said):
            experiment.train(merge(config, changed), tmp_path / "run", dataset=dataset)
    assert not (tmp_path / "run").exists()


def test_a_batch_of_one_is_enough_where_nothing_is_normalised_over_it(planted, tmp_path):
    changed = {"method": METHODS["vae"], "train": {"batch_size": 1, "duration": "2 steps"}}
    config = merge(experiment.default_config("vae"), changed)
    assert experiment.train(config, tmp_path / "run", dataset=planted()).status() == "done"


def test_what_is_not_watched_is_said_where_the_training_is_shown(capsys):
    with training_display("loss") as show:
        show(0, 10, 0.0, {"left_out": "valid/knn_top1: these data have no labels"})
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: valid/knn_top1: these data have no labels" in said


def dataset(**labels: Any) -> Dataset:
    splits = {
        name: Images(np.zeros((len(some), 1, 2, 2), np.uint8), some)
        for name, some in labels.items()
    }
    return Dataset("d", "D", splits, None, "grey", "")


def test_labels_as_large_as_they_like_take_no_more_memory():
    far = np.array([7, 3_000_000_007, 7])
    found = judged(dataset(train=far, test=np.array([9, 3_000_000_007])), "test")
    assert not isinstance(found, str)
    assert found.rows.tolist() == [1]
    assert found.labels.tolist() == [3_000_000_007]
    assert found.note.endswith("all others are of one class")


@pytest.mark.parametrize(
    ("confusion", "weak"),
    [
        ([[50, 50], [50, 50]], True),
        ([[60, 40], [40, 60]], False),
        ([[95, 0], [5, 0]], True),
        ([[3, 0], [0, 3]], False),
        ([[2, 0], [0, 1]], True),
    ],
)
def test_a_classifier_that_does_not_beat_one_class_is_not_asked(confusion, weak: bool):
    assert bool(weakness(np.array(confusion))) == weak
