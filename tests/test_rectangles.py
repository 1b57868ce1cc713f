"""Images that are higher or wider than the other way: trained, measured, drawn, exported and on a page by each method that can."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fewer import fewer

from triptych import experiment
from triptych.backbone import export
from triptych.cli.main import main
from triptych.config import merge, read_toml
from triptych.evaluation.suite import EvaluateConfig
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import write_page

"""What the numbers of a generator rest on takes half a minute as it is."""

METHODS = {
    "vae": {"latent": 3, "hidden": [16], "net": "mlp", "likelihood": "logistic"},
    "conv": {"latent": 3, "width": 4, "net": "conv", "likelihood": "logistic"},
    "wgan": {"latent": 3, "width": 4, "critic_steps": 1},
    "gan": {"latent": 3, "width": 4, "net": "resnet", "r1": 1.0, "spectral": True},
    "simsiam": {"depth": 10, "width": 4, "projector": [16], "predictor_width": 8, "stem": "half"},
}

CASES = [
    *(("vae", (14, 18, 1)), ("vae", (20, 9, 3)), ("conv", (16, 24, 1)), ("conv", (14, 8, 3))),
    *(
        ("wgan", (16, 24, 3)),
        ("gan", (20, 28, 1)),
        ("simsiam", (14, 18, 1)),
        ("simsiam", (20, 9, 3)),
    ),
]


def images(folder: Path, shape: tuple[int, int, int]) -> Path:
    """Bars at one of four places, which are the classes, under noise."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 60, (200, *shape)).astype(np.uint8), np.arange(200) % 4
    part = shape[1] / 4
    for image, place in zip(x, y, strict=True):
        image[:, int(place * part) : int((place + 1) * part)] += 150
    np.savez(folder / "bars.npz", images=x, labels=y)
    return folder / "bars.npz"


def config_of(name: str, data: Path) -> experiment.ExperimentConfig:
    tables = {
        "method": METHODS[name],
        "data": {"name": str(data)},
        "train": {"duration": "6 steps", "batch_size": 16, "threads": 1, "device": "cpu"},
    }
    method = "vae" if name == "conv" else name
    return merge(experiment.default_config(method), tables)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_whole_way(tmp_path, monkeypatch, name, shape):
    fewer(monkeypatch.setattr)
    height, width, channels = shape
    run = experiment.train(config_of(name, images(tmp_path, shape)), tmp_path / "run")
    found = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    assert {result.protocol["images"] for result in found.values()} == {
        f"{channels}x{height}x{width}"
    }
    # Every picture that is kept has the shape of the images.
    kept = {p.stem: dict(np.load(p)) for p in (run.path / "samples").glob("*.npz")}
    pictures = [
        a for of in kept.values() for a in of.values() if a.dtype == np.uint8 and a.ndim >= 4
    ]
    pictures = [a for a in pictures if a.shape[-3] == channels]
    assert pictures
    assert {a.shape[-2:] for a in pictures} == {(height, width)}
    moments = run.moments().values()
    assert {a.shape[1:] for a in moments} <= {(channels, height, width)}
    assert bool(moments) == (name in ("wgan", "gan"))
    assert draw(run)
    page = write_page([run.path], tmp_path / "page.html", "Page", explore=True).read_text()
    assert "could not be" not in page
    if name == "simsiam":
        done = export(run.path, "safetensors")
        assert done.check.difference < 1e-4
    else:
        bundle = json.loads(write_playable(run.path).read_text())
        assert bundle["shape"] == [channels, height, width]


@pytest.mark.parametrize("words", [["vae", "--method.net", "conv"], ["wgan"]])
def test_convolutions_that_cannot_halve_both_sides_say_which_size_they_can(
    tmp_path, monkeypatch, capsys, words
):
    monkeypatch.chdir(tmp_path)
    images(tmp_path, (28, 36, 1))
    given = [*words, "--data", "bars.npz", "--steps", "1", "--batch-size", "8", "--out", "run"]
    assert main(["train", *given]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "28×36 cannot be halved so: resize with --image-size, to 32x40 for instance" in said
    assert not Path("run").exists()
    small = ["--method.width", "2", "--method.latent", "2", "--image-size", "32x40"]
    assert main(["train", *given, *small]) == 0
    assert read_toml(Path("run/config.toml"))["data"]["image_size"] == "32x40"
    assert experiment.load_method(Path("run")).spec.shape == (1, 32, 40)
