"""What the product reads: sound files of every kind, each with how it is damaged and with what reads it."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import damage
import numpy as np
import specimens
import torch

from triptych import checkpoint, config, data, experiment, files, records, runs, weights
from triptych.cli.main import main
from triptych.data import cache, hashing, moments
from triptych.data.images import Decoder
from triptych.data.picture import Fit, try_decode
from triptych.data.readers import amat, arrays, idx, npy_format, part, roles, table
from triptych.data.sources import source_at
from triptych.errors import TriptychError, printable
from triptych.evaluation.representation import knn
from triptych.evaluation.samples.classifier import Classifier
from triptych.experiment.preparation import prepare
from triptych.experiment.trained import images_of, opened, weighted
from triptych.reporting import safe
from triptych.reporting.page import sections
from triptych.reporting.study.folder import StudyFolder
from triptych.reproduction import plan as reproductions
from triptych.reproduction import record
from triptych.runs import Result, Run
from triptych.studies import on_slurm, plan
from triptych.training import loop, optim, watch
from triptych.verbs import functions

__all__ = ["Target", "targets"]


class Target(NamedTuple):
    """A file of one kind."""

    name: str
    file: str
    """Where it is in a folder."""
    sound: Sequence[bytes]
    """What it may hold."""
    change: damage.Change
    read: Callable[[Path, random.Random], object]
    """Reads the folder's file as the product does."""
    base: Path
    """A folder whose other files belong to it."""
    ours: Sequence[Any] = ()
    """The modules of ours that parse it."""
    cost: int = 1
    """Of how many others it takes the time."""
    foreign: bool = False
    """Whether not even a sound one is to be read."""


def targets(folder: Path) -> list[Target]:
    """Every kind, with what belongs to it in a folder that is not changed any more."""
    return [*_data(folder / "data"), *_run(folder), *_studies(folder / "study")]


# Data.


def _data(base: Path) -> list[Target]:
    base.mkdir(parents=True)
    beside = _beside(base)
    npys = [
        damage.array_bytes(a)
        for a in (
            specimens.IMAGES,
            specimens.GREY,
            specimens.GREY / 255,
            specimens.GREY > 127,
            specimens.GREY.astype(">i4"),
        )
    ]
    npys.append(damage.array_bytes(np.asfortranarray(specimens.IMAGES), version=(2, 0)))
    numpy = (npy_format, arrays, roles, part)
    bits = b"".join(b"0 1 1 0 1 0 1 0 1\n" for _ in range(20))
    images, labels = (
        specimens.idx_bytes(specimens.GREY),
        specimens.idx_bytes(specimens.LABELS.astype(np.uint8)),
    )
    made = [
        Target("npy", "d.npy", npys, damage.array, _at("d.npy"), base, numpy),
        Target("npz", "d.npz", specimens.archives(), damage.archive, _at("d.npz"), base, numpy),
        Target("amat", "d.amat", [bits], damage.binary, _at("d.amat"), base, (amat, part)),
        Target(
            "idx", "d-idx3-ubyte", [images], damage.binary, _at("d-idx3-ubyte"), base, (idx, part)
        ),
        Target(
            *("idx.gz", "d-idx3-ubyte.gz", [gzip.compress(images)], damage.gzipped(damage.binary)),
            *(_at("d-idx3-ubyte.gz"), base, (idx, part)),
        ),
        Target(
            *("idx labels", "train-labels-idx1-ubyte", [labels], damage.binary),
            *(_at("."), beside["idx"], (idx, part)),
        ),
        Target("mat", "d.mat", specimens.mats(), damage.binary, _at("d.mat"), base, cost=20),
        Target(
            "parquet",
            "d.parquet",
            specimens.tables(),
            damage.columns,
            _at("d.parquet"),
            base,
            (table,),
            2,
        ),
    ]
    for suffix, (kind, modes) in specimens.PICTURES.items():
        name, sound = f"a/1.{suffix}", [specimens.picture(kind, mode) for mode in modes]
        made.append(Target(suffix, name, sound, damage.binary, _pictures(name), beside["images"]))
    sound = [specimens.picture(kind, "RGB") for kind in specimens.FOREIGN]
    made.append(
        Target(
            *("no image", "a/1.png", sound, damage.binary, _pictures("a/1.png"), beside["images"]),
            foreign=True,
        )
    )
    return made


def _beside(base: Path) -> dict[str, Path]:
    """Folders that hold more than the file that is damaged."""
    found = {name: base.with_name(f"data of {name}") for name in ("idx", "images")}
    found["idx"].mkdir()
    (found["idx"] / "train-images-idx3-ubyte").write_bytes(specimens.idx_bytes(specimens.GREY))
    for name in ("a", "b"):
        (found["images"] / name).mkdir(parents=True)
        (found["images"] / name / "0.png").write_bytes(specimens.picture("PNG", "RGB"))
    return found


def _at(name: str) -> Callable[[Path, random.Random], None]:
    """Reads what is at a path of the folder: blocks alone, or all that `triptych.data.load` does."""

    def read(folder: Path, draw: random.Random) -> None:
        path = folder / name
        # Seldom, since parsers that are not ours are given a process of their own there.
        if draw.random() < 0.01 and path.exists() and path.stat().st_size < 1 << 30:
            # Not of a hole of 128 GB: hashing it takes as long as hashing as much data does.
            _whole(path)
            return
        _blocks(path)

    return read


def _blocks(path: Path) -> None:
    try:
        source, decoder = source_at(path), Decoder(Fit())
        for split, paths in source.files.items():
            for _ in source.read(split, paths, decoder).blocks:
                pass
        decoder.finish(str(source.root))
        decoder.scale()
        decoder.notes()
    except OSError as error:
        # As `triptych.data.load` says them.
        raise TriptychError(f"cannot read or write the data ({error.strerror})") from error


def _whole(path: Path) -> None:
    found = data.load(data.DataConfig(str(path), holdout=0))
    shutil.rmtree(os.environ["TRIPTYCH_CACHE"], ignore_errors=True)
    for note in found.remarks:
        _printable(note)


def _pictures(name: str) -> Callable[[Path, random.Random], None]:
    """Reads one image, or the folder that it is in."""

    def read(folder: Path, draw: random.Random) -> None:
        if (folder / name).is_symlink() or not (folder / name).is_file() or draw.random() < 0.01:
            _at(".")(folder, draw)
            return
        fit = draw.choice((Fit(), Fit((5, 4)), Fit((4, 4), "grey"), Fit(None, "rgb")))
        with (folder / name).open("rb") as file:
            found = try_decode(file.read(1 << 20), fit)
        if isinstance(found, str):
            _printable(found)

    return read


# A run's folder.


class _Trained:
    """A run that was trained for a few steps, in a folder that is not changed any more."""

    def __init__(self, folder: Path) -> None:
        self.images, self.cache = folder / "images.npy", folder / "cache"
        np.save(self.images, np.random.default_rng(2).integers(0, 256, (60, 8, 8), dtype=np.uint8))
        os.environ["TRIPTYCH_CACHE"] = str(self.cache)
        asked = (
            {"hidden": [8], "latent": 2},
            {"batch_size": 8, "validate_every": "3 steps", "device": "cpu"},
        )
        self.run = functions.train(
            "vae",
            data=self.images,
            out=folder / "run",
            method=asked[0],
            steps=6,
            threads=1,
            **asked[1],
        )
        self.config = opened(self.run.path)[1]
        self.dataset = images_of(self.run, self.config)
        self.prepared, self.method, self.stream = prepare(self.config, self.dataset)
        self._fill()

    def _fill(self) -> None:
        """Give the folder what an evaluation and an export write."""
        run = Run(self.run.path, self.run.chosen())
        protocol = {"checkpoint": "best", "step": 6, "weights": "0a1b", "split": "test", "K": 20}
        protocol |= {"weights": run.chosen().digest, "fingerprint": self.dataset.fingerprint}
        run.record(
            {
                "test/elbo": Result(-200.5, 1.5, 12, protocol),
                "test/log_likelihood": Result(-190.0, None, 12, protocol, "few images"),
                "latent/active_units": Result({"active": 2, "kl": [0.5, 0.2]}, None, 12, protocol),
                "knn_top1": Result.left_out("no labels", protocol),
            }
        )
        run.save_arrays("samples", images=specimens.IMAGES.transpose(0, 3, 1, 2)[:, :1])
        run.save_moment(3, specimens.IMAGES.transpose(0, 3, 1, 2)[:4, :1])
        told = {
            "made_with": run.made_with.protocol(),
            "layers": [{"kind": "linear", "shape": [2, 8]}],
        }
        run.write("playable.json", json.dumps(told))
        files.write(run.path / "FAILED", "the term 'elbo' was not finite at step 3\n")
        place = self.cache / "floors" / "0f.json"
        place.parent.mkdir(parents=True)
        files.write(place, json.dumps({"data": "x", "pixels_knn_top1": 0.5, "k": 20}))
        told_by_hash = self.cache / "hashes" / "0f.json"
        told_by_hash.parent.mkdir(parents=True, exist_ok=True)
        files.write(told_by_hash, json.dumps(["0a", "0b"]))
        network = {
            checkpoint.WEIGHTS + k: v for k, v in Classifier((1, 8, 8), 2).state_dict().items()
        }
        (self.cache / "classifiers").mkdir()
        checkpoint.save(self.cache / "classifiers" / "0f.safetensors", network, {"recipe": 1})

    # What reads it, as the product does.

    def results(self, folder: Path, draw: random.Random) -> None:
        run = Run(folder)
        run.results(), run.recorded(), run.left_out(), run.doubt()
        found = functions.results(folder)
        _printable(repr(found))
        if draw.random() < 0.05:
            found._repr_html_()
            self.looked_at(folder, draw)

    def metrics(self, folder: Path, draw: random.Random) -> None:
        run = Run(folder)
        run.metrics(), run.alarms(), run.curve("train/elbo"), run.doubt()
        _printable(repr(run))
        if draw.random() < 0.05:
            run.frame()
            self.looked_at(folder, draw)

    def config_of(self, folder: Path, draw: random.Random) -> None:
        run = Run(folder)
        _printable(repr(run))
        tables = run.config
        for edit in run.edited():
            _printable(edit)
        experiment.ExperimentConfig.from_tables(tables, folder)
        if draw.random() < 0.05:
            self.looked_at(folder, draw)

    def environment(self, folder: Path, draw: random.Random) -> None:
        run = Run(folder)
        run.environment(), run.method()
        if draw.random() < 0.2:
            images_of(run, self.config)
        if draw.random() < 0.05:
            self.looked_at(folder, draw)

    def ended(self, folder: Path, draw: random.Random) -> None:
        run = Run(folder)
        run.status()
        _printable(run.reason())
        if draw.random() < 0.05:
            self.looked_at(folder, draw)

    def samples(self, folder: Path, draw: random.Random) -> None:
        if draw.random() < 0.3:
            # What a report asks first.
            safe.check(folder)
        Run(folder).left_out()
        Run(folder).arrays("samples")

    def moments_of(self, folder: Path, draw: random.Random) -> None:
        found = Run(folder).moments(2)
        for step in found:
            found[step]

    def playable(self, folder: Path, draw: random.Random) -> None:
        sections._playable(Run(folder))

    def checkpoint(self, which: str) -> Callable[[Path, random.Random], None]:
        """Loads it to measure it and, the last one, to train on."""

        def read(folder: Path, draw: random.Random) -> None:
            run = Run(folder)
            run.about(which), run.weights(which), run.doubt()
            if draw.random() < 0.02:
                self.looked_at(folder, draw)
            for edit in run.edited():
                _printable(edit)
            method, _ = weighted(run, self.config, torch.device("cpu"), which)
            for value in method.state_dict().values():
                if not value.isfinite().all():
                    raise AssertionError("weights that are not finite were taken")
            if which == "last":
                self.trained_on(run)

        return read

    def trained_on(self, run: Run) -> None:
        """Two more steps from the checkpoint, or as far as its step is from there."""
        duration = config.Duration(8, "steps")
        settings = self.prepared.train.__class__(
            **{**vars(self.prepared.train), "duration": duration}
        )
        state = loop.TrainState(self.method, self.stream, run)
        state.load()
        if state.step > 4:
            loop.fit(self.method, self.stream, settings, run, seed=0, resume=True)

    def classifier(self, folder: Path, draw: random.Random) -> None:
        from triptych.evaluation.samples import classifier

        classifier._load(Classifier((1, 8, 8), 2), folder / "classifiers" / "0f.safetensors")

    def cached(self, folder: Path, draw: random.Random) -> None:
        """The images once more, with this cache; what is damaged in it is made again."""
        os.environ["TRIPTYCH_CACHE"] = str(folder)
        found = data.load(self.config.data)
        data.kept(self.config.data, found.decoded)
        found.moments  # noqa: B018

    def floors(self, folder: Path, draw: random.Random) -> None:
        knn._kept(folder / "floors" / "0f.json")

    def hashes(self, folder: Path, draw: random.Random) -> None:
        hashing._remembered(folder / "hashes" / "0f.json", 2)

    def looked_at(self, folder: Path, draw: random.Random) -> None:
        """As a person looks: the table of runs, or a card."""
        if draw.random() < 0.5:
            _card(folder)
            return
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(["runs", str(folder)])
        if code not in (0, 2):
            raise AssertionError(f"triptych runs ended with {code}")
        _printable(said.getvalue().replace("\n", ""))


def _card(folder: Path) -> None:
    import triptych

    triptych.card(Run(folder))


def _printable(text: str) -> None:
    if "\n".join(map(printable, text.split("\n"))) != text:
        raise AssertionError(f"a terminal would obey {text[:200]!r}")


def _run(folder: Path) -> list[Target]:
    its = _Trained(folder)
    base, stored = its.run.path, its.cache
    shapes = (records, runs, weights, files)

    def of(
        name: str, change: damage.Change, read: Callable[[Path, random.Random], object], *ours: Any
    ) -> Target:
        costs = {"config.toml": 5, "checkpoints": 10}
        cost = costs.get(name.partition("/")[0], 1)
        return Target(
            name, name, [(base / name).read_bytes()], change, read, base, ours or shapes, cost
        )

    def kept(
        place: Path,
        change: damage.Change,
        read: Callable[[Path, random.Random], object],
        *ours: Any,
    ) -> Target:
        name = str(place.relative_to(stored))
        kind = f"cache/{place.name if place.parent.parent.name == 'decoded' else place.parent.name}"
        cost = 1 if kind == "cache/hashes" else 5
        return Target(kind, name, [place.read_bytes()], change, read, stored, ours, cost)

    decoded = next(stored.glob("decoded/*/meta.json")).parent
    return [
        of("results.json", damage.tree, its.results),
        of("metrics.jsonl", damage.lines, its.metrics),
        of("config.toml", damage.table, its.config_of),
        of("environment.json", damage.tree, its.environment),
        of("DONE", damage.tree, its.ended),
        of("FAILED", damage.binary, its.ended),
        of("samples/samples.npz", damage.described, its.samples),
        of("samples/moments/00000003.png", damage.binary, its.moments_of),
        of("playable.json", damage.tree, its.playable),
        of(
            "checkpoints/last.safetensors",
            damage.checkpoint,
            its.checkpoint("last"),
            checkpoint,
            optim,
            watch,
            weights,
            records,
        ),
        of(
            "checkpoints/best.safetensors",
            damage.checkpoint,
            its.checkpoint("best"),
            checkpoint,
            weights,
            records,
        ),
        kept(decoded / "meta.json", damage.tree, its.cached, cache),
        kept(decoded / "train.npy", damage.array, its.cached, cache),
        kept(decoded / "train.digests.npy", damage.array, its.cached, cache),
        kept(next(stored.glob("moments/*.json")), damage.tree, its.cached, moments),
        kept(stored / "floors" / "0f.json", damage.tree, its.floors, knn),
        kept(stored / "hashes" / "0f.json", damage.tree, its.hashes, hashing),
        kept(
            stored / "classifiers" / "0f.safetensors", damage.checkpoint, its.classifier, checkpoint
        ),
    ]


# A study's folder and a reproduction's.


PRESET = b"""
[data]
name = "mnist-5k"
binarize = "threshold"
[method]
hidden = [8, 8]
latent = 2
[train]
duration = "40 steps"
batch_size = 16
"""


def _studies(base: Path) -> list[Target]:
    base.mkdir()
    name = min(plan.presets.studies())
    study = plan.load(plan.find(name))
    plan.open_folder(base, study)
    for seed in (0, 1):
        Run.create(base / "default" / f"seed-{seed}", {"seed": seed, "method": {"name": "simsiam"}})
    summary = {"n": 2, "mean": 0.5, "stderr": 0.1, "values": {"0": 0.4, "1": 0.6}}
    difference = {"n": 2, "mean": 0.1, "stderr": None, "low": None, "high": None, "holm": None}
    found = {
        "study": name,
        "control": "default",
        "seeds": [0, 1],
        "curves": ["train/loss"],
        "arms": {
            arm: {
                "verdicts": {"learning": 1},
                "runs": {str(s): {"state": "done", "verdict": "x"} for s in (0, 1)},
            }
            for arm in ("default", "other")
        },
        "metrics": {
            "test/knn_top1": {
                "protocol": {"k": 200},
                "arms": {"default": summary, "other": summary},
                "differences": {"other": difference},
                "findings": ["undecided"],
            }
        },
    }
    files.write(base / "study.json", json.dumps(found))
    files.write(
        base / "slurm.json", json.dumps({"jobs": {"default/seed-0": "12_3", "other/seed-1": "7"}})
    )
    planned = reproductions.plan("demo")
    parts = {"vae": {"predicted": 3.5, "actual": 4.0}, "page": {"predicted": 1.0, "actual": None}}
    told = {"plan": planned.tables(), "done": False, "calls": [{"warm_up": 1.0, "parts": parts}]}
    files.write(base / record.RECORD, json.dumps(told))
    whole = files.read_bytes(base / "study.toml")

    def of(
        name: str, change: damage.Change, read: Callable[[Path, random.Random], object], *ours: Any
    ) -> Target:
        cost = 5 if name == "study.toml" else 1
        return Target(
            name, name, [files.read_bytes(base / name)], change, read, base, (records, *ours), cost
        )

    return [
        of("study.json", damage.tree, _study_found),
        of("study.toml", damage.table, partial(_study_planned, study), plan, config),
        of("slurm.json", damage.tree, lambda folder, draw: on_slurm.ids(folder), on_slurm),
        of(record.RECORD, damage.tree, partial(_reproduction, planned), record),
        Target("preset", "mine.toml", [PRESET], damage.table, _preset, base, (config,), 10),
        Target(
            "own study", "mine.toml", [whole], damage.table, _own_study, base, (plan, config), 10
        ),
    ]


def _study_found(folder: Path, draw: random.Random) -> None:
    found = StudyFolder(folder)
    for arm in found.arms:
        found.runs(arm), found.look(arm)
    _printable(found.protocol())


def _study_planned(study: plan.Study, folder: Path, draw: random.Random) -> None:
    plan.refuse_another(folder, study)
    for cell in plan.load(folder / "study.toml").cells():
        cell.path(folder)


def _reproduction(planned: reproductions.Plan, folder: Path, draw: random.Random) -> None:
    record.read_record(folder)
    record.refuse_another(planned, folder)
    record.Record(planned, folder)


def _preset(folder: Path, draw: random.Random) -> None:
    experiment.default_config("vae", folder / "mine.toml")


def _own_study(folder: Path, draw: random.Random) -> None:
    plan.load(folder / "mine.toml")
