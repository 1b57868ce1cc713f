"""One image of any format, mode and size to uint8 C×H×W in the mode and size asked for."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Decoded", "Fit", "Mode", "Pixels", "fit_array", "try_decode"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Mode: TypeAlias = Literal["grey", "colour"]


@dataclass(frozen=True)
class Fit:
    """How every image is brought to one shape: side in pixels and mode; see `DataConfig`."""

    size: int | None = None
    colour: Literal["auto", "grey", "rgb"] = "auto"


class _UndecodableError(Exception):
    """Why one image cannot be read."""


@dataclass(frozen=True)
class Decoded:
    """One image after fitting, C×H×W, with the mode and (height, width) of its file."""

    pixels: Pixels
    mode: Mode
    size: tuple[int, int]


def try_decode(data: bytes, fit: Fit) -> Decoded | str:
    """One image, or in words why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:
            return _decode(image, fit)
    except UnidentifiedImageError:
        return "not an image" if data else "empty"
    except Image.DecompressionBombError:
        return "more pixels than is safe to decode"
    # Pillow's plugins raise all of these for a damaged file, SyntaxError among them.
    except (_UndecodableError, OSError, SyntaxError, ValueError, EOFError, IndexError) as why:
        return str(why) or type(why).__name__
    except (struct.error, zlib.error) as why:
        return str(why)


def _decode(image: Image, fit: Fit) -> Decoded:
    """Decode, turn as its EXIF data asks, bring to 8 bits without opacity, and fit."""
    from PIL import ImageOps

    width, height = image.size
    if fit.size is not None and image.format == "JPEG":
        # JPEG decodes to a half, a quarter or an eighth for much less work; twice
        # the target leaves the filter below enough to average over.
        image.draft(None, (2 * fit.size, 2 * fit.size))
    image.load()
    wide = image.width > image.height
    ImageOps.exif_transpose(image, in_place=True)
    if (image.width > image.height) != wide:
        width, height = height, width
    flat = _flatten(image)
    mode: Mode = "grey" if flat.mode == "L" else "colour"
    return Decoded(_fit_image(flat, fit), mode, (height, width))


def _flatten(image: Image) -> Image:
    """The image as 8-bit grey (L) or RGB, laid on white where it is not opaque."""
    from PIL import Image as Images

    if image.mode in ("P", "PA"):
        image = _from_palette(image)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode.startswith("I") or image.mode == "F":
        image = Images.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode not in ("L", "RGB", "LA", "La", "RGBA", "RGBa"):
        image = image.convert("RGB")
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


def _eight_bits(values: npt.NDArray[Any]) -> Pixels:
    """16-bit grey levels (0 to 65,535) or floats in [0, 1] as 0 to 255."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):
        low, high = values.min(), values.max()
        raise _UndecodableError(
            f"grey levels from {low:g} to {high:g} where 0 to {top:g} is the range"
        )
    return np.rint(values.astype(np.float64) * (255.0 / top)).astype(np.uint8)


def fit_array(pixels: Pixels, fit: Fit) -> Pixels:
    """An array H×W×C with 1, 3 or 4 channels, treated as an image in a file would be."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _fit_image(_flatten(image), fit)


def _fit_image(image: Image, fit: Fit) -> Pixels:
    """C×H×W in the mode asked for, its central square resized without aliasing."""
    from PIL.Image import Resampling

    if fit.colour != "auto":
        image = image.convert("L" if fit.colour == "grey" else "RGB")
    if fit.size is not None and image.size != (fit.size, fit.size):
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        image = image.resize((fit.size, fit.size), Resampling.BICUBIC, box=box)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
