"""What the names of folders mean: splits, classes, pictures beside their masks, or a mere cover.

Nothing here looks at a disk. Level by level, from the outside in, a name is either known to mean
one thing, or the whole is refused with what could be done; a guess is never made in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
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
from triptych.data.readers.splits import by_split_folders, no_hollow_class, split_and_rest
from triptych.errors import TriptychError

__all__ = ["Arranged", "arrange"]


@dataclass
class Arranged:
    """The pictures of each split, the class of each in the splits that have some (as as_text text); what was decided, in words."""

    splits: dict[str, list[Picture]]
    labels: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def arrange(
    root: Path, pictures: Sequence[Picture], hollow: Collection[tuple[str, ...]] = ()
) -> Arranged:
    """Splits and classes of all pictures; `hollow` are the folders in which there is none.

    Raises if the folders have more than one meaning.
    """
    notes: list[str] = []
    kept = _without_twins(list(pictures), notes)
    splits = by_split_folders(root, kept, hollow, notes)
    splits = {split: _inside(root, split, splits, notes) for split in splits}
    splits = _uncover(splits, notes)
    found = Arranged({s: splits[s] for s in dict.fromkeys(SPLITS.values()) if s in splits})
    _label(root, found, hollow, notes)
    if hollow:
        notes.append(f"left out folders without images: {few(['/'.join(n) for n in hollow])}")
    found.notes = list(dict.fromkeys(notes))
    return found


def _without_twins(pictures: list[Picture], notes: list[str]) -> list[Picture]:
    """Without a_mask.png where there is a picture a beside it."""
    # By the names of the folder, which its pictures share: a path more for each would be as much as they take themselves.
    stems = {(p.below, p.path.stem) for p in pictures}
    pattern = re.compile(r"(.+)[_\-. ]([A-Za-z]+)$")
    twins = []
    for picture in pictures:
        match = pattern.match(picture.path.stem)
        if (
            match is not None
            and match[2].lower() in COMPANIONS
            and (picture.below, match[1]) in stems
        ):
            twins.append(picture)
    if not twins:
        return pictures
    names = few([picture.path.name for picture in twins], 3)
    notes.append(f"left out {len(twins):,} images that go with another of the same name: {names}")
    gone = {picture.path for picture in twins}
    return [picture for picture in pictures if picture.path not in gone]


def _inside(
    root: Path, split: str, splits: dict[str, list[Picture]], notes: list[str]
) -> list[Picture]:
    """A split without masks, and without a cover that is named as the split or 'images' (val/images)."""
    pictures = without_companions(splits[split], notes)
    several = [names for some in splits.values() if len(names := names_of(some)) > 1]
    while len(names := names_of(pictures)) == 1 and uniform(pictures):
        name = min(names)
        speaks = split_and_rest(name)
        cover = name.lower() in PICTURES or (speaks is not None and speaks[0] == split)
        if not cover or any(name in classes for classes in several):
            break
        notes.append(f"'{as_text(name)}' is the only folder with images in {split}")
        pictures = without_companions([opened(picture) for picture in pictures], notes)
    return pictures


def _uncover(splits: dict[str, list[Picture]], notes: list[str]) -> dict[str, list[Picture]]:
    """Open a folder that all splits share and that is the only one: it is no class."""
    while True:
        every = [picture for pictures in splits.values() for picture in pictures]
        names = names_of(every)
        if len(names) != 1 or not all(uniform(some) for some in splits.values() if names_of(some)):
            return splits
        notes.append(f"'{as_text(min(names))}' is the only folder with images, so it is no class")
        splits = {
            split: [opened(p) if p.below else p for p in pictures]
            for split, pictures in splits.items()
        }


def _label(
    root: Path, found: Arranged, hollow: Collection[tuple[str, ...]], notes: list[str]
) -> None:
    """The first folder that is still unexplained names the class."""
    labelled = []
    for split, pictures in found.splits.items():
        names = names_of(pictures)
        direct = [picture for picture in pictures if not picture.below]
        if direct and names:
            where = shown(root, direct[0].above)
            raise TriptychError(
                f"{where} holds {len(direct):,} images directly and others in the folder "
                f"'{as_text(min(names))}'; put all of them in class folders, or none"
            )
        if names:
            labelled.append(split)
            _no_picture_class(shown(root, pictures[0].above), names)
    classes: dict[str, set[str]] = {}
    for split in labelled:
        called = {name: as_text(name) for name in names_of(found.splits[split])}
        found.labels[split] = [called[picture.below[0]] for picture in found.splits[split]]
        classes[split] = set(called.values())
        if len(classes[split]) < len(called):
            raise TriptychError(
                f"two class folders of {root} have names that read the same "
                f"({few(sorted(names_of(found.splits[split])))}); rename one"
            )
    no_hollow_class(root, [p for split in labelled for p in found.splits[split]], hollow)
    speaks = sorted(name for name in set().union(*classes.values()) if split_and_rest(name))
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


def _no_picture_class(where: str, names: set[str]) -> None:
    """Refuse a folder 'images' among the classes: what the others are to it is not known."""
    pictures = sorted(name for name in names if name.lower() in PICTURES)
    if pictures and len(names) > 1:
        raise TriptychError(
            f"{where} holds the folder '{as_text(pictures[0])}' beside "
            f"{few(sorted(names - set(pictures)))}; give the one with the images alone, or rename "
            "it if it is a class"
        )
