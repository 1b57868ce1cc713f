"""Two and more at once on a run, a cache, a study, a page, a download: each is done or says why not, and all files are whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from attack import Blow
from full import (
    HANGS,
    Command,
    Ready,
    carried_out,
    commands,
    harm,
    images,
    of_run,
    start,
    train,
)

from triptych.data.catalog import CATALOG, RemoteFile
from triptych.errors import TriptychError
from triptych.files import read_text
from triptych.runs import Run

GIVES_WAY = re.compile("another process|exists already|is done already")
"""What one says that leaves the work to the other."""

APART = 0.4
"""Seconds between two that begin at once, at most."""


class Group(NamedTuple):
    """Commands that are begun at once in one folder."""

    name: str
    command: Command
    others: Sequence[Sequence[str]] = ()
    """Other words than the command's; without any it is the same twice."""
    all_end: bool = True
    """Whether every one of them is to be done in the end, so that none gives way to another."""


def groups(data: str) -> list[Group]:
    """All, the quick ones first."""
    of = commands(data)
    valid = [*of["evaluate vae"].words, "--split", "valid"]
    resumed = ["train", "--resume", "run"]
    numbered = train("vae", "run", data)
    at = numbered.index("--out")
    numbered[at : at + 2] = ["--root", "runs"]
    get = ["data", "get", "binarized-mnist", "--dir", "mirror"]
    return [
        Group("decode", of["decode"]),
        Group("download", Command("download", get, of_mirror)),
        Group("resume", of["resume vae"], all_end=False),
        Group("train", of["train vae"], all_end=False),
        Group("train numbered", Command("train numbered", numbered, of_numbered)),
        Group("train cold", of["train cold"], all_end=False),
        Group("export", of["export"]),
        Group("study", of["study"], all_end=False),
        Group("explore", of["explore"]),
        Group("report", of["report"]),
        Group("evaluate", of["evaluate vae"], [valid]),
        Group(
            "evaluate beside training",
            dataclasses.replace(of["resume vae"], outcome=of_run("run")),
            [["evaluate", "run", "--samples", "8", "--threads", "1"], resumed],
            all_end=False,
        ),
    ]


def of_mirror(place: Path, _: object) -> object:
    """The files of a download."""
    return {path.name: path.read_bytes() for path in (place / "mirror").rglob("*.*")}


def of_numbered(place: Path, _: object) -> object:
    """What the runs have in common, which is everything."""
    runs = sorted((place / "runs").glob("*/config.toml"))
    found = [of_run(str(run.parent.relative_to(place)))(place, _) for run in runs]
    return found[0], all(one == found[0] for one in found)


def at_once(group: Group, ready: Ready, place: Path, draw: random.Random) -> str:
    """Begin them, look at what they write all the time, and see what they came to; what was lost."""
    first = group.command.again(place)
    words = [first, *(group.others or [first] * draw.choice([1, 1, 2]))]
    begun = []
    for each in words:
        begun.append(start(each, place))
        time.sleep(draw.uniform(0, APART))
    until, why = time.monotonic() + HANGS, ""
    while not all([one.over(begun=True) for one in begun]) and time.monotonic() < until and not why:
        why = half(place)
        time.sleep(0.01)
    ended = [one.wait(max(0.0, until - time.monotonic()), begun=True) for one in begun]
    if why:
        return f"a reader found half a file: {why}"
    for one in ended:
        if why := one.unsound():
            return why
        if one.code and (group.all_end or not GIVES_WAY.search(one.sentence)):
            return f"{one} was not done: {one.sentence}"
    if group.command.name.startswith(("resume", "train", "study")) and all(e.code for e in ended):
        return f"none of them was done: {[e.sentence for e in ended]}"
    done = next(e for e in ended if e.code == 0)
    if group.command.outcome(place, done) != alone(group, ready):
        return f"{' and '.join(map(str, ended))} came to something else than alone"
    return harm(place, {})


def alone(group: Group, ready: Ready) -> object:
    """What they come to one after the other."""
    if group.command.again(ready.folder / "before") != group.command.words or not group.others:
        return ready.comes_to
    place = ready.folder / "one by one"
    shutil.copytree(ready.folder / "before", place)
    ended = [carried_out(words, place) for words in (group.command.words, *group.others)]
    found = group.command.outcome(place, ended[0])
    shutil.rmtree(place)
    return found


def half(place: Path) -> str:
    """What a reader cannot read just now."""
    try:
        for config in place.rglob("config.toml"):
            if not any(part.startswith(".") for part in config.relative_to(place).parts):
                run = Run(config.parent)
                run.metrics(), run.results(), run.about("last"), run.environment(), run.config
        for page in place.rglob("*.html"):
            if not page.name.startswith(".") and not read_text(page).rstrip().endswith("</html>"):
                return str(page)
        for file in place.rglob("study.json"):
            json.loads(read_text(file))
    except FileNotFoundError:
        # Somebody's hidden file has taken its place since the folder was listed.
        return ""
    except (TriptychError, ValueError) as error:
        return str(error)
    return ""


@contextmanager
def served(folder: Path) -> Iterator[None]:
    """binarized-mnist, a small one, from a server on this machine, and in the catalogue of all that begin meanwhile."""
    folder.mkdir()
    rng, remote = np.random.default_rng(0), []
    counts = {"train": 400, "valid": 40, "test": 40}
    for split, count in counts.items():
        file = folder / f"binarized_mnist_{split}.amat"
        np.savetxt(file, rng.integers(0, 2, (count, 784)), "%d")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        remote.append((f"binarized_mnist/{file.name}", file.name, digest))
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    before = CATALOG["binarized-mnist"]
    try:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        address = f"http://127.0.0.1:{port[1]}"
        files = tuple(RemoteFile(path, f"{address}/{name}", sha) for path, name, sha in remote)
        CATALOG["binarized-mnist"] = dataclasses.replace(before, counts=counts, remote=files)
        yield
    finally:
        CATALOG["binarized-mnist"] = before
        server.terminate()
        server.wait()


def linked(place: Path, lock: Path, words: Sequence[str], how: Callable[[Path, Path], None]) -> str:
    """A command in a folder whose lock is a link to somebody's file: that must stay as it is."""
    precious = place.parent / "precious"
    precious.write_text("not to be emptied")
    path = place / lock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    how(path, precious)
    ended = carried_out(words, place)
    if precious.read_text() != "not to be emptied":
        return f"{ended} emptied what '{lock}' leads to"
    if why := ended.unsound():
        return why
    return "" if ended.code == 2 and str(lock) in ended.sentence else f"{ended}: {ended.said}"


LOCKS = {
    "resume": "run/.lock",
    "evaluate": "run/.results.lock",
    "study": "studies/mine/.lock",
    "train numbered": "runs/.lock",
}
"""The lock that a command takes, by its group's name."""

LINKS: dict[str, Callable[[Path, Path], None]] = {
    "a link": lambda lock, to: lock.symlink_to(to),
    "a hard link": lambda lock, to: lock.hardlink_to(to),
}


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """Each group in turn, begun at drawn moments, and what it takes for a lock as a link."""
    shared = folder / "shared"
    data = images(shared)
    kept = dict[str, Ready]()
    with served(folder / "served"):
        while True:
            for number, group in enumerate(groups(str(data))):
                if group.name not in kept:
                    kept[group.name] = Ready(group.command, folder / f"{number}", shared)
                ready, place = kept[group.name], folder / f"{number}" / "place"
                shutil.copytree(ready.folder / "before", place)
                lost = at_once(group, ready, place, draw)
                shutil.rmtree(place)
                yield Blow(group.name, lost)
                for kind in LINKS if group.name in LOCKS else ():
                    shutil.copytree(ready.folder / "before", place)
                    words = group.command.again(place)
                    lost = linked(place, Path(LOCKS[group.name]), words, LINKS[kind])
                    shutil.rmtree(place)
                    yield Blow(f"lock that is {kind}", lost)
