"""Runs of a study side by side, each in a process of its own; what is there already is not done again."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from triptych import data as data_plane
from triptych import experiment
from triptych.environment import cores, device_for
from triptych.errors import TriptychError
from triptych.progress import Progress, silent
from triptych.studies.guard import alone, stoppable
from triptych.studies.plan import Cell, Study, open_folder, refuse_another
from triptych.studies.watch import Row, watch
from triptych.studies.worker import settled, threads

__all__ = ["Ended", "Show", "check", "default_jobs", "execute", "unfinished"]

POLL = 0.5
"""Seconds between looks at the workers."""

Show = Callable[[list[Row], float | None], None]
"""``show(rows, left)``: every run, and the seconds that are left if they can be told."""


class Ended(NamedTuple):
    """Whether somebody stopped the study, and what kept runs from an outcome."""

    stopped: bool
    problems: Mapping[Cell, str]


class Worker(NamedTuple):
    """A process and the run that it works on."""

    cell: Cell
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Ask it to save and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def unfinished(study: Study, folder: Path) -> list[Cell]:
    """The runs that have no outcome yet, in the order in which they are to be done."""
    return [c for c in study.cells() if not settled(c.path(folder), study.config.evaluate)]


def check(
    study: Study,
    cells: Iterable[Cell],
    data_dir: str | None = None,
    progress: Progress = silent,
) -> None:
    """See that the data of these runs are there, that their methods can be built, and that both fit.

    Afterwards the decoded data lie in the cache, for all workers to share.

    Raises `TriptychError` that names the arm.
    """
    for arm in dict.fromkeys(cell.arm for cell in cells):
        config = study.arms[arm].at(data_dir)
        train = dataclasses.replace(config.train, device="cpu", threads=1)
        try:
            dataset = data_plane.load(config.data, progress=progress)
            experiment.prepare(dataclasses.replace(config, train=train), dataset)
        except TriptychError as error:
            raise TriptychError(f"arm '{arm}': {error}") from None


def default_jobs(study: Study, room: int | None = None) -> int:
    """As many runs at once as ``room`` cores hold, all that there are without a number; one on a GPU.

    Example:
        >>> from triptych import presets
        >>> from triptych.studies.plan import load
        >>> study = load(next(iter(presets.studies().values())))
        >>> default_jobs(study, room=3)
        3
    """
    trains = [config.train for config in study.arms.values()]
    if any(device_for(train.device).type != "cpu" for train in trains):
        return 1
    return max(1, (room or cores()) // max(map(threads, trains)))


def execute(
    study: Study,
    folder: Path,
    *,
    jobs: int | None = None,
    data_dir: str | None = None,
    show: Show = lambda rows, left: None,
) -> Ended:
    """Do all runs that have no outcome yet, ``jobs`` at once, those of a seed together, in the study's folder.

    A run that fails is an outcome. Ctrl-C and SIGTERM stop every worker at a complete
    checkpoint; the next call goes on from there, and so it does after any other death.

    Raises `TriptychError` for a folder with another study in it, and where another process works in it.
    """
    jobs = jobs or default_jobs(study)
    refuse_another(folder, study)
    with alone(folder), stoppable():
        open_folder(folder, study)
        return _work(study, folder, jobs, data_dir, show)


def _work(study: Study, folder: Path, jobs: int, data_dir: str | None, show: Show) -> Ended:
    """`execute` in a folder that nobody else works in."""
    waiting = unfinished(study, folder)
    problems: dict[Cell, str] = {}
    running: list[Worker] = []
    began = time.monotonic()
    at_first = watch(study, folder, (), problems)

    def look() -> None:
        rows = watch(study, folder, [w.cell for w in running], problems)
        show(rows, _time_left(at_first, rows, time.monotonic() - began))

    with ExitStack() as stack:
        stack.callback(_stop, running)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(study, folder, waiting.pop(0), data_dir))
                look()
                time.sleep(POLL)
                for worker in [w for w in running if w.process.poll() is not None]:
                    running.remove(worker)
                    worker.stop()
                    if not settled(worker.cell.path(folder), study.config.evaluate):
                        problems[worker.cell] = _last_words(folder, worker)
            look()
        except KeyboardInterrupt:
            return Ended(True, problems)
    return Ended(False, problems)


def _start(study: Study, folder: Path, cell: Cell, data_dir: str | None) -> Worker:
    log = _log(folder, cell)
    log.parent.mkdir(exist_ok=True)
    # -P: a user's own file beside the study must not be imported for one of ours.
    command = [
        sys.executable,
        "-P",
        "-m",
        "triptych.studies.worker",
        str(folder),
        cell.arm,
        str(cell.seed),
    ]
    count = threads(study.arms[cell.arm].train)
    with log.open("ab") as said:
        process = subprocess.Popen(
            command + ([] if data_dir is None else [data_dir]),
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            # Libraries that the config does not reach keep to the run's share of the cores too.
            env=os.environ | ({"OMP_NUM_THREADS": str(count)} if count else {}),
            # Ctrl-C in the terminal is for the study, which tells its workers in order.
            start_new_session=True,
        )
    return Worker(cell, process)


def _log(folder: Path, cell: Cell) -> Path:
    return folder / "logs" / f"{cell.arm}-seed-{cell.seed}.log"


def _last_words(folder: Path, worker: Worker) -> str:
    """Why a worker ended without an outcome: the last line of its log."""
    code = worker.process.returncode
    if code < 0:
        return f"its process was ended by signal {-code} (out of memory, perhaps)"
    lines = _log(folder, worker.cell).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"it ended with code {code}")


def _stop(running: list[Worker]) -> None:
    """Ask all to save and end, and wait; who interrupts the waiting ends them at once."""
    for worker in running:
        worker.stop()
    try:
        for worker in running:
            worker.process.wait()
    except KeyboardInterrupt:
        for worker in running:
            worker.process.kill()
        raise


def _time_left(before: list[Row], now: list[Row], seconds: float) -> float | None:
    """Seconds to the end at the pace since this study was begun or gone on with."""
    done = sum(row.share for row in now)
    gained = done - sum(row.share for row in before)
    return (len(now) - done) * seconds / gained if gained > 0.01 else None
