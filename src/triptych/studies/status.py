"""How far a study is that others work on: from its folder, and from the queue of Slurm if it was submitted there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from triptych.enclosed import enclosed
from triptych.errors import TriptychError
from triptych.runs import Run, holds
from triptych.studies import on_slurm
from triptych.studies.guard import held
from triptych.studies.plan import Cell, Study
from triptych.studies.process import last_words
from triptych.studies.slurm_job import Queued
from triptych.studies.watch import Row, watch

__all__ = ["Status", "status"]


class Status(NamedTuple):
    """Every run as it is now."""

    rows: list[Row]
    note: str
    """What could not be asked, and why."""

    @property
    def complete(self) -> bool:
        """Whether every run has an outcome."""
        return all(row.ended for row in self.rows)

    @property
    def problems(self) -> dict[Cell, str]:
        """The runs whose jobs ended without an outcome, and why."""
        return {row.cell: row.reason for row in self.rows if row.state == "stuck"}


def status(study: Study, folder: Path) -> Status:
    """Every run of the study in this folder, whoever works on it; nothing is changed.

    Raises `TriptychError` for a folder that holds no study.
    """
    # What is wrong with a link or a pipe of that name is said first.
    if holds(folder, "study.toml"):
        enclosed(folder)
    if not (folder / "study.toml").is_file():
        raise TriptychError(f"'{folder}' holds no study; name a study's folder, or begin it first")
    queued, note = _asked(folder)
    somebody = held(folder)
    cells = {cell: str(cell.path(folder).relative_to(folder)) for cell in study.cells()}
    waiting = {cell: queued[run] for cell, run in cells.items() if run in queued}
    busy = {
        cell.path(folder)
        for cell in cells
        if (cell in waiting and not waiting[cell].waits)
        or _worked_on(Run(cell.path(folder)), somebody)
    }
    jobs = {} if note else on_slurm.ids(folder)
    problems = {
        cell: f"{_last(folder / cell.log)} (job {jobs[run]}, see {on_slurm.log(folder, jobs[run])})"
        for cell, run in cells.items()
        if run in jobs and cell not in waiting
    }
    rows = watch(study, folder, busy, {})
    return Status([_in_queue(row, waiting, problems) for row in rows], note)


def _asked(folder: Path) -> tuple[Mapping[str, Queued], str]:
    """The runs in the queue, and why it could not be asked: the folder still says most."""
    try:
        return on_slurm.queued(folder), ""
    except TriptychError as error:
        return {}, str(error)


def _worked_on(run: Run, somebody: bool) -> bool:
    """Whether a process on this machine trains the run, or may measure it: ``somebody`` works in the study."""
    return run.status() == "running" or (somebody and (run.path / "DONE").exists())


def _in_queue(row: Row, waiting: Mapping[Cell, Queued], problems: Mapping[Cell, str]) -> Row:
    if row.state not in ("waiting", "interrupted"):
        return row
    if row.cell in waiting:
        return row._replace(state="queued", reason=waiting[row.cell].reason)
    if row.cell in problems:
        return row._replace(state="stuck", reason=problems[row.cell])
    return row


def _last(log: Path) -> str:
    try:
        return last_words(log, None)
    except FileNotFoundError:
        return "it was not begun"
