"""Runs in processes of their own, so many at once; whoever stops them stops them in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from triptych.runs import Run
from triptych.studies.process import NO_ROOM, Process, last_words

__all__ = ["Pool", "Task"]

POLL = 0.5
"""Seconds between looks at the workers."""

PUT_BACK = "the card had no memory left beside other runs; it is tried again alone"
"""What is said of a run that waits for all others to end."""


class Task(NamedTuple):
    """A run that is to be done, who begins it, and where its process says what goes wrong."""

    path: Path
    log: Path
    begin: Callable[[], Process]
    settled: Callable[[], bool]
    """Whether it has an outcome."""


@dataclass
class Worker:
    """A process and the run that it works on."""

    task: Task
    process: Process
    accompanied: bool = False
    """Whether another run was at work beside it, be it for a moment."""


@dataclass
class Pool:
    """Tasks in their order, ``jobs`` at once.

    A run that finds no memory on its card while others are at work there has not failed: it is put back, and done
    alone after all others. What it comes to then is its own.
    """

    waiting: list[Task]
    jobs: int
    running: list[Worker] = field(default_factory=list)
    alone: list[Task] = field(default_factory=list)
    """Put back."""
    problems: dict[Path, str] = field(default_factory=dict)
    """What kept runs from an outcome."""

    def work(self, look: Callable[[], None]) -> bool:
        """Do all of them, and ``look`` twice a second; whether somebody stopped it, at complete checkpoints."""
        with ExitStack() as stack:
            stack.callback(_stop, self.running)
            try:
                while self.waiting or self.alone or self.running:
                    self._fill()
                    look()
                    time.sleep(POLL)
                    for worker in [w for w in self.running if w.process.poll() is not None]:
                        self.running.remove(worker)
                        worker.process.stop()
                        self._ended(worker)
                look()
            except KeyboardInterrupt:
                return True
        return False

    def busy(self) -> set[Path]:
        """The runs that are worked on just now."""
        return {worker.task.path for worker in self.running if worker.process.at_work}

    def put_back(self) -> dict[Path, str]:
        """The runs that wait to be alone, and why."""
        return {task.path: PUT_BACK for task in self.alone}

    def _fill(self) -> None:
        while self.waiting and len(self.running) < self.jobs:
            self._start(self.waiting.pop(0))
        if self.alone and not self.running:
            self._start(self.alone.pop(0))
        for worker in self.running:
            worker.accompanied |= len(self.running) > 1

    def _start(self, task: Task) -> None:
        task.log.parent.mkdir(exist_ok=True)
        self.running.append(Worker(task, task.begin()))

    def _ended(self, worker: Worker) -> None:
        task, code = worker.task, worker.process.poll()
        if code == NO_ROOM and worker.accompanied:
            self.alone.append(task)
            return
        if code == NO_ROOM and (task.path / "config.toml").exists() and not _trained(task.path):
            Run(task.path).finish("FAILED", last_words(task.log, code))
        # Code 1 or 2 of a run that is trained and measured: what comes after, its figures say.
        broke = code in (1, 2) and not (task.path / "FAILED").exists()
        if broke or not task.settled():
            self.problems[task.path] = last_words(task.log, code)


def _trained(run: Path) -> bool:
    return (run / "DONE").exists()


def _stop(running: list[Worker]) -> None:
    """Ask all to save and end, and wait; who interrupts the waiting ends them at once."""
    for worker in running:
        worker.process.stop()
    try:
        for worker in running:
            worker.process.wait()
    except KeyboardInterrupt:
        for worker in running:
            worker.process.kill()
        raise
