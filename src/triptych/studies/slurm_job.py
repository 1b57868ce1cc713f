"""A job of Slurm: one run in a process of its own, stopped at a complete checkpoint before the job's time is over.

Every job imports this, and computes nothing itself: it stays light.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from triptych.errors import TriptychError, printable
from triptych.processes import Child
from triptych.runs import Run
from triptych.studies.process import NO_ROOM, STOPPED, Errand, begin, last_words

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

__all__ = ["Job", "Queued", "queue", "saving"]

PATIENCE = 0.75
"""The share of the seconds `saving` for which a run may save; one that takes longer goes on from the checkpoint before."""

ENDED_BY_SLURM = (STOPPED, -signal.SIGTERM)
"""Exit codes of a process that nobody here told to stop."""

WAITS = 60.0
"""Seconds for which Slurm may take to answer."""


def saving(minutes: int) -> int:
    """Seconds before the end of a job's time at which it is told to save, and to wait for its turn again.

    Slurm may tell it up to a minute earlier.

    Example:
        >>> saving(60), saving(1)
        (120, 30)
    """
    return min(120, 30 * minutes)


class Queued(NamedTuple):
    """A job that waits or runs, in Slurm's words."""

    state: str
    reason: str
    """Why it waits."""

    @property
    def waits(self) -> bool:
        """Whether it has no node yet, or none any more."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD")


def queue(ids: Iterable[str]) -> dict[str, Queued]:
    """Those of the jobs that wait or run, by their ids, which an array's have as ``12_3``.

    Slurm's accounting is not asked: many a cluster has none. Raises `TriptychError` where the queue cannot be asked.
    """
    arrays = sorted({name.partition("_")[0] for name in ids})
    if not arrays:
        return {}
    command = ["squeue", "--noheader", "--array", f"--jobs={','.join(arrays)}", "--format=%i|%T|%r"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=WAITS)
    except FileNotFoundError:
        raise TriptychError(
            "there is no Slurm on this machine (no squeue); call from where its jobs are submitted"
        ) from None
    except subprocess.TimeoutExpired:
        raise TriptychError(
            f"the queue of Slurm did not answer for {WAITS:.0f} seconds; try again"
        ) from None
    # Asked for a single job that ended a while ago, Slurm knows none and says so; for several it is silent.
    if asked.returncode and "Invalid job id" not in asked.stderr:
        said = printable(" ".join(asked.stderr.split()) or f"it ended with code {asked.returncode}")
        raise TriptychError(f"the queue of Slurm cannot be asked: {said}")
    found = re.findall(r"^(\d+(?:_\d+)?)\|(\w+)\|(.*)$", asked.stdout, re.MULTILINE)
    return {name: Queued(state, printable(why)) for name, state, why in found}


@dataclass
class Job:
    """What submitit calls on a node, and asks to save before the end of its time or where others go first.

    The run is worked on in another process: that saves while this one, told by a signal in the middle of
    whatever it does, waits for it.
    """

    errand: Errand
    minutes: int
    """The time limit."""

    def __post_init__(self) -> None:
        self.process: Child | None = None
        self.code: int | None = None
        self.run = Run(self.errand.folder / self.errand.run)

    def __call__(self) -> None:
        """Train or go on, and measure. Raises RuntimeError where the run is left without an outcome."""
        if (self.run.path / "FAILED").exists():
            # Slurm begins a job again whose node was lost; a failure is an outcome.
            return
        self.began, self.reached = time.monotonic(), self._reached()
        # Slurm sends its signal to every process of the job; both inherit that it does not reach them.
        with _unreachable(_notice()):
            self.process = begin(self.errand)
            threading.Thread(target=self._wait, args=[self.process], daemon=True).start()
        code = self._ended(math.inf)
        assert code is not None
        if code in ENDED_BY_SLURM and self._goes_on():
            # SIGTERM before the node goes to another job: one that ended now would be over.
            signal.raise_signal(_notice())
        log = self.errand.folder / self.errand.log
        if code == NO_ROOM and self._begun():
            self.run.finish("FAILED", last_words(log, code))
        elif code:
            raise RuntimeError(last_words(log, code))

    def checkpoint(self) -> DelayedSubmission | None:
        """Stop at a complete checkpoint; what is to be done when the job's turn comes again, or nothing.

        It does not come again for a run that has an outcome, or that gained nothing in the whole time of a job.
        """
        from submitit.helpers import DelayedSubmission

        again = DelayedSubmission(Job(self.errand, self.minutes))
        if self.process is None:
            return again
        self.process.stop()
        if self._ended(PATIENCE * saving(self.minutes)) is None:
            self.process.kill()
            self._ended(math.inf)
        if self.code == 0:
            return None
        # What had to give way early may gain something next time.
        whole = time.monotonic() - self.began > 0.5 * (60 * self.minutes - saving(self.minutes))
        if whole and self._reached() == self.reached:
            with (self.errand.folder / self.errand.log).open("a", encoding="utf-8") as log:
                log.write(
                    f"nothing was gained in a job's whole time, --time {self.minutes}; give it more\n"
                )
            return None
        return again

    def _wait(self, process: Child) -> None:
        self.code = process.wait()

    def _ended(self, seconds: float) -> int | None:
        """The exit code of the process, once it has ended or the seconds are over."""
        # The signal may come in the midst of this, and what handles it waits in the same way: a lock would be
        # held by whoever was interrupted, and who waits for one is not always woken.
        until = time.monotonic() + seconds
        while self.code is None and time.monotonic() < until:
            time.sleep(0.1)
        return self.code

    def _reached(self) -> tuple[int, bool]:
        """How far the run is: steps that are saved, and whether all that is left is to measure it."""
        return int(self.run.about("last").get("step", 0)), (self.run.path / "DONE").exists()

    def _begun(self) -> bool:
        """Whether there is a run that is not trained yet."""
        path = self.run.path
        return (path / "config.toml").exists() and not (path / "DONE").exists()

    def _goes_on(self) -> bool:
        """Whether Slurm has not ended the job: one that somebody cancelled is not to come again."""
        array, task = (os.environ.get(f"SLURM_ARRAY_{of}") for of in ("JOB_ID", "TASK_ID"))
        own = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
        found = queue([own]).get(own)
        return found is not None and found.state == "RUNNING"


def _notice() -> signal.Signals:
    """The signal that submitit has Slurm send, and listens to."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


@contextmanager
def _unreachable(kind: signal.Signals) -> Iterator[None]:
    """Hold a signal back, and from whatever is begun meanwhile for good."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {kind})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
