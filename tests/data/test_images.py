"""Modes and sizes of single images, against values worked out by hand."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from triptych.data import DataConfig, load
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
    assert (decode(Image.fromarray(wide), kind, Fit(size=(64, 64)))[0, :, 8:56] > 250).all()
    tall = decode(Image.fromarray(wide.T.copy()), kind, Fit(size=(16, 16)))
    assert (tall[0, 2:14] > 250).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("sides", "inside"), [((64, 96), 96), ((32, 96), 192), ((64, 16), 16)])
def test_the_middle_of_the_shape_that_is_asked_for_is_kept(kind, sides, inside):
    """Of 64 rows and 192 columns as much as has that shape; what is left of it is white, all else black."""
    image = np.zeros((64, 192), dtype=np.uint8)
    left = (192 - inside) // 2
    image[:, left : 192 - left] = 255
    shown = decode(Image.fromarray(image), kind, Fit(size=sides))
    assert shown.shape == (1, *sides)
    assert (shown[0, 2:-2, 2:-2] > 250).all()
    turned = decode(Image.fromarray(image.T.copy()), kind, Fit(size=sides[::-1]))
    assert turned.shape == (1, *sides[::-1])
    assert (turned[0, 2:-2, 2:-2] > 250).all()


def test_making_smaller_averages():
    """A chessboard of single pixels is mid-grey from afar; picking pixels would give stripes."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = decode(Image.fromarray(board), fit=Fit(size=(8, 8)))[0, 1:-1, 1:-1]
    assert np.abs(small.astype(int) - 127.5).max() <= 1


def test_arrays_are_resized_as_files_are(random_images):
    image = random_images(12, 12, 3)
    fit = Fit(size=(8, 8))
    (block,) = Decoder(fit).array(image[None])
    np.testing.assert_array_equal(block[0], decode(Image.fromarray(image), fit=fit))


def test_large_and_small_files_decode_in_order(encode, random_images):
    """Large files go through threads; the order stays."""
    images = random_images(300, 60, 60, 3)
    decoder = Decoder(Fit())
    blocks = list(decoder.encoded((str(i), encode(x)) for i, x in enumerate(images)))
    np.testing.assert_array_equal(np.concatenate(blocks), images.transpose(0, 3, 1, 2))


def written(folder, images, kind="PNG", **options):
    """A folder of images, and it."""
    folder.mkdir()
    for place, image in enumerate(images):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(folder / f"{place:02}.{kind.lower()}", kind, **options)
    return folder


def levels(folder, **options):
    """All levels of the data set, and what is said of it."""
    data = load(DataConfig(str(folder), **options))
    return sorted({int(x) for part in data.splits.values() for x in np.unique(part.pixels)}), data


def ramp(high, count=12):
    """2×2 images of levels from 0 to `high` at most; only the last one has `high`."""
    return [np.array([[0, high // 4], [high // 2, high // 2]])] * (count - 1) + [
        np.full((2, 2), high)
    ]


def scaled(high, white):
    return sorted({round(x * 255 / white) for x in (0, high // 4, high // 2, high)})


@pytest.mark.parametrize(
    ("kind", "dtype", "high", "white"),
    [
        ("PNG", np.uint16, 4000, 4095),
        ("TIFF", np.uint16, 1023, 1023),
        ("PNG", np.uint16, 16000, 16383),
        ("PNG", np.uint16, 255, 255),
        ("PNG", np.uint16, 60000, 65535),
        ("TIFF", np.int32, 255, 255),
        ("TIFF", np.int32, 4095, 4095),
        ("TIFF", np.int32, 50000, 65535),
    ],
)
def test_how_many_bits_are_used_shows_over_the_whole_set(tmp_path, kind, dtype, high, white):
    """Levels of 12 bits in 16 were 0 to 16 of 255. The last image alone tells what white is."""
    folder = written(tmp_path / "d", [x.astype(dtype) for x in ramp(high)], kind)
    found, data = levels(folder)
    assert found == scaled(high, white)
    said = [note for note in data.notes if "no level of the images of" in note]
    assert bool(said) == (white != 65535)
    if said:
        assert f"is above {high:,}: they were read as 0 (black) to {white:,} (white)" in said[0]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zeros_and_ones_are_black_and_white(tmp_path, shape, dtype):
    if dtype == np.uint16 and len(shape) == 3:
        shape = (6, 4)  # Pillow has no colours of 16 bits
    bits = np.random.default_rng(0).integers(0, 2, (12, *shape)).astype(dtype)
    found, data = levels(written(tmp_path / "d", bits), image_size=None if shape[0] == 4 else 4)
    assert {0, 255} <= set(found)
    assert data.values == "binary" or shape[0] == 6
    assert any("they were read as black and white" in note for note in data.notes)


def test_zeros_and_ones_are_scaled_before_they_are_averaged(tmp_path):
    board = (np.indices((8, 8)).sum(0) % 2).astype(np.uint8)
    found, _ = levels(written(tmp_path / "d", [board] * 12), image_size=2)
    assert all(abs(level - 127.5) < 40 for level in found)


def test_zeros_and_ones_keep_their_opacity(tmp_path):
    image = np.array([[[1, 255], [1, 0]], [[0, 255], [0, 0]]], np.uint8)
    _, data = levels(written(tmp_path / "d", [image] * 12))
    assert data.splits["train"].pixels[0, 0].tolist() == [[255, 255], [0, 255]]


def test_one_dark_image_is_no_mask(tmp_path):
    dark = np.eye(4, dtype=np.uint8)
    found, data = levels(written(tmp_path / "d", [dark] * 11 + [dark * 200]))
    assert found == [0, 1, 200]
    assert data.notes == ()


def test_images_that_look_black_are_said(tmp_path):
    found, data = levels(
        written(tmp_path / "d", [np.arange(16, dtype=np.uint8).reshape(4, 4)] * 12)
    )
    assert found == list(range(16))
    assert data.notes[0].startswith(
        "the images of 8 bits look black: their highest level is 15 where"
    )


def sixteen_bit_colours(path, levels):
    """A PNG of 16-bit RGB, which Pillow reads and does not write."""
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*x) for x in chunks))


def test_colours_of_16_bits(tmp_path, refusal):
    (tmp_path / "d").mkdir()
    for place in range(12):
        sixteen_bit_colours(tmp_path / "d" / f"{place}.png", np.full((2, 2, 3), 4000))
    assert "so little of the range that of 255 levels only 15 are left" in refusal(tmp_path / "d")
    sixteen_bit_colours(tmp_path / "d" / "11.png", np.full((2, 2, 3), 65535))
    found, data = levels(tmp_path / "d")
    assert found == [15, 255]
    assert data.notes == ("colours of 16 bits were cut to 8 bits",)


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (np.full((2, 2), 1.5, np.float32), "of floats in"),
        (np.full((2, 2), -0.5, np.float32), "go from -0.5 to -0.5 where 0 to 1 is the range"),
        (np.full((2, 2), 70000, np.int32), "go from 70000 to 70000 where 0 to 65535 is the range"),
        (np.full((2, 2), -1, np.int32), "go from -1 to -1"),
        (np.full((2, 2), np.nan, np.float32), "some of its levels are no numbers"),
        (np.full((2, 2), np.inf, np.float32), "some of its levels are no numbers"),
    ],
)
def test_levels_out_of_range(tmp_path, refusal, image, complaint):
    assert complaint in refusal(written(tmp_path / "d", [image] * 12, "TIFF"))


@pytest.mark.parametrize(
    ("image", "kind", "options", "said"),
    [
        (flat("RGBA", (9, 9, 9, 0)), "PNG", {}, "are not opaque everywhere and were laid on white"),
        (flat("LA", (9, 100)), "PNG", {}, "are not opaque everywhere and were laid on white"),
        (flat("P", 0), "PNG", {"transparency": 0}, "are not opaque everywhere"),
        (flat("RGB", (1, 2, 3)), "PNG", {"transparency": (1, 2, 3)}, "are not opaque everywhere"),
        (flat("CMYK", (0, 0, 0, 0)), "JPEG", {}, "are in CMYK and were converted to RGB"),
        (flat("LAB", (200, 128, 128)), "TIFF", {}, "are in LAB and were converted to RGB"),
        (
            flat("L", 200),
            "GIF",
            {"save_all": True, "append_images": [flat("L", 90)]},
            "hold several pictures, of which the first was taken",
        ),
        (
            flat("L", 200),
            "TIFF",
            {"save_all": True, "append_images": [flat("L", 90)]},
            "hold several pictures, of which the first was taken",
        ),
    ],
)
def test_what_is_done_to_images_is_said(tmp_path, image, kind, options, said):
    found, data = levels(written(tmp_path / "d", [image] * 12, kind, **options))
    assert data.notes[0].startswith(f"12 of 12 images {said}")
    assert found != [90]


def test_an_opaque_fourth_channel_is_not_worth_a_word(tmp_path):
    _, data = levels(written(tmp_path / "d", [flat("RGBA", (100, 90, 80, 255))] * 12))
    assert data.notes == ()


def test_a_plugin_that_gives_up_is_an_image_that_does_not_decode(tmp_path, refusal):
    """A DDS file named .png: Pillow's plugin raises NotImplementedError."""
    folder = written(tmp_path / "d", [flat("L", 200)] * 6)
    (folder / "x.png").write_bytes(b"DDS " + (124).to_bytes(4, "little") + bytes(120))
    message = refusal(folder)
    assert message.startswith(f"1 of 7 images in {folder} do not decode (x.png: not an image)")
    _, data = levels(folder, skip_broken=True)
    assert data.notes == (
        "1 of 7 images in the data do not decode (x.png: not an image); they were left out",
    )


def test_a_decompression_bomb(tmp_path, refusal):
    folder = written(tmp_path / "d", [flat("1", 1)] * 6)
    Image.new("1", (20_000, 20_000)).save(folder / "x.png")
    assert "x.png: more pixels than is safe to decode" in refusal(folder, image_size=2)
