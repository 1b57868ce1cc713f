"""Folders of strangers with links, pipes and files without end in every place where Triptych reads or writes.

A blow is one command over one folder with one thing in one place, in a process of its own with little memory and time.
It must end by itself, done or with one sentence, and nothing around the folder may have changed or been told.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from attack import Blow
from forked import Ended, command

SECRET = "sparrow-4417"
"""What a file outside holds, and nobody may say."""

SECONDS, MEMORY = 60.0, 600_000_000
"""Of one command, and how much more than a command over the plain folder it may take."""

ENDLESS = 128_000_000_000
"""Bytes of a file that takes none of the disk."""

RUN = (
    *(
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "results.json",
        "DONE",
        "FAILED",
        ".lock",
    ),
    *("checkpoints", "checkpoints/last.safetensors", "checkpoints/best.safetensors"),
    *(
        "samples",
        "samples/samples.npz",
        "samples/moments",
        "samples/moments/00000001.png",
        "figures",
    ),
    *(
        "figures/samples.png",
        "figures/elbo-curve.png",
        "playable.json",
        "explore.html",
        "tensorboard",
    ),
    *("backbone.safetensors", "explore-figures", "anything"),
)
STUDY = (
    *(
        "study.toml",
        "study.json",
        "study.md",
        ".lock",
        "logs",
        "figures",
        "figures/study-curves.png",
    ),
    *("default", "default/seed-0", "default/seed-0/config.toml", "default/seed-0/metrics.jsonl"),
    *("default/seed-0/DONE", "default/seed-0/results.json", "default/seed-0/samples"),
    *("default/seed-0/checkpoints/last.safetensors", "slurm.json"),
)
REPRODUCTION = ("reproduce.json", ".lock", "report.html", "vae", "logs", "report-files")

RUNS: dict[str, list[str]] = {
    "runs": ["runs", "all"],
    "resume": ["train", "--resume", "all/run"],
    "evaluate": ["evaluate", "all/run", "--samples", "5"],
    "explore": ["explore", "all/run", "--open", "false"],
    "export": ["export", "all/run"],
    "report": ["report", "all/run", "--out", "out/page.html"],
    "compare": ["report", "--compare", "all/run", "all/other", "--out", "out/page.html"],
    "trust": ["trust", "all/run"],
}
STUDIES: dict[str, list[str]] = {
    "runs": ["runs", "study"],
    "study": ["study", "study"],
    "status": ["study", "study", "--status"],
    "study again": ["study", "arms.toml", "--out", "study"],
    "report": ["report", "study", "--out", "out/page.html"],
    "compare": ["report", "--compare", "study", "study", "--out", "out/page.html"],
    "trust": ["trust", "study"],
}
REPRODUCTIONS: dict[str, list[str]] = {
    "reproduce": ["reproduce", "--scale", "demo", "--out", "reproduction"],
    "runs": ["runs", "reproduction"],
}

STRANGE = {
    "a": (RUN, RUNS, "all/run"),
    "b": (STUDY, STUDIES, "study"),
    "c": (REPRODUCTION, REPRODUCTIONS, "reproduction"),
}

ARMS = """
[study]
name = "arms"
method = "vae"
preset = "demo"
metrics = ["valid/elbo"]
evaluate = false
seeds = [0]
control = "default"
[arms.default]
data.name = "digits.npy"
train.duration = "4 steps"
train.batch_size = 8
train.validate_every = "2 steps"
method.hidden = [4]
method.latent = 2
"""


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    """What is below a folder: kind, size and the last change of each, by name; links are not followed."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        about = path.lstat()
        found[str(path)] = (about.st_mode, about.st_size, about.st_mtime_ns, about.st_ino)
    return found


class Yard:
    """A run, a study and the beginning of a reproduction, and around them what nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.outside = self.folder / "outside"
        os.environ |= {
            "TRIPTYCH_CACHE": str(self.folder / "cache"),
            "HOME": str(self.outside / "home"),
            "OMP_NUM_THREADS": "1",
            "MPLCONFIGDIR": str(self.folder / "mpl"),
        }
        (self.outside / "home").mkdir(parents=True)
        (self.folder / "mpl").mkdir()
        for name in ("file", "home/.profile", "folder/00000001.png", "folder/a.npz"):
            (self.outside / name).parent.mkdir(exist_ok=True)
            (self.outside / name).write_text(f'{{"{SECRET}": 1}}\n')
        os.chdir(self.folder)
        draw = np.random.default_rng(0)
        np.save("digits.npy", draw.integers(0, 256, (60, 8, 8)).astype(np.uint8))
        Path("arms.toml").write_text(ARMS)
        small = ["--method.hidden", "4", "--method.latent", "2", "--batch-size", "8"]
        train = ["train", "vae", "--data", "digits.npy", "--steps", "4", *small]
        self.plainly([*train, "--out", "plain/all/run"])
        self.most = self.plainly(["evaluate", "plain/all/run", "--samples", "5"]).memory
        self.plainly(["explore", "plain/all/run", "--open", "false"])
        shutil.copytree("plain/all/run", "plain/all/other")
        self.plainly(["study", "arms.toml", "--out", "plain/study"])
        Path("plain/reproduction").mkdir()
        Path("plain/reproduction/reproduce.json").write_text(
            '{"plan": {}, "done": false, "calls": []}'
        )
        self.kept = everything(self.outside)

    def plainly(self, words: list[str]) -> Ended:
        """A command that must succeed."""
        ended = command(words).wait()
        if ended.code:
            raise RuntimeError(f"{words}: {ended.said}")
        return ended

    def fresh(self) -> None:
        """The folders as they were."""
        for name in ("all", "study", "reproduction", "out"):
            shutil.rmtree(name, ignore_errors=True)
        shutil.copytree("plain", ".", dirs_exist_ok=True)
        Path("out").mkdir()


def link_out(path: Path, yard: Yard) -> None:
    """To a file outside."""
    path.symlink_to(yard.outside / "file")


def link_to_folder(path: Path, yard: Yard) -> None:
    """To a folder outside."""
    path.symlink_to(yard.outside / "folder")


def link_to_zero(path: Path, yard: Yard) -> None:
    """To what never ends."""
    path.symlink_to("/dev/zero")


def link_to_nothing(path: Path, yard: Yard) -> None:
    """To what a write through it would make, outside."""
    path.symlink_to(yard.outside / "made")


def link_up(path: Path, yard: Yard) -> None:
    """To the folder above, over and over."""
    path.symlink_to("../" * 4)


def pipe(path: Path, yard: Yard) -> None:
    """That nobody writes to."""
    os.mkfifo(path)


def sparse(path: Path, yard: Yard) -> None:
    """A file of zeros that takes none of the disk."""
    with path.open("wb") as file:
        file.truncate(ENDLESS)


THINGS: dict[str, Callable[[Path, Yard], None]] = {
    make.__name__.replace("_", " "): make
    for make in (link_out, link_to_folder, link_to_zero, link_to_nothing, link_up, pipe, sparse)
}


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """One thing in one place after the other, under one command each, all equally often."""
    import torch

    # Before any of its threads: a child has none of them.
    torch.set_num_threads(1)
    for module in (
        "experiment",
        "verbs.functions",
        "reporting.page.page",
        "playable.export",
        "backbone",
    ):
        __import__(f"triptych.{module}")
    yard = Yard(folder)
    while True:
        places, commands, root = STRANGE[draw.choices("abc", (6, 4, 1))[0]]
        place, thing, verb = (
            draw.choice(places),
            draw.choice(list(THINGS)),
            draw.choice(list(commands)),
        )
        yard.fresh()
        path = Path(root) / place
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        THINGS[thing](path, yard)
        if verb == "resume" and place != "DONE":
            Path(root, "DONE").unlink(missing_ok=True)
        began = time.monotonic()
        ended = command(commands[verb]).wait(SECONDS)
        lost = wrong(ended, yard, path, thing, verb, time.monotonic() - began)
        where = f"{' '.join(commands[verb])} with {root}/{place}, {thing}: "
        yield Blow(verb, f"{where}{lost}" if lost else "")


def wrong(ended: Ended, yard: Yard, path: Path, thing: str, verb: str, seconds: float) -> str:
    """What a command did that it may not; empty where it did nothing of the kind."""
    # A command may leave pictures beside its pages.
    made = (path for path in Path("out").rglob("*.*") if path.is_file())
    pages = "".join(page.read_text(encoding="utf-8", errors="replace") for page in made)
    told = [line for line in ended.said.splitlines() if line.startswith("triptych: ")]
    named = str(path) in ended.said.replace("\n", "") or path.name in ended.said
    leads_out = thing.startswith("link") or thing == "pipe"
    if verb == "runs":
        # It looks into folders of runs alone.
        leads_out = leads_out and (path.parts[0] == "all" or "seed-0" in path.parts[:-1])
    passes = {
        "it ended by signal or took too long": ended.hangs or ended.code < 0,
        f"exit code {ended.code}: {ended.said[-300:]}": ended.code not in (0, 1, 2),
        f"a traceback: {ended.said[-300:]}": "Traceback" in ended.said,
        f"{len(told)} sentences: {ended.said[-300:]}": ended.code == 2 and len(told) != 1,
        "what is outside was told": SECRET in ended.said + pages,
        f"{ended.memory / 1e6:,.0f} MB": ended.memory > yard.most + MEMORY,
        f"{seconds:.0f} s": seconds > SECONDS,
        "something outside changed": everything(yard.outside) != yard.kept,
        f"nothing was said of it: {ended.said[-300:]}": leads_out and not named,
        "it went on": leads_out and verb != "runs" and ended.code != 2,
    }
    return "; ".join(said for said, so in passes.items() if so)
