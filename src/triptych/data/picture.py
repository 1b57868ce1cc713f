"""One image of any format, mode and size to uint8 C×H×W in the mode and size asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["WHITE", "Decoded", "Depth", "Fit", "Mode", "Pixels", "White", "fit_array", "try_decode"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Mode: TypeAlias = Literal["grey", "colour"]
Depth: TypeAlias = Literal["1 bit", "8 bits", "8 of 16 bits", "16 bits", "32 bits", "floats"]
"""How a file stores its levels; of 16 bits a colour only the upper 8 are read, which Pillow decides."""
White: TypeAlias = Mapping[Depth, float]

WHITE: White = MappingProxyType(
    {
        "1 bit": 255,
        "8 bits": 255,
        "8 of 16 bits": 255,
        "16 bits": 65535,
        "32 bits": 65535,
        "floats": 1,
    }
)
"""The level that stands for white where nothing else is known."""

# What files with the suffixes that are read hold. Pillow tells a format by its first bytes, whatever
# the name, and knows some that no data set is made of; one of them starts another program (EPS).
FORMATS = (
    *("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA"),
)


@dataclass(frozen=True)
class Fit:
    """How every image is brought to one shape: height and width in pixels, and mode; see `DataConfig`.

    With ``skip_broken`` those that do not decode are left out.
    """

    size: tuple[int, int] | None = None
    colour: Literal["auto", "grey", "rgb"] = "auto"
    skip_broken: bool = False


class _UndecodableError(Exception):
    """Why one image cannot be read."""


@dataclass(frozen=True)
class Decoded:
    """One image after fitting, C×H×W, and what its file was like.

    ``mode`` and ``size`` (height, width) are the file's. ``low`` and ``high`` are the lowest and the highest
    level in it, of the pixels themselves and before anything was made of them. ``remarks`` say what was
    done to it that a person may not expect.
    """

    pixels: Pixels
    mode: Mode
    size: tuple[int, int]
    depth: Depth
    low: float
    high: float
    remarks: tuple[str, ...] = ()


def try_decode(data: bytes, fit: Fit, white: White = WHITE) -> Decoded | str:
    """One image, or in words why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data), formats=_formats()) as image:
            return _decode(image, fit, white)
    except UnidentifiedImageError:
        return "not an image" if data else "empty"
    except Image.DecompressionBombError:
        return "more pixels than is safe to decode"
    except _UndecodableError as why:
        return str(why)
    # A boundary to parsers of others: for a damaged file Pillow's plugins raise whatever their next
    # line happens to raise (SyntaxError, KeyError, NotImplementedError, struct.error and more).
    except Exception as why:
        return str(why).partition("\n")[0] or type(why).__name__


@cache
def _formats() -> tuple[str, ...]:
    """Those of our formats that this build of Pillow has."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _decode(image: Image, fit: Fit, white: White) -> Decoded:
    """Decode, turn as its EXIF data asks, bring to 8 bits without opacity, and fit."""
    from PIL import ImageOps

    width, height = image.size
    remarks = []
    if getattr(image, "is_animated", False):
        remarks.append("hold several pictures, of which the first was taken")
    depth = _depth(image)
    if fit.size is not None and image.format == "JPEG":
        # JPEG decodes to a half, a quarter or an eighth for much less work; twice
        # the target leaves the filter below enough to average over. It may lie on its side yet.
        least = 2 * max(fit.size)
        image.draft(None, (least, least))
    image.load()
    wide = image.width > image.height
    ImageOps.exif_transpose(image, in_place=True)
    if (image.width > image.height) != wide:
        width, height = height, width
    plain = _plain(image)
    if plain.mode == "RGB" and image.mode not in ("RGB", "P"):
        remarks.append(f"are in {image.mode} and were converted to RGB without a colour profile")
    low, high = _extremes(plain)
    if plain.mode in ("LA", "RGBA") and np.asarray(plain.getchannel("A")).min() < 255:
        remarks.append("are not opaque everywhere and were laid on white")
    flat = _flatten(_eight_bits(plain, white[depth]))
    mode: Mode = "grey" if flat.mode == "L" else "colour"
    fitted = _fit_image(flat, fit)
    return Decoded(fitted, mode, (height, width), depth, low, high, tuple(remarks))


def _depth(image: Image) -> Depth:
    """How the file stores levels, told before it is decoded."""
    if image.mode == "1":
        return "1 bit"
    if image.mode == "F":
        return "floats"
    if image.mode.startswith("I;16"):
        return "16 bits"
    if image.mode == "I":
        return "32 bits"
    # The decoder's arguments name the layout of the bytes in the file, such as RGB;16B.
    tiles: Sequence[tuple[Any, ...]] = getattr(image, "tile", ())
    layouts = (str(tile[3]) for tile in tiles if len(tile) > 3)
    return "8 of 16 bits" if any(";16" in layout for layout in layouts) else "8 bits"


def _plain(image: Image) -> Image:
    """The image without a palette and in a mode of levels, with its opacity if it has some."""
    if image.mode in ("P", "PA"):
        return _from_palette(image)
    if image.mode.startswith("I") or image.mode == "F":
        return image
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if image.has_transparency_data else "L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _extremes(image: Image) -> tuple[float, float]:
    """The lowest and the highest level of any channel but the opacity."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise _UndecodableError("some of its levels are no numbers")
        return float(values.min()), float(values.max())
    found: Any = image.getextrema()
    if isinstance(found[0], tuple):
        bands = [
            band for name, band in zip(image.getbands(), found, strict=True) if name not in "Aa"
        ]
        return float(min(low for low, _ in bands)), float(max(high for _, high in bands))
    return float(found[0]), float(found[1])


def _eight_bits(image: Image, white: float) -> Image:
    """Levels from 0 to `white` as 0 to 255; what lies outside is cut, and the decoder tells of it."""
    from PIL import Image as Images

    if image.mode.startswith("I") or image.mode == "F":
        levels = np.rint(np.asarray(image).astype(np.float64) * (255.0 / white)).clip(0, 255)
        return Images.fromarray(levels.astype(np.uint8))
    if white == 255:
        return image
    scale = [min(255, round(level * 255 / white)) for level in range(256)]
    opacity = list(range(256))
    bands = image.getbands()
    return image.point([x for name in bands for x in (opacity if name in "Aa" else scale)])


def _flatten(image: Image) -> Image:
    """The image as grey (L) or RGB, laid on white where it is not opaque."""
    from PIL import Image as Images

    if not image.has_transparency_data:
        return image
    opaque = "L" if image.mode in ("L", "LA", "La") else "RGB"
    image = image.convert("RGBA")
    white = Images.new("RGBA", image.size, "white")
    return Images.alpha_composite(white, image).convert(opaque)


def _from_palette(image: Image) -> Image:
    """A palette of greys alone is a grey image that was saved in fewer bits."""
    colours = np.asarray(image.convert("RGB"))
    grey = bool((colours == colours[..., :1]).all())
    if image.has_transparency_data:
        return image.convert("RGBA").convert("LA" if grey else "RGBA")
    return image.convert("RGB").convert("L" if grey else "RGB")


def fit_array(pixels: Pixels, fit: Fit) -> Pixels:
    """An array H×W×C with 1, 3 or 4 channels, treated as an image in a file would be."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _fit_image(_flatten(image), fit)


def _fit_image(image: Image, fit: Fit) -> Pixels:
    """C×H×W in the mode and size asked for: the largest piece of that shape in its middle, resized without aliasing."""
    from PIL.Image import Resampling

    if fit.colour != "auto":
        image = image.convert("L" if fit.colour == "grey" else "RGB")
    if fit.size is not None and image.size != fit.size[::-1]:
        tall, wide = fit.size
        width = min(image.width, max(1, round(image.height * wide / tall)))
        height = min(image.height, max(1, round(image.width * tall / wide)))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        box = (left, top, left + width, top + height)
        image = image.resize((wide, tall), Resampling.BICUBIC, box=box)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
