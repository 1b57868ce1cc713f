"""`.npy` and `.npz`: arrays N×H×W, N×H×W×C or N×C×H×W of bytes, or of floats in [0, 1]."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from triptych.data.images import Decoder
from triptych.data.picture import Pixels
from triptych.data.readers.part import SPLITS, Part, check_labels, damaged
from triptych.errors import TriptychError

__all__ = ["read_npy", "read_npz", "splits_of_npz"]

IMAGES = {"x", "images", "image", "data", "pixels"}
LABELS = {"y", "labels", "label", "targets"}
ARRAY = "an array of numbers in NumPy's .npy format"
ARCHIVE = "an .npz archive of arrays of numbers"
CHUNK = 1024


def read_npy(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """One array of images, without labels."""
    (path,) = files
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as why:
        raise damaged(path, ARRAY, why) from why
    if isinstance(array, NpzFile):
        array.close()
        raise damaged(path, ARRAY, "it is an archive; name it .npz")
    images = _bytes(_channels_last(array, path), path)
    return Part(len(images), decoder.array(images))


def read_npz(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """The images of one split, and its labels where the archive has them."""
    (path,) = files
    names = _roles(path)[split]
    images = _bytes(_channels_last(_member(path, names["images"]), path), path)
    labels = None
    if "labels" in names:
        labels = check_labels(_member(path, names["labels"]), len(images), path)
    return Part(len(images), decoder.array(images), labels)


def splits_of_npz(path: Path) -> tuple[str, ...]:
    """The splits for which the archive names images."""
    return tuple(_roles(path))


def _roles(path: Path) -> dict[str, dict[str, str]]:
    """Split → 'images' and perhaps 'labels' → the array's name, such as x_train."""
    with _archive(path) as archive:
        names = list(archive.files)
    if len(names) == 1:
        return {"train": {"images": names[0]}}
    roles: dict[str, dict[str, str]] = {}
    for name in names:
        words = name.lower().split("_")
        split = next((SPLITS[word] for word in words if word in SPLITS), "train")
        for role, known in (("images", IMAGES), ("labels", LABELS)):
            if known & set(words):
                roles.setdefault(split, {})[role] = name
    if "images" not in roles.get("train", {}):
        raise TriptychError(
            f"{path} has no array of training images among its {len(names)} ({', '.join(names)}); "
            "name them x_train, y_train, x_test, y_test or images, labels"
        )
    return {split: found for split, found in roles.items() if "images" in found}


def _member(path: Path, name: str) -> npt.NDArray[Any]:
    with _archive(path) as archive:
        array: npt.NDArray[Any] = archive[name]
    return array


@contextmanager
def _archive(path: Path) -> Iterator[NpzFile]:
    """An open .npz; whatever is wrong with it while it is open is told by its name."""
    # NumPy leaves the file open where the archive is damaged, so it does not open it.
    with path.open("rb") as file:
        try:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, NpzFile):
                raise damaged(path, ARCHIVE, "it is a single array; name it .npy")
            with found:
                yield found
        except (ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile) as why:
            raise damaged(path, ARCHIVE, why) from why


def _channels_last(array: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    """N×H×W×C with C of 1, 3 or 4; of two possible orders the one with square images."""
    shape = array.shape
    if array.ndim == 3:
        return array[..., None]
    last = array.ndim == 4 and shape[3] in (1, 3, 4)
    first = array.ndim == 4 and shape[1] in (1, 3, 4)
    if last and not (first and shape[2] == shape[3] and shape[1] != shape[2]):
        return array
    if first:
        return array.transpose(0, 2, 3, 1)
    found = "x".join(map(str, shape)) or "a single number"
    raise TriptychError(
        f"the images in {path} have the shape {found}; "
        "save them as N x H x W, N x H x W x C or N x C x H x W with 1 or 3 channels"
    )


def _bytes(images: npt.NDArray[Any], path: Path) -> Pixels:
    """Levels 0 to 255; an array that holds nothing but 0 and 1 is black and white."""
    if not images.size:
        raise TriptychError(f"{path} holds no image (its shape is {images.shape}); save some in it")
    kind = images.dtype.kind
    if images.dtype == np.uint8 and images.max() > 1:
        return images
    if images.dtype not in (np.uint8, np.bool_) and kind != "f":
        raise TriptychError(
            f"the images in {path} are of type {images.dtype}; "
            "save them as uint8 (0 to 255) or as floats from 0 to 1"
        )
    out = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), CHUNK):
        part = np.asarray(images[start : start + CHUNK], dtype=np.float32)
        if not (part.min() >= 0 and part.max() <= 1):
            raise TriptychError(
                f"the images in {path} hold floats from {part.min():g} to {part.max():g}; "
                "save them as floats from 0 to 1 or as uint8 (0 to 255)"
            )
        np.rint(part * 255, out=out[start : start + CHUNK], casting="unsafe")
    return out
