"""The second panel from end to end on real digits, small: what a run of a GAN holds once it is measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from triptych import experiment
from triptych.cli.main import main
from triptych.config import Duration, merge
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.reporting.draw import draw
from triptych.runs import Run

RESULTS = {
    *(
        f"test/{name}{floor}"
        for floor in ("", "_floor")
        for name in ("frechet", "kid", "precision", "recall", "density", "coverage")
    ),
    *("samples/class_histogram", "latent/coordinates", "latent/effective_dimension"),
    *("latent/principal_spectrum", "interpolation/latent_vs_pixel", "interpolation/scorecard"),
    "critic/gradient_norm",
}
FIGURES = {
    *("samples", "filmstrip", "critic-curves", "class-histogram", "coordinate-grids"),
    *(
        "coordinates",
        "principal-directions",
        "principal-spectrum",
        "sample-interpolation",
        "scorecard",
        "lipschitz",
    ),
}


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory) -> Run:
    """Thirty updates on 1,000 of the embedded digits, with labels."""
    root = tmp_path_factory.mktemp("gan")
    part = {name: slice(0, count) for name, count in (("train", 1000), ("test", 300))}
    np.savez(
        root / "digits.npz",
        **{f"x_{name}": digits.splits[name].pixels[p] for name, p in part.items()},
        **{f"y_{name}": digits.splits[name].labels[p] for name, p in part.items()},
    )
    config = merge(
        experiment.default_config("wgan", "demo"),
        {
            "method": {"latent": 6, "width": 4, "critic_steps": 2},
            "data": {"name": str(root / "digits.npz"), "image_size": 16},
            "train": {"duration": "30 steps", "batch_size": 32, "validate_every": "10 steps"},
        },
    )
    return experiment.train(config, root / "run")


@pytest.fixture(scope="module", autouse=True)
def smaller():
    """Fewer latents, samples and steps of the classifier: the same code in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triptych.evaluation.latent_space.directions.LATENTS", 10)
        patch.setattr("triptych.evaluation.latent_space.pullback.LATENTS", 8)
        patch.setattr("triptych.evaluation.samples.classes.SAMPLES", 1000)
        patch.setattr("triptych.evaluation.samples.classifier.STEPS", (60, 60))
        yield


@pytest.fixture(scope="module")
def results(trained) -> dict:
    experiment.evaluate(trained.path, EvaluateConfig(coordinates=(2, 5)))
    return trained.results()


def test_everything_is_measured_with_its_protocol(results):
    assert set(results) >= RESULTS
    for name in RESULTS:
        result = results[name]
        assert result["n"] > 0
        assert result["stderr"] is not None or result["note"], f"{name}: no error and no reason"
        assert result["protocol"]["images"] == "1x16x16"
    assert json.dumps(results, allow_nan=False)


def test_an_untrained_generator_is_found_out(results):
    """Thirty updates make noise: far from the floor, and no sample among the real images."""
    assert results["test/frechet"]["value"] > 5 * results["test/frechet_floor"]["value"]
    assert results["test/coverage"]["value"] < 0.5 * results["test/coverage_floor"]["value"]
    assert results["samples/class_histogram"]["value"]["p"] < 0.01


def test_every_picture_is_drawn_with_the_coordinates_asked_for(trained, results):
    assert {path.stem for path in draw(trained)} == FIGURES
    assert trained.arrays("coordinates")["coordinates"].tolist() == [2, 5]
    assert list(trained.moments()) == [0, 1, 2, 5, 10, 20, 30]


def test_a_coordinate_that_is_not_there_is_said(trained, capsys):
    assert main(["evaluate", str(trained.path), "--coordinates", "6"]) == 2
    assert "6" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["itself", "text"])
def test_features_that_are_none_are_refused(trained, tmp_path, kind):
    if kind == "itself":
        path, said = trained.path, "has no encoder"
    else:
        path, said = tmp_path / "inception.pt", "inception.pt"
        path.write_text("not a network")
    with pytest.raises(TriptychError, match=said):
        experiment.evaluate(trained.path, EvaluateConfig(features=Path(path)))


def test_features_of_another_run_are_taken_and_named(trained, tmp_path):
    """An encoder of the same images: here a VAE's, after a few steps."""
    config = merge(
        experiment.default_config("vae"),
        {"data": trained.config["data"], "method": {"latent": 8, "hidden": [16]}},
    )
    config = merge(config, {"train": {"duration": "3 steps", "batch_size": 32}})
    encoder = experiment.train(config, tmp_path / "vae")
    found = experiment.evaluate(trained.path, EvaluateConfig(features=encoder.path))
    with pytest.raises(TriptychError, match="leave them out"):
        experiment.evaluate(encoder.path, EvaluateConfig(coordinates=(1,)))
    protocol = found["test/frechet"].protocol
    assert "vae trained on digits" in protocol["features"]
    assert Duration.parse(trained.config["train"]["duration"]).amount == 30
