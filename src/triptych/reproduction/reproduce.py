"""Do what of a plan is not done yet: train, measure, draw, compare, and write the report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from triptych import data as data_plane
from triptych import experiment
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.playable.export import write_playable
from triptych.processes import stoppable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import compose, write_whole
from triptych.reporting.safe import Attempts
from triptych.reproduction.board import Board, Panel, Show, of_run, of_study
from triptych.reproduction.estimate import estimate
from triptych.reproduction.plan import REPORT, RUNS, Plan, RunPanel, StudyPanel
from triptych.reproduction.record import Record, refuse_another
from triptych.reproduction.worker import task
from triptych.runs import Run, kind
from triptych.studies import on_ray
from triptych.studies import plan as studies
from triptych.studies.card import Forecast, share
from triptych.studies.conclude import conclude
from triptych.studies.execute import (
    Say,
    check,
    default_jobs,
    elsewhere,
    execute,
    tasks,
    unfinished,
)
from triptych.studies.forecast import left_of
from triptych.studies.guard import alone
from triptych.studies.plan import Cell, Study
from triptych.studies.pool import Pool
from triptych.studies.process import Begin, begin
from triptych.studies.watch import watch, watch_run
from triptych.studies.where import HERE, Where
from triptych.studies.worker import measure, threads, train

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
    on: Where = HERE,
    show: Show = lambda board: None,
    timing: Callable[[], None] = lambda: None,
    say: Say = lambda seconds, crowd, slowed: None,
) -> Outcome:
    """Carry out what of the plan is not done yet in ``folder``.

    ``show`` is called at every change, ``timing`` before the machine is timed for the estimate, ``say`` with it
    before anything is begun. On a card the runs of all panels are done side by side. Ctrl-C and SIGTERM save and return; the next call goes on, as it does after any other
    death, to the same results. Of a reproduction that is done only a page that is missing is made again.

    Raises `TriptychError` for a folder with another reproduction in it, and for wrong input.
    """
    if on.kind == "slurm":
        raise TriptychError(
            "a reproduction waits for its runs to write one page of them: submit the whole of it as one job, "
            "sbatch --wrap 'srun triptych reproduce …', or its studies one by one by triptych study --on slurm"
        )
    refuse_another(plan, folder)
    record = Record(plan, folder)
    if record.done and (folder / PAGE).is_file():
        return Outcome(folder, False, True, _failures(plan, folder), {})
    if not record.done:
        _check(plan, folder, on)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    with ExitStack() as stack:
        cluster = None
        if on.kind == "ray" and not record.done:
            # Ray listens to SIGTERM in its own way, until `stoppable` does.
            cluster = stack.enter_context(on_ray.connected(on, plan.jobs))
        stack.enter_context(alone(folder))
        stack.enter_context(stoppable())
        # Another process may have begun, or done, all of it until this one could hold the folder.
        refuse_another(plan, folder)
        record = Record(plan, folder)
        work = Work(plan, folder, record, Board(record, show, (RUNS, *plan.studies)), cluster)
        try:
            if record.done:
                work.write_again()
            elif cluster is not None:
                # What a step takes on its nodes, this machine cannot tell.
                record.begin({RUNS: 0.0, REPORT: plan.report})
                work.do()
            else:
                timing()
                work.estimate(say)
                work.do()
        except KeyboardInterrupt:
            return work.outcome(stopped=True)
    return work.outcome(stopped=False)


def _check(plan: Plan, folder: Path, on: Where) -> None:
    """See that all data are there and fit, before anything takes long."""
    for name, panel in plan.panels.items():
        if isinstance(panel, StudyPanel):
            check(panel.study, unfinished(panel.study, folder / name), plan.data_dir, on=on)
        elif left_of(folder / name).trains:
            config = plan.here(panel.config)
            if on.kind != "here" or plan.on_card:
                config = dataclasses.replace(config, train=elsewhere(config.train, on))
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
    cluster: on_ray.Cluster | None = None
    """Where the runs are done, if not here."""
    problems: dict[str, str] = field(default_factory=dict)
    forecast: Forecast | None = None
    """Of all runs, on a card."""

    def estimate(self, say: Say) -> None:
        """Time some steps of everything, and say how long it will take."""
        began = time.monotonic()
        parts, steps, slowed, self.forecast = estimate(self.plan, self.folder)
        crowd = self.forecast.crowd if self.forecast else None
        self.record.begin(parts, time.monotonic() - began, steps, slowed, crowd)
        say(sum(parts.values()), crowd, slowed)

    def do(self) -> None:
        """All panels, on a card side by side and else one after the other, then the report."""
        for name in self.plan.panels:
            self.board.say(name)
        if self.cluster is not None:
            devices = [panel.config.train.device for panel in self.plan.runs.values()]
            for study in self.plan.studies.values():
                devices += [arm.train.device for arm in study.study.arms.values()]
            self._side_by_side(self.cluster.at_once(devices), self.cluster.begin)
        elif self.forecast is not None:
            self._side_by_side(self.forecast.crowd.jobs)
        else:
            self._in_turn()
        self._report()
        if not self.problems:
            self.record.finish()

    def _in_turn(self) -> None:
        for name, panel in self.plan.panels.items():
            if isinstance(panel, StudyPanel):
                self._study(name, panel.study)
            else:
                self._run(name)

    def _side_by_side(self, jobs: int, begin: Begin = begin) -> None:
        """The runs of all panels, each in a process of its own."""
        plan = self.plan
        cores = 0 if self.cluster else share(jobs, plan.threads)
        with ExitStack() as stack:
            pool = Pool([], jobs)
            for name, panel in plan.panels.items():
                path = self.folder / name
                if isinstance(panel, StudyPanel):
                    studies.refuse_another(path, panel.study)
                    stack.enter_context(alone(path))
                    studies.open_folder(path, panel.study)
                    pool.waiting += tasks(panel.study, path, plan.data_dir, cores, begin)
                elif any(left_of(path)):
                    if self.cluster is not None:
                        panel = panel._replace(config=self._counted(panel.config))
                    count = cores or threads(panel.config.train)
                    pool.waiting.append(task(path, panel, plan.data_dir, count, begin))
            if pool.waiting:
                with self.board.part(RUNS):
                    if pool.work(lambda: self._look(pool)):
                        raise KeyboardInterrupt
        for path, why in pool.problems.items():
            self.problems[str(path.relative_to(self.folder))] = why

    def _counted(self, config: ExperimentConfig) -> ExperimentConfig:
        """With the cores that it asks a cluster for: elsewhere nobody knows which of all are its own."""
        train = self.plan.here(config).train
        return dataclasses.replace(config, train=dataclasses.replace(train, threads=threads(train)))

    def _look(self, pool: Pool) -> None:
        """Tell the board how far the runs of all panels are."""
        panels, done = [], dict[Path, float]()
        for name, panel in self.plan.panels.items():
            path = self.folder / name
            seen = (pool.busy(), pool.problems, pool.put_back())
            if isinstance(panel, StudyPanel):
                panels.append(of_study(name, watch(panel.study, path, *seen)))
                paths = [cell.path(path) for cell in panel.study.cells()]
                done |= {p: run.share for p, run in zip(paths, panels[-1].runs, strict=True)}
            else:
                panels.append(self._panel(name, panel, *seen))
                done[path] = panels[-1].share
        self.board.side_by_side(panels, self._behind(done))

    def _behind(self, done: Mapping[Path, float]) -> float:
        """The share of the time of all runs that is behind them; on a cluster, of the runs."""
        if self.forecast is None:
            return sum(done.values()) / len(done)
        whole = self.forecast.left()
        return 1 - self.forecast.left(done) / whole if whole else 1.0

    def _panel(
        self, name: str, panel: RunPanel, busy: Collection[Path], *said: Mapping[Path, str]
    ) -> Panel:
        path, config = self.folder / name, panel.config
        cell = Cell(name, config.seed)
        shown = of_run(name, watch_run(path, cell, config.train.duration, True, busy, *said))
        if shown.state == "done" and path in busy:
            return dataclasses.replace(shown, state="drawing")
        return shown

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
                    jobs=self.plan.jobs or default_jobs(study, self.plan.threads),
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
            title = f"Learning without labels ({self.plan.scale} scale, seed {self.plan.seed})"
            write_whole(compose(shown, title, reference=True), shown, self.folder / PAGE)
        self.board.say(REPORT, state="done", share=1.0)

    def outcome(self, *, stopped: bool) -> Outcome:
        """What became of it."""
        failures = _failures(self.plan, self.folder) | self.problems
        parts = self.record.parts if self.record.found["calls"] else {}
        return Outcome(self.folder, stopped, False, failures, parts)
