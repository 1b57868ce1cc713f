"""What the names of folders mean: splits, classes, pictures beside their masks, or a mere cover.

Nothing here looks at a disk. Level by level, from the outside in, a name is either known to mean
one thing, or the whole is refused with what could be done; a guess is never made in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from triptych.data.names import as_text, few
from triptych.data.readers.part import SPLITS
from triptych.errors import TriptychError

__all__ = ["COMPANIONS", "Arranged", "Picture", "arrange", "split_and_rest"]

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
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
FILLERS = {*PICTURES, "set", "data", "dataset", "split", "pics", "photos", "pictures", "folder"}
# Folders that come beside the splits of public data and are neither split nor class.
BESIDE_SPLITS = {
    *("unlabeled", "unlabelled", "unsupervised", "unsup", "extra", "holdout", "pred", "predict"),
}


class Picture(NamedTuple):
    """An image file: the folders that are explained already, and those that are still to be."""

    path: Path
    above: tuple[str, ...]
    below: tuple[str, ...]


@dataclass
class Arranged:
    """The pictures of each split and their classes (as as_text text); what was decided, in words."""

    splits: dict[str, list[Picture]]
    labels: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def arrange(
    root: Path, pictures: Sequence[Picture], hollow: Collection[tuple[str, ...]] = ()
) -> Arranged:
    """Splits and classes of all pictures; `hollow` are the folders in which there is none.

    Raises if the folders have more than one meaning.
    """
    notes: list[str] = []
    kept = _without_twins(list(pictures), notes)
    splits = _splits(root, kept, hollow, notes)
    splits = {split: _inside(root, split, splits, notes) for split in splits}
    splits = _uncover(splits, notes)
    found = Arranged({s: splits[s] for s in dict.fromkeys(SPLITS.values()) if s in splits})
    _label(root, found, hollow, notes)
    if hollow:
        notes.append(f"left out folders without images: {few(['/'.join(n) for n in hollow])}")
    found.notes = list(dict.fromkeys(notes))
    return found


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


def _without_twins(pictures: list[Picture], notes: list[str]) -> list[Picture]:
    """Without a_mask.png where there is a picture a beside it."""
    stems = {(p.path.parent, p.path.stem) for p in pictures}
    pattern = re.compile(r"(.+)[_\-. ]([A-Za-z]+)$")
    twins = []
    for picture in pictures:
        match = pattern.match(picture.path.stem)
        if (
            match is not None
            and match[2].lower() in COMPANIONS
            and (picture.path.parent, match[1]) in stems
        ):
            twins.append(picture)
    if not twins:
        return pictures
    names = few([picture.path.name for picture in twins], 3)
    notes.append(f"left out {len(twins):,} images that go with another of the same name: {names}")
    gone = {picture.path for picture in twins}
    return [picture for picture in pictures if picture.path not in gone]


def _splits(
    root: Path,
    pictures: list[Picture],
    hollow: Collection[tuple[str, ...]],
    notes: list[str],
) -> dict[str, list[Picture]]:
    """The pictures by split, once the folders around the splits are opened; all are train if there are none."""
    while True:
        pictures = _without_companions(pictures, notes)
        names = _names(pictures)
        where = _shown(root, pictures[0].above)
        if names and (folders := _split_folders(where, names)):
            _no_hollow_split(root, where, pictures[0].above, hollow)
            return _by_split(where, pictures, folders, notes)
        if len(names) == 1 and _uniform(pictures):
            if min(names).lower() not in PICTURES and len(pictures[0].below) == 1:
                _no_hollow_class(root, pictures, hollow)
            notes.append(f"'{as_text(min(names))}' is the only folder with images in {where}")
            pictures = [_opened(picture) for picture in pictures]
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
                f"{_shown(root, names)}); fill it or remove it"
            )


def _by_split(
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
            opened = _opened(picture)
            if classes:
                opened = opened._replace(below=(rest, *opened.below))
            splits[split].append(opened)
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


def _inside(
    root: Path, split: str, splits: dict[str, list[Picture]], notes: list[str]
) -> list[Picture]:
    """A split without masks, and without a cover that is named as the split or 'images' (val/images)."""
    pictures = _without_companions(splits[split], notes)
    several = [names for some in splits.values() if len(names := _names(some)) > 1]
    while len(names := _names(pictures)) == 1 and _uniform(pictures):
        name = min(names)
        speaks = split_and_rest(name)
        cover = name.lower() in PICTURES or (speaks is not None and speaks[0] == split)
        if not cover or any(name in classes for classes in several):
            break
        notes.append(f"'{as_text(name)}' is the only folder with images in {split}")
        pictures = _without_companions([_opened(picture) for picture in pictures], notes)
    return pictures


def _uncover(splits: dict[str, list[Picture]], notes: list[str]) -> dict[str, list[Picture]]:
    """Open a folder that all splits share and that is the only one: it is no class."""
    while True:
        every = [picture for pictures in splits.values() for picture in pictures]
        names = _names(every)
        if len(names) != 1 or not all(_uniform(some) for some in splits.values() if _names(some)):
            return splits
        notes.append(f"'{as_text(min(names))}' is the only folder with images, so it is no class")
        splits = {
            split: [_opened(p) if p.below else p for p in pictures]
            for split, pictures in splits.items()
        }


def _label(
    root: Path, found: Arranged, hollow: Collection[tuple[str, ...]], notes: list[str]
) -> None:
    """The first folder that is still unexplained names the class."""
    labelled = []
    for split, pictures in found.splits.items():
        names = _names(pictures)
        direct = [picture for picture in pictures if not picture.below]
        if direct and names:
            where = _shown(root, direct[0].above)
            raise TriptychError(
                f"{where} holds {len(direct):,} images directly and others in the folder "
                f"'{as_text(min(names))}'; put all of them in class folders, or none"
            )
        if names:
            labelled.append(split)
            _no_picture_class(_shown(root, pictures[0].above), names)
    classes: dict[str, set[str]] = {}
    for split in labelled:
        for picture in found.splits[split]:
            found.labels[picture.path] = as_text(picture.below[0])
        classes[split] = {found.labels[picture.path] for picture in found.splits[split]}
        if len(classes[split]) < len(_names(found.splits[split])):
            raise TriptychError(
                f"two class folders of {root} have names that read the same "
                f"({few(sorted(_names(found.splits[split])))}); rename one"
            )
    _no_hollow_class(root, [p for split in labelled for p in found.splits[split]], hollow)
    speaks = sorted(name for name in set(found.labels.values()) if split_and_rest(name))
    if speaks:
        notes.append(f"taken for classes, though the names could mean splits: {few(speaks)}")
    if len(labelled) > 1 and "train" in labelled:
        for split in labelled:
            if new := sorted(classes[split] - classes["train"]):
                notes.append(f"{split} has classes that train does not have: {few(new)}")
    for split in labelled:
        _no_split_class(root, found.splits[split])
    deeper = sorted(
        {"/".join(p.below[:2]) for s in labelled for p in found.splits[s] if p.below[1:]}
    )
    if deeper:
        notes.append(f"folders within a class folder count to the class: {few(deeper, 3)}")


def _no_split_class(root: Path, pictures: Sequence[Picture]) -> None:
    """Refuse "classes" that all hold folders of the same names: these are the classes, and those are splits or folds."""
    inner: dict[str, set[str]] = {}
    for picture in pictures:
        inner.setdefault(picture.below[0], set()).add(picture.below[1] if picture.below[1:] else "")
    names = set(map(frozenset, inner.values()))
    if len(inner) > 1 and len(names) == 1 and len(next(iter(names))) > 1:
        raise TriptychError(
            f"the folders {few(sorted(inner))} in {root} all hold folders of the same names "
            f"({few(sorted(next(iter(names))))}); call them train, valid and test if they are splits, "
            "or take one level away if they are classes"
        )


def _no_hollow_class(
    root: Path,
    labelled: Sequence[Picture],
    hollow: Collection[tuple[str, ...]],
) -> None:
    """Refuse an empty folder among the classes: what is missing in it is not known."""
    places = {picture.above for picture in labelled}
    for names in hollow:
        if names[:-1] in places and names[-1].lower() not in COMPANIONS:
            raise TriptychError(
                f"the class folder '{as_text(names[-1])}' in {_shown(root, names[:-1])} holds no "
                "image; fill it or remove it"
            )


def _no_picture_class(where: str, names: set[str]) -> None:
    """Refuse a folder 'images' among the classes: what the others are to it is not known."""
    pictures = sorted(name for name in names if name.lower() in PICTURES)
    if pictures and len(names) > 1:
        raise TriptychError(
            f"{where} holds the folder '{as_text(pictures[0])}' beside "
            f"{few(sorted(names - set(pictures)))}; give the one with the images alone, or rename "
            "it if it is a class"
        )


def _without_companions(pictures: list[Picture], notes: list[str]) -> list[Picture]:
    """The folder of pictures alone, where the only others hold their masks, depths or labels."""
    names = _names(pictures)
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


def _names(pictures: Sequence[Picture]) -> set[str]:
    return {picture.below[0] for picture in pictures if picture.below}


def _uniform(pictures: Sequence[Picture]) -> bool:
    """Whether all pictures lie in a folder, and all directly in it or all in folders within it."""
    depths = {min(len(picture.below), 2) for picture in pictures}
    return len(depths) == 1 and 0 not in depths


def _opened(picture: Picture) -> Picture:
    return picture._replace(above=(*picture.above, picture.below[0]), below=picture.below[1:])


def _shown(root: Path, names: tuple[str, ...]) -> str:
    return str(root.joinpath(*names))
