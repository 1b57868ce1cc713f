"""SIGKILL anywhere in a training, study, reproduction, evaluation or report: what comes of it in the end is what would have without.

A command is killed after a drawn time, or at a drawn one of the calls that open, make, rename or remove a file, up to
sixteen times, and then let go on to its end. In between the folder is one that every reader can read, or not there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attack import Blow
from fewer import fewer
from forked import Fork, command, fork

from triptych import checkpoint
from triptych.cli.main import main
from triptych.runs import Run, list_runs

MINE = '''
from triptych.methods.vae import VAE

class Mine(VAE):
    """A VAE of one's own."""
'''

TRAIN = """
[train]
duration = "40 steps"
batch_size = 16
log_every = 5
validate_every = "20 steps"
checkpoint_every = "10 steps"
threads = 1
device = "cpu"
"""

PRESETS = {
    "vae": "[method]\nhidden = [8]\nlatent = 2\n",
    "mine": "[method]\nhidden = [8]\nlatent = 2\n",
    "wgan": "[method]\nwidth = 2\nlatent = 3\ncritic_steps = 1\n",
    "simsiam": '[method]\nwidth = 4\nprojector = [8]\npredictor_width = 4\ndepth = 10\nstem = "half"\n',
}

STUDY = """
[study]
method = "vae"
preset = "vae.toml"
seeds = [0]
metrics = ["valid/elbo"]
evaluate = false

[base]
data.name = "images.npz"

[arms.one]
[arms.other]
method.latent = 1
"""

SCALE = """
[panels.one]
method = "vae"
preset = "vae.toml"

[panels.two]
study = "study.toml"
"""

OFTEN = {"train": 15, "evaluate": 4, "evaluate wgan": 1, "report": 3, "study": 3, "reproduce": 1}
"""How often works are drawn, by their name or its first word; the slow ones seldom."""

CALLS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink")
"""Python's names for the calls at which a process may be killed."""


@dataclass
class Work:
    """One command in a folder of its own: how it is begun and gone on with, and what came of it."""

    name: str
    words: Callable[[Path], list[str | Path]]
    """The command, for a folder that may have something of it already; empty where nothing is left to do."""
    outcome: Callable[[Path], Any]
    """What it came to, without seconds; equal for equal work."""
    before: Callable[[Path], None] = lambda folder: None
    """Makes what has to be there."""
    whole: Any = None
    seconds: float = 0.0
    calls: int = 0
    known: bool = False


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """Kills without end."""
    torch.set_num_threads(1)
    os.environ["TRIPTYCH_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    fewer()
    _inputs(folder)
    works = list(_works(folder))
    often = [OFTEN.get(work.name, OFTEN[work.name.split()[0]]) for work in works]
    number = 0
    while True:
        work = draw.choices(works, often)[0]
        number += 1
        place = folder / f"try-{number}"
        if not work.known:
            _measure(work, folder / f"whole-{work.name.replace(' ', '-')}")
        kills, lost = _tried(work, place, draw)
        yield Blow(work.name, lost and f"{lost} (in {place})", kills)
        if not lost:
            shutil.rmtree(place)


def _inputs(folder: Path) -> None:
    """Images of 8×8 and 16×16 in three classes, presets, a study, a scale and a method of one's own."""
    chance = np.random.default_rng(0)
    labels = np.arange(120) % 3
    for name, side in (("images", 8), ("larger", 16)):
        images = chance.integers(0, 80, (120, side, side)) + 60 * labels[:, None, None]
        np.savez(folder / f"{name}.npz", images=images.astype(np.uint8), labels=labels)
    for name, text in PRESETS.items():
        (folder / f"{name}.toml").write_text(text + TRAIN)
    # A panel's images are its preset's.
    vae = folder / "vae.toml"
    vae.write_text(f'{vae.read_text()}\n[data]\nname = "{folder / "images.npz"}"\n')
    (folder / "mine.py").write_text(MINE)
    (folder / "study.toml").write_text(STUDY)
    (folder / "scale.toml").write_text(SCALE)


def _works(folder: Path) -> Iterator[Work]:
    for name in PRESETS:
        images = "larger.npz" if name == "wgan" else "images.npz"
        method = "mine.py" if name == "mine" else name

        def train(
            place: Path, method: str = method, name: str = name, images: str = images
        ) -> list:
            run = place / "run"
            if run.exists():
                return [] if Run(run).status() == "done" else ["train", "--resume", run]
            return ["train", method, "--preset", f"{name}.toml", "--data", images, "--out", run]

        yield Work(f"train {name}", train, lambda place: _trained(place / "run"))

        def trained(place: Path, train: Callable[[Path], list] = train) -> None:
            if _code(command(train(place)), place) != 0:
                raise RuntimeError((place / "log").read_text())

        yield Work(
            f"evaluate {name}",
            lambda place: ["evaluate", place / "run", "--samples", "4", "--threads", "1"],
            lambda place: _measured(place / "run"),
            _once(folder / f"trained-{name}", trained),
        )
        yield Work(
            f"report {name}",
            lambda place: ["report", place / "run", "--out", place / "page.html"],
            lambda place: (place / "page.html").read_text().endswith("</html>\n"),
            _once(folder / f"trained-{name}", trained),
        )
    yield Work(
        "study vae",
        lambda place: ["study", "study.toml", "--out", place / "study"],
        lambda place: (
            _table(place / "study" / "study.json"),
            [_trained(run.path) for run in list_runs(place / "study")],
        ),
    )
    yield Work(
        "reproduce vae",
        lambda place: ["reproduce", "--scale", "scale.toml", "--out", place / "all"],
        lambda place: (
            (place / "all" / "report.html").read_text().endswith("</html>\n"),
            [(_trained(run.path), _measured(run.path)) for run in list_runs(place / "all")],
        ),
    )


def _once(place: Path, make: Callable[[Path], None]) -> Callable[[Path], None]:
    """Makes a folder the first time, and copies what is in it every time."""

    def copy(target: Path) -> None:
        if not place.exists():
            place.mkdir()
            make(place)
        shutil.copytree(place, target, dirs_exist_ok=True)

    return copy


def _code(begun: Fork, place: Path) -> int | None:
    """Its exit code, none where it hangs; what it says is kept beside what it does."""
    ended = begun.wait()
    (place / "log").write_text(ended.said)
    return None if ended.hangs else ended.code


def _measure(work: Work, place: Path) -> None:
    """Do the work undisturbed: what it comes to, how long it takes, and how many calls there are to be killed at."""
    place.mkdir()
    work.before(place)
    words, told = work.words(place), place / "calls"

    def count() -> int:
        seen = _watched(lambda number: None)
        code = main([str(word) for word in words])
        told.write_text(str(seen[0]))
        return code

    began = time.monotonic()
    code = _code(fork(count), place)
    work.seconds = time.monotonic() - began
    if code != 0:
        raise RuntimeError(f"{work.name} ends with {code}: {(place / 'log').read_text()}")
    work.calls, work.whole, work.known = int(told.read_text()), work.outcome(place), True


def _watched(at: Callable[[int], None]) -> list[int]:
    """Have ``at`` called with the number of every call that opens, makes, renames or removes something here; gives the count."""
    seen, here, busy = [0], str(Path.cwd()), [False]

    def audit(event: str, arguments: tuple) -> None:
        if event in CALLS and not busy[0] and arguments and here in str(arguments[0]):
            busy[0] = True
            seen[0] += 1
            at(seen[0])
            busy[0] = False

    sys.addaudithook(audit)
    return seen


def _tried(work: Work, place: Path, draw: random.Random) -> tuple[int, str]:
    """Kill it some times, and let it end; how many kills there were, and what was lost."""
    place.mkdir()
    work.before(place)
    kills = 0
    for _ in range(draw.randint(1, 16)):
        before = work.words(place)
        if not before:
            break
        if draw.random() < 0.5:
            doomed = partial(_doomed, work, place, draw.randint(1, work.calls))
            code = _code(fork(doomed), place)
        else:
            code = _killed_after(work, place, draw.uniform(0, 1.1 * work.seconds))
        if code is None:
            return kills, f"{before} hangs"
        if code != -signal.SIGKILL:
            if code != 0:
                return kills, f"{before} ends with {code}: {_last(place)}"
            break
        kills += 1
        if why := _unreadable(place):
            return kills, f"after a kill of {before}: {why}"
    return kills, _end(work, place)


def _doomed(work: Work, place: Path, number: int) -> int:
    _watched(lambda seen: os.kill(os.getpid(), signal.SIGKILL) if seen == number else None)
    return main([str(word) for word in work.words(place)])


def _killed_after(work: Work, place: Path, seconds: float) -> int | None:
    begun = command(work.words(place))
    time.sleep(seconds)
    begun.kill()
    return _code(begun, place)


def _end(work: Work, place: Path) -> str:
    """Let it go on to its end; what was lost."""
    if words := work.words(place):
        # Processes that a killed one had begun save their runs, and hold them until then.
        code, tries = _code(command(words), place), 0
        while code == 2 and "another process" in _last(place) and tries < 60:
            time.sleep(0.5)
            code, tries = _code(command(words), place), tries + 1
        if code != 0:
            return f"{words} ends with {code}: {_last(place)}"
    try:
        found = work.outcome(place)
    except Exception as error:
        return f"the outcome cannot be read: {type(error).__name__}: {error}"
    if found != work.whole:
        return f"the outcome is {_first_difference(work.whole, found)}"
    left = [str(path) for path in place.rglob(".*triptych-*")]
    return f"left half-written: {', '.join(left)}" if left else ""


def _unreadable(place: Path) -> str:
    """What a reader of the folders that there are stumbles over."""
    try:
        for run in list_runs(place):
            (
                run.status(),
                run.config,
                run.environment(),
                run.metrics(),
                run.results(),
                run.left_out(),
            )
            for which in ("best", "last"):
                if run.checkpoint(which).exists():
                    checkpoint.load(run.checkpoint(which))
        page = place / "page.html"
        if page.exists() and not page.read_text().rstrip().endswith("</html>"):
            return "half a page"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _trained(run: Path) -> Any:
    """A training's log, without seconds, and its weights."""
    found = Run(run)
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in found.metrics()]
    weights = {which: found.weights(which) for which in ("best", "last")}
    return found.status(), found.reason(), lines, weights, sorted(found.environment())


def _measured(run: Path) -> Any:
    """What was measured, and the pictures that are kept."""
    found = Run(run)
    kept = {path.name: path.stat().st_size for path in sorted((run / "samples").glob("*.npz"))}
    return found.results(), found.left_out(), kept


def _table(path: Path) -> Any:
    return json.loads(path.read_text())


def _first_difference(whole: Any, found: Any, name: str = "") -> str:
    if isinstance(whole, (list, tuple)) and isinstance(found, (list, tuple)):
        for number, (one, other) in enumerate(zip(whole, found, strict=False)):
            if one != other:
                return _first_difference(one, other, f"{name}[{number}]")
        return f"{len(found)} long at {name} and not {len(whole)}"
    if isinstance(whole, dict) and isinstance(found, dict):
        for key in whole | found:
            if whole.get(key) != found.get(key):
                return _first_difference(whole.get(key), found.get(key), f"{name}.{key}")
    return f"{str(found)[:200]} at {name} and not {str(whole)[:200]}"


def _last(place: Path) -> str:
    return " | ".join((place / "log").read_text(errors="replace").strip().split("\n")[-2:])
