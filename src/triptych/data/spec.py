"""What a person can say about the data, and what the rest of the program is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import tyro

from triptych.config import LONGEST, limited
from triptych.data.moments import Moments, moments, remembered
from triptych.errors import TriptychError, printable, shown

__all__ = ["DataConfig", "Dataset", "Images", "Values"]

Values = Literal["binary", "grey", "colour"]
Binarize = Literal["none", "dynamic", "threshold"]


LARGEST = 4096
"""Pixels on a side of an image at most."""


@dataclass(frozen=True)
class DataConfig:
    """Which images to read, and how to make them one size."""

    name: Annotated[str, tyro.conf.arg(name="data", metavar="NAME|PATH")] = "mnist-5k"
    """A named data set (`triptych data list`), a folder of images, or a .npy, .npz or parquet file or folder."""
    dir: Annotated[str | None, tyro.conf.arg(name="data-dir", metavar="DIR")] = None
    """A local mirror of the named data sets; without it they are downloaded."""
    image_size: Annotated[int | str | None, tyro.conf.arg(metavar="PIXELS|HxW")] = None
    """Resize to this many pixels on a side, or to height x width as 32x48 (the centre is cut to that shape first)."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """Convert every image to one mode; `auto` keeps what the files have."""
    holdout: Annotated[int | None, tyro.conf.arg(metavar="IMAGES")] = None
    """How many training images become the validation split where there is none; the default is the data set's own."""
    skip_broken: bool = False
    """Leave out images that do not decode, and say so, instead of refusing the whole."""
    binarize: Binarize = "none"
    """Draw every pixel anew at each visit from its grey level (`dynamic`), or cut at one half (`threshold`)."""

    def __post_init__(self) -> None:
        """Refuse what names no data, and sizes that no memory holds."""
        if not self.name or "\0" in self.name + (self.dir or ""):
            raise TriptychError(f"--data {self.name!r} is no name and no path")
        if self.dir is not None and not self.dir:
            raise TriptychError("--data-dir '' is no folder; leave it out")
        if self.image_size is not None:
            height, width = sides = _sides(self.image_size)
            if min(sides) < 1:
                raise TriptychError(f"--image-size {self.image_size} is not a size; give 1 or more")
            limited("--image-size", max(sides), 1, LARGEST)
            # One size is written in one way.
            one = height if height == width else f"{height}x{width}"
            object.__setattr__(self, "image_size", one)
        if self.holdout is not None:
            if self.holdout < 0:
                raise TriptychError(
                    f"--holdout {self.holdout} is not a number of images; give 0 or more"
                )
            limited("--holdout", self.holdout, 0, LONGEST)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width that every image is brought to; none where they stay as they are."""
        return None if self.image_size is None else _sides(self.image_size)


def _sides(size: int | str) -> tuple[int, int]:
    """Height and width of ``32`` or ``32x48``.

    Example:
        >>> _sides(32), _sides("32"), _sides("32x48")
        ((32, 32), (32, 32), (32, 48))
    """
    if isinstance(size, int):
        return size, size
    found = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", size)
    if found is None:
        raise TriptychError(
            f"--image-size {shown(size)} is not a size; give pixels on a side, 32 say, or height x width, 32x48"
        )
    height, width = found[1], found[2] or found[1]
    return int(height), int(width)


@dataclass(frozen=True)
class Images:
    """One split, decoded: pixels uint8, N×C×H×W (often memory-mapped), labels int64 or none.

    ``digests``, where known, are 64 bits of each image that tell it from every other.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    digests: npt.NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, repr=False)
class Dataset:
    """Every split of one data set, with what a result must say of it.

    ``title`` is the name to print beside a figure; ``values`` says whether all
    pixels are 0 or 255 (binary), or there is one channel (grey) or three
    (colour); ``fingerprint`` identifies the decoded content of all splits;
    ``mirrors`` is false where a mirror image is none of its kind, as of a digit;
    ``notes`` say, a sentence each, what the readers took where there was a choice, and what they left;
    ``duplicates`` counts, for the valid and test splits, images whose very pixels are in train as well.
    """

    name: str
    title: str
    splits: Mapping[str, Images]
    classes: tuple[str, ...] | None
    values: Values
    fingerprint: str
    mirrors: bool = True
    notes: tuple[str, ...] = ()
    decoded: str = ""
    """Its name in the cache, by which `triptych.data.kept` finds it where its files are gone."""
    duplicates: Mapping[str, int] = field(default_factory=dict)
    config: DataConfig | None = None
    """What it was loaded by, and can be again; none where it was made by hand."""

    def __repr__(self) -> str:
        """Shape, splits and classes on one line."""
        splits = [f"{len(images):,} {split}" for split, images in self.splits.items()]
        classes = [f"{len(self.classes):,} classes"] if self.classes else []
        shape = f"{'×'.join(map(str, self.shape))} {self.values}"
        return printable(f"<Dataset '{self.name}': {', '.join([shape, *splits, *classes])}>")

    def _repr_html_(self) -> str:
        """A card for a notebook."""
        # The package's own door: images know nothing of how a page shows them.
        import triptych

        return triptych.card(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Everything to be said of the data before anybody trusts a number on them: ``notes``, channels that do not change, copies."""
        copies = (
            f"{count:,} of {len(self.splits[split]):,} {split} images occur in train as well, pixel by pixel"
            for split, count in self.duplicates.items()
            if count
        )
        return (*self.notes, *self.moments.notes, *copies)

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W of one image."""
        c, h, w = self.splits["train"].pixels.shape[1:]
        return int(c), int(h), int(w)

    @cached_property
    def moments(self) -> Moments:
        """Mean and standard deviation of the training images' channels, computed once."""
        pixels = self.splits["train"].pixels
        # What a cache has is opened again and again; what was made by hand may have any fingerprint.
        return (
            remembered(self.fingerprint, lambda: moments(pixels))
            if self.decoded
            else moments(pixels)
        )
