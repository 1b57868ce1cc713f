"""How long what is left will take: the pace of this machine, and what was recorded on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from triptych.experiment import ExperimentConfig
from triptych.reproduction.pace import Pace
from triptych.reproduction.recorded import Recorded
from triptych.training.loop import is_landmark

__all__ = ["Left", "makespan", "mean_speed", "measure_seconds", "speed", "train_seconds"]


class Left(NamedTuple):
    """What is not done yet of a run: whether it is to be trained on, from which step, measured, drawn."""

    trains: bool
    reached: int
    measures: bool
    draws: bool


def train_seconds(config: ExperimentConfig, left: Left, pace: Pace, recorded: Recorded) -> float:
    """Start, steps and looks of what is left of a training.

    Example:
        >>> from triptych.experiment import default_config
        >>> from triptych.reproduction.pace import Looks
        >>> left = Left(trains=True, reached=10, measures=True, draws=True)
        >>> pace = Pace(step=0.1, looks=Looks(9.0, 2.0, 0.0), per_epoch=10)
        >>> config = default_config("vae")  # 20 epochs, a validation each
        >>> train_seconds(config, left, pace, Recorded(step=0.2, start=3.0, measure=0.0))
        58.5
    """
    if not left.trains:
        return 0.0
    train = config.train
    total = train.duration.steps(pace.per_epoch)
    every = train.validate_every.steps(pace.per_epoch)
    steps = range(left.reached + 1, total + 1)
    due = sum(step % every == 0 or step == total for step in steps)
    landmarks = sum(is_landmark(s) and s % every != 0 and s != total for s in steps)
    looks = due * pace.looks.due + landmarks * pace.looks.landmark
    looks += pace.looks.first if left.reached == 0 else 0.0
    return speed(pace, recorded) * recorded.start + len(steps) * pace.step + looks


def speed(pace: Pace, recorded: Recorded) -> float:
    """How many times longer things take here than where they were recorded."""
    return pace.step / recorded.step


def measure_seconds(left: Left, pace: Pace, recorded: Recorded) -> float:
    """The evaluation, if it is still to be done."""
    return speed(pace, recorded) * recorded.measure if left.measures else 0.0


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """When the last of these ends, each begun in its order by the first of ``jobs`` that is free.

    Example:
        >>> makespan([3, 1, 1, 2], jobs=2)
        4.0
    """
    free = [0.0] * max(1, jobs)
    for length in seconds:
        first = min(range(len(free)), key=free.__getitem__)
        free[first] += length
    return max(free)


def mean_speed(paces: Mapping[str, Pace], recorded: Mapping[str, Recorded]) -> float:
    """Of all that was timed and did not break; as where it was recorded, if there is none.

    Example:
        >>> from triptych.reproduction.pace import Looks
        >>> paces = {"a": Pace(3.0, Looks(0, 0, 0), 1), "b": Pace(0.0, Looks(0, 0, 0), 1)}
        >>> mean_speed(paces, {"a": Recorded(1.0, 0, 0), "b": Recorded(1.0, 0, 0)}), mean_speed({}, {})
        (3.0, 1.0)
    """
    found = [speed(pace, recorded[name]) for name, pace in paces.items() if pace.step > 0]
    return sum(found) / len(found) if found else 1.0
