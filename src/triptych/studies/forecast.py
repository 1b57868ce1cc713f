"""How long runs will take: the pace of this machine, and the seconds that were recorded on another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from triptych import checkpoint
from triptych.config import limited
from triptych.runs import Run
from triptych.studies.pace import Pace
from triptych.studies.worker import MEASURED
from triptych.training.loop import is_landmark
from triptych.training.settings import TrainConfig

__all__ = [
    "LONGEST",
    "Left",
    "Recorded",
    "left_of",
    "makespan",
    "measure_seconds",
    "speed",
    "train_seconds",
]

LONGEST = 1e9
"""Seconds that anything was recorded to take, at most: thirty years."""

PLAYABLE = "playable.json"
"""The last thing that is made of a run; where it lies, the run's figures do too."""


@dataclass(frozen=True)
class Recorded:
    """Seconds of one run on one machine, of what no warm-up can measure; elsewhere longer or shorter as the steps are.

    Those of a panel that nobody has recorded are a guess.
    """

    step: float = 0.0
    """A training step, as a warm-up finds it: the measure of that machine's speed; 0 where nothing was recorded."""
    start: float = 2.0
    """From the beginning of the training to its first look: data, networks, for a study's run its process."""
    measure: float = 20.0
    """The evaluation of the trained run."""
    draw: float = 8.0
    """Figures and what a browser plays with; a study's runs have neither."""
    on_card: float = 0.0
    """The evaluation where the networks compute on a card; 0 where that was not recorded."""

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        for name, seconds in dataclasses.asdict(self).items():
            limited(f"recorded.{name}", seconds, 0, LONGEST)

    def beside_a_card(self) -> Recorded:
        """The same where a card computes the steps, which say nothing of its host's speed: as it was recorded.

        Example:
            >>> Recorded(step=0.5, measure=60.0, on_card=2.0).beside_a_card()
            Recorded(step=0.0, start=2.0, measure=2.0, draw=8.0, on_card=2.0)
        """
        return dataclasses.replace(self, step=0.0, measure=self.on_card or self.measure)


class Left(NamedTuple):
    """What is not done yet of a run: whether it is to be trained on, from which step, measured, drawn."""

    trains: bool
    reached: int
    measures: bool
    draws: bool


def left_of(path: Path) -> Left:
    """What is not done yet of the run in a folder.

    Example:
        >>> left_of(tmp_path / "nothing")
        Left(trains=True, reached=0, measures=True, draws=True)
        >>> Run(tmp_path).finish("FAILED", "the loss was not finite")
        >>> left_of(tmp_path)
        Left(trains=False, reached=0, measures=False, draws=False)
    """
    if (path / "FAILED").exists():
        return Left(False, 0, False, False)
    trains = not (path / "DONE").exists()
    last = Run(path).checkpoint("last")
    # The log may be ahead of the checkpoint that the training goes on from.
    reached = int(checkpoint.load(last)[1].get("step", 0)) if trains and last.exists() else 0
    measures = trains or not (path / MEASURED).exists()
    return Left(trains, reached, measures, measures or not (path / PLAYABLE).exists())


def train_seconds(train: TrainConfig, left: Left, pace: Pace, recorded: Recorded) -> float:
    """Start, steps and looks of what is left of a training.

    Example:
        >>> from triptych.studies.stopwatch import Looks
        >>> left = Left(trains=True, reached=10, measures=True, draws=True)
        >>> pace = Pace(step=0.1, looks=Looks(9.0, 2.0, 0.0), per_epoch=10)
        >>> settings = TrainConfig()  # 20 epochs, a validation each
        >>> train_seconds(settings, left, pace, Recorded(step=0.2, start=3.0))
        58.5
    """
    if not left.trains:
        return 0.0
    total = train.duration.steps(pace.per_epoch)
    every = train.validate_every.steps(pace.per_epoch)
    steps = range(left.reached + 1, total + 1)
    due = sum(step % every == 0 or step == total for step in steps)
    landmarks = sum(is_landmark(s) and s % every != 0 and s != total for s in steps)
    looks = due * pace.looks.due + landmarks * pace.looks.landmark
    looks += pace.looks.first if left.reached == 0 else 0.0
    return speed(pace, recorded) * recorded.start + len(steps) * pace.step + looks


def measure_seconds(left: Left, pace: Pace, recorded: Recorded) -> float:
    """The evaluation, if it is still to be done."""
    return speed(pace, recorded) * recorded.measure if left.measures else 0.0


def speed(pace: Pace, recorded: Recorded) -> float:
    """How many times longer things take here than where they were recorded; the same, where nothing was."""
    return pace.step / recorded.step if recorded.step else 1.0


def makespan(
    seconds: Sequence[float], jobs: int, gain: Callable[[int], float] = lambda count: count
) -> float:
    """When the last of these ends, each begun in its order as soon as fewer than ``jobs`` are at work.

    ``seconds`` are those that each takes alone. So many at once do ``gain(count)`` times the work of one, all the
    same share of it; by default they do not hinder each other.

    Example:
        >>> makespan([3, 1, 1, 2], jobs=2), makespan([3, 1], 2, gain=lambda count: 1.0)
        (4.0, 4.0)
    """
    waiting, running, now = [float(s) for s in seconds], list[float](), 0.0
    while waiting or running:
        free = max(1, jobs) - len(running)
        running, waiting = running + waiting[:free], waiting[free:]
        # Until the next one ends; alone that would take so long.
        alone = min(running)
        now += alone * len(running) / gain(len(running))
        running = [left - alone for left in running if left > alone]
    return now
