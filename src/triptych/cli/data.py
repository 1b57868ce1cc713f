"""``triptych data list | info NAME | get NAME``: what there is, what it is like, and fetching it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from triptych.cli.options import take
from triptych.cli.say import say, show
from triptych.config import merge
from triptych.data import (
    DataConfig,
    Dataset,
    Source,
    broken_images,
    catalog,
    find,
    get,
    load,
    whereabouts,
)
from triptych.data.moments import level_counts, mean_and_deviation
from triptych.data.names import as_text, few
from triptych.errors import TriptychError, unknown
from triptych.progress import bars

USAGE = """usage: triptych data list [--data-dir DIR]
       triptych data info NAME|PATH [--data-dir DIR] [--image-size N|HxW] [--colour grey|rgb]
                          [--holdout N] [--skip-broken true] [--broken]
       triptych data get NAME [--dir DIR]

list  the named data sets, and which are at hand
info  decode a data set (or your own images) and describe it: what was taken for what, and
      what was left out; with --broken every image that does not decode, and why
get   download a named data set, into the cache or as a mirror into DIR"""

Fact: TypeAlias = tuple[str, str]

WIDTH = 80
INDENT = 13
CLASSES = 30
CLASSES_OF_MANY = 10
"""Of more classes than the first number only the second are shown."""


def run(words: list[str]) -> int:
    """The verb."""
    verbs = {"list": _list, "info": _info, "get": _get}
    if not words or words[0] in ("-h", "--help") or "--help" in words:
        print(USAGE)
        return 0 if words else 2
    if words[0] not in verbs:
        raise unknown("command of 'triptych data'", words[0], verbs)
    verbs[words[0]](words[1:])
    return 0


def _one(words: list[str], what: str) -> str:
    if len(words) != 1 or words[0].startswith("-"):
        raise TriptychError(f"'triptych data {what}' takes one name; see triptych data --help")
    return words[0]


def _list(words: list[str]) -> None:
    from rich.table import Table

    folder = take(words, "--data-dir")
    if words:
        raise unknown("option", words[0], ["--data-dir"])
    table = Table("name", "what", "train / valid / test", "shape", "labels", "at hand", box=None)
    for entry in catalog():
        place = whereabouts(entry, folder)
        table.add_row(
            entry.name,
            entry.title,
            " / ".join(f"{n:,}" for n in entry.splits.values()),
            "×".join(map(str, entry.shape)),
            "yes" if entry.labelled else "no",
            "embedded" if entry.embedded else "yes" if place else "to download",
        )
    show(table)
    say("\nYour own images need no name: --data PATH (a folder, .npy, .npz or parquet).")


def _info(words: list[str]) -> None:
    broken = "--broken" in words
    words = [word for word in words if word != "--broken"]
    config = _config(words)
    with bars() as progress:
        if broken:
            count, found = broken_images(config, progress=progress)
        else:
            dataset = load(config, progress=progress)
    if broken:
        for name, why in found:
            say(f"{as_text(name)}: {why}")
        say(f"{len(found):,} of {count:,} images do not decode")
        return
    source = find(config)
    for name, fact in (*_facts(dataset, source), *_classes(dataset)):
        _say(name, fact)
    _say("fingerprint", dataset.fingerprint)
    entry = {e.name: e for e in catalog()}.get(config.name)
    if entry is not None:
        _say("about", entry.about)
        _say("licence", entry.licence)
        _say("source", entry.homepage)
    for note in dataset.remarks:
        _say("note", note)


def _config(words: list[str]) -> DataConfig:
    folder = take(words, "--data-dir")
    size = take(words, "--image-size")
    holdout = take(words, "--holdout")
    if holdout is not None and not (holdout.isascii() and holdout.isdigit() and len(holdout) < 10):
        raise TriptychError(f"--holdout takes a number, not '{as_text(holdout)}'")
    colour = take(words, "--colour") or "auto"
    if colour not in ("auto", "grey", "rgb"):
        raise unknown("colour", colour, ("auto", "grey", "rgb"))
    skip = take(words, "--skip-broken") or "false"
    if skip not in ("true", "false"):
        raise TriptychError(f"--skip-broken takes true or false, not '{as_text(skip)}'")
    given = {"image_size": size, "holdout": None if holdout is None else int(holdout)}
    given |= {"colour": colour, "skip_broken": skip == "true"}
    return merge(DataConfig(_one(words, "info"), folder), given)


def _say(name: str, fact: str) -> None:
    """One fact, wrapped; nothing in it is obeyed by a terminal."""
    for line in textwrap.wrap(
        as_text(fact), WIDTH - INDENT, break_long_words=False, break_on_hyphens=False
    ) or [""]:
        say(f"{name:<{INDENT - 1}} {line}")
        name = ""


def _facts(dataset: Dataset, source: Source) -> list[Fact]:
    sizes = ", ".join(f"{len(images):,} {split}" for split, images in dataset.splits.items())
    drawn = [split for split in dataset.splits if split not in source.files]
    counts = level_counts(dataset.splits["train"].pixels)
    return [
        ("title", dataset.title),
        ("images", sizes + (f" ({' and '.join(drawn)} taken out of train)" if drawn else "")),
        ("files", "; ".join(_files(source))),
        ("shape", "×".join(map(str, dataset.shape)) + " (channels×height×width)"),
        ("values", f"{dataset.values}; {_range(counts)}"),
        ("mean ± std", f"{_moments(counts)}, a channel, of 255, in train"),
    ]


def _files(source: Source) -> list[str]:
    """Where each split is read from."""
    said = []
    for split, files in source.files.items():
        names = few([path.name for path in files], 2)
        said.append(f"{split} {names}" if len(files) < 3 else f"{split} {len(files):,} files")
    return said


def _range(counts: npt.NDArray[np.int64]) -> str:
    """The lowest and the highest level, and which share of all pixels have it."""
    every = counts.sum(0)
    there = np.flatnonzero(every)
    share = every / every.sum()
    low, high = int(there[0]), int(there[-1])
    return f"levels {low} ({share[low]:.1%}) to {high} ({share[high]:.1%}) in train"


def _moments(counts: npt.NDArray[np.int64]) -> str:
    found = zip(*mean_and_deviation(counts), strict=True)
    return ", ".join(f"{255 * mean:.1f} ± {255 * deviation:.1f}" for mean, deviation in found)


def _classes(dataset: Dataset) -> list[Fact]:
    """The classes, with how many images of each are in each split that has labels."""
    labels = {
        split: images.labels[images.labels >= 0]
        for split, images in dataset.splits.items()
        if images.labels is not None
    }
    if not labels:
        return [("classes", "no labels")]
    numbers = np.unique(np.concatenate(list(labels.values())))
    if dataset.classes is not None:
        numbers = np.arange(len(dataset.classes))
    names = dataset.classes or tuple(map(str, numbers))
    counts = {
        split: np.bincount(np.searchsorted(numbers, some), minlength=len(numbers))
        for split, some in labels.items()
    }
    without = [split for split in dataset.splits if split not in labels]
    told = f"{len(names):,}; images in {' / '.join(counts)}"
    facts = [("classes", told + (f" (no labels in {' and '.join(without)})" if without else ""))]
    shown = len(names) if len(names) <= CLASSES else CLASSES_OF_MANY
    for place, name in enumerate(names[:shown]):
        each = " / ".join(f"{some[place]:,}" for some in counts.values())
        facts.append(("", f"{name}: {each}"))
    if shown < len(names):
        split, some = next(iter(counts.items()))
        few_or_many = f"{some.min():,} to {some.max():,} images each in {split}"
        facts.append(("", f"and {len(names) - shown:,} more; {few_or_many}"))
    return facts


def _get(words: list[str]) -> None:
    folder = take(words, "--dir")
    name = _one(words, "get")
    with bars() as progress:
        place = get(name, Path(folder) if folder else None, progress)
    say(f"{name} is in {place}")
