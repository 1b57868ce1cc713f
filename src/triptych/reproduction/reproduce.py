"""Do what of a plan is not done yet: train, measure, draw, compare, and write the report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from triptych import data as data_plane
from triptych import experiment
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import compose, write_whole
from triptych.reporting.safe import Attempts
from triptych.reproduction.board import Board, Show
from triptych.reproduction.estimate import estimate, left_of
from triptych.reproduction.plan import REPORT, Plan, StudyPanel
from triptych.reproduction.record import Record, refuse_another
from triptych.runs import Run, kind
from triptych.studies.conclude import conclude
from triptych.studies.execute import check, default_jobs, execute, unfinished
from triptych.studies.guard import alone, stoppable
from triptych.studies.plan import Study
from triptych.studies.worker import measure, train

__all__ = ["Outcome", "reproduce"]

PAGE = "report.html"
"""The page in the folder; tables and figures for papers lie beside it."""


class Outcome(NamedTuple):
    """What became of a reproduction; nothing of it is raised, since the report shows it too."""

    folder: Path
    stopped: bool
    """Whether somebody stopped it; the same call goes on."""
    idle: bool
    """Whether everything had been done before."""
    failures: Mapping[str, str]
    """Runs that failed, or ended without an outcome, and why."""
    parts: Mapping[str, Mapping[str, float | None]]
    """Predicted and actual seconds of what this call did."""

    @property
    def page(self) -> Path:
        """The report."""
        return self.folder / PAGE


def reproduce(
    plan: Plan,
    folder: Path,
    *,
    show: Show = lambda board: None,
    timing: Callable[[], None] = lambda: None,
    say: Callable[[float], None] = lambda seconds: None,
) -> Outcome:
    """Carry out what of the plan is not done yet in ``folder``.

    ``show`` is called at every change, ``timing`` before the machine is timed for the estimate, ``say`` with it
    before anything is begun. Ctrl-C and SIGTERM save and return; the next call goes on, as it does after any other
    death, to the same results. Of a reproduction that is done only a page that is missing is made again.

    Raises `TriptychError` for a folder with another reproduction in it, and for wrong input.
    """
    refuse_another(plan, folder)
    record = Record(plan, folder)
    if record.done and (folder / PAGE).is_file():
        return Outcome(folder, False, True, _failures(plan, folder), {})
    if not record.done:
        _check(plan, folder)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    with alone(folder), stoppable():
        # Another process may have begun, or done, all of it until this one could hold the folder.
        refuse_another(plan, folder)
        record = Record(plan, folder)
        work = Work(plan, folder, record, Board(record, show, tuple(plan.studies)))
        try:
            if record.done:
                work.write_again()
            else:
                timing()
                work.estimate(say)
                work.do()
        except KeyboardInterrupt:
            return work.outcome(stopped=True)
    return work.outcome(stopped=False)


def _check(plan: Plan, folder: Path) -> None:
    """See that all data are there and fit, before anything takes long."""
    for name, panel in plan.panels.items():
        if isinstance(panel, StudyPanel):
            check(panel.study, unfinished(panel.study, folder / name), plan.data_dir)
        elif left_of(folder / name).trains:
            config = plan.here(panel.config)
            experiment.prepare(config, data_plane.load(config.data))


def _failures(plan: Plan, folder: Path) -> dict[str, str]:
    runs = [folder / name for name in plan.runs]
    for name, panel in plan.studies.items():
        runs += [cell.path(folder / name) for cell in panel.study.cells()]
    return {
        str(path.relative_to(folder)): Run(path).reason()
        for path in runs
        if (path / "FAILED").exists()
    }


@dataclass
class Work:
    """One call of `reproduce`."""

    plan: Plan
    folder: Path
    record: Record
    board: Board
    problems: dict[str, str] = field(default_factory=dict)

    def estimate(self, say: Callable[[float], None]) -> None:
        """Time some steps of everything, and say how long it will take."""
        began = time.monotonic()
        parts, steps = estimate(self.plan, self.folder)
        self.record.begin(parts, time.monotonic() - began, steps)
        say(sum(parts.values()))

    def do(self) -> None:
        """All panels, one after the other, then the report."""
        for name in self.plan.panels:
            self.board.say(name)
        for name, panel in self.plan.panels.items():
            if isinstance(panel, StudyPanel):
                self._study(name, panel.study)
            else:
                self._run(name)
        self._report()
        if not self.problems:
            self.record.finish()

    def write_again(self) -> None:
        """Only the report, of what has all been done."""
        self.record.begin({REPORT: self.plan.report})
        self._report()

    def _run(self, name: str) -> None:
        path, board = self.folder / name, self.board
        if left_of(path).trains:
            board.say(name, state="training")
            with board.part(f"{name}/train"):
                self._train(name)
        if left_of(path).measures:
            board.say(name, state="measuring", share=1.0)
            with board.part(f"{name}/measure"):
                measure(path, self._evaluation(name), self.plan.data_dir)
        if left_of(path).draws:
            board.say(name, state="drawing", share=1.0)
            with board.part(f"{name}/draw"):
                draw(Run(path), Attempts())
                write_playable(path, self.plan.data_dir)
        failed = (path / "FAILED").exists()
        board.say(name, state="failed" if failed else "done", share=1.0, reason=Run(path).reason())

    def _train(self, name: str) -> None:
        path = self.folder / name

        def display(
            step: int, total: int, epoch: float, metrics: Mapping[str, float | str]
        ) -> None:
            self.board.trained(name, step / total, metrics)

        try:
            train(path, self.plan.here(self.plan.runs[name].config), self.plan.data_dir, display)
        except TriptychError:
            # A run that broke is an outcome, which the report shows; anything else is the caller's.
            if not (path / "FAILED").exists():
                raise
            return
        if not (path / "DONE").exists():
            raise KeyboardInterrupt

    def _evaluation(self, name: str) -> EvaluateConfig:
        panel = self.plan.runs[name].evaluate
        return dataclasses.replace(panel, threads=self.plan.threads or panel.threads)

    def _study(self, name: str, study: Study) -> None:
        folder = self.folder / name
        if unfinished(study, folder):
            with self.board.part(name):
                ended = execute(
                    study,
                    folder,
                    jobs=default_jobs(study, self.plan.threads),
                    data_dir=self.plan.data_dir,
                    show=lambda rows, left: self.board.studied(name, rows),
                )
                if ended.stopped:
                    raise KeyboardInterrupt
            self.problems |= {str(c.path(Path(name))): why for c, why in ended.problems.items()}
        self.board.say(name, state="done", share=1.0)

    def _report(self) -> None:
        self.board.say(REPORT, state="writing")
        with self.board.part(REPORT):
            for name, panel in self.plan.studies.items():
                conclude(panel.study, self.folder / name)
                if kind(run := self.plan.shown(name, self.folder)):
                    draw(Run(run), Attempts())
            shown = [p for p in self.plan.sections(self.folder) if kind(p)]
            title = f"Triptych, {self.plan.scale} scale, seed {self.plan.seed}"
            write_whole(compose(shown, title, reference=True), shown, self.folder / PAGE)
        self.board.say(REPORT, state="done", share=1.0)

    def outcome(self, *, stopped: bool) -> Outcome:
        """What became of it."""
        failures = _failures(self.plan, self.folder) | self.problems
        parts = self.record.parts if self.record.found["calls"] else {}
        return Outcome(self.folder, stopped, False, failures, parts)
