"""What the parts of `gpu.py` share: data and time, the rows of the table with their goals, and the ways of doing a step."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import card
from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, load
from triptych.data.catalog import CATALOG
from triptych.experiment import ExperimentConfig

Row = dict[str, Any]
"""One line of the table: ``what`` it is, its ``value`` and ``unit``; the rest is there where it was measured."""

SUBSTITUTES = {"svhn": "svhn-10k"}
"""What stands for a named data set that the mirror does not have."""

GOALS: dict[str, dict[str, float]] = {
    "vae/reference, fp32": {"most": 0.20, "times": 19},
    "wgan/reference, fp32": {"most": 4.5, "times": 10},
    "wgan/reference, bf16": {"most": 3.5, "times": 10},
    "simsiam/reference, bf16": {"most": 5.0, "times with views": 6},
    "simsiam/cifar-stem, bf16": {"most": 13.0},
    "simsiam/reference: a look": {"most": 0.1},
    "simsiam/reference: an evaluation": {"most": 10.0},
    "the reference report": {"most": 300.0},
    "simsiam/cifar-stem, 200 epochs": {"most": 300.0},
    "simsiam/cifar-stem, 200 epochs: kNN": {"least": 0.80},
}
"""What issue 14 asks for on one H100: in the unit of the row, and times the plain loop."""

FIRST = (
    "vae/reference",
    "wgan/reference",
    "simsiam/reference",
    "simsiam/cifar-stem",
)
"""The presets that goals are set for."""

ASKED = {"vae": "fp32", "wgan": "bf16", "simsiam": "bf16"}
"""The precision of each method in which it is to be fastest."""

MODES: dict[str, dict[str, str]] = {
    "eager": {"compile": "off", "capture": "off"},
    "captured": {"compile": "off", "capture": "on"},
    "compiled and captured": {"compile": "on", "capture": "on"},
}
"""How a step can be done."""

THIN: dict[str, dict[str, Any]] = {
    "vae": {},
    "wgan": {"width": 2, "latent": 2},
    "simsiam": {"width": 4, "projector": (16, 16)},
}
"""Networks for the script's test of itself."""


class OutOfTimeError(Exception):
    """No time is left."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` in what takes longer."""

    def over(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, over)
    if seconds != float("inf"):
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Bench:
    """What the parts share: where data come from and runs go, how much time there is, and the rows that are there."""

    data: Path
    work: Path
    out: Path
    miniature: bool
    whole: bool
    deadline: float
    rows: list[Row]

    def config(self, name: str) -> ExperimentConfig:
        """A preset, ``METHOD/PRESET``, on what the mirror has; in miniature thin, on some hundred embedded digits."""
        method, preset = name.split("/")
        config = experiment.default_config(method, preset)
        if config.train.dtype == "auto":
            # As a card decides it, so that rows are called the same in miniature.
            config = changed(config, dtype="bf16")
        if self.miniature:
            network = replace(config.method, **THIN[method])
            # A classifier of the classes, over which samples would be compared, takes minutes to train.
            digits = some_digits(self.work, labelled=method != "wgan")
            data = replace(config.data, name=str(digits))
            return changed(replace(config, method=network, data=data), batch_size=16)
        asked = config.data.name
        found = self.substitute(asked) or asked
        return replace(config, data=replace(config.data, name=found, dir=str(self.data)))

    def substitute(self, name: str) -> str | None:
        """What stands for a named data set; none where the mirror has it, or nothing in its place."""
        if name not in SUBSTITUTES or any((self.data / f).is_dir() for f in CATALOG[name].folders):
            return None
        other = self.data / SUBSTITUTES[name]
        return str(other) if other.is_dir() else None

    def left(self) -> float:
        """Seconds that are left."""
        return self.deadline - time.time()

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """A place for runs that nobody wants to keep."""
        self.work.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self.work)

    def value(self, what: str) -> float | None:
        """Of a row that an earlier part has measured."""
        return next((row["value"] for row in self.rows if row["what"] == what), None)

    def short(self, many: int, few: int = 2) -> int:
        """A number of steps, or what is enough in miniature."""
        return few if self.miniature else many


def some_digits(folder: Path, labelled: bool) -> Path:
    """Some hundred of the embedded digits as data of one's own."""
    path = folder / f"digits-{'with' if labelled else 'without'}-labels.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for split, count in (("train", 320), ("valid", 64), ("test", 64)):
            images = load(DataConfig("mnist-5k")).splits[split]
            every = len(images) // count
            arrays[f"{split}_images"] = images.pixels[::every][:count].squeeze(1)
            if labelled and images.labels is not None:
                arrays[f"{split}_labels"] = images.labels[::every][:count]
        np.savez(path, **arrays)
    return path


def row(what: str, value: float, unit: str, goal: str = "", **more: Any) -> Row:
    """One line, held against the goal of that name where there is one."""
    found: Row = {"what": what, "value": value, "unit": unit, **more}
    asked = GOALS.get(goal, {})
    if "most" in asked:
        found |= {"goal": f"≤ {asked['most']:g} {unit}", "reached": asked["most"] / value}
    if "least" in asked:
        found |= {"goal": f"≥ {asked['least']:g} {unit}", "reached": value / asked["least"]}
    for key, field in (("times", "plain"), ("times with views", "plain_with_views")):
        if key in asked and found.get(field):
            found["goal"] += f", ≥ {asked[key]:g} × {field.replace('_', ' ')}"
            found["times_reached"] = found[field] / asked[key]
    return found


def changed(config: ExperimentConfig, **wanted: Any) -> ExperimentConfig:
    """Another way of training."""
    return replace(config, train=replace(config.train, **wanted))


def in_mode(config: ExperimentConfig, mode: str) -> tuple[ExperimentConfig, str]:
    """A config whose step is done so, and what is to be said where it is not."""
    if mode == "eager":
        return changed(config, **MODES[mode]), ""
    if not card.CUDA:
        return changed(config, **MODES["eager"]), card.NO_CAPTURE
    return changed(config, **MODES[mode]), ""


def precisely(config: ExperimentConfig, precision: str) -> ExperimentConfig:
    """A config in ``fp32``, ``bf16`` or ``fp32 without TF32``."""
    return changed(config, dtype=precision.split()[0], tf32="without" not in precision)


def lasting(config: ExperimentConfig, steps: int, **changes: Any) -> ExperimentConfig:
    """The same for so many steps, looked at only at their end."""
    length = Duration(steps, "steps")
    words = {"duration": length, "validate_every": length, "checkpoint_every": length}
    return changed(config, **words, **changes)
