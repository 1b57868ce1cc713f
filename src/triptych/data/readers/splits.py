"""Which folders are splits: by their names, level by level from the outside in.

A name is either known to mean one thing, or the whole is refused with what could be done; a guess is never
made in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from triptych.data.names import as_text, few
from triptych.data.readers.part import SPLITS
from triptych.data.readers.pictures import (
    COMPANIONS,
    PICTURES,
    Picture,
    names_of,
    opened,
    shown,
    uniform,
    without_companions,
)
from triptych.errors import TriptychError

__all__ = ["by_split_folders", "no_hollow_class", "split_and_rest"]


WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
FILLERS = {*PICTURES, "set", "data", "dataset", "split", "pics", "photos", "pictures", "folder"}
# Folders that come beside the splits of public data and are neither split nor class.
BESIDE_SPLITS = {
    *("unlabeled", "unlabelled", "unsupervised", "unsup", "extra", "holdout", "pred", "predict"),
}


def split_and_rest(name: str) -> tuple[str, str] | None:
    """The split that a name speaks of and what else it says; None if it speaks of none or of two.

    Example:
        >>> split_and_rest("Training"), split_and_rest("train_images"), split_and_rest("trainA")
        (('train', ''), ('train', ''), ('train', 'A'))
        >>> split_and_rest("seg_test"), split_and_rest("station")
        (('test', 'seg'), None)
    """
    if name.lower() in SPLITS:
        return SPLITS[name.lower()], ""
    words = WORD.findall(name)
    known = [word for word in words if word.lower() in SPLITS]
    if len(known) != 1:
        return None
    rest = [word for word in words if word is not known[0] and word.lower() not in FILLERS]
    return SPLITS[known[0].lower()], "_".join(word for word in rest if not word.isdigit())


def by_split_folders(
    root: Path,
    pictures: list[Picture],
    hollow: Collection[tuple[str, ...]],
    notes: list[str],
) -> dict[str, list[Picture]]:
    """The pictures by split, once the folders around the splits are opened; all are train if there are none."""
    while True:
        pictures = without_companions(pictures, notes)
        names = names_of(pictures)
        where = shown(root, pictures[0].above)
        if names and (folders := _split_folders(where, names)):
            _no_hollow_split(root, where, pictures[0].above, hollow)
            return _sorted_in(where, pictures, folders, notes)
        if len(names) == 1 and uniform(pictures):
            if min(names).lower() not in PICTURES and len(pictures[0].below) == 1:
                no_hollow_class(root, pictures, hollow)
            notes.append(f"'{as_text(min(names))}' is the only folder with images in {where}")
            pictures = [opened(picture) for picture in pictures]
            continue
        below = _splits_below_classes(root, pictures)
        return below or {"train": pictures}


def _split_folders(where: str, names: set[str]) -> dict[str, tuple[str, str]]:
    """Name → split and rest, of the folders that are splits; none if they are classes."""
    speaks = {name: found for name in sorted(names) if (found := split_and_rest(name))}
    plain = {name: found for name, found in speaks.items() if len(found[1]) <= 1}
    companions = {
        name for name, found in speaks.items() if found[1].lower() in COMPANIONS and plain
    }
    others = sorted(names - plain.keys() - companions)
    if not plain:
        return _alike_but_for_the_split(where, speaks)
    known = {split for split, _ in plain.values()}
    unknown = [name for name in others if name.lower() not in BESIDE_SPLITS]
    if "train" not in known:
        if unknown:
            raise TriptychError(
                f"in {where} '{as_text(min(plain))}' is the name of a split and "
                f"{few(unknown)} of none; if they are classes, put all of them into a folder "
                "'train', and if not, those that are to be trained on"
            )
        raise TriptychError(
            f"{where} has folders for {' and '.join(sorted(known))} but none for train "
            f"({few(sorted(plain))}); add train, or give one of them alone"
        )
    if unknown and known == {"train"}:
        raise TriptychError(
            f"in {where} '{as_text(min(plain))}' is the name of a split and {few(unknown)} of "
            "none; if they are classes, put all of them into one more folder 'train', and if not, "
            "give the folder of the training images alone"
        )
    return plain


def _alike_but_for_the_split(
    where: str, speaks: dict[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """seg_train and seg_test: names that differ in nothing but the split are splits."""
    groups: dict[str, dict[str, tuple[str, str]]] = {}
    for name, (split, rest) in speaks.items():
        groups.setdefault(rest.lower(), {})[name] = (split, "")
    sure = []
    for group in groups.values():
        splits = {split for split, _ in group.values()}
        if "train" in splits and len(splits) > 1:
            sure.append(group)
    if len(sure) > 1:
        raise TriptychError(
            f"{where} holds several data sets ({few(sorted(n for g in sure for n in g))}); "
            "move the folders of one of them into a folder of their own"
        )
    return sure[0] if sure else {}


def _no_hollow_split(
    root: Path, where: str, above: tuple[str, ...], hollow: Collection[tuple[str, ...]]
) -> None:
    for names in hollow:
        if names[:-1] == above and names[-1].lower() in SPLITS:
            raise TriptychError(
                f"the split '{SPLITS[names[-1].lower()]}' of {where} holds no image (its folder is "
                f"{shown(root, names)}); fill it or remove it"
            )


def _sorted_in(
    where: str,
    pictures: list[Picture],
    folders: dict[str, tuple[str, str]],
    notes: list[str],
) -> dict[str, list[Picture]]:
    """The pictures of each split; a letter after the split (trainA, trainB) names a class."""
    found: dict[str, list[str]] = {}
    for name, (split, _) in folders.items():
        found.setdefault(split, []).append(name)
    classes = False
    for split, names in found.items():
        if len(names) > 1:
            classes = True
            rests = [folders[name][1] for name in names]
            if not all(rests) or len(set(rests)) < len(rests):
                raise TriptychError(
                    f"{where} has two folders for one split ({split}: {few(names)}); keep one"
                )
    _tell_splits(folders, classes, notes)
    _tell_left(where, [p for p in pictures if not p.below or p.below[0] not in folders], notes)
    splits: dict[str, list[Picture]] = {split: [] for split in found}
    for picture in pictures:
        if picture.below and picture.below[0] in folders:
            split, rest = folders[picture.below[0]]
            inner = opened(picture)
            if classes:
                inner = inner._replace(below=(rest, *inner.below))
            splits[split].append(inner)
    return splits


def _tell_splits(folders: dict[str, tuple[str, str]], classes: bool, notes: list[str]) -> None:
    unusual = {"train", "valid", "val", "validation", "test"}
    if classes or any(name.lower() not in unusual for name in folders):
        told = ", ".join(
            f"'{as_text(name)}' is {split}{f', class {rest}' if classes else ''}"
            for name, (split, rest) in folders.items()
        )
        notes.append(f"splits were told by the names of folders: {told}")


def _tell_left(where: str, left: list[Picture], notes: list[str]) -> None:
    direct = [picture.path.name for picture in left if not picture.below]
    folders: dict[str, int] = {}
    for picture in left:
        if picture.below:
            folders[picture.below[0]] = folders.get(picture.below[0], 0) + 1
    for name, count in folders.items():
        notes.append(f"left out the folder '{as_text(name)}' beside the splits: {count:,} images")
    if direct:
        notes.append(f"left out {len(direct):,} images directly in {where}: {few(direct, 3)}")


def _splits_below_classes(root: Path, pictures: list[Picture]) -> dict[str, list[Picture]]:
    """Where every class folder holds the splits (cat/train): the same pictures, split first."""
    if not all(len(picture.below) > 1 for picture in pictures):
        return {}
    second = {picture.below[1] for picture in pictures}
    speaks = {name: found for name in second if (found := split_and_rest(name))}
    if speaks.keys() != second or "train" not in {split for split, _ in speaks.values()}:
        return {}
    if any(rest for _, rest in speaks.values()) or len({s for s, _ in speaks.values()}) < len(
        second
    ):
        raise TriptychError(
            f"the class folders in {root} hold two folders for one split ({few(sorted(second))}); "
            "keep one"
        )
    splits: dict[str, list[Picture]] = {}
    for picture in pictures:
        cover, split, *rest = picture.below
        moved = picture._replace(above=(*picture.above, split), below=(cover, *rest))
        splits.setdefault(speaks[split][0], []).append(moved)
    return splits


def no_hollow_class(
    root: Path,
    labelled: Sequence[Picture],
    hollow: Collection[tuple[str, ...]],
) -> None:
    """Refuse an empty folder among the classes: what is missing in it is not known."""
    places = {picture.above for picture in labelled}
    for names in hollow:
        if names[:-1] in places and names[-1].lower() not in COMPANIONS:
            raise TriptychError(
                f"the class folder '{as_text(names[-1])}' in {shown(root, names[:-1])} holds no "
                "image; fill it or remove it"
            )
