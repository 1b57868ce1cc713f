"""Folders changed as disks, editors and strangers change them: whoever reads them succeeds or says one sentence.

Each change follows from a number. A few of every kind are tried here; ``python torture hostile`` tries as many as one
likes, of more kinds, and this has the files of a whole reproduction and the verbs that look into it.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import pytest
from fewer import fewer

from triptych import checkpoint
from triptych.cli.main import main
from triptych.config import read_toml
from triptych.errors import TriptychError
from triptych.reporting.study.folder import read_study
from triptych.reproduction.record import read_record
from triptych.reproduction.reproduce import Outcome
from triptych.runs import Run

STUDY = "simsiam-ablation"

CHANGES: dict[str, damage.Change] = {
    "results.json": damage.tree,
    "environment.json": damage.tree,
    "playable.json": damage.tree,
    "study.json": damage.tree,
    "reproduce.json": damage.tree,
    "metrics.jsonl": damage.lines,
    "config.toml": damage.table,
    "study.toml": damage.table,
    "DONE": damage.binary,
    "checkpoints/last.safetensors": damage.checkpoint,
    "checkpoints/best.safetensors": damage.checkpoint,
    "samples": damage.archive,
}
"""How each file is changed; those in ``samples`` all alike."""


def read(folder: Path, name: str) -> None:
    """The file as its readers have it."""
    run = Run(folder)
    if name.startswith("samples/"):
        run.arrays(Path(name).stem)
    elif name.startswith("checkpoints/"):
        checkpoint.load(folder / name)
    else:
        readers: dict[str, Callable[[], Any]] = {
            "results.json": lambda: (run.results(), run.left_out()),
            "metrics.jsonl": lambda: (run.metrics(), run.alarms(), run.curve("train/elbo")),
            "config.toml": lambda: run.config,
            "DONE": run.reason,
            "study.json": lambda: read_study(folder / name),
            "study.toml": lambda: read_toml(folder / name),
            "reproduce.json": lambda: read_record(folder),
        }
        readers.get(name, lambda: None)()


FILES = [
    *(("vae", name) for name in ("results.json", "metrics.jsonl", "config.toml", "DONE")),
    *(("vae", f"checkpoints/{name}.safetensors") for name in ("last", "best")),
    *(("vae", f"samples/{name}.npz") for name in ("samples", "traversal")),
    *(("wgan", name) for name in ("results.json", "metrics.jsonl", "samples/coordinates.npz")),
    *((f"{STUDY}/default/seed-0", n) for n in ("results.json", "samples/feature-map.npz")),
    *((STUDY, "study.json"), (STUDY, "study.toml"), (".", "reproduce.json")),
]


@pytest.fixture(scope="module")
def folder(whole: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduction of one's own, to be spoiled."""
    return Path(shutil.copytree(whole.folder, tmp_path_factory.mktemp("spoiled") / "all"))


class Spoiled:
    """A file that is another for a while."""

    def __init__(self, path: Path, name: str, number: int) -> None:
        self.path, self.before = path, path.read_bytes()
        change = CHANGES["samples" if name.startswith("samples/") else name]
        self.after = change(self.before, random.Random(f"{name} {number}"))

    def __enter__(self) -> None:
        self.path.write_bytes(self.after)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.before)


@pytest.mark.parametrize(("part", "name"), FILES)
def test_a_file_of_any_content_is_read_or_refused_in_a_sentence(folder: Path, part: str, name: str):
    path, kinds = folder / part / name, Counter()
    for number in range(60):
        with Spoiled(path, name, number):
            try:
                read(folder / part, name)
                kinds["read"] += 1
            except TriptychError as error:
                said = str(error)
                named = str(path) in said and said.isprintable() and len(said) < 1000
                kinds["refused" if named else f"{said} ({number})"] += 1
            except Exception as error:
                kinds[f"{type(error).__name__}: {str(error)[:60]} ({number})"] += 1
    assert set(kinds) <= {"read", "refused"}
    assert kinds["refused"] or name == "DONE"


SIMSIAM = f"{STUDY}/default/seed-0"

COMMANDS: dict[str, tuple[list[str], list[tuple[str, str]], int]] = {
    "runs": (
        ["runs", "--root", "."],
        [("vae", n) for n in ("results.json", "metrics.jsonl", "config.toml", "DONE")],
        60,
    ),
    "report": (
        ["report", "PART", "--out", "out/page.html"],
        [file for file in FILES if "checkpoints" not in file[1] and file[0] not in (STUDY, ".")],
        4,
    ),
    "report of a study": (
        ["report", STUDY, "--out", "out/page.html"],
        [(STUDY, "study.json"), (STUDY, "study.toml"), (SIMSIAM, "metrics.jsonl")],
        2,
    ),
    "compare": (
        ["report", "--compare", "vae", "other", "--out", "out/page.html"],
        [("vae", "results.json"), ("vae", "metrics.jsonl")],
        1,
    ),
    "evaluate": (
        ["evaluate", "vae", "--samples", "5"],
        [file for file in FILES if file[0] == "vae"],
        3,
    ),
    "explore": (
        ["explore", "wgan", "--open", "false"],
        [file for file in FILES if file[0] == "wgan"],
        1,
    ),
    "export": (
        ["export", SIMSIAM, "--out", "backbone.safetensors"],
        [(SIMSIAM, n) for n in ("config.toml", "checkpoints/last.safetensors")],
        4,
    ),
    "resume": (
        ["train", "--resume", "vae"],
        [("vae", n) for n in ("config.toml", "metrics.jsonl", "checkpoints/last.safetensors")],
        24,
    ),
}
"""What is called, what of it is spoiled in turn, and how often."""


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_succeeds_or_says_one_sentence(
    whole: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, verb: str
):
    words, spoiled, times = COMMANDS[verb]
    for part in ("vae", "wgan", STUDY):
        shutil.copytree(whole.folder / part, tmp_path / part)
    shutil.copytree(whole.folder / "vae", tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    fewer(monkeypatch.setattr)
    kinds: Counter[str] = Counter()
    for number in range(times):
        part, name = spoiled[number % len(spoiled)]
        if verb == "resume":
            Path("vae/DONE").unlink(missing_ok=True)
        with Spoiled(Path(part, name), name, number):
            said = [word.replace("PART", part) for word in words]
            kinds[outcome(said, capsys, f"{part}/{name} {number}")] += 1
    assert set(kinds) <= {"done", "one sentence"}, kinds


def outcome(words: list[str], capsys: pytest.CaptureFixture[str], what: str) -> str:
    """How a command ended: done, with one sentence, or what else there was."""
    try:
        code = main(words)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]} ({what})"
    said = capsys.readouterr()
    if not (said.out + said.err).replace("\n", "").isprintable():
        return f"something that a terminal obeys ({what})"
    if code == 0:
        return "done"
    sentences = [line for line in said.err.splitlines() if line.startswith("triptych: ")]
    return "one sentence" if code == 2 and len(sentences) == 1 else f"{code}: {said.err} ({what})"
