"""An image file and the folders that it lies in, and folders that hold something else for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from triptych.data.names import as_text, few

__all__ = [
    "COMPANIONS",
    "PICTURES",
    "Picture",
    "names_of",
    "opened",
    "shown",
    "uniform",
    "without_companions",
]


PICTURES = {"images", "image", "imgs", "img"}
# Beside a folder of masks these hold the pictures; alone they may be classes.
PICTURES_IN_A_PAIR = {
    *PICTURES,
    *("rgb", "color", "colour", "photo", "photos", "picture", "pictures", "jpegimages"),
    *("input", "inputs", "original", "originals"),
}
COMPANIONS = {
    *("mask", "masks", "label", "labels", "annotation", "annotations", "depth", "depths", "seg"),
    *("gtfine", "gtcoarse", "groundtruth", "ground_truth"),
    *("segmentation", "segmentations", "segmentationclass", "segmentationobject", "gt", "trimap"),
    *("trimaps", "groundtruth", "ground_truth", "target", "targets", "disparity", "edges"),
}
"""What is drawn for pictures, one each, and is no class of pictures."""


class Picture(NamedTuple):
    """An image file: the folders that are explained already, and those that are still to be."""

    path: Path
    above: tuple[str, ...]
    below: tuple[str, ...]


def without_companions(pictures: list[Picture], notes: list[str]) -> list[Picture]:
    """The folder of pictures alone, where the only others hold their masks, depths or labels."""
    names = names_of(pictures)
    companions = {name for name in names if name.lower() in COMPANIONS}
    rest = names - companions
    if not companions or len(rest) != 1 or min(rest).lower() not in PICTURES_IN_A_PAIR:
        return pictures
    kept = [picture for picture in pictures if not picture.below or picture.below[0] in rest]
    notes.append(
        f"the images are those in '{as_text(min(rest))}'; left out {len(pictures) - len(kept):,} "
        f"in {few(sorted(companions))}"
    )
    return kept


def names_of(pictures: Sequence[Picture]) -> set[str]:
    """The folders that the pictures lie in, at the first level that is still to be explained."""
    return {picture.below[0] for picture in pictures if picture.below}


def uniform(pictures: Sequence[Picture]) -> bool:
    """Whether all pictures lie in a folder, and all directly in it or all in folders within it."""
    depths = {min(len(picture.below), 2) for picture in pictures}
    return len(depths) == 1 and 0 not in depths


def opened(picture: Picture) -> Picture:
    """The same with its first folder explained."""
    return picture._replace(above=(*picture.above, picture.below[0]), below=picture.below[1:])


def shown(root: Path, names: tuple[str, ...]) -> str:
    """A folder below the root, for a sentence."""
    return str(root.joinpath(*names))
