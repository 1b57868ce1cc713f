"""Modes and sizes of single images, against values worked out by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from triptych.data.images import Decoder
from triptych.data.picture import Fit


def decode(image: Image.Image, kind: str = "PNG", fit: Fit | None = None, **options) -> np.ndarray:
    """One image through a file, as C×H×W."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    decoder = Decoder(fit or Fit())
    (block,) = decoder.encoded([("x", out.getvalue())])
    decoder.finish("here")
    return block[0]


def flat(mode: str, colour) -> Image.Image:
    return Image.new(mode, (2, 2), colour)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat("L", 7), [7]),
        (flat("1", 1), [255]),
        (flat("RGB", (1, 2, 3)), [1, 2, 3]),
        (flat("RGBA", (10, 20, 30, 255)), [10, 20, 30]),
        (flat("RGBA", (10, 20, 30, 0)), [255, 255, 255]),
        (flat("RGBA", (0, 0, 0, 51)), [204, 204, 204]),
        (flat("LA", (0, 51)), [204]),
        (Image.fromarray(np.full((2, 2), 257 * 9, np.uint16)), [9]),
        (flat("RGB", (9, 9, 9)).quantize(2), [9]),
        (flat("RGB", (9, 0, 9)).quantize(2), [9, 0, 9]),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_modes(image, expected):
    pixels = decode(image)
    assert pixels.shape == (len(expected), 2, 2)
    assert pixels[:, 0, 0].tolist() == expected


def test_cmyk_becomes_rgb():
    pixels = decode(flat("CMYK", (255, 0, 0, 0)), "TIFF")
    assert pixels[:, 0, 0].tolist() == [0, 255, 255]


def test_floats_in_the_unit_interval():
    assert decode(flat("F", 0.2), "TIFF")[:, 0, 0].tolist() == [51]


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30])
    assert decode(image, transparency=0)[:, 0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("colour", "given", "expected"),
    [
        ("rgb", flat("L", 7), [7, 7, 7]),
        ("grey", flat("RGB", (100, 100, 100)), [100]),
        # ITU-R 601: 0.299 R + 0.587 G + 0.114 B
        ("grey", flat("RGB", (200, 100, 50)), [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]),
    ],
)
def test_the_mode_asked_for(colour, given, expected):
    pixels = decode(given, fit=Fit(colour=colour))
    assert pixels[:, 0, 0].tolist() == expected
    (from_array,) = Decoder(Fit(colour=colour)).array(np.asarray(given).reshape(1, 2, 2, -1))
    np.testing.assert_array_equal(from_array[0], pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_middle_square_is_kept(kind):
    wide = np.zeros((64, 192), dtype=np.uint8)
    wide[:, 64:128] = 255
    assert (decode(Image.fromarray(wide), kind, Fit(size=64))[0, :, 8:56] > 250).all()
    tall = decode(Image.fromarray(wide.T.copy()), kind, Fit(size=16))
    assert (tall[0, 2:14] > 250).all()


def test_making_smaller_averages():
    """A chessboard of single pixels is mid-grey from afar; picking pixels would give stripes."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = decode(Image.fromarray(board), fit=Fit(size=8))[0, 1:-1, 1:-1]
    assert np.abs(small.astype(int) - 127.5).max() <= 1


def test_arrays_are_resized_as_files_are(random_images):
    image = random_images(12, 12, 3)
    fit = Fit(size=8)
    (block,) = Decoder(fit).array(image[None])
    np.testing.assert_array_equal(block[0], decode(Image.fromarray(image), fit=fit))


def test_large_and_small_files_decode_in_order(encode, random_images):
    """Large files go through threads; the order stays."""
    images = random_images(300, 60, 60, 3)
    decoder = Decoder(Fit())
    blocks = list(decoder.encoded((str(i), encode(x)) for i, x in enumerate(images)))
    np.testing.assert_array_equal(np.concatenate(blocks), images.transpose(0, 3, 1, 2))
