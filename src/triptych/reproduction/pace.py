"""How fast this machine trains: a few real steps of a config, and one look of its monitor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from triptych import data as data_plane
from triptych import experiment
from triptych.config import Duration
from triptych.data.spec import Dataset
from triptych.errors import TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import ExperimentConfig
from triptych.runs import Run
from triptych.training.loop import fit, images_per_step
from triptych.types import Moment

__all__ = ["Looks", "Pace", "warm_up"]

SECONDS = 4.0
"""How long the steps of a warm-up take, about; timed from the first line of its log, half-way at the latest."""


class Looks(NamedTuple):
    """Seconds of the monitor's looks: before the first step, in the rhythm of the validation, at a landmark."""

    first: float
    due: float
    landmark: float


class Pace(NamedTuple):
    """What training costs here: seconds a step, seconds of the looks; and how many steps an epoch has.

    A step takes no time where the training broke at once, and so does all that would follow.
    """

    step: float
    looks: Looks
    per_epoch: float


def warm_up(config: ExperimentConfig, looks: Looks | None = None, seconds: float = SECONDS) -> Pace:
    """Train for some seconds, in a folder that is thrown away, as the real training will.

    ``looks`` are those of the same networks on the same data, where they have been timed already.

    Raises `TriptychError` where data and method do not fit, and KeyboardInterrupt when it is asked to stop.
    """
    dataset = data_plane.load(config.data)
    with TemporaryDirectory() as folder:
        # The second of two steps: the first one compiles and allocates.
        rough, seen = _steps(config, dataset, Path(folder) / "two", 2, looks is None)
        count = max(4, round((seconds or SECONDS) / max(rough.step, 1e-4)))
        timed, _ = _steps(config, dataset, Path(folder) / "many", count, False)
    return timed._replace(looks=looks or seen)


def _steps(
    config: ExperimentConfig, dataset: Dataset, path: Path, count: int, watched: bool
) -> tuple[Pace, Looks]:
    """The pace of so many steps, and of the looks at them if it is ``watched``."""
    # Prepared at its real length, which decides whether it is compiled.
    config, method, stream = experiment.prepare(config, dataset)
    whole = Duration(count, "steps")
    train = dataclasses.replace(
        config.train,
        duration=whole,
        validate_every=whole,
        checkpoint_every=whole,
        log_every=min(config.train.log_every, count // 2),
    )
    run = Run.create(path, config.tables())
    timer = Timer(Monitor(Subject(method, dataset, config.data.binarize, stream.device), run))
    observe = timer if watched else None
    per_epoch = stream.batches_per_epoch / images_per_step(method.phases())
    try:
        ended = fit(method, stream, train, run, seed=config.seed, observe=observe)
    except TriptychError:
        # Its loss was not finite: the run will end as soon, and the report is to show it.
        return Pace(0.0, timer.looks(), per_epoch), timer.looks()
    if ended == "interrupted":
        raise KeyboardInterrupt
    return Pace(seconds_per_step(run.metrics()), timer.looks(), per_epoch), timer.looks()


def seconds_per_step(lines: Sequence[Mapping[str, Any]]) -> float:
    """Between the first and the last line of a log that tell of training.

    Example:
        >>> look = {"step": 0, "seconds": 0.0, "valid/elbo": -540.0}
        >>> logged = [{"step": 2, "seconds": 9.0, "train/kl": 1}, {"step": 6, "seconds": 11.0, "train/kl": 1}]
        >>> seconds_per_step([look, *logged])
        0.5
    """
    told = [line for line in lines if any(key.startswith("train/") for key in line)]
    began, ended = told[0], told[-1]
    return float((ended["seconds"] - began["seconds"]) / (ended["step"] - began["step"]))


class Timer:
    """A monitor that remembers how long each kind of look took last."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.seconds: dict[str, float] = {}

    def __call__(self, moment: Moment) -> Mapping[str, float | str]:
        """What the monitor says."""
        began = time.perf_counter()
        found = self.monitor(moment)
        kind = "first" if moment.step == 0 else "due" if moment.due else "landmark"
        self.seconds[kind] = time.perf_counter() - began
        return found

    def looks(self) -> Looks:
        """Seconds of each kind; nothing for one that was not seen."""
        return Looks(*(self.seconds.get(kind, 0.0) for kind in Looks._fields))
