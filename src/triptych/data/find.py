"""From what a person wrote to the files: a name of the catalog, or a path of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from triptych.data.catalog import CATALOG, Entry
from triptych.data.download import download
from triptych.data.hashing import digests
from triptych.data.names import as_text
from triptych.data.places import SYSTEM, downloads, mirror
from triptych.data.readers import digits
from triptych.data.sources import Source, source_at, tabular_source
from triptych.data.spec import DataConfig
from triptych.errors import TriptychError, unknown
from triptych.progress import Progress, silent

__all__ = ["entry_for", "find", "get", "whereabouts"]


def find(config: DataConfig, progress: Progress = silent) -> Source:
    """The files of a data set, downloaded if they are nowhere; nothing is decoded."""
    entry = entry_for(config.name)
    if entry is None:
        path = Path(config.name).expanduser()
        _refuse_unwritable(path)
        return source_at(path)
    if entry.embedded:
        return _embedded()
    named = mirror(config.dir)
    source = _at_hand(entry, _roots(named))
    if source is None and named is not None:
        raise _not_in_mirror(entry, named)
    if source is None:
        source = _download(entry, downloads(), progress)
    _check_contents(entry, source, progress)
    return source


def entry_for(name: str) -> Entry | None:
    """The catalog's entry; None if the name is a path that exists; an error if it is neither.

    A name of the catalog wins over a file of that name, which ``./name`` reaches.
    """
    if name in CATALOG:
        return CATALOG[name]
    if Path(name).expanduser().exists():
        return None
    if "/" in name or os.sep in name or "." in name or name.startswith("~"):
        raise TriptychError(
            f"there is no file or folder {name}; give an existing path, or one of "
            f"{', '.join(CATALOG)}"
        )
    raise unknown("data set", name, CATALOG, hint=", and no file or folder has that name")


def whereabouts(entry: Entry, folder: str | None = None) -> Path | None:
    """Where the entry's files are at hand (embedded, mirror, download cache); None if nowhere.

    `folder` is a local mirror, as in `DataConfig.dir`.
    """
    source = _embedded() if entry.embedded else _at_hand(entry, _roots(mirror(folder)))
    return None if source is None else source.root


def get(name: str, folder: str | Path | None = None, progress: Progress = silent) -> Path:
    """Download a named data set in a mirror's layout, and say where its files are.

    Without a folder it goes to the download cache, where `load` finds it; with
    one, the folder can be named as a mirror afterwards (`--data-dir`).
    """
    if name not in CATALOG:
        raise unknown("data set", name, CATALOG)
    entry = CATALOG[name]
    if entry.embedded:
        return _embedded().root
    source = _download(entry, Path(folder).expanduser() if folder else downloads(), progress)
    _check_contents(entry, source, progress)
    return source.root


def _embedded() -> Source:
    table = digits.path()
    return Source(table, dict.fromkeys(digits.SHARES, (table,)), digits.read)


def _roots(named: Path | None) -> tuple[Path, ...]:
    """Where to look: a mirror that was named stands in for every other place."""
    return (named,) if named is not None else (downloads(), SYSTEM)


def _at_hand(entry: Entry, roots: Sequence[Path]) -> Source | None:
    """The first place that holds every split of the data set."""
    for root in roots:
        for folder in entry.folders:
            # The folder of one data set may be named as well as the mirror around it.
            inside = root if root.absolute().as_posix().endswith(f"/{folder}") else root / folder
            source = _whole(inside) if inside.is_dir() else None
            if source is not None and entry.counts.keys() <= source.files.keys():
                return source
    return None


def _refuse_unwritable(path: Path) -> None:
    """A run writes down where its data are, in UTF-8, which not every path is."""
    whole = str(path.resolve())
    try:
        whole.encode()
    except UnicodeEncodeError as why:
        raise TriptychError(
            f"the path {as_text(whole)} is not in UTF-8, in which a run writes it down; "
            "rename the folder or file"
        ) from why


def _whole(folder: Path) -> Source | None:
    """The data set in a folder; None where files are missing, as after a download that broke off."""
    try:
        return tabular_source(folder)
    except TriptychError:
        return None


def _download(entry: Entry, folder: Path, progress: Progress) -> Source:
    download(entry, folder, progress)
    source = _at_hand(entry, (folder,))
    if source is None:
        raise TriptychError(f"the files of {entry.name} vanished from {folder}; run it again")
    return source


def _not_in_mirror(entry: Entry, root: Path) -> TriptychError:
    if not root.is_dir():
        return TriptychError(f"the data folder {root} does not exist; name one with --data-dir")
    wanted = root / entry.remote[0].path
    missing = next((p for r in entry.remote if not (p := root / r.path).is_file()), wanted)
    others = f" (nor its original files in {entry.folders[1]}/)" if len(entry.folders) > 1 else ""
    return TriptychError(
        f"the data folder {root} has no {missing}{others}; put {entry.name} there with "
        f"`triptych data get {entry.name} --dir {root}`, or name another --data-dir"
    )


def _check_contents(entry: Entry, source: Source, progress: Progress) -> None:
    """Refuse a file that differs from the published one, where that is known to the bit."""
    known = {Path(remote.path).name: remote.sha256 for remote in entry.remote if remote.sha256}
    files = [path for several in source.files.values() for path in several if path.name in known]
    if not files:
        return
    for path, actual in zip(files, digests(files, progress), strict=True):
        if actual != known[path.name]:
            raise TriptychError(
                f"{path} is not the published file of {entry.name} (SHA-256 {actual[:12]}..., not "
                f"{known[path.name]:.12}...); delete it and `triptych data get {entry.name}`"
            )
