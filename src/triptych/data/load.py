"""The one way in: a `DataConfig` to a `Dataset` with its train, valid and test splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from triptych.data import cache
from triptych.data.cache import Stored, decoded
from triptych.data.catalog import CATALOG, Entry
from triptych.data.find import entry_for, find
from triptych.data.hashing import digest
from triptych.data.names import as_text
from triptych.data.picture import Fit
from triptych.data.sources import Source
from triptych.data.spec import DataConfig, Dataset, Images
from triptych.errors import MachineError, TriptychError, printable
from triptych.progress import Progress, silent

__all__ = ["kept", "load"]


def load(config: DataConfig, *, progress: Progress | None = None) -> Dataset:
    """Find, download if need be, decode once, and split.

    Pixels are memory-mapped and read-only. `config.binarize` is not applied
    here: the stream of batches draws or cuts. Every mistake in the input, a
    file that cannot be read included, is a `TriptychError` of one sentence.

    Example:
        >>> digits = load(DataConfig("mnist-5k"))
        >>> digits.shape, len(digits.splits["train"])
        ((1, 28, 28), 3500)
    """
    progress = progress or silent
    try:
        entry = entry_for(config.name)
        source = find(config, progress)
        fit = Fit(config.sides, config.colour, config.skip_broken)
        # The splits of a named set were drawn at random by its makers, or (SVHN) have
        # neighbours that must stay together; a folder is in the order of its names.
        shuffle = () if entry or not _carves(source, config) else ("train",)
        stored = decoded(source, fit, shuffle, progress)
    except OSError as why:
        where = f"{why.filename}: " if why.filename else ""
        raise MachineError(f"cannot read or write the data ({where}{why.strerror})") from why
    if config.holdout is not None and "valid" in stored.splits:
        raise TriptychError(
            "--holdout makes a validation split and this data has one; leave it out"
        )
    stored = dataclasses.replace(stored, notes=(*stored.notes, *_without_effect(config, entry)))
    if entry is not None:
        _check_published(entry, source.root, stored)
    return _split(config, entry, stored)


def kept(config: DataConfig, key: str) -> Dataset | None:
    """The data set that `load` gave as ``decoded`` = ``key``, from the cache alone; none where it is not there.

    Its files may have moved or grown since: what was decoded of them has not.
    """
    stored = cache.kept(key)
    if stored is None:
        return None
    return _split(config, CATALOG.get(config.name), stored)


def _split(config: DataConfig, entry: Entry | None, stored: Stored) -> Dataset:
    dataset = _own(config, stored) if entry is None else _named(entry, config, stored)
    return dataclasses.replace(dataset, config=config)


def _without_effect(config: DataConfig, entry: Entry | None) -> tuple[str, ...]:
    """A mirror that was named and is not looked into."""
    if config.dir is None or (entry is not None and not entry.embedded):
        return ()
    why = "the data are a path" if entry is None else f"{entry.name} comes with Triptych"
    return (f"--data-dir {config.dir} has no effect, since {why}",)


def _carves(source: Source, config: DataConfig) -> bool:
    no_valid = "valid" not in source.files and config.holdout != 0
    return no_valid or "test" not in source.files


def _check_published(entry: Entry, root: Path, stored: Stored) -> None:
    """Refuse data with another number of images or classes than the data set of that name has."""
    for split, due in entry.counts.items():
        found = len(stored.splits[split])
        if found != due:
            raise TriptychError(
                f"{root} has {found:,} {split} images where {entry.title} has {due:,}; "
                "to use it as data of your own give its path as --data"
            )
    if entry.classes and stored.classes and len(stored.classes) != len(entry.classes):
        raise TriptychError(
            f"{root} has {len(stored.classes):,} classes where {entry.title} has "
            f"{len(entry.classes):,}; to use it as data of your own give its path as --data"
        )


def _named(entry: Entry, config: DataConfig, stored: Stored) -> Dataset:
    holdout = entry.holdout if config.holdout is None else config.holdout
    splits = {split: stored.splits[split] for split in entry.counts}
    if "valid" not in splits:
        splits = _carve(splits, {"valid": holdout})
    # JPEG is lossy: figures measured on such a copy are not those of the data set.
    title = f"{entry.title} (JPEG)" if stored.jpegs else entry.title
    dataset = _dataset(entry.name, title, splits, entry.classes, stored)
    return dataclasses.replace(dataset, mirrors=entry.mirrors)


def _own(config: DataConfig, stored: Stored) -> Dataset:
    """A tenth for each split that is missing; a test set drawn at random shows in the title."""
    whole = len(stored.splits["train"])
    tenth = max(1, whole // 10)
    wanted = {}
    if "test" not in stored.splits:
        wanted["test"] = tenth
    if "valid" not in stored.splits:
        wanted["valid"] = tenth if config.holdout is None else config.holdout
    splits = _carve(stored.splits, wanted)
    root = Path(config.name).expanduser().resolve()
    title = as_text(root.name if root.is_dir() else root.name.split(".")[0])
    if "test" in wanted:
        sizes = "/".join(str(len(images)) for images in splits.values())
        title += f" (random split {'/'.join(splits)} {sizes})"
    return _dataset(config.name, title, splits, stored.classes, stored)


def _carve(splits: Mapping[str, Images], wanted: Mapping[str, int]) -> dict[str, Images]:
    """Take the splits that are wanted from the end of train, without copying a pixel."""
    carved = dict(splits)
    for name, count in wanted.items():
        if not count:
            continue
        train = carved["train"]
        rest = len(train) - count
        if rest < 1:
            raise TriptychError(
                f"{count:,} of {len(train):,} training images cannot be held out for {name}; "
                "give more images or a smaller --holdout"
            )
        carved["train"] = _slice(train, 0, rest)
        carved[name] = _slice(train, rest, len(train))
    return {name: carved[name] for name in ("train", "valid", "test") if name in carved}


def _slice(images: Images, start: int, stop: int) -> Images:
    labels = None if images.labels is None else images.labels[start:stop]
    digests = None if images.digests is None else images.digests[start:stop]
    return Images(images.pixels[start:stop], labels, digests)


def _dataset(
    name: str,
    title: str,
    splits: dict[str, Images],
    classes: tuple[str, ...] | None,
    stored: Stored,
) -> Dataset:
    sizes = [f"{split} {len(images)}" for split, images in splits.items()]
    fingerprint = digest([stored.fingerprint, *sizes])[:16]
    return Dataset(
        name,
        title,
        splits,
        classes,
        stored.values,
        fingerprint,
        notes=tuple(map(printable, stored.notes)),
        decoded=stored.key,
        duplicates=_duplicates(splits),
    )


def _duplicates(splits: Mapping[str, Images]) -> dict[str, int]:
    """How many images of each other split are images of train as well, where digests are known."""
    digests = {split: images.digests for split, images in splits.items()}
    train = digests.pop("train")
    if train is None:
        return {}
    # Sorted once: to `numpy.isin` a million of random numbers are a second for each split.
    train = np.sort(train)
    return {
        split: int((train.take(np.searchsorted(train, found), mode="clip") == found).sum())
        for split, found in digests.items()
        if found is not None
    }
