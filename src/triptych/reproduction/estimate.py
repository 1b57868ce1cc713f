"""How long what is left will take: the pace of this machine, and what was recorded on another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from triptych import checkpoint
from triptych.reproduction.pace import Pace, time_arms, time_steps
from triptych.reproduction.plan import REPORT, Plan, Recorded, RunPanel, StudyPanel
from triptych.runs import Run
from triptych.studies.execute import default_jobs, unfinished
from triptych.studies.worker import MEASURED
from triptych.training.loop import is_landmark
from triptych.training.settings import TrainConfig

__all__ = ["Estimate", "Left", "estimate", "left_of"]

PLAYABLE = "playable.json"
"""The last thing that is made of a run; where it lies, the run's figures do too."""


class Estimate(NamedTuple):
    """Seconds of every part that is left, and the seconds a training step on which they rest."""

    parts: Mapping[str, float]
    steps: Mapping[str, float]


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


def estimate(plan: Plan, folder: Path) -> Estimate:
    """Time what is left of every panel; its parts are ``PANEL/train``, ``PANEL/measure``, ``PANEL/draw``, a study's, ``report``."""
    left = {name: left_of(folder / name) for name in plan.runs}
    paces = {
        name: time_steps(plan.here(panel.config))
        for name, panel in plan.runs.items()
        if left[name].trains or left[name].measures
    }
    arms = {name: _time_arms(plan, name, folder) for name in plan.studies}
    timed = [(pace, plan.panels[name].recorded) for name, pace in paces.items()]
    timed += [(p, plan.panels[name].recorded) for name, of in arms.items() for p in of.values()]
    # Of what has no steps left to time.
    mean = mean_speed(timed)
    parts: dict[str, float] = {}
    for name, panel in plan.panels.items():
        if isinstance(panel, StudyPanel):
            parts |= _study(plan, name, folder, arms[name])
        elif name in paces:
            parts |= _run(name, panel, left[name], paces[name])
        elif left[name].draws:
            parts[f"{name}/draw"] = mean * panel.recorded.draw
    parts[REPORT] = mean * plan.report
    steps = {name: pace.step for name, pace in paces.items()}
    steps |= {f"{name}/{arm}": p.step for name, of in arms.items() for arm, p in of.items()}
    return Estimate(parts, steps)


def _run(name: str, panel: RunPanel, left: Left, pace: Pace) -> dict[str, float]:
    found = {
        f"{name}/train": train_seconds(panel.config.train, left, pace, panel.recorded),
        f"{name}/measure": measure_seconds(left, pace, panel.recorded),
        f"{name}/draw": speed(pace, panel.recorded) * panel.recorded.draw,
    }
    return found if left.trains else {k: v for k, v in found.items() if k != f"{name}/train"}


def _time_arms(plan: Plan, name: str, folder: Path) -> dict[str, Pace]:
    """The pace of every arm of a study that has a run to do."""
    study = plan.studies[name].study
    cells = unfinished(study, folder / name)
    configs = {cell.arm: study.arms[cell.arm] for cell in cells}
    jobs = min(default_jobs(study, plan.threads), len(cells))
    return time_arms(configs, jobs, plan.data_dir) if configs else {}


def _study(plan: Plan, name: str, folder: Path, paces: Mapping[str, Pace]) -> dict[str, float]:
    """The runs of a study side by side; each starts a process of its own."""
    study, recorded = plan.studies[name]
    seconds = []
    for cell in unfinished(study, folder / name):
        left, pace = left_of(cell.path(folder / name)), paces[cell.arm]
        train = train_seconds(study.arms[cell.arm].train, left, pace, recorded)
        seconds.append(train + measure_seconds(left, pace, recorded))
    return {name: makespan(seconds, default_jobs(study, plan.threads))} if seconds else {}


def train_seconds(train: TrainConfig, left: Left, pace: Pace, recorded: Recorded) -> float:
    """Start, steps and looks of what is left of a training.

    Example:
        >>> from triptych.reproduction.pace import Looks
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


def mean_speed(timed: Iterable[tuple[Pace, Recorded]]) -> float:
    """Of all that was timed, recorded, and did not break; as where it was recorded, if there is none.

    Example:
        >>> from triptych.reproduction.pace import Looks
        >>> slow, broken = Pace(3.0, Looks(0, 0, 0), 1), Pace(0.0, Looks(0, 0, 0), 1)
        >>> mean_speed([(slow, Recorded(1.0)), (broken, Recorded(1.0)), (slow, Recorded())]), mean_speed([])
        (3.0, 1.0)
    """
    found = [speed(pace, recorded) for pace, recorded in timed if pace.step and recorded.step]
    return sum(found) / len(found) if found else 1.0


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
