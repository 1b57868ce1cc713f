"""`.npy` and `.npz`: arrays N×H×W, N×H×W×C or N×C×H×W of levels 0 to 255, of 0 and 1, or of floats in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.data.images import Decoder
from triptych.data.picture import Pixels
from triptych.data.readers.npy_format import mapped, member, members
from triptych.data.readers.part import Part, check_labels
from triptych.data.readers.roles import Roles, assign
from triptych.errors import TriptychError

__all__ = ["read_npy", "read_npz", "splits_of_npz"]

CHUNK = 1024
CHANNELS = (1, 3, 4)
WHITE = 255
DARK = 64
DIM = 128
"""Below the first brightest level nothing can be seen in any image, below the second a person should know."""
USUAL_MAXIMA = (255, 1023, 4095, 16383, 65535)


def read_npy(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """One array of images, without labels."""
    (path,) = files
    return _part(mapped(path), split, path, decoder)


def read_npz(split: str, files: tuple[Path, ...], decoder: Decoder) -> Part:
    """The images of one split, and its labels where the archive has them."""
    (path,) = files
    roles = assign(members(path), path)
    names = roles.splits[split]
    images = member(path, names["images"])
    if not images.ndim:
        raise _odd_shape(images, path)
    labels, notes = None, roles.notes
    classes = None if roles.classes is None else _names(member(path, roles.classes))
    if "labels" in names:
        written = member(path, names["labels"])
        if written.dtype.kind in "US":
            classes = _every_name(path, roles)
            written = np.searchsorted(classes, _names(written))
        labels, more = _labels(written, len(images), names["labels"], path)
        notes += more
    return _part(images, split, path, decoder, labels, classes, notes)


def splits_of_npz(path: Path) -> tuple[str, ...]:
    """The splits for which the archive names images."""
    return tuple(assign(members(path), path).splits)


def _part(
    array: npt.NDArray[Any],
    split: str,
    path: Path,
    decoder: Decoder,
    labels: npt.NDArray[np.int64] | None = None,
    classes: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> Part:
    if not array.size:
        raise TriptychError(f"{path} holds no image (its shape is {array.shape}); save some in it")
    if array.ndim not in (3, 4):
        raise _odd_shape(array, path)
    low, high = _range(array, path)
    white = _white(array.dtype, low, high, path)
    images = _channels_last(array, path, alone=split == "train")
    if images.shape[-1] == 4:
        images = _without_opacity(images, white, path)
        high = max(part.max().item() for part in _chunks(images))
        notes += (f"the fourth channel is {white} everywhere (opaque) and was left",)
    levels = _levels(images, white)
    if split == "train":
        notes += _brightness(high, white, path)
    if images.dtype.kind in "iu" and images.dtype != np.uint8:
        notes += (f"whole numbers of type {images.dtype} were read as levels 0 to {white}",)
    # All of them 0: black, whatever white is; floats know no other white than 1.
    told = white if high > 0 and images.dtype.kind in "iu" else None
    return Part(len(levels), decoder.array(levels), labels, classes, notes, told)


def _labels(
    labels: npt.NDArray[Any], count: int, name: str, path: Path
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """One class an image; a row of zeros with a single 1 is the class of its place."""
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        if not np.isin(labels, (0, 1)).all() or not (labels.sum(1) == 1).all():
            raise TriptychError(
                f"{path} has {count:,} images but labels of shape {_spoken(labels.shape)} ('{name}') that are not "
                "one-hot; give each image one label, or leave them out to train without"
            )
        note = f"the labels '{name}' are one-hot: the class is the place of the 1"
        return check_labels(labels.argmax(1), count, path), (note,)
    return check_labels(labels, count, path), ()


def _every_name(path: Path, roles: Roles) -> tuple[str, ...]:
    """The strings that occur as labels in any split, in their order."""
    written = [
        member(path, names["labels"]) for names in roles.splits.values() if "labels" in names
    ]
    words = {word for labels in written if labels.dtype.kind in "US" for word in _names(labels)}
    return tuple(sorted(words))


def _names(names: npt.NDArray[Any]) -> tuple[str, ...]:
    """Strings of NumPy's two kinds; what is not UTF-8 shows as such."""
    values = names.ravel().tolist()
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values)


def _channels_last(array: npt.NDArray[Any], path: Path, alone: bool) -> npt.NDArray[Any]:
    """N×H×W×C with C of 1, 3 or 4; of two possible orders the one with square images.

    With `alone`, three or four images without channels are refused, which may as well be the channels of one.
    """
    shape = array.shape
    if array.ndim == 3:
        strip = shape[2] in CHANNELS and shape[1] != shape[2]
        if strip or (alone and shape[0] in CHANNELS[1:]):
            raise TriptychError(
                f"the images in {path} have the shape {_spoken(shape)}, which may be one image with its "
                "channels; give many images, as N x H x W x C (or N x H x W if they are grey)"
            )
        return array[..., None]
    last, first = shape[3] in CHANNELS, shape[1] in CHANNELS
    if last and first:
        square = shape[1] == shape[2], shape[2] == shape[3]
        if square[0] == square[1] and shape[1:] != (1, 1, 1):
            raise TriptychError(
                f"the images in {path} have the shape {_spoken(shape)}, whose channels may stand first "
                "or last; save them as N x H x W x C with images that are square"
            )
        last = square[0]
    if last:
        return array
    if first:
        return array.transpose(0, 2, 3, 1)
    raise _odd_shape(array, path)


def _odd_shape(array: npt.NDArray[Any], path: Path) -> TriptychError:
    return TriptychError(
        f"the images in {path} have the shape {_spoken(array.shape)}; "
        "save them as N x H x W, N x H x W x C or N x C x H x W with 1 or 3 channels"
    )


def _spoken(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _chunks(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    return (np.asarray(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK))


def _range(images: npt.NDArray[Any], path: Path) -> tuple[float, float]:
    """The smallest and the largest number."""
    if images.dtype.kind not in "buif":
        raise TriptychError(
            f"the images in {path} are of type {images.dtype}; "
            "save them as uint8 (0 to 255) or as floats from 0 to 1"
        )
    extremes = [(part.min(), part.max()) for part in _chunks(images)]
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    if images.dtype.kind == "f" and not np.isfinite([e for pair in extremes for e in pair]).all():
        bad = sum(int((~np.isfinite(part)).sum()) for part in _chunks(images))
        raise TriptychError(
            f"{bad:,} of the {images.size:,} numbers of the images in {path} are not finite "
            "(NaN or infinite); replace them or leave those images out"
        )
    return low.item(), high.item()


def _white(dtype: np.dtype[Any], low: float, high: float, path: Path) -> int:
    """The number that stands for white: 1 for floats and where there is nothing but 0 and 1, else 255."""
    if dtype.kind == "f":
        if low >= 0 and high <= 1:
            return 1
        levels = low >= 0 and 1 < high <= WHITE
        way = "if 255 is white, save x / 255" if levels else "scale them first"
        way = (
            "if -1 is black and 1 is white, save (x + 1) / 2" if -1 <= low < 0 < high <= 1 else way
        )
        raise TriptychError(
            f"the images in {path} hold floats from {low:g} to {high:g}; "
            f"save them as floats from 0 to 1 or as uint8 (0 to 255): {way}"
        )
    if low < 0 or high > WHITE:
        top = next((top for top in USUAL_MAXIMA if high <= top), high)
        way = f"if {top:,} is white, save x / {top}" if low >= 0 else "shift and scale them first"
        raise TriptychError(
            f"the images in {path} hold whole numbers of type {dtype} from {low:,} to {high:,}; "
            f"save them as uint8 (0 to 255) or as floats from 0 to 1: {way}"
        )
    return 1 if high <= 1 else WHITE


def _without_opacity(images: npt.NDArray[Any], white: int, path: Path) -> npt.NDArray[Any]:
    """Three of four channels, where the fourth is white throughout; an array does not say what else it is."""
    if all((part[..., 3] == white).all() for part in _chunks(images)):
        return images[..., :3]
    raise TriptychError(
        f"the images in {path} have four channels, and an array does not say what the fourth is; "
        "leave it out (save x[..., :3]), or, if it is opacity, lay the colours on a background first"
    )


def _brightness(high: float, white: int, path: Path) -> tuple[str, ...]:
    """Refuse training images that are nearly black all of them: 16 may have been their white."""
    level = high * WHITE / white
    if 0 < level < DARK:
        raise TriptychError(
            f"the brightest number in the training images in {path} is {high:g} where {white} is white, "
            f"so all of them are nearly black; if {high:g} is white, save x / {high:g}"
        )
    if DARK <= level < DIM:
        return (f"the training images are dark: their brightest number is {high:g} of {white}",)
    return ()


def _levels(images: npt.NDArray[Any], white: int) -> Pixels:
    """uint8 from 0 to 255; without a copy where it is so already."""
    if images.dtype == np.uint8 and white == WHITE:
        return images
    out = np.empty(images.shape, dtype=np.uint8)
    for place, part in enumerate(_chunks(images)):
        rows = out[place * CHUNK : (place + 1) * CHUNK]
        if white == WHITE:
            rows[...] = part
        else:
            np.rint(part.astype(np.float32) * WHITE, out=rows, casting="unsafe")
    return out
