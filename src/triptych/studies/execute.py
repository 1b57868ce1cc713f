"""Runs of a study side by side, each in a process of its own; what is there already is not done again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from triptych import data as data_plane
from triptych import experiment
from triptych.environment import cores, device_for
from triptych.errors import TriptychError
from triptych.experiment import ExperimentConfig
from triptych.processes import stoppable
from triptych.progress import Progress, silent
from triptych.studies import on_ray, on_slurm
from triptych.studies.card import Coming, Crowd, forecast, on_card, share
from triptych.studies.forecast import Recorded
from triptych.studies.guard import alone
from triptych.studies.plan import FILE, Cell, Study, open_folder, refuse_another
from triptych.studies.pool import Pool, Task
from triptych.studies.process import Begin, Errand, begin
from triptych.studies.watch import Row, watch
from triptych.studies.where import HERE, Where
from triptych.studies.worker import settled, threads
from triptych.training.settings import TrainConfig

__all__ = [
    "Ended",
    "Say",
    "Show",
    "check",
    "coming",
    "default_jobs",
    "elsewhere",
    "errand",
    "execute",
    "problems_of",
    "tasks",
    "unfinished",
]

Show = Callable[[list[Row], float | None], None]
"""``show(rows, left)``: every run, and the seconds that are left if they can be told."""

Say = Callable[[float, Crowd | None, float], None]
"""``say(seconds, crowd, slowed)``: how long everything will take, and on a card how many runs it trains at once.

The seconds are those of free cores; while others work there as they did when it was timed, it takes ``slowed`` times as long.
"""

GUESSED = Recorded()
"""What is not timed of a run of a study whose seconds nobody recorded."""


class Ended(NamedTuple):
    """Whether somebody stopped the study, and what kept runs from an outcome."""

    stopped: bool
    problems: Mapping[Cell, str]
    submitted: str = ""
    """What became of runs that wait in a queue, in words: nothing of them is done yet."""


def unfinished(study: Study, folder: Path) -> list[Cell]:
    """The runs that have no outcome yet, in the order in which they are to be done."""
    return [c for c in study.cells() if not settled(c.path(folder), study.config.evaluate)]


def check(
    study: Study,
    cells: Iterable[Cell],
    data_dir: str | None = None,
    progress: Progress = silent,
    on: Where = HERE,
) -> None:
    """See that the data of these runs are there, that their methods can be built, and that both fit.

    Afterwards the decoded data lie in the cache, for all workers to share.

    Raises `TriptychError` that names the arm.
    """
    for arm in dict.fromkeys(cell.arm for cell in cells):
        config = study.arms[arm].at(data_dir)
        train = dataclasses.replace(elsewhere(config.train, on), threads=1)
        try:
            dataset = data_plane.load(config.data, progress=progress)
            experiment.prepare(dataclasses.replace(config, train=train), dataset)
        except TriptychError as error:
            raise TriptychError(f"arm '{arm}': {error}") from None


def elsewhere(settings: TrainConfig, on: Where = HERE) -> TrainConfig:
    """The same training on the CPU, to see whether it can begin: a context on the card would take memory of the runs.

    A run that is done ``on`` a cluster may ask for a card that this machine does not have. Where the CPU stands in for
    another processor, nothing is said of the precisions that it lacks.
    """
    far = on.kind != "here"
    device = "cuda" if far and settings.device == "cuda" else device_for(settings.device).type
    capture = "auto" if device == "cuda" else settings.capture
    dtype = "fp32" if far or device != "cpu" else settings.dtype
    return dataclasses.replace(settings, device="cpu", capture=capture, dtype=dtype)


def default_jobs(study: Study, room: int | None = None) -> int:
    """How many runs train at once if nobody measures it: one on a GPU, else as many as ``room`` cores hold (all without a number).

    Example:
        >>> from triptych import presets
        >>> from triptych.studies.plan import load
        >>> study = load(presets.studies()[max(presets.studies())])
        >>> default_jobs(study, room=3)
        3
    """
    trains = [config.train for config in study.arms.values()]
    if any(device_for(train.device).type != "cpu" for train in trains):
        return 1
    return max(1, (room or cores()) // max(threads(train) * train.devices for train in trains))


def execute(
    study: Study,
    folder: Path,
    *,
    jobs: int | None = None,
    data_dir: str | None = None,
    on: Where = HERE,
    show: Show = lambda rows, left: None,
    timing: Callable[[], None] = lambda: None,
    say: Say = lambda seconds, crowd, slowed: None,
) -> Ended:
    """Do all runs that have no outcome yet, ``jobs`` at once, those of a seed together, in the study's folder.

    On a card it is measured how many (`triptych.studies.card`), unless ``jobs`` says it, and how long it will take:
    ``timing`` is called before, ``say`` with it. A run that fails is an outcome. Ctrl-C and SIGTERM stop every worker at a
    complete checkpoint; the next call goes on from there, and so it does after any other death. On a Ray cluster
    the runs begin as it has room, at most ``jobs`` at once; on GPUs these are the runs that share one.

    Raises `TriptychError` for a folder with another study in it, and where another process works in it.
    """
    refuse_another(folder, study)
    if on.kind == "slurm":
        return _submit(study, folder, jobs, data_dir, on)
    if on.kind == "ray" and unfinished(study, folder):
        # Ray listens to SIGTERM in its own way, until `stoppable` does.
        with on_ray.connected(on, jobs) as cluster, alone(folder), stoppable():
            open_folder(folder, study)
            for config in study.arms.values():
                # As after a training here.
                experiment.copied(config)
            at_once = cluster.at_once(config.train.device for config in study.arms.values())
            return _work(study, folder, at_once, data_dir, show, begin=cluster.begin)
    with alone(folder), stoppable():
        open_folder(folder, study)
        to_do = [study.arms[cell.arm] for cell in unfinished(study, folder)]
        if not to_do or not on_card(to_do):
            return _work(study, folder, jobs or default_jobs(study), data_dir, show)
        try:
            timing()
            found = forecast(coming(study, folder), jobs, data_dir)
            say(found.left(), found.crowd, 1.0)
        except KeyboardInterrupt:
            return Ended(True, {})
        jobs = found.crowd.jobs
        return _work(study, folder, jobs, data_dir, show, share(jobs))


def _submit(study: Study, folder: Path, jobs: int | None, data_dir: str | None, on: Where) -> Ended:
    """`execute` in the queue of Slurm: nothing of it is done when this returns."""
    with alone(folder):
        open_folder(folder, study)
        for config in study.arms.values():
            # As after a training here.
            experiment.copied(config)
        # A job may have another current folder.
        whole = folder.absolute()
        errands = [errand(study, whole, cell, data_dir) for cell in unfinished(study, whole)]
        if not errands:
            return Ended(False, {})
        return Ended(False, {}, on_slurm.submit(study.config.name, errands, on, jobs))


def _work(
    study: Study,
    folder: Path,
    jobs: int,
    data_dir: str | None,
    show: Show,
    share: int = 0,
    begin: Begin = begin,
) -> Ended:
    """`execute` in a folder that nobody else works in."""
    pool = Pool(tasks(study, folder, data_dir, share, begin), jobs)
    began = time.monotonic()
    at_first = watch(study, folder, (), {})

    def look() -> None:
        rows = watch(study, folder, pool.busy(), pool.problems, pool.put_back())
        show(rows, _time_left(at_first, rows, time.monotonic() - began))

    stopped = pool.work(look)
    return Ended(stopped, problems_of(study, folder, pool))


def problems_of(study: Study, folder: Path, pool: Pool) -> dict[Cell, str]:
    """What kept runs of a study from an outcome."""
    cells = {cell.path(folder): cell for cell in study.cells()}
    return {cells[path]: why for path, why in pool.problems.items() if path in cells}


def coming(study: Study, folder: Path, recorded: Recorded = GUESSED) -> list[Coming]:
    """The runs that have no outcome yet as what a forecast is of."""
    here = recorded.beside_a_card()
    seconds = dataclasses.replace(
        here, measure=here.measure if study.config.evaluate else 0.0, draw=0.0
    )
    return [
        Coming(cell.path(folder), cell.arm, study.arms[cell.arm], seconds)
        for cell in unfinished(study, folder)
    ]


def tasks(
    study: Study, folder: Path, data_dir: str | None, share: int = 0, begin: Begin = begin
) -> list[Task]:
    """The runs that have no outcome yet as what a `Pool` does, each with its ``share`` of the cores, or its config's."""
    return [
        _task(study, folder, cell, data_dir, share, begin) for cell in unfinished(study, folder)
    ]


def _task(
    study: Study, folder: Path, cell: Cell, data_dir: str | None, share: int, begin: Begin
) -> Task:
    told, path = errand(study, folder, cell, data_dir, share), cell.path(folder)
    return Task(
        path, folder / told.log, lambda: begin(told), lambda: settled(path, study.config.evaluate)
    )


def errand(
    study: Study, folder: Path, cell: Cell, data_dir: str | None = None, share: int = 0
) -> Errand:
    """One run of a study as what a process is told; ``share`` of the cores is what it has where its config says none."""
    config = study.arms[cell.arm].at(data_dir)
    return Errand(
        folder,
        run=str(cell.path(folder).relative_to(folder)),
        log=cell.log,
        module="triptych.studies.worker",
        place="",
        words=(cell.arm, str(cell.seed), *_images(config)),
        reads=(FILE, *study.files()),
        threads=threads(config.train) * config.train.devices or share,
        device=config.train.device,
        devices=config.train.devices,
    )


def _images(config: ExperimentConfig) -> tuple[str, str]:
    """The mirror and the images of one's own as any process finds them, on whatever machine; empty where there is none."""
    try:
        data = config.anchored().data
    except TriptychError:
        # They are not there any more; the worker says so.
        return config.data.dir or "", ""
    return data.dir or "", data.name if data_plane.entry_for(data.name) is None else ""


def _time_left(before: list[Row], now: list[Row], seconds: float) -> float | None:
    """Seconds to the end at the pace since this study was begun or gone on with."""
    done = sum(row.share for row in now)
    gained = done - sum(row.share for row in before)
    return (len(now) - done) * seconds / gained if gained > 0.01 else None
