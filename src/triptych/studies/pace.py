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
from triptych.environment import cores
from triptych.errors import TriptychError, printable
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import ExperimentConfig, default_config
from triptych.runs import Run
from triptych.source import copy_in
from triptych.studies.stopwatch import Looks, Marks, Timer, seconds_per_step
from triptych.studies.worker import threads
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.training.step import images_per_step
from triptych.types import Method

__all__ = [
    "Pace",
    "Trial",
    "time_arms",
    "time_run",
    "time_steps",
    "told",
    "trial",
]

SECONDS = 4.0
"""How long the steps of a warm-up take, about."""

WINDOWS = 8
"""Parts of a warm-up that are timed by themselves; the first, in which caches and allocators are cold, does not count."""


class Pace(NamedTuple):
    """What training costs here: seconds a step, seconds of the looks; and how many steps an epoch has.

    The seconds are those of free cores. A step takes 0 seconds where the training broke at once: nothing that
    would follow takes any.
    """

    step: float
    looks: Looks
    per_epoch: float
    slowed: float = 1.0
    """How many times as long it took while it was timed, since other programs had the cores."""

    def among(self, share: float) -> Pace:
        """The same among runs of one's own, so many for each core: they slow each other for as long as they train.

        Example:
            >>> Pace(1.0, Looks(2.0, 3.0, 0.0), 9.0, slowed=6.0).among(2.0)
            Pace(step=2.0, looks=Looks(first=4.0, due=6.0, landmark=0.0), per_epoch=9.0, slowed=3.0)
        """
        own = min(self.slowed, max(1.0, share))
        looks = Looks(*(seconds * own for seconds in self.looks))
        return Pace(self.step * own, looks, self.per_epoch, self.slowed / own)


def time_run(config: ExperimentConfig) -> Pace:
    """The pace of a run that trains by itself, here, on as many threads as it says or there are cores.

    Threads that wait for each other burn time of their own where others have the cores. Then the same is timed once
    more in a process whose threads sleep meanwhile, which in peace makes them slower.
    """
    found = time_steps(config)
    if found.slowed == 1.0:
        return found
    train = dataclasses.replace(config.train, threads=config.train.threads or cores())
    (again,) = time_arms({"": dataclasses.replace(config, train=train)}, 1, asleep=True).values()
    return again


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
        count = max(4, round((seconds or SECONDS) / max(rough.step * rough.slowed, 1e-4)))
        timed, _ = _steps(config, dataset, Path(folder) / "many", count, False)
    alone = Looks(*(taken / timed.slowed for taken in seen))
    return timed._replace(looks=looks or alone)


def _steps(
    config: ExperimentConfig, dataset: Dataset, path: Path, count: int, watched: bool
) -> tuple[Pace, Looks]:
    """The pace of so many steps, and of the looks at them if it is ``watched``."""
    window = max(1, count // WINDOWS)
    tried = trial(config, dataset, path, Duration(count, "steps"), window)
    timer, observe = tried.timer, tried.timer if watched else None
    marks = Marks(timer, window, tried.stream.device.type == "cpu")
    try:
        ended = fit(*tried[:4], seed=config.seed, observe=observe, display=marks)
    except TriptychError:
        # Its loss was not finite: the run will end as soon, and the report is to show it.
        return Pace(0.0, timer.looks(), tried.per_epoch), timer.looks()
    if ended == "interrupted":
        raise KeyboardInterrupt
    step, slowed = seconds_per_step(marks.made)
    return Pace(step, timer.looks(), tried.per_epoch, slowed), timer.looks()


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


def time_arms(
    arms: Mapping[str, ExperimentConfig],
    jobs: int,
    data_dir: str | None = None,
    *,
    asleep: bool = False,
) -> dict[str, Pace]:
    """The pace of every arm while ``jobs`` runs train at once; where these are more, arms are repeated.

    Threads of a run wait for each other as they will in the training, or ``asleep``. Raises `TriptychError` with the last words of a process that gave none.
    """
    found: dict[str, list[Pace]] = {name: [] for name in arms}
    with ExitStack() as stack:
        # All are started before any is waited for.
        begun = [
            (names, _start([arms[n] for n in names], data_dir, stack, asleep))
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
                share = jobs * max(1, threads(arms[name].train)) / cores()
                found[name].append(_pace(values).among(share))
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
        Pace(step=2.0, looks=Looks(first=0.0, due=3.0, landmark=4.0), per_epoch=9.0, slowed=1.0)
    """
    looks = Looks(*(fmean(column) for column in zip(*(p.looks for p in paces), strict=True)))
    slowed = fmean(p.slowed for p in paces)
    return Pace(fmean(p.step for p in paces), looks, paces[0].per_epoch, slowed)


def _start(
    configs: list[ExperimentConfig], data_dir: str | None, stack: ExitStack, asleep: bool
) -> subprocess.Popen[str]:
    counts = [threads(config.train) for config in configs]
    tables = [_here(c, n, data_dir).tables() for c, n in zip(configs, counts, strict=True)]
    env = dict(os.environ)
    if all(counts):
        env["OMP_NUM_THREADS"] = str(max(counts))
    if asleep:
        env["OMP_WAIT_POLICY"] = "PASSIVE"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "triptych.studies.pace"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
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
    step, looks, per_epoch, slowed = values
    return Pace(step, Looks(*looks), per_epoch, slowed)


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
    seen: dict[object, Looks] = {}
    try:
        seconds, configs = json.loads(sys.stdin.readline())
        for tables in configs:
            config = told(tables)
            # Arms of one method differ in their objective; what is looked at is the same.
            kind = config.method_name, config.data
            paces.append(time_steps(config, seen.get(kind), seconds))
            seen.setdefault(kind, paces[-1].looks)
    except KeyboardInterrupt:
        return 130
    except TriptychError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    print(json.dumps(paces))
    return 0


if __name__ == "__main__":
    sys.exit(main())
