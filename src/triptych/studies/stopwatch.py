"""What is timed of a training: the monitor's looks, and steps, by the clock and by their thread's own time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from triptych.evaluation.monitor import Monitor
from triptych.types import Moment

__all__ = ["Looks", "Mark", "Marks", "Timer", "seconds_per_step"]

BUSY = 1.3
"""A warm-up that took so many times its thread's own time by the clock waited for other programs."""


class Looks(NamedTuple):
    """Seconds of the monitor's looks: before the first step, in the rhythm of the validation, at a landmark."""

    first: float
    due: float
    landmark: float


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


class Mark(NamedTuple):
    """Steps done, and the seconds until then: by the clock, and of the thread that trains."""

    step: int
    clock: float
    own: float


class Marks:
    """A display that makes a mark every ``window`` steps, at lines of the log; looks are no part of the time.

    A thread that waits for a device has no time of its own; there the clock's is taken.
    """

    def __init__(self, timer: Timer, window: int, own: bool) -> None:
        self.timer, self.window, self.own = timer, window, own
        self.made: list[Mark] = []

    def __call__(
        self, step: int, total: int, epoch: float, metrics: Mapping[str, float | str]
    ) -> None:
        """What `fit` calls at every line of the log, and after every look."""
        trained = any(name.startswith("train/") for name in metrics)
        if not trained or (self.made and step - self.made[-1].step < self.window):
            return
        clock = time.perf_counter() - self.timer.spent
        self.made.append(Mark(step, clock, time.thread_time() if self.own else clock))


def seconds_per_step(marks: Sequence[Mark]) -> tuple[float, float]:
    """Seconds a step on free cores, and how many times as long the steps took by the clock.

    Those of the fastest window: what else began or ended meanwhile is in the others. Where the thread itself
    worked for much less than the clock says, others had its core: its own time counts then.

    Example:
        >>> quiet = [Mark(1, 0.0, 0.0), Mark(3, 1.0, 0.9), Mark(5, 2.5, 2.3)]
        >>> seconds_per_step(quiet)
        (0.5, 1.0)
        >>> crowded = [Mark(1, 0.0, 0.0), Mark(3, 6.0, 1.5), Mark(5, 8.0, 2.5)]
        >>> seconds_per_step(crowded)
        (0.5, 4.0)
    """
    windows = [Mark(b.step - a.step, b.clock - a.clock, b.own - a.own) for a, b in pairwise(marks)]
    steps, clock, own = (sum(column) for column in zip(*windows, strict=True))
    fastest = min(w.own / w.step for w in windows)
    # On some systems a thread's clock stands still for longer than a window.
    if clock < BUSY * own or not fastest:
        return min(w.clock / w.step for w in windows), 1.0
    return fastest, clock / steps / fastest
