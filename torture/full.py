"""A full disk at every write of every command: a sentence with the file, nothing lost, nothing left, and it goes on.

Three disks: a tmpfs and an ext4 of its own with a drawn number of bytes left, where this machine lets somebody mount
them; and everywhere a folder below which, from a drawn write on, the system refuses every new file and all that does
not fit into one (`injected/sitecustomize.py`).
"""

from __future__ import annotations

import json
import os
import random
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import forked
import numpy as np
from attack import Blow
from forked import Ended, Fork
from safetensors import safe_open

from triptych import checkpoint
from triptych.errors import TriptychError
from triptych.files import read_text
from triptych.runs import Run

INJECTED = Path(__file__).parent / "injected"
"""A folder for PYTHONPATH: what makes a disk full, also for what a command begins."""

SIZE = 64_000_000
"""Bytes of a disk."""

HANGS = 600.0
"""Seconds of a command: the numbers of a generator take half a minute, and there may be other work."""

OURS = (".lock", ".results.lock")
"""Hidden files that stay."""

TINY = {
    "vae": ["--method.hidden", "8", "--method.latent", "3", "--method.likelihood", "logistic"],
    "wgan": ["--method.width", "4", "--method.latent", "4", "--method.critic-steps", "1"],
    "simsiam": ["--method.depth", "10", "--method.width", "4", "--method.projector", "16"],
}

STUDY = """
[study]
method = "vae"
seeds = [0, 1]
evaluate = false
metrics = ["valid/elbo"]
[base]
data.name = "{data}"
data.holdout = 20
train.duration = "4 steps"
train.batch_size = 8
train.device = "cpu"
train.threads = 1
method.hidden = [8]
method.likelihood = "logistic"
[arms.only]
"""

SCALE = """
[panels.one]
method = "vae"
preset = "tiny.toml"
evaluate = {{ samples = 8 }}
[panels.mine]
study = "mine.toml"
"""

PRESET = """
[data]
name = "{data}"
holdout = 20
[train]
duration = "4 steps"
batch_size = 8
device = "cpu"
threads = 1
[method]
hidden = [8]
likelihood = "logistic"
"""


def train(method: str, out: str, data: str, steps: int = 6) -> list[str]:
    """The words of a small training."""
    words = ["train", method, *TINY[method], "--data", data, "--holdout", "20", "--out", out]
    words += ["--steps", str(steps), "--batch-size", "8", "--validate-every", "2 steps"]
    words += ["--checkpoint-every", "2 steps", "--log-every", "1", "--device", "cpu"]
    return [*words, "--compile", "off", "--threads", "1"]


Outcome = Callable[[Path, Ended], object]


@dataclass(frozen=True)
class Command:
    """A command that is to meet a full disk."""

    name: str
    words: Sequence[str]
    outcome: Outcome
    """What it came to, equal for two that came to the same."""
    before: Sequence[Sequence[str]] = ()
    """What is done first, while there is room."""
    resumes: str = ""
    """The run that is gone on with afterwards, where there is one by then."""
    warm: bool = True
    """Whether the images are in the cache already."""

    def again(self, place: Path) -> Sequence[str]:
        """The command that goes on once there is room."""
        if self.resumes and (place / self.resumes / "config.toml").exists():
            return ["train", "--resume", self.resumes]
        return self.words


def of_run(name: str) -> Outcome:
    """The log without the clock, and the weights."""

    def found(place: Path, _: Ended) -> object:
        run = Run(place / name)
        lines = [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]
        return run.status(), lines, run.weights("last"), run.weights("best")

    return found


def of_results(name: str) -> Outcome:
    """What was measured, and which figures there are."""

    def found(place: Path, _: Ended) -> object:
        drawn = sorted(p.name for p in (place / name / "figures").iterdir())
        return {k: r.get("value") for k, r in Run(place / name).results().items()}, drawn

    return found


def of_export(name: str) -> Outcome:
    """The tensors of a file and what it says of them; in which order it says that, the format leaves open."""

    def found(place: Path, _: Ended) -> object:
        with safe_open(place / name, "numpy") as file:
            told = sorted(file.metadata().items())
            return told, {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118

    return found


def of_page(name: str) -> Outcome:
    """Whether a page is whole, and what else was written."""

    def found(place: Path, _: Ended) -> object:
        whole = read_text(place / name).rstrip().endswith("</html>")
        stem = Path(name).stem
        return whole, sorted(p.name for p in (place / name).parent.glob(f"{stem}*"))

    return found


def of_study(name: str) -> Outcome:
    """The numbers of a study, and those of its runs."""

    def found(place: Path, _: Ended) -> object:
        runs = sorted(p.parent for p in (place / name).glob("*/seed-*/config.toml"))
        numbers = json.loads(read_text(place / name / "study.json"))["metrics"]
        return numbers, [of_run(str(run.relative_to(place)))(place, _) for run in runs]

    return found


def commands(data: str) -> dict[str, Command]:
    """All, by name, the quick ones first."""
    trained = {method: train(method, "run", data) for method in TINY}
    evaluated = ["evaluate", "run", "--samples", "8", "--threads", "1"]
    found = [
        Command(
            "decode", ["data", "info", data], lambda _, e: e.said.splitlines()[-9:], warm=False
        ),
        Command("train cold", trained["vae"], of_run("run"), resumes="run", warm=False),
        Command("train vae", trained["vae"], of_run("run"), resumes="run"),
        Command("study", ["study", "mine.toml", "--jobs", "2"], of_study("studies/mine")),
        Command(
            "resume simsiam",
            trained["simsiam"],
            of_run("run"),
            resumes="run",
        ),
        Command("train wgan", trained["wgan"], of_run("run"), resumes="run"),
        Command(
            "export", ["export", "run"], of_export("run/backbone.safetensors"), [trained["simsiam"]]
        ),
        Command("train simsiam", trained["simsiam"], of_run("run"), resumes="run"),
        Command("resume vae", trained["vae"], of_run("run"), resumes="run"),
        Command(
            "explore",
            ["explore", "run", "--open", "false"],
            of_page("run/explore.html"),
            [trained["vae"]],
        ),
        Command("resume wgan", trained["wgan"], of_run("run"), resumes="run"),
        Command("evaluate vae", evaluated, of_results("run"), [trained["vae"]]),
        Command("report", ["report", "run"], of_page("report.html"), [trained["vae"], evaluated]),
        Command("evaluate simsiam", evaluated, of_results("run"), [trained["simsiam"]]),
        Command("evaluate wgan", evaluated, of_results("run"), [trained["wgan"]]),
        Command(
            "tensorboard", [*trained["vae"], "--log", "tensorboard"], of_run("run"), resumes="run"
        ),
        Command(
            "reproduce",
            ["reproduce", "--scale", "scale.toml", "--threads", "1", "--out", "again"],
            of_run("again/one"),
        ),
    ]
    return {command.name: command for command in found}


@dataclass
class Ready:
    """A command's folder before it, how many writes it makes and bytes it takes there, and what it comes to undisturbed."""

    command: Command
    folder: Path
    shared: Path
    """The images, and files that a command is told."""
    writes: int = field(init=False)
    room: int = field(init=False)
    comes_to: object = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        place, command = self.folder / "before", self.command
        for name in ("cache", "tmp"):
            (place / name).mkdir(parents=True)
        for file in self.shared.glob("*.toml"):
            shutil.copy(file, place)
        if command.warm:
            self._done(["data", "info", str(self.shared / "images.npz"), "--holdout", "20"], place)
        for words in command.before:
            self._done(words, place)
        done = self.folder / "undisturbed"
        shutil.copytree(place, done)
        began = _taken(done)
        ended = self._done(command.words, done)
        self.room = max(4096, _taken(done) - began)
        self.comes_to = command.outcome(done, ended)
        if command.name.startswith("resume"):
            # What goes on is a training that was stopped by a full disk itself, on its way.
            at = self.writes * 3 // 4
            late = carried_out(command.words, place, {"at": at, "room": 0, **self._mark()})
            if late.code != 2 or not Run(place / "run").weights("last"):
                raise RuntimeError(f"{late} did not stop on its way, at {at}: {late.said}")
            shutil.rmtree(done)
            shutil.copytree(place, done)
            self._done(command.again(place), done)
            if command.outcome(done, ended) != self.comes_to:
                raise RuntimeError(f"{command.name} comes to something else than undisturbed")
        shutil.rmtree(done)

    def _done(self, words: Sequence[str], place: Path) -> Ended:
        ended = carried_out(words, place, {"at": 0, "room": 0, **(mark := self._mark())})
        if ended.code:
            raise RuntimeError(f"undisturbed {ended} ended with {ended.code}: {ended.said}")
        self.writes = Path(f"{mark['mark']}.count").stat().st_size
        return ended

    def _mark(self) -> dict[str, str]:
        """A name that no process before has written down."""
        return {"mark": str(self.folder / f"mark-{len(list(self.folder.iterdir()))}")}


def _taken(place: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in place.rglob("*"))


def start(words: Sequence[str], place: Path, full: dict[str, Any] | None = None) -> Fork:
    """Begin a command in a place that is the disk for all that it writes; ``full`` is what `injected` is to know."""
    environment = {
        "TRIPTYCH_CACHE": str(place / "cache"),
        "TMPDIR": str(place / "tmp"),
        # What others keep for themselves is theirs.
        "TORCHINDUCTOR_CACHE_DIR": str(Path.home() / ".cache" / "torchinductor"),
        "MPLCONFIGDIR": str(Path.home() / ".cache" / "matplotlib"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
    }
    if full is None:
        return forked.command(words, place, environment)
    environment["PYTHONPATH"] = str(INJECTED)
    environment["FULL"] = json.dumps({"below": f"{place}/", **full})
    # Python imports it by itself when it begins, which a fork does not.
    return forked.command(
        words, place, environment, lambda: runpy.run_path(f"{INJECTED}/sitecustomize.py")
    )


def carried_out(words: Sequence[str], place: Path, full: dict[str, Any] | None = None) -> Ended:
    """What a command came to there, and all that it began."""
    return start(words, place, full).wait(HANGS, begun=True)


class Disk(NamedTuple):
    """A disk that is about to be full."""

    how: str
    full: dict[str, Any] | None
    make_room: Callable[[], None]


@contextmanager
def mounted(kind: str, place: Path) -> Iterator[bool]:
    """An empty disk of a kind at a place; whether this machine lets it be mounted."""
    place.mkdir(parents=True)
    image = place.with_suffix(".img")
    orders = [["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]]
    if kind == "ext4":
        with image.open("wb") as file:
            file.truncate(SIZE)
        orders = [
            # No blocks kept back for the one who tries this.
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)],
            ["mount", "-o", "loop", str(image), str(place)],
        ]
    try:
        yield all(shutil.which(words[0]) for words in orders) and all(
            subprocess.run(words, capture_output=True).returncode == 0 for words in orders
        )
    finally:
        if place.is_mount():
            subprocess.run(["umount", str(place)], check=True)
        image.unlink(missing_ok=True)
        shutil.rmtree(place)


@contextmanager
def disk(kind: str, ready: Ready, place: Path, draw: random.Random) -> Iterator[Disk | None]:
    """The folder before the command on a disk that is about to be full; none where it cannot be mounted."""
    if kind == "injected":
        shutil.copytree(ready.folder / "before", place)
        at, room = draw.randint(1, ready.writes), draw.choice([0, draw.randint(1, 20_000)])
        mark = ready._mark()
        try:
            yield Disk(
                f"at write {at} of {ready.writes} with {room} bytes left",
                {"at": at, "room": room, **mark},
                lambda: None,
            )
        finally:
            shutil.rmtree(place)
        return
    with mounted(kind, place) as there:
        if not there:
            yield None
            return
        shutil.copytree(ready.folder / "before", place, dirs_exist_ok=True)
        left, ballast = draw.randint(0, ready.room), place / "lost+found" / "ballast"
        ballast.parent.mkdir(exist_ok=True)
        with ballast.open("wb") as file:
            free = os.statvfs(place)
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
        yield Disk(f"with {left} bytes left of {ready.room}", None, ballast.unlink)


def struck(ready: Ready, place: Path, disk: Disk) -> str:
    """Let the command meet the full disk, then go on; what was lost."""
    command = ready.command
    told = held(place)
    # What is on its way already is gone on with.
    words = command.again(place)
    ended = carried_out(words, place, disk.full)
    disk.make_room()
    if why := ended.unsound():
        return why
    if ended.code == 0 and command.outcome(place, ended) != ready.comes_to:
        return f"{ended} says that it is done, and is not: {ended.said[-1500:]}"
    if ended.code and not re.search(r"'[^']+'", ended.sentence):
        return f"{ended} names no file: {ended.sentence}"
    if why := harm(place, told):
        return f"{ended} {why}, after: {ended.sentence}"
    if ended.code:
        again = carried_out(command.again(place), place)
        if again.code:
            return f"{again} does not go on: {again.said[-1500:]}, after: {ended.sentence}"
        if command.outcome(place, again) != ready.comes_to:
            return f"{again} comes to something else than undisturbed, after: {ended.sentence}"
    return ""


def held(place: Path) -> dict[Path, Any]:
    """What the runs there have: how far they are, and what was measured."""
    runs = {path.parent for path in place.rglob("config.toml")}
    return {run: (Run(run).about("last").get("step", -1), Run(run).results()) for run in runs}


def harm(place: Path, told: dict[Path, Any]) -> str:
    """What is not as it was, not whole, or should not be there; empty where all is well."""
    left = [
        path
        for path in place.rglob(".*")
        if path.name not in OURS and "lost+found" not in path.parts
    ]
    left += [path for path in (place / "tmp").iterdir()]
    if left:
        return f"left {', '.join(str(path.relative_to(place)) for path in left)}"
    if failed := list(place.rglob("FAILED")):
        return f"called it the run's failure: {failed[0].read_text()}"
    try:
        now = held(place)
        for run in now:
            Run(run).metrics()
            for path in (run / "checkpoints").iterdir():
                checkpoint.load(path)
        for path in place.rglob("*.json"):
            json.loads(path.read_text())
    except (TriptychError, OSError, ValueError) as error:
        return f"left what cannot be read: {error}"
    for run, (step, results) in told.items():
        if run not in now or now[run][0] < step:
            return f"lost the weights of step {step} of {run.name}"
        if not results.items() <= now[run][1].items():
            return f"lost what was measured of {run.name}"
    return ""


def images(shared: Path) -> Path:
    """A few images in a folder of their own, and the files that name them; returns theirs."""
    shared.mkdir()
    rng, data = np.random.default_rng(0), shared / "images.npz"
    x, y = rng.integers(0, 255, (96, 16, 16), dtype=np.uint8), np.arange(96) % 2
    np.savez(data, x_train=x[:72], y_train=y[:72], x_test=x[72:], y_test=y[72:])
    for name, text in {"mine": STUDY, "scale": SCALE, "tiny": PRESET}.items():
        (shared / f"{name}.toml").write_text(text.format(data=data))
    return data


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """Each command in turn on a disk of a drawn kind that gets full at a drawn place."""
    shared = folder / "shared"
    data = images(shared)
    kept = dict[str, Ready]()
    while True:
        for number, command in enumerate(commands(str(data)).values()):
            ready = kept.get(command.name) or Ready(command, folder / f"{number}", shared)
            kept[command.name] = ready
            kind, place = draw.choice(["injected", "tmpfs", "ext4"]), folder / f"{number}" / "disk"
            with disk(kind, ready, place, draw) as found:
                lost = struck(ready, place, found) if found else ""
            if found is None:
                # This machine lets nobody mount a disk; where the writes fail in another way, it can always be tried.
                kind = "injected"
                with disk(kind, ready, place, draw) as found:
                    lost = struck(ready, place, found)
            yield Blow(f"{command.name}, {kind}", f"{lost} ({found.how})" if lost else "")
