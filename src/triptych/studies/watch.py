"""How far each run of a study is, read from the run folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from triptych.config import Duration
from triptych.runs import Run
from triptych.studies.plan import Cell, Study
from triptych.studies.worker import settled

__all__ = ["Row", "watch", "watch_run"]


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
    study: Study,
    folder: Path,
    running: Collection[Path],
    problems: Mapping[Path, str],
    put_back: Mapping[Path, str] | None = None,
) -> list[Row]:
    """Every run of the study as its folder has it.

    Args:
        study: what is to be done.
        folder: the study's.
        running: the folders of the runs that somebody works on just now.
        problems: why others were given up without an outcome.
        put_back: why others wait for all to end.
    """
    rows = []
    for cell in study.cells():
        path, length = cell.path(folder), study.arms[cell.arm].train.duration
        row = watch_run(path, cell, length, study.config.evaluate, running, problems, put_back)
        curves = {name: row.latest[name] for name in study.config.curves if name in row.latest}
        rows.append(row._replace(latest=curves))
    return rows


def watch_run(
    path: Path,
    cell: Cell,
    duration: Duration,
    evaluate: bool,
    running: Collection[Path],
    problems: Mapping[Path, str],
    put_back: Mapping[Path, str] | None = None,
) -> Row:
    """One run as its folder has it, with the latest of everything that it logged."""
    run = Run(path)
    metrics = run.metrics()
    state, reason = _state(run, path in running, evaluate)
    if path in (put_back or {}):
        state, reason = "put back", (put_back or {})[path]
    if path in problems:
        state, reason = "stuck", problems[path]
    return Row(
        cell,
        state,
        reason,
        1.0 if state in ("done", "failed", "stuck") else _share(metrics, duration),
        max((line["epoch"] for line in metrics), default=0.0),
        {name: value for line in metrics for name, value in line.items()},
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
