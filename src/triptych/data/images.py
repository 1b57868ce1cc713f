"""Encoded images and raw arrays of any size and mode to uint8 blocks of one shape.

What cannot be brought to one shape is collected while reading goes on, so that
one sentence at the end names everything that is wrong.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

import numpy as np

from triptych.data.picture import Decoded, Fit, Mode, Pixels, fit_array, try_decode
from triptych.errors import TriptychError

__all__ = ["Decoder", "Encoded"]

Encoded: TypeAlias = tuple[str, bytes]
"""The name of an image, for an error, and its file's bytes."""

BLOCK = 256
BLOCK_BYTES = 64_000_000
# Below this many bytes an image decodes faster than a thread takes it over.
WORTH_A_THREAD = 8192
NAMED_IN_ERRORS = 3


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
        """Blocks k×C×H×W in order, but for those with an image for which `finish` will raise."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for chunk in _chunks(images):
                self.jpegs += sum(data.startswith(b"\xff\xd8\xff") for _, data in chunk)
                weight = sum(len(data) for _, data in chunk) / len(chunk)
                one = partial(try_decode, fit=self.fit)
                data = [data for _, data in chunk]
                found = threads.map(one, data) if weight > WORTH_A_THREAD else map(one, data)
                yield from self._together(chunk, list(found))

    def array(self, images: Pixels) -> Iterator[Pixels]:
        """Blocks k×C×H×W of an array N×H×W×C with 1 or 3 channels; an array does not say what a fourth is."""
        height, width, channels = images.shape[1:]
        mode: Mode = "grey" if channels == 1 else "colour"
        wanted = {1: ("auto", "grey"), 3: ("auto", "rgb")}.get(channels, ())
        as_is = self.fit.colour in wanted and self.fit.size in (None, height)
        as_is = as_is and (self.fit.size is None or height == width)
        for start in range(0, len(images), BLOCK):
            chunk = np.asarray(images[start : start + BLOCK])
            self._note(mode, (height, width), len(chunk))
            if as_is:
                yield np.ascontiguousarray(chunk.transpose(0, 3, 1, 2))
            else:
                yield np.stack([fit_array(image, self.fit) for image in chunk])

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
        self, chunk: Sequence[Encoded], found: Sequence[Decoded | str]
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
