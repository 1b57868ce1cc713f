"""The estimate of a whole reproduction: what is left of each part, timed by warm-ups, in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from triptych import checkpoint
from triptych.experiment import ExperimentConfig
from triptych.reproduction.estimate import (
    Left,
    makespan,
    mean_speed,
    measure_seconds,
    speed,
    train_seconds,
)
from triptych.reproduction.pace import Pace, warm_up
from triptych.reproduction.plan import STUDY, Plan
from triptych.reproduction.recorded import ARM, RECORDED, REPORT, Recorded
from triptych.reproduction.warm import warm_side_by_side
from triptych.runs import Run
from triptych.studies.execute import default_jobs, unfinished
from triptych.studies.worker import MEASURED

__all__ = ["PLAYABLE", "REPORT_PART", "Estimate", "left_of", "predict", "with_data"]

PLAYABLE = "playable.json"
"""The last thing that is made of a run; where it lies, the run's figures do too."""

REPORT_PART = "report"
"""The part of a reproduction that no panel has."""


class Estimate(NamedTuple):
    """Seconds of every part that is left, and the seconds a training step on which they rest."""

    parts: Mapping[str, float]
    steps: Mapping[str, float]


def with_data(config: ExperimentConfig, data_dir: str | None) -> ExperimentConfig:
    """The same with the mirror that was named."""
    if data_dir is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, dir=data_dir))


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


def predict(plan: Plan, folder: Path) -> Estimate:
    """Warm up what is left; its parts are ``vae/train``, …, the study's, ``report``."""
    recorded = dict(RECORDED[plan.scale])
    left = {name: left_of(folder / name) for name in plan.runs}
    paces = {
        name: warm_up(with_data(config, plan.data_dir))
        for name, config in plan.runs.items()
        if left[name].trains or left[name].measures
    }
    arms = _arms(plan, folder)
    timed = paces | arms
    # Of what has no steps left to time.
    mean = mean_speed(timed, recorded | dict.fromkeys(arms, recorded[ARM]))
    parts: dict[str, float] = {}
    for name, config in plan.runs.items():
        if name in paces:
            parts |= _run(name, config, left[name], paces[name], recorded[name])
        elif left[name].draws:
            parts[f"{name}/draw"] = mean * recorded[name].draw
    parts |= _study(plan, folder, arms, recorded[ARM])
    parts[REPORT_PART] = mean * REPORT[plan.scale]
    return Estimate(parts, {name: pace.step for name, pace in timed.items()})


def _run(
    name: str, config: ExperimentConfig, left: Left, pace: Pace, recorded: Recorded
) -> dict[str, float]:
    found = {
        f"{name}/train": train_seconds(config, left, pace, recorded),
        f"{name}/measure": measure_seconds(left, pace, recorded),
        f"{name}/draw": speed(pace, recorded) * recorded.draw,
    }
    return found if left.trains else {k: v for k, v in found.items() if k != f"{name}/train"}


def _arms(plan: Plan, folder: Path) -> dict[str, Pace]:
    """The pace of every arm that has a run to do."""
    cells = unfinished(plan.study, folder / STUDY)
    configs = {cell.arm: plan.study.arms[cell.arm] for cell in cells}
    jobs = min(default_jobs(plan.study), len(cells))
    return warm_side_by_side(configs, jobs, plan.data_dir) if configs else {}


def _study(
    plan: Plan, folder: Path, paces: Mapping[str, Pace], recorded: Recorded
) -> dict[str, float]:
    """The runs of a study side by side; each starts a process of its own."""
    seconds = []
    for cell in unfinished(plan.study, folder / STUDY):
        left, pace = left_of(cell.path(folder / STUDY)), paces[cell.arm]
        config = plan.study.arms[cell.arm]
        train = train_seconds(config, left, pace, recorded)
        seconds.append(train + measure_seconds(left, pace, recorded))
    return {STUDY: makespan(seconds, default_jobs(plan.study))} if seconds else {}
