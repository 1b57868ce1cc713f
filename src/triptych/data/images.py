"""Encoded images and raw arrays of any size and mode to uint8 blocks of one shape.

What cannot be brought to one shape is collected while reading goes on, so that
one sentence at the end names everything that is wrong.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeAlias

import numpy as np

from triptych.data.apart import at
from triptych.data.names import as_text
from triptych.data.picture import (
    WHITE,
    Decoded,
    Depth,
    Fit,
    Mode,
    Pixels,
    White,
    fit_array,
    try_decode,
)
from triptych.errors import TriptychError

__all__ = ["Broken", "Decoder", "Encoded"]

Encoded: TypeAlias = tuple[str, bytes | str]
"""The name of an image, for an error, and its file's bytes, or in words why there are none."""

Broken: TypeAlias = tuple[str, str]
"""The name of an image that cannot be read, and why."""

BLOCK = 256
BLOCK_BYTES = 64_000_000
# Below this many bytes an image decodes faster than a thread takes it over.
WORTH_A_THREAD = 8192
NAMED_IN_ERRORS = 3
# Images whose highest level is below this share of white look black.
DARK = 0.1
RANGES = (1, 255, 1023, 4095, 16383, 65535)
"""The highest levels of 1, 8, 10, 12, 14 and 16 bits: what cameras and detectors write into 16 or 32."""


class Decoder:
    """Decodes all splits of one data set, and knows at the end whether they went together.

    ``jpegs`` counts the images that came in JPEG files; ``broken`` names those that cannot be read;
    ``gaps`` are the places in the split that is being read whose images are left out: the block has
    a black image there. ``white`` is the level that stands for white, a number for each depth.
    """

    def __init__(self, fit: Fit, white: White = WHITE) -> None:
        self.fit = fit
        self.white = white
        self.count = 0
        self.jpegs = 0
        self.broken: list[Broken] = []
        self.gaps: list[int] = []
        self._modes: Counter[str] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._shape: tuple[int, ...] | None = None
        self._levels: dict[Depth, tuple[float, float]] = {}
        self._remarks: Counter[str] = Counter()

    def encoded(self, images: Iterable[Encoded]) -> Iterator[Pixels]:
        """Blocks k×C×H×W in order, but for those with an image for which `finish` will raise."""
        self.gaps = []
        done = 0
        waiting = 0
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for chunk in _chunks(images):
                found = self._decode(chunk, threads)
                self._note_all(chunk, found, done)
                done += len(chunk)
                waiting += len(chunk)
                if self._shape is None:  # none has decoded yet: its gaps go into a later block
                    continue
                block, waiting = self._together(found, waiting), 0
                if block is not None:
                    yield block

    def _decode(self, chunk: Sequence[Encoded], threads: ThreadPoolExecutor) -> list[Decoded | str]:
        weight = sum(len(data) for _, data in chunk) / len(chunk)
        one = partial(_decoded, fit=self.fit, white=self.white)
        with warnings.catch_warnings():
            # Pillow warns of what is odd in a file that it can read, which is most files' metadata.
            warnings.simplefilter("ignore")
            return list(threads.map(one, chunk) if weight > WORTH_A_THREAD else map(one, chunk))

    def _note_all(
        self, chunk: Sequence[Encoded], found: Sequence[Decoded | str], first: int
    ) -> None:
        for place, ((name, data), image) in enumerate(zip(chunk, found, strict=True), start=first):
            if isinstance(image, str):
                self.count += 1
                self.broken.append((name, image))
                self.gaps.append(place)
                continue
            self.jpegs += isinstance(data, bytes) and data.startswith(b"\xff\xd8\xff")
            self._note(image.mode, image.size)
            self._shape = self._shape or image.pixels.shape
            low, high = self._levels.get(image.depth, (image.low, image.high))
            self._levels[image.depth] = min(low, image.low), max(high, image.high)
            self._remarks.update(image.remarks)

    def _together(self, found: Sequence[Decoded | str], count: int) -> Pixels | None:
        """The last `count` images as one block, black where there is none; None if they do not fit."""
        assert self._shape is not None
        block = np.zeros((count, *self._shape), np.uint8)
        for place, image in enumerate(found, start=count - len(found)):
            if isinstance(image, str):
                if not self.fit.skip_broken:
                    return None
            elif image.pixels.shape != self._shape:
                return None
            else:
                block[place] = image.pixels
        return block

    def array(self, images: Pixels) -> Iterator[Pixels]:
        """Blocks k×C×H×W of an array N×H×W×C with 1 or 3 channels; an array does not say what a fourth is."""
        self.gaps = []
        height, width, channels = images.shape[1:]
        mode: Mode = "grey" if channels == 1 else "colour"
        wanted = {1: ("auto", "grey"), 3: ("auto", "rgb")}.get(channels, ())
        as_is = self.fit.colour in wanted and self.fit.size in (None, (height, width))
        for start in range(0, len(images), BLOCK):
            chunk = np.asarray(images[start : start + BLOCK])
            self._note(mode, (height, width), len(chunk))
            if as_is:
                yield np.ascontiguousarray(chunk.transpose(0, 3, 1, 2))
            else:
                yield np.stack([fit_array(image, self.fit) for image in chunk])

    def finish(self, where: str) -> None:
        """Raise one sentence if any image seen so far did not decode or did not fit the others."""
        if self.broken and len(self.broken) == self.count:
            raise TriptychError(f"{self._complaint(where)}; give images that do")
        if self.broken and not self.fit.skip_broken:
            raise TriptychError(
                f"{self._complaint(where)}; repair or remove them (`triptych data info PATH --broken` "
                "lists all), or leave them out with --skip-broken true"
            )
        if self.fit.colour == "auto" and len(self._modes) > 1:
            raise TriptychError(
                f"{where} mixes {self._modes['grey']:,} grey and {self._modes['colour']:,} colour "
                "images; make them one mode with --colour grey or --colour rgb"
            )
        if self.fit.size is None and len(self._sizes) > 1:
            raise TriptychError(f"{where} holds {self._describe_sizes()}")
        for depth, (low, high) in self._levels.items():
            _refuse_levels(where, depth, low, high, self.white[depth])

    def scale(self) -> White | None:
        """What white should have been, where the levels of all images show another than `white`.

        Cameras write 12 bits into 16, tools for masks 0 and 1 into 8, and arrays of bytes are saved
        as 32-bit integers. One image alone does not tell: it may be dark.
        """
        found: dict[Depth, float] = dict(self.white)
        for depth, (_, high) in self._levels.items():
            if depth in ("16 bits", "32 bits"):
                tops = (top for top in RANGES if 0 < high <= top)
                found[depth] = next(tops, self.white[depth])
            elif depth == "8 bits" and high == 1:
                found[depth] = 1
        return None if found == self.white else found

    def notes(self) -> tuple[str, ...]:
        """What was done to the images that a person may not expect, and what was left out."""
        said = [
            f"{count:,} of {self.count:,} images {remark}"
            for remark, count in sorted(self._remarks.items())
        ]
        for depth, (_, high) in sorted(self._levels.items()):
            white = self.white[depth]
            if white != WHITE[depth]:
                what = "black and white" if white == 1 else f"0 (black) to {white:,.0f} (white)"
                said.append(
                    f"no level of the images of {depth} is above {high:,.0f}: they were read as {what}"
                )
            elif depth == "8 of 16 bits":
                said.append("colours of 16 bits were cut to 8 bits")
            if 0 < high < DARK * white:
                said.append(
                    f"the images of {depth} look black: their highest level is {high:g} "
                    f"where {white:g} is white; if that is wrong, scale and save them again"
                )
        if self.broken:
            said.append(f"{self._complaint('the data')}; they were left out")
        return tuple(said)

    def _complaint(self, where: str) -> str:
        names = "; ".join(f"{as_text(name)}: {why}" for name, why in self.broken[:NAMED_IN_ERRORS])
        more = "" if len(self.broken) <= NAMED_IN_ERRORS else "; and others"
        return f"{len(self.broken):,} of {self.count:,} images in {where} do not decode ({names}{more})"

    def _note(self, mode: str, size: tuple[int, int], count: int = 1) -> None:
        self.count += count
        self._modes[mode] += count
        self._sizes[size] += count

    def _describe_sizes(self) -> str:
        common = self._sizes.most_common(NAMED_IN_ERRORS)
        named = ", ".join(f"{h}x{w}: {n:,}" for (h, w), n in common)
        more = ", ..." if len(self._sizes) > NAMED_IN_ERRORS else ""
        side = min(64, *common[0][0])
        return (
            f"images of {len(self._sizes)} sizes (height x width: {named}{more}); "
            f"crop and resize them all, for example with --image-size {side}"
        )


def _decoded(image: Encoded, fit: Fit, white: White) -> Decoded | str:
    name, data = image
    if isinstance(data, str):
        return data
    with at(name):
        return try_decode(data, fit, white)


def _refuse_levels(where: str, depth: Depth, low: float, high: float, white: float) -> None:
    """Raise where levels lie outside of what their depth can mean, or too few of them are left."""
    if low < 0 or high > white:
        raise TriptychError(
            f"the levels of the images of {depth} in {where} go from {low:g} to {high:g} where 0 to "
            f"{white:g} is the range; scale them, or save them with 8 bits (0 to 255)"
        )
    if depth == "8 of 16 bits" and 0 < high < DARK * white:
        raise TriptychError(
            f"the colours of 16 bits in {where} use so little of the range that of 255 levels only "
            f"{high:g} are left; save them with 8 bits (0 to 255)"
        )


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
