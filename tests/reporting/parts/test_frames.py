"""Sliders among pictures: where each begins, what its rows are, and every pixel in its frame."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from triptych.reporting.parts.pictures import filmstrip, interpolation, shifts


def decoded(url: str) -> np.ndarray:
    with Image.open(BytesIO(base64.b64decode(url.split(",")[1]))) as picture:
        return np.asarray(picture.convert("L")).astype(int)


def shifted(run, *epsilons: float) -> None:
    """Grey images of a level for every coordinate and shift."""
    levels = 60 * np.arange(2)[:, None] + 10 * np.arange(len(epsilons))
    images = np.tile(levels[:, :, None, None, None, None], (1, 1, 4, 1, 8, 8)).astype(np.uint8)
    run.save_arrays("coordinates", images=images, coordinates=np.array([3, 17]), shifts=epsilons)


@pytest.mark.parametrize(
    ("steps", "begins"),
    [
        ((0, 1, 2, 5, 10, 20, 50, 100), "step 50"),
        ((0, 1, 10, 100, 900), "step 100"),
        ((0, 100, 200, 300), "step 100"),
        ((0, 8), "step 0"),
    ],
)
def test_a_filmstrip_begins_in_the_middle_of_the_training(plant, steps, begins):
    for step in steps:
        plant.run.save_moment(step, np.full((64, 1, 8, 8), step % 256, np.uint8))
    found = filmstrip(plant.run)
    assert found.frames[found.shown].label == begins
    assert found.plays and found.rows == []
    assert [frame.label for frame in found.frames] == [f"step {step}" for step in steps]


def test_one_moment_is_no_filmstrip(plant):
    plant.run.save_moment(5, np.zeros((64, 1, 8, 8), np.uint8))
    assert filmstrip(plant.run) is None


@pytest.mark.parametrize(
    ("epsilons", "begins"),
    [
        ((0.0, 1.0, 10.0, 20.0, 50.0, 100.0), "ε = 10"),
        ((0.0, 0.5, 2.0), "ε = 2"),
        ((0.0, 3.0, 12.0), "ε = 3"),
        ((20.0, 50.0), "ε = 20"),
    ],
)
def test_shifts_begin_where_much_moves_and_latents_still_differ(plant, epsilons, begins):
    shifted(plant.run, *epsilons)
    found = shifts(plant.run)
    assert found.frames[found.shown].label == begins
    assert not found.plays


def test_every_row_of_the_shifts_is_the_coordinate_beside_it(plant):
    shifted(plant.run, 0.0, 10.0)
    found = shifts(plant.run)
    assert found.rows == ["coordinate 3", "coordinate 17"]
    levels = decoded(found.frames[1].url)
    # Two pixels for each of the image's, between white lines.
    assert levels.shape == (2 * (2 * 9 + 1), 2 * (4 * 9 + 1))
    assert levels[10, 10] == pytest.approx(10, abs=4)
    assert levels[28, 10] == pytest.approx(70, abs=4)


@pytest.mark.parametrize(
    ("way", "begins"),
    [
        (np.linspace(0, 1, 11), "α = 0.5"),
        ([0.0, 0.4, 0.8, 1.0], "α = 0.4"),
        ([0.0, 1.0], "α = 0.0"),
    ],
)
def test_an_interpolation_begins_halfway(plant, way, begins):
    latent = np.full((3, len(way), 1, 8, 8), 200, np.uint8)
    plant.run.save_arrays("interpolation", latent=latent, pixel=latent // 2, alpha=np.array(way))
    found = interpolation(plant.run)
    assert found.frames[found.shown].label == begins
    assert found.rows == ["in latent space", "in pixel space"]
    levels = decoded(found.frames[0].url)
    assert levels[10, 10] == pytest.approx(200, abs=4)
    assert levels[28, 10] == pytest.approx(100, abs=4)
