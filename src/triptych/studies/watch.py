"""How far each run of a study is, read from the run folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from triptych.config import Duration
from triptych.runs import Run
from triptych.studies.plan import Cell, Study
from triptych.studies.worker import settled

__all__ = ["Row", "watch"]


class Row(NamedTuple):
    """One run: its state in a word or two, why, the share of its work done, and its latest numbers."""

    cell: Cell
    state: str
    reason: str
    share: float
    epoch: float
    latest: Mapping[str, float]
    alarm: bool

    @property
    def ended(self) -> bool:
        """Whether it has an outcome."""
        return self.state in ("done", "failed")


def watch(
    study: Study, folder: Path, running: Collection[Cell], problems: Mapping[Cell, str]
) -> list[Row]:
    """Every run of the study as its folder has it.

    Args:
        study: what is to be done.
        folder: the study's.
        running: the cells that somebody works on just now.
        problems: why others were given up without an outcome.
    """
    return [_row(study, folder, cell, cell in running, problems) for cell in study.cells()]


def _row(study: Study, folder: Path, cell: Cell, busy: bool, problems: Mapping[Cell, str]) -> Row:
    run = Run(cell.path(folder))
    metrics = run.metrics()
    share = _share(metrics, study.arms[cell.arm].train.duration)
    state, reason = _state(run, busy, study.config.evaluate)
    if cell in problems:
        state, reason = "stuck", problems[cell]
    return Row(
        cell,
        state,
        reason,
        1.0 if state in ("done", "failed", "stuck") else share,
        max((line["epoch"] for line in metrics), default=0.0),
        {k: line[k] for line in metrics for k in study.config.curves if k in line},
        any("alarm" in line for line in metrics),
    )


def _state(run: Run, busy: bool, evaluate: bool) -> tuple[str, str]:
    if settled(run.path, evaluate):
        return ("failed", run.reason()) if (run.path / "FAILED").exists() else ("done", "")
    if busy:
        return ("measuring" if (run.path / "DONE").exists() else "training"), ""
    return ("interrupted" if (run.path / "config.toml").exists() else "waiting"), ""


def _share(metrics: list[dict[str, Any]], duration: Duration) -> float:
    """How much of its training a run has behind it; measuring is not counted."""
    unit = "epoch" if duration.unit == "epochs" else "step"
    reached = max((line[unit] for line in metrics), default=0.0)
    return min(1.0, float(reached) / duration.amount)
