"""How fast this machine trains: some real steps of a config and the looks of its monitor, alone or side by side.

``python -m triptych.studies.pace`` times the arms of a study in a process of its own: it reads seconds and
configs, as a line of JSON, and writes the paces that it found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from triptych import data as data_plane
from triptych import experiment
from triptych.config import Duration
from triptych.data.spec import Dataset
from triptych.data.stream import Stream
from triptych.errors import TriptychError, printable
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import ExperimentConfig, default_config
from triptych.runs import Run
from triptych.source import copy_in
from triptych.studies.worker import threads
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.training.step import images_per_step
from triptych.types import Method, Moment

__all__ = ["Looks", "Pace", "Timer", "Trial", "time_arms", "time_steps", "told", "trial"]

SECONDS = 4.0
"""How long the steps of a warm-up take, about; timed from the first line of its log, half-way at the latest."""


class Looks(NamedTuple):
    """Seconds of the monitor's looks: before the first step, in the rhythm of the validation, at a landmark."""

    first: float
    due: float
    landmark: float


class Pace(NamedTuple):
    """What training costs here: seconds a step, seconds of the looks; and how many steps an epoch has.

    A step takes 0 seconds where the training broke at once: nothing that would follow takes any.
    """

    step: float
    looks: Looks
    per_epoch: float


def time_steps(
    config: ExperimentConfig, looks: Looks | None = None, seconds: float | None = None
) -> Pace:
    """Train for some seconds, in a folder that is thrown away, as the real training will.

    ``looks`` are those of the same networks on the same data, where they have been timed already; the steps take
    ``seconds``, `SECONDS` where none are given.

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
    tried = trial(config, dataset, path, Duration(count, "steps"), count // 2)
    timer, observe = tried.timer, tried.timer if watched else None
    try:
        ended = fit(*tried[:4], seed=config.seed, observe=observe)
    except TriptychError:
        # Its loss was not finite: the run will end as soon, and the report is to show it.
        return Pace(0.0, timer.looks(), tried.per_epoch), timer.looks()
    if ended == "interrupted":
        raise KeyboardInterrupt
    step = seconds_per_step(tried.run.metrics())
    return Pace(step, timer.looks(), tried.per_epoch), timer.looks()


class Trial(NamedTuple):
    """A training that is timed: what `fit` takes, the timer of its looks, and how many steps an epoch has."""

    method: Method
    stream: Stream
    train: TrainConfig
    run: Run
    timer: Timer
    per_epoch: float


def trial(
    config: ExperimentConfig, dataset: Dataset, path: Path, length: Duration, line: int
) -> Trial:
    """The training of a config for ``length`` into a new folder, with a line of the log every ``line`` steps at least."""
    # Prepared at its real length, which decides whether it is compiled.
    config, method, stream = experiment.prepare(config, dataset)
    train = dataclasses.replace(
        config.train,
        duration=length,
        validate_every=length,
        checkpoint_every=length,
        log_every=min(config.train.log_every, line),
    )
    run = Run.create(path, config.tables())
    timer = Timer(Monitor(Subject(method, dataset, config.data.binarize, stream.device), run))
    per_epoch = stream.batches_per_epoch / images_per_step(method.phases())
    return Trial(method, stream, train, run, timer, per_epoch)


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
        self.spent = 0.0
        """Seconds of all looks so far."""

    def __call__(self, moment: Moment) -> Mapping[str, float | str]:
        """What the monitor says."""
        began = time.perf_counter()
        found = self.monitor(moment)
        kind = "first" if moment.step == 0 else "due" if moment.due else "landmark"
        self.seconds[kind] = time.perf_counter() - began
        self.spent += self.seconds[kind]
        return found

    def looks(self) -> Looks:
        """Seconds of each kind; nothing for one that was not seen."""
        return Looks(*(self.seconds.get(kind, 0.0) for kind in Looks._fields))


def time_arms(
    arms: Mapping[str, ExperimentConfig], jobs: int, data_dir: str | None = None
) -> dict[str, Pace]:
    """The pace of every arm while ``jobs`` runs train at once; where these are more, arms are repeated.

    Raises `TriptychError` with the last words of a process that gave none.
    """
    found: dict[str, list[Pace]] = {name: [] for name in arms}
    with ExitStack() as stack:
        # All are started before any is waited for.
        begun = [
            (names, _start([arms[n] for n in names], data_dir, stack))
            for names in shares(list(arms), jobs)
        ]
        for names, process in begun:
            said, complaint = process.communicate()
            if process.returncode == 130:
                raise KeyboardInterrupt
            if process.returncode:
                last = (complaint.strip().splitlines() or [f"code {process.returncode}"])[-1]
                raise TriptychError(
                    f"the warm-up of {', '.join(names)} ended without times: {last}"
                )
            for name, values in zip(names, json.loads(said), strict=True):
                found[name].append(_pace(values))
    return {name: mean(paces) for name, paces in found.items()}


def shares(names: Sequence[str], jobs: int) -> list[list[str]]:
    """What each of ``jobs`` processes times: every arm by one at least.

    Example:
        >>> shares(["a", "b", "c"], 2), shares(["a", "b"], 5)
        ([['a', 'c'], ['b']], [['a'], ['b'], ['a'], ['b'], ['a']])
    """
    return [list(names[number % len(names) :: jobs]) for number in range(jobs)]


def mean(paces: Sequence[Pace]) -> Pace:
    """The mean of what several processes timed of one arm.

    Example:
        >>> mean([Pace(1.0, Looks(0.0, 2.0, 4.0), 9.0), Pace(3.0, Looks(0.0, 4.0, 4.0), 9.0)])
        Pace(step=2.0, looks=Looks(first=0.0, due=3.0, landmark=4.0), per_epoch=9.0)
    """
    looks = Looks(*(fmean(column) for column in zip(*(p.looks for p in paces), strict=True)))
    return Pace(fmean(p.step for p in paces), looks, paces[0].per_epoch)


def _start(
    configs: list[ExperimentConfig], data_dir: str | None, stack: ExitStack
) -> subprocess.Popen[str]:
    counts = [threads(config.train) for config in configs]
    tables = [_here(c, n, data_dir).tables() for c, n in zip(configs, counts, strict=True)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "triptych.studies.pace"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ({"OMP_NUM_THREADS": str(max(counts))} if all(counts) else {}),
        text=True,
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    # A line: all of them must begin before any is waited for, which ends their input.
    process.stdin.write(json.dumps([SECONDS, tables]) + "\n")
    process.stdin.flush()
    return process


def _here(config: ExperimentConfig, count: int, data_dir: str | None) -> ExperimentConfig:
    """The config as the arm's worker will train it."""
    train = dataclasses.replace(config.train, threads=count)
    return dataclasses.replace(config.at(data_dir), train=train)


def _pace(values: list[Any]) -> Pace:
    step, looks, per_epoch = values
    return Pace(step, Looks(*looks), per_epoch)


def told(tables: Mapping[str, Any], folder: Path | None = None) -> ExperimentConfig:
    """The config that whoever began this process has told it: a method's own file is executed as it was there.

    On another machine it is the copy in the ``folder`` that was sent along.
    """
    method = tables["method"]
    source = method.get("source", {})
    if source and not source.get("package"):
        default_config(copy_in(folder, method["name"]) if folder else source["file"])
    return ExperimentConfig.from_tables(tables, folder)


def main() -> int:
    """The exit code: 0, 2 for wrong input, 130 where it was asked to stop."""
    paces: list[Pace] = []
    try:
        seconds, configs = json.loads(sys.stdin.readline())
        for tables in configs:
            # Arms differ in their objective; what is looked at is the same.
            looks = paces[0].looks if paces else None
            paces.append(time_steps(told(tables), looks, seconds))
    except KeyboardInterrupt:
        return 130
    except TriptychError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    print(json.dumps(paces))
    return 0


if __name__ == "__main__":
    sys.exit(main())
