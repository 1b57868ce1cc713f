"""Sheets of images: every pixel the right value at the right place, in the array and in the file."""

import numpy as np
import pytest
from PIL import Image

from triptych.reporting.draw import draw
from triptych.reporting.figures.pictures import interpolation, reconstructions, samples, traversal

pytestmark = pytest.mark.usefixtures("style")

SHAPES = [(1, 6, 6), (3, 8, 5), (1, 28, 28), (3, 16, 40)]


def tile(canvas: np.ndarray, top: int, left: int, like: np.ndarray) -> np.ndarray:
    """What is pasted at a place, as C×H×W."""
    _, h, w = like.shape
    found = canvas[top : top + h, left : left + w].transpose(2, 0, 1)
    if like.shape[0] == 1:
        assert (found == found[:1]).all()
        return found[:1]
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_fill_eight_by_eight(plant, shape, sheet):
    images = plant.pictures(*shape)["samples"]["images"]
    canvas = sheet(samples(plant.run))
    _, h, w = shape
    gap = max(1, min(h, w) // 12)
    assert canvas.shape == (8 * h + 7 * gap, 8 * w + 7 * gap, 3)
    for i in range(64):
        top, left = i // 8 * (h + gap), i % 8 * (w + gap)
        np.testing.assert_array_equal(tile(canvas, top, left, images[i]), images[i])


@pytest.mark.parametrize("shape", SHAPES)
def test_originals_stand_above_their_reconstructions(plant, shape, sheet):
    kept = plant.pictures(*shape)["reconstructions"]
    figure = reconstructions(plant.run)
    canvas = sheet(figure)
    _, h, w = shape
    gap = max(1, min(h, w) // 12)
    second = 2 * (h + gap) + round(0.2 * h)
    for i in range(20):
        top, left = second * (i // 10), i % 10 * (w + gap)
        for name in ("originals", "reconstructions"):
            np.testing.assert_array_equal(tile(canvas, top, left, kept[name][i]), kept[name][i])
            top += h + gap
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["original", "reconstruction"] * 2


def test_a_traversal_names_its_coordinates_and_values(plant, sheet):
    kept = plant.pictures()["traversal"]
    figure = traversal(plant.run)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [
        "$z_{17}$, KL 1.93 nats",
        "$z_{4}$, KL 0.50 nats",
        "$z_{80}$, KL 0.25 nats",
    ]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["−3.0", "−1.5", "0", "+1.5", "+3.0"]
    assert "standard deviations of the prior" in axes.get_xlabel()
    canvas = sheet(figure)
    for i, j in np.ndindex(3, 5):
        image = kept["images"][i, j]
        np.testing.assert_array_equal(tile(canvas, 7 * i, 7 * j, image), image)
        middle = axes.get_xticks()[j]
        assert 7 * j < middle < 7 * j + 5


def test_an_interpolation_lies_between_its_originals(plant, sheet):
    kept = plant.pictures(1, 10, 10)["interpolation"]
    figure = interpolation(plant.run)
    canvas = sheet(figure)
    pair, first, last = 24, 19, 19 + 11 * 11 + 2
    for i in range(2):
        for j in range(11):
            for row, name in enumerate(("latent", "pixel")):
                image = kept[name][i, j]
                place = (pair * i + 11 * row, first + 11 * j)
                np.testing.assert_array_equal(tile(canvas, *place, image), image)
        for end, left in enumerate((0, last)):
            image = kept["originals"][i, end]
            # Midway between the two rows, rounded to a pixel.
            tops = (pair * i + 5, pair * i + 6)
            assert any(np.array_equal(tile(canvas, top, left, image), image) for top in tops)
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["original", "original", "0", *(f"0.{i}" for i in range(1, 10)), "1"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["latent", "pixel"] * 2


@pytest.mark.parametrize("shape", [*SHAPES, (3, 64, 64)])
def test_a_pixel_is_the_same_whole_number_of_pixels_in_the_file(plant, shape, sheet):
    plant.run.save_arrays("samples", images=plant.images(64, *shape))
    figure = samples(plant.run)
    canvas = sheet(figure)
    with Image.open(draw(plant.run)[0]) as file:
        pixels = np.asarray(file.convert("RGB"))
    box = figure.axes[0].get_window_extent()
    zoom = round(box.width / canvas.shape[1])
    top, left = round(len(pixels) - box.y1), round(box.x0)
    enlarged = canvas.repeat(zoom, 0).repeat(zoom, 1)
    shown = pixels[top : top + len(enlarged), left : left + enlarged.shape[1]]
    np.testing.assert_array_equal(shown, enlarged)


def test_few_and_tall_images_fit_a_page(plant, sheet):
    images = plant.images(5, 1, 60, 4)
    plant.run.save_arrays("samples", images=images)
    plant.run.save_arrays("reconstructions", originals=images, reconstructions=images)
    for figure in (samples(plant.run), reconstructions(plant.run)):
        assert figure.get_size_inches()[1] * 25.4 < 260
    assert sheet(samples(plant.run)).shape == (60, 5 * 4 + 4, 3)


def test_the_protocol_stands_above_the_picture(plant):
    plant.pictures()
    plant.latents([0.1, 0.2])
    above = reconstructions(plant.run).texts[1].get_text().replace("\u00a0", " ")
    assert " ".join(above.split()) == (
        "statically binarized MNIST · test split · Bernoulli likelihood · best weights"
    )
