"""Which images can be judged by the labels of the training images, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych.data.spec import Dataset
from triptych.evaluation.subject import Subject
from triptych.runs import Result

__all__ = ["Judged", "judged", "left_out", "named"]

Labels = npt.NDArray[np.int64]

_WORDS = {"train": "training", "valid": "validation"}


@dataclass(frozen=True, eq=False)
class Judged:
    """The images of a split whose class the training images have.

    ``rows`` are their places in the split and ``labels`` their classes; ``bank`` are those of all
    training images; ``note`` says which images are not among them, and what else to know.
    """

    rows: npt.NDArray[np.int64]
    labels: Labels
    bank: Labels
    note: str


def named(split: str) -> str:
    """A split as an adjective: "validation", "test"."""
    return _WORDS.get(split, split)


def judged(dataset: Dataset, split: str) -> Judged | str:
    """The images of a split that something learned from the training images' labels can get right, or why there are none.

    An image of a class that no training image has is wrong whatever was learned: it is left out and counted.

    Example:
        >>> from triptych.data.spec import Images
        >>> black = np.zeros((3, 1, 2, 2), np.uint8)
        >>> splits = {"train": Images(black, np.array([0, 1, 1])), "test": Images(black, np.array([1, 2, 2]))}
        >>> found = judged(Dataset("d", "D", splits, None, "binary", ""), "test")
        >>> found.rows.tolist(), found.note
        ([0], '2 of 3 test images are of 1 class that no training image has, and left out; all others are of one class')
        >>> judged(Dataset("d", "D", splits, None, "binary", ""), "valid")
        'there is no validation split'
    """
    why = _unlabelled(dataset, split)
    if why:
        return why
    bank, labels = dataset.splits["train"].labels, dataset.splits[split].labels
    assert bank is not None and labels is not None
    if split == "train":
        return (
            "training images are what all others are judged by; they would be judged by themselves"
        )
    if len(np.unique(bank)) < 2:
        return "the training images are all of one class"
    known = np.isin(labels, bank)
    if not known.any():
        return (
            f"none of the {len(labels):,} {named(split)} images is of a class that the "
            "training images have"
        )
    return Judged(np.flatnonzero(known), labels[known], bank, _note(split, labels, known))


def left_out(subject: Subject, split: str, names: Iterable[str], why: str) -> dict[str, Result]:
    """Results of these names that were not measured, for one reason."""
    return {name: Result.left_out(why, subject.protocol(split)) for name in names}


def _unlabelled(dataset: Dataset, split: str) -> str:
    if split not in dataset.splits:
        return f"there is no {named(split)} split"
    if all(images.labels is None for images in dataset.splits.values()):
        return "these data have no labels"
    for name in ("train", split):
        if dataset.splits[name].labels is None:
            return f"the {named(name)} images have no labels"
    return ""


def _note(split: str, labels: Labels, known: npt.NDArray[np.bool_]) -> str:
    said = []
    if not known.all():
        foreign = len(np.unique(labels[~known]))
        said.append(
            f"{(~known).sum():,} of {len(labels):,} {named(split)} images are of {foreign:,} "
            f"class{'es' * (foreign > 1)} that no training image has, and left out"
        )
    if len(np.unique(labels[known])) == 1:
        said.append(f"all {'others ' * (not known.all())}are of one class")
    return "; ".join(said)
