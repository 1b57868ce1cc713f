"""Encoded images and raw arrays of any size and mode to uint8 blocks of one shape.

What cannot be brought to one shape is collected while reading goes on, so that
one sentence at the end names everything that is wrong.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from triptych.errors import TriptychError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Decoder", "Encoded", "Fit", "Pixels"]

Pixels: TypeAlias = npt.NDArray[np.uint8]
Encoded: TypeAlias = tuple[str, bytes]
"""The name of an image, for an error, and its file's bytes."""

BLOCK = 256
BLOCK_BYTES = 64_000_000
# Below this many bytes an image decodes faster than a thread takes it over.
WORTH_A_THREAD = 8192
NAMED_IN_ERRORS = 3


@dataclass(frozen=True)
class Fit:
    """How every image is brought to one shape: side in pixels and mode; see `DataConfig`."""

    size: int | None = None
    colour: Literal["auto", "grey", "rgb"] = "auto"


class _Undecodable(Exception):
    """Why one image cannot be read."""


@dataclass(frozen=True)
class _Decoded:
    """One image after fitting, C×H×W, with the mode and (height, width) of its file."""

    pixels: Pixels
    mode: Literal["grey", "colour"]
    size: tuple[int, int]


class Decoder:
    """Decodes all splits of one data set, and knows at the end whether they went together.

    ``jpegs`` counts the images that came in JPEG files.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.count = 0
        self.jpegs = 0
        self._broken: list[str] = []
        self._broken_count = 0
        self._modes: Counter[str] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._shape: tuple[int, ...] | None = None

    def encoded(self, images: Iterable[Encoded]) -> Iterator[Pixels]:
        """Blocks k×C×H×W of encoded images, in order; nothing more once an image did not fit."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for chunk in _chunks(images):
                self.jpegs += sum(data.startswith(b"\xff\xd8\xff") for _, data in chunk)
                weight = sum(len(data) for _, data in chunk) / len(chunk)
                one = partial(_try_decode, fit=self.fit)
                found = threads.map(one, chunk) if weight > WORTH_A_THREAD else map(one, chunk)
                yield from self._together(chunk, list(found))

    def array(self, images: npt.NDArray[np.uint8]) -> Iterator[Pixels]:
        """Blocks k×C×H×W of an array N×H×W×C with 1, 3 or 4 channels (4: the last is opacity)."""
        height, width, channels = images.shape[1:]
        mode: Literal["grey", "colour"] = "grey" if channels == 1 else "colour"
        wanted = {1: ("auto", "grey"), 3: ("auto", "rgb")}.get(channels, ())
        as_is = self.fit.colour in wanted and self.fit.size in (None, height)
        as_is = as_is and (self.fit.size is None or height == width)
        for start in range(0, len(images), BLOCK):
            chunk = np.asarray(images[start : start + BLOCK])
            self._note(mode, (height, width), len(chunk))
            if as_is:
                yield np.ascontiguousarray(chunk.transpose(0, 3, 1, 2))
            else:
                yield np.stack([_fit_array(image, self.fit) for image in chunk])

    def finish(self, where: str) -> None:
        """Raise one sentence if any image seen so far did not decode or did not fit the others."""
        if self._broken_count:
            names = "; ".join(self._broken)
            more = "" if self._broken_count <= NAMED_IN_ERRORS else "; and others"
            raise TriptychError(
                f"{self._broken_count:,} of {self.count:,} images in {where} do not decode "
                f"({names}{more}); repair or remove them"
            )
        if self.fit.colour == "auto" and len(self._modes) > 1:
            raise TriptychError(
                f"{where} mixes {self._modes['grey']:,} grey and {self._modes['colour']:,} colour "
                "images; make them one mode with --colour grey or --colour rgb"
            )
        if self.fit.size is None and (len(self._sizes) > 1 or self._not_square()):
            raise TriptychError(f"{where} holds {self._describe_sizes()}")

    def _note(self, mode: str, size: tuple[int, int], count: int = 1) -> None:
        self.count += count
        self._modes[mode] += count
        self._sizes[size] += count

    def _together(
        self, chunk: Sequence[Encoded], found: Sequence[_Decoded | str]
    ) -> Iterator[Pixels]:
        block = []
        for (name, _), image in zip(chunk, found, strict=True):
            if isinstance(image, str):
                self.count += 1
                self._broken_count += 1
                if self._broken_count <= NAMED_IN_ERRORS:
                    self._broken.append(f"{name}: {image}")
                continue
            self._note(image.mode, image.size)
            self._shape = self._shape or image.pixels.shape
            if image.pixels.shape == self._shape:
                block.append(image.pixels)
        if len(block) == len(chunk):
            yield np.stack(block)

    def _not_square(self) -> bool:
        return any(height != width for height, width in self._sizes)

    def _describe_sizes(self) -> str:
        common = self._sizes.most_common(NAMED_IN_ERRORS)
        named = ", ".join(f"{h}x{w}: {n:,}" for (h, w), n in common)
        more = ", ..." if len(self._sizes) > NAMED_IN_ERRORS else ""
        side = min(64, *common[0][0])
        what = (
            f"images of {len(self._sizes)} sizes (height x width: {named}{more})"
            if len(self._sizes) > 1
            else f"images that are not square (height x width: {named})"
        )
        return f"{what}; crop and resize them all, for example with --image-size {side}"


def _chunks(images: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    chunk: list[Encoded] = []
    weight = 0
    for image in images:
        chunk.append(image)
        weight += len(image[1])
        if len(chunk) == BLOCK or weight > BLOCK_BYTES:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


def _try_decode(item: Encoded, fit: Fit) -> _Decoded | str:
    """One image, or in words why it cannot be read."""
    import struct
    import zlib
    from io import BytesIO

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(item[1])) as image:
            return _decode(image, fit)
    except UnidentifiedImageError:
        return "not an image" if item[1] else "empty"
    except Image.DecompressionBombError:
        return "more pixels than is safe to decode"
    # Pillow's plugins raise all of these for a damaged file, SyntaxError among them.
    except (_Undecodable, OSError, SyntaxError, ValueError, EOFError, IndexError) as why:
        return str(why) or type(why).__name__
    except (struct.error, zlib.error) as why:
        return str(why)


def _decode(image: Image, fit: Fit) -> _Decoded:
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
    mode: Literal["grey", "colour"] = "grey" if flat.mode == "L" else "colour"
    return _Decoded(_fit_image(flat, fit), mode, (height, width))


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
        raise _Undecodable(f"grey levels from {low:g} to {high:g} where 0 to {top:g} is the range")
    return np.rint(values.astype(np.float64) * (255.0 / top)).astype(np.uint8)


def _fit_array(pixels: Pixels, fit: Fit) -> Pixels:
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
