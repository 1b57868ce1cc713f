"""Which number is white, which axis the channels are, and what a fourth of them is: known, said, or asked."""

from __future__ import annotations

import numpy as np
import pytest

from triptych.data import DataConfig, load


@pytest.fixture
def opened(tmp_path):
    """The training pixels and the notes of an archive that has the images as both its splits."""

    def make(images):
        np.savez(tmp_path / "d.npz", x_train=images, x_test=images)
        data = load(DataConfig(str(tmp_path / "d.npz"), holdout=0))
        copies = (
            f"{len(images)} of {len(images)} test images occur in train as well, pixel by pixel"
        )
        assert data.remarks == (*data.notes, copies)
        return data.splits["train"].pixels, data.notes

    return make


def asked(tmp_path, refusal, images):
    np.save(tmp_path / "d.npy", images)
    return refusal(tmp_path / "d.npy")


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint32", "int64", ">i4"])
def test_whole_numbers_from_0_to_255_are_levels(opened, random_images, kind):
    images = random_images(20, 5, 5)
    pixels, notes = opened(images.astype(kind))
    np.testing.assert_array_equal(pixels[:, 0], images)
    assert notes == (f"whole numbers of type {np.dtype(kind)} were read as levels 0 to 255",)


@pytest.mark.parametrize("kind", ["int8", "int64", "uint16"])
def test_whole_numbers_0_and_1_are_black_and_white(opened, random_images, kind):
    bits = random_images(20, 5, 5) & 1
    pixels, notes = opened(bits.astype(kind))
    np.testing.assert_array_equal(pixels[:, 0], bits * 255)
    assert notes == (f"whole numbers of type {kind} were read as levels 0 to 1",)


def ramp(top, kind, low=0):
    return np.linspace(low, top, 500).reshape(20, 5, 5).astype(kind)


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (
            ramp(4095, "uint16"),
            "of type uint16 from 0 to 4,095; save them as uint8 (0 to 255) or as",
        ),
        (ramp(4095, "uint16"), ": if 4,095 is white, save x / 4095"),
        (ramp(4000, "uint16"), ": if 4,095 is white, save x / 4095"),
        (ramp(1000, "int32"), ": if 1,023 is white, save x / 1023"),
        (ramp(65535, "uint16"), ": if 65,535 is white, save x / 65535"),
        (ramp(70000, "int32"), ": if 70,000 is white, save x / 70000"),
        (ramp(127, "int8", -128), "of type int8 from -128 to 127; save them as"),
        (ramp(16, "uint8"), "is 16 where 255 is white, so all of them are nearly black; if 16 is"),
        (ramp(16, "int64"), "if 16 is white, save x / 16"),
        (ramp(63, "uint8"), "is 63 where 255 is white"),
        (ramp(1 / 255, "float64"), "is 0.00392157 where 1 is white, so all of them are nearly"),
        (ramp(255, "float32"), "floats from 0 to 255; save them as floats from 0 to 1"),
        (ramp(255, "float32"), "if 255 is white, save x / 255"),
        (ramp(1, "float32", -1), "if -1 is black and 1 is white, save (x + 1) / 2"),
        (np.where(ramp(1, float) > 0.98, np.nan, 0.5), "10 of the 500 numbers of the images in"),
        (np.where(ramp(1, float) > 0.98, np.inf, 0.5), "are not finite (NaN or infinite)"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else str(value.dtype),
)
def test_other_ranges_are_asked_for(tmp_path, refusal, images, complaint):
    assert complaint in asked(tmp_path, refusal, images)


@pytest.mark.parametrize(("top", "kind"), [(100, "uint8"), (100 / 255, "float64")])
def test_dark_images_are_read_as_they_are_and_it_is_said(opened, top, kind):
    pixels, notes = opened(ramp(top, kind))
    assert pixels.max() == 100
    white = 255 if kind == "uint8" else 1
    assert notes == (f"the training images are dark: their brightest number is {top:g} of {white}",)


def test_black_images_in_another_split_are_read(tmp_path, random_images):
    """Dark is judged by the training images, and black is black on any scale."""
    black = np.zeros((4, 5, 5), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=random_images(20, 5, 5), x_test=black)
    assert not load(DataConfig(str(tmp_path / "d.npz"))).splits["test"].pixels.any()


def test_two_scales_in_one_archive(tmp_path, random_images, refusal):
    bits = random_images(20, 5, 5) & 1
    np.savez(tmp_path / "d.npz", x_train=bits * 255, x_test=bits)
    assert "the images of test in" in refusal(tmp_path / "d.npz")
    assert "are nothing but 0 and 1, and those of train are not" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("first", [False, True], ids=["NHWC", "NCHW"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "int32"])
def test_a_fourth_channel_that_is_opaque_is_left(opened, random_images, first, kind):
    images = random_images(20, 5, 5, 4)
    images[..., 3] = 255
    given = images.astype(kind) / 255 if kind == "float32" else images.astype(kind)
    pixels, notes = opened(given.transpose(0, 3, 1, 2) if first else given)
    np.testing.assert_array_equal(pixels, images[..., :3].transpose(0, 3, 1, 2))
    white = 1 if kind == "float32" else 255
    assert notes[0] == f"the fourth channel is {white} everywhere (opaque) and was left"


@pytest.mark.parametrize("first", [False, True], ids=["NHWC", "NCHW"])
@pytest.mark.parametrize("size", [None, 4])
def test_a_fourth_channel_of_something_is_asked_for(tmp_path, random_images, refusal, first, size):
    images = random_images(20, 5, 5, 4)
    np.save(tmp_path / "d.npy", images.transpose(0, 3, 1, 2) if first else images)
    for colour in ("auto", "rgb", "grey"):
        message = refusal(tmp_path / "d.npy", image_size=size, colour=colour)
        assert "have four channels, and an array does not say what the fourth is" in message
        assert "save x[..., :3]" in message


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((28, 28, 3), "28x28x3, which may be one image with its channels; give many images"),
        ((28, 28, 4), "28x28x4, which may be one image"),
        ((28, 28, 1), "28x28x1, which may be one image"),
        ((100, 28, 3), "100x28x3, which may be one image"),
        ((3, 28, 28), "3x28x28, which may be one image"),
        ((20, 3, 28, 4), "20x3x28x4, whose channels may stand first or last"),
        ((20, 3, 3, 3), "20x3x3x3, whose channels may stand first or last"),
        ((20, 28, 28, 2), "have the shape 20x28x28x2; save them as"),
        ((20, 2, 28, 28), "have the shape 20x2x28x28; save them as"),
        ((20, 5, 28, 28), "have the shape 20x5x28x28; save them as"),
        ((2, 20, 28, 28, 3), "have the shape 2x20x28x28x3; save them as"),
        ((400,), "have the shape 400; save them as"),
    ],
)
def test_shapes_that_may_mean_two_things(tmp_path, refusal, random_images, shape, complaint):
    assert complaint in asked(tmp_path, refusal, random_images(*shape))


@pytest.mark.parametrize(
    ("shape", "channels", "side"),
    [
        ((20, 4, 4), 1, 4),
        ((20, 1, 1), 1, 1),
        ((20, 4, 4, 1), 1, 4),
        ((20, 1, 4, 4), 1, 4),
        ((20, 3, 4, 4), 3, 4),
        ((20, 4, 4, 3), 3, 4),
        ((20, 1, 1, 3), 3, 1),
        ((20, 3, 1, 1), 3, 1),
        ((20, 1, 1, 1), 1, 1),
    ],
)
def test_shapes_with_one_square_reading(opened, random_images, shape, channels, side):
    images = random_images(*shape)
    pixels, notes = opened(images)
    assert pixels.shape == (20, channels, side, side)
    last = len(shape) == 4 and shape[1:] == (side, side, channels)
    expected = images.transpose(0, 3, 1, 2) if last else images.reshape(pixels.shape)
    np.testing.assert_array_equal(pixels, expected)
    assert notes == ()
