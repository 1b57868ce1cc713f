"""What the arrays of an archive are for, told by their names; where a name does not tell, it is said or asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.data.readers.npy_format import Header
from triptych.data.readers.part import SPLITS
from triptych.errors import TriptychError

__all__ = ["Roles", "assign"]

WORDS = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "data", "pixels"), "images"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "labels"),
}
OTHERWISE = {
    *(
        "mask",
        "masks",
        "pred",
        "preds",
        "prediction",
        "predictions",
        "predicted",
        "depth",
        "depths",
    ),
    *("id", "ids", "index", "indices", "idx", "name", "names", "path", "paths", "file", "files"),
    *("filename", "filenames", "score", "scores", "prob", "probs", "probability", "probabilities"),
    *(
        "logit",
        "logits",
        "weight",
        "weights",
        "mean",
        "std",
        "shape",
        "size",
        "sizes",
        "count",
        "counts",
    ),
    *(
        "holdout",
        "heldout",
        "extra",
        "calibration",
        "support",
        "query",
        "gallery",
        "ood",
        "adversarial",
    ),
    *("unlabeled", "unlabelled", "noisy", "noise", "box", "boxes", "bbox", "bboxes"),
}
"""Words that make of 'image' or 'label' something else: image_ids, x_masks, y_pred."""

KINDS = {"class", "classes", "category", "categories", "label", "labels", "target", "targets"}
NAMES = {"names", "name"}
"""Strings are names of classes if they are called label_names, or just classes; a label each otherwise."""

SPOKEN = {"train": "training", "valid": "validation", "test": "test"}
SHOWN = 8


@dataclass(frozen=True)
class Roles:
    """`splits` has the arrays of each split by role ('images' and perhaps 'labels').

    `classes` is the array of the classes' names, if any; `notes` say what was left.
    """

    splits: Mapping[str, Mapping[str, str]]
    classes: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Claim:
    """An array that may have a role; plain if its name says nothing else, explicit if it says the split."""

    name: str
    split: str
    role: str
    plain: bool
    explicit: bool


def assign(arrays: Mapping[str, Header], path: Path) -> Roles:
    """The role of every array of an archive; refused where two may have the same.

    A plain name (`x_train`) comes before one that says more (`x_train_masks`), and one that says its
    split (`x_train`) before one that does not (`x`).
    """
    if len(arrays) == 1:
        return _alone(next(iter(arrays)))
    claims = [claim for name, header in arrays.items() for claim in _claims(name, header)]
    splits: dict[str, dict[str, str]] = {}
    for split in dict.fromkeys(SPLITS.values()):
        images = _choose(claims, split, "images", arrays, path)
        if images is not None:
            splits[split] = {"images": images}
            labels = _choose(claims, split, "labels", arrays, path, arrays[images].shape[:1])
            splits[split] |= {} if labels is None else {"labels": labels}
    if "train" not in splits:
        raise TriptychError(
            f"{path} has no array of training images among its {len(arrays)} "
            f"({_listed(list(arrays))}); "
            "name them x_train, y_train, x_test, y_test or images, labels"
        )
    named = [name for name, header in arrays.items() if _names_classes(name, header)]
    classes = named[0] if len(named) == 1 else None
    return Roles(splits, classes, tuple(_notes(arrays, splits, classes)))


def _alone(name: str) -> Roles:
    told = {SPLITS[word] for word in _words(name) if word in SPLITS} - {"train"}
    note = f"'{name}' is the only array of the archive and was taken for the training images"
    return Roles({"train": {"images": name}}, None, (note,) if told else ())


def _claims(name: str, header: Header) -> Iterator[_Claim]:
    """The role that a name speaks of, at most one."""
    words = _words(name)
    splits = {SPLITS[word] for word in words if word in SPLITS}
    roles = [WORDS[word] for word in words if word in WORDS]
    if not roles or len(splits) > 1 or OTHERWISE & set(words):
        return
    # English puts what a thing is last: image_labels are labels.
    yield _Claim(name, min(splits, default="train"), roles[-1], _plain(words), bool(splits))


def _choose(
    claims: Sequence[_Claim],
    split: str,
    role: str,
    arrays: Mapping[str, Header],
    path: Path,
    length: tuple[int, ...] = (),
) -> str | None:
    """The array for a role: the only one of the best rank, or the only one of these with a fitting shape."""
    every = [claim for claim in claims if (claim.split, claim.role) == (split, role)]
    fitting = {claim.name for claim in every if _fits(arrays[claim.name], role, length)}
    ranks = (
        [claim.name for claim in every if claim.plain and claim.explicit],
        [claim.name for claim in every if claim.plain and not claim.explicit],
        [claim.name for claim in every if not claim.plain and claim.name in fitting],
    )
    best = next((rank for rank in ranks if rank), [])
    chosen = [name for name in best if name in fitting] if len(best) > 1 else best
    if len(chosen or best) > 1:
        raise TriptychError(
            f"{path} has {len(best)} arrays that may be the {_spoken(split, role)} "
            f"({_listed([f'{name}: {arrays[name]}' for name in best])}); "
            f"name the right one {'x' if role == 'images' else 'y'}_{split} and the others otherwise, "
            "or leave them out"
        )
    return next(iter(chosen), None)


def _fits(header: Header, role: str, length: tuple[int, ...]) -> bool:
    """Whether an array has the shape of images, or of one label (or one of K) for each of them."""
    if role == "images":
        return len(header.shape) in (3, 4) and header.dtype.kind in "biuf"
    if header.dtype.kind not in "biufUS":
        return False
    whole = header.dtype.kind != "f" or len(header.shape) > 1
    return len(header.shape) in (1, 2) and header.shape[:1] == length and whole


def _names_classes(name: str, header: Header) -> bool:
    words = set(_words(name))
    called = words <= KINDS - WORDS.keys() or bool(words & NAMES and words & KINDS)
    return header.dtype.kind in "US" and len(header.shape) == 1 and called


def _notes(
    arrays: Mapping[str, Header], splits: Mapping[str, Mapping[str, str]], classes: str | None
) -> Iterator[str]:
    """What was taken and what was left, where any array was left or taken by a name that says more."""
    roles = {
        name: _spoken(split, role)
        for split, found in splits.items()
        for role, name in found.items()
    }
    if classes is not None:
        roles[classes] = "names of the classes"
    left = [f"'{name}' ({header})" for name, header in arrays.items() if name not in roles]
    odd = [name for name in roles if name != classes and not _plain(_words(name))]
    if left or odd:
        taken = [f"'{name}' as {role}" for name, role in roles.items()]
        note = f"of the archive's {len(arrays)} arrays were taken {_listed(taken)}"
        yield note + (f"; left was {_listed(left)}" if left else "")


def _plain(words: Sequence[str]) -> bool:
    """Whether a name says one role, perhaps a split, and nothing else."""
    roles = {WORDS[word] for word in words if word in WORDS}
    return len(roles) == 1 and all(word in WORDS or word in SPLITS for word in words)


def _spoken(split: str, role: str) -> str:
    return f"{SPOKEN[split]} {role}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _words(name: str) -> list[str]:
    """The words of a name in lower case: x_train, trainImages, X-Train, xtrain and data/x.train have two."""
    words = []
    for piece in re.split(r"[\W_]+", name):
        if piece.lower() in SPLITS or piece.lower() in WORDS:
            words.append(piece.lower())
            continue
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+", piece):
            words += _apart(word.lower())
    return words


def _apart(word: str) -> list[str]:
    """A role and a split written together (xtrain, testlabels) are two words."""
    if word in SPLITS or word in WORDS:
        return [word]
    for at in range(1, len(word)):
        pair = [word[:at], word[at:]]
        if {word[:at], word[at:]} & SPLITS.keys() and {word[:at], word[at:]} & WORDS.keys():
            return pair
    return [word]
