"""How long what is left will take: the pace of this machine, and what was recorded on another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from triptych.reproduction.plan import REPORT, RUNS, Plan, RunPanel, StudyPanel
from triptych.studies.card import Coming, Forecast, forecast
from triptych.studies.execute import coming, default_jobs, unfinished
from triptych.studies.forecast import (
    Left,
    Recorded,
    left_of,
    makespan,
    measure_seconds,
    speed,
    train_seconds,
)
from triptych.studies.pace import Pace, time_arms, time_run

__all__ = ["Estimate", "estimate"]


class Estimate(NamedTuple):
    """Seconds of every part that is left, and the seconds a training step on which they rest, both of free cores."""

    parts: Mapping[str, float]
    steps: Mapping[str, float]
    slowed: float = 1.0
    """How many times as long everything takes while other programs work as they did when it was timed."""
    side_by_side: Forecast | None = None
    """On a card, of all runs."""


def estimate(plan: Plan, folder: Path) -> Estimate:
    """Time what is left of every panel; its parts are ``PANEL/train``, ``PANEL/measure``, ``PANEL/draw``, a study's, ``report``.

    On a card, where the runs of all panels are done side by side, they are one part.
    """
    if plan.on_card:
        found = forecast(_coming(plan, folder), plan.jobs, plan.data_dir, plan.threads)
        runs = {RUNS: found.left()} if found.seconds else {}
        steps = {kind: pace.step for kind, pace in found.crowd.paces.items()}
        return Estimate({**runs, REPORT: plan.report}, steps, side_by_side=found)
    left = {name: left_of(folder / name) for name in plan.runs}
    paces = {
        name: time_run(plan.here(panel.config))
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
    slowed = [pace.slowed for pace, _ in timed]
    return Estimate(parts, steps, sum(slowed) / len(slowed) if slowed else 1.0)


def _coming(plan: Plan, folder: Path) -> list[Coming]:
    """The runs of all panels that something is left of."""
    found: list[Coming] = []
    for name, panel in plan.panels.items():
        if isinstance(panel, StudyPanel):
            runs = coming(panel.study, folder / name, panel.recorded)
            found += [run._replace(kind=f"{name}/{run.kind}") for run in runs]
        elif any(left_of(folder / name)):
            seconds = panel.recorded.beside_a_card()
            found.append(Coming(folder / name, name, panel.config, seconds))
    return found


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
    jobs = min(plan.jobs or default_jobs(study, plan.threads), len(cells))
    return time_arms(configs, jobs, plan.data_dir) if configs else {}


def _study(plan: Plan, name: str, folder: Path, paces: Mapping[str, Pace]) -> dict[str, float]:
    """The runs of a study side by side; each starts a process of its own."""
    study, recorded = plan.studies[name]
    seconds = []
    for cell in unfinished(study, folder / name):
        left, pace = left_of(cell.path(folder / name)), paces[cell.arm]
        train = train_seconds(study.arms[cell.arm].train, left, pace, recorded)
        seconds.append(train + measure_seconds(left, pace, recorded))
    jobs = plan.jobs or default_jobs(study, plan.threads)
    return {name: makespan(seconds, jobs)} if seconds else {}


def mean_speed(timed: Iterable[tuple[Pace, Recorded]]) -> float:
    """The mean speed of all that was timed, is recorded and did not break; 1 where there is none of them.

    Example:
        >>> from triptych.studies.stopwatch import Looks
        >>> slow, broken = Pace(3.0, Looks(0, 0, 0), 1), Pace(0.0, Looks(0, 0, 0), 1)
        >>> mean_speed([(slow, Recorded(1.0)), (broken, Recorded(1.0)), (slow, Recorded())]), mean_speed([])
        (3.0, 1.0)
    """
    found = [speed(pace, recorded) for pace, recorded in timed if pace.step and recorded.step]
    return sum(found) / len(found) if found else 1.0
