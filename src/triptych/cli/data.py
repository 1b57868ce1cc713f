"""``triptych data list | info NAME | get NAME``: what there is, what it is like, and fetching it."""

from __future__ import annotations

from pathlib import Path

from triptych.cli.options import take
from triptych.config import merge
from triptych.data import DataConfig, catalog, get, load, whereabouts
from triptych.errors import TriptychError, unknown
from triptych.progress import bars

USAGE = """usage: triptych data list [--data-dir DIR]
       triptych data info NAME|PATH [--data-dir DIR] [--image-size N] [--colour grey|rgb]
       triptych data get NAME [--dir DIR]

list  the named data sets, and which are at hand
info  decode a data set (or your own images) and describe it
get   download a named data set, into the cache or as a mirror into DIR"""


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
    from rich.console import Console
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
    Console().print(table)
    print("\nYour own images need no name: --data PATH (a folder, .npy, .npz or parquet).")


def _info(words: list[str]) -> None:
    folder, size = take(words, "--data-dir"), take(words, "--image-size")
    if size is not None and not size.isdigit():
        raise TriptychError(f"--image-size takes a number of pixels, not '{size}'")
    colour = take(words, "--colour") or "auto"
    if colour not in ("auto", "grey", "rgb"):
        raise unknown("colour", colour, ("auto", "grey", "rgb"))
    name = _one(words, "info")
    given = {"image_size": int(size) if size else None, "colour": colour}
    config = merge(DataConfig(name, folder), given)
    with bars() as progress:
        dataset = load(config, progress=progress)
    sizes = ", ".join(f"{len(images):,} {name}" for name, images in dataset.splits.items())
    labelled = dataset.splits["train"].labels is not None
    facts = {
        "title": dataset.title,
        "images": sizes,
        "shape": "×".join(map(str, dataset.shape)) + " (channels×height×width)",
        "values": dataset.values,
        "classes": ", ".join(dataset.classes or ()) if labelled else "no labels",
        "fingerprint": dataset.fingerprint,
    }
    entry = {e.name: e for e in catalog()}.get(config.name)
    if entry is not None:
        facts |= {"about": entry.about, "licence": entry.licence, "source": entry.homepage}
    print("\n".join(f"{name:<12} {fact}" for name, fact in facts.items()))
    print(
        "".join(f"{'note':<12} {note}\n" for note in (*dataset.notes, *dataset.moments.notes)),
        end="",
    )


def _get(words: list[str]) -> None:
    folder = take(words, "--dir")
    name = _one(words, "get")
    with bars() as progress:
        place = get(name, Path(folder) if folder else None, progress)
    print(f"{name} is in {place}")
