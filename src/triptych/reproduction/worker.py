"""The run of one panel in a process of its own: ``python -m triptych.reproduction.worker FOLDER [DATA_DIR]``.

It reads config and evaluation as a line of JSON, trains or goes on, measures and draws. When its standard input
ends it stops as at Ctrl-C, with a complete checkpoint.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from triptych import experiment
from triptych.config import merge, to_dict
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.files import write
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.safe import Attempts
from triptych.reproduction.plan import RunPanel
from triptych.runs import Run
from triptych.studies.pace import told
from triptych.studies.pool import Task
from triptych.studies.process import Begin, Errand, Process, begin
from triptych.studies.worker import as_worker, settled, train_and_measure

__all__ = ["task"]


def task(
    path: Path, panel: RunPanel, data_dir: str | None, share: int, begin: Begin = begin
) -> Task:
    """The run of a panel as what a `triptych.studies.pool.Pool` does, with its ``share`` of the cores."""
    log, own = f"logs/{path.name}.log", f"logs/{path.name}"
    config = panel.config.at(data_dir).anchored()
    evaluate = to_dict(panel.evaluate)
    if panel.evaluate.features is not None:
        evaluate["features"] = str(Path(panel.evaluate.features).expanduser().resolve())
    files = experiment.copied(config)
    errand = Errand(
        path.parent,
        run=path.name,
        log=log,
        module="triptych.reproduction.worker",
        place=path.name,
        words=() if config.data.dir is None else (config.data.dir,),
        line=json.dumps([config.tables(), evaluate]),
        reads=tuple(f"{own}/{name}" for name in files),
        threads=share,
        device=config.train.device,
        devices=config.train.devices,
    )

    def start() -> Process:
        for name, text in files.items():
            (path.parent / own).mkdir(parents=True, exist_ok=True)
            write(path.parent / own / name, text)
        return begin(errand)

    return Task(path, path.parent / log, start, lambda: settled(path, True))


def work(
    path: Path, config: ExperimentConfig, evaluation: dict[str, Any], data_dir: str | None = None
) -> None:
    """Train or go on, measure and draw."""
    train_and_measure(path, config, merge(EvaluateConfig(), evaluation), data_dir)
    draw(Run(path), Attempts())
    write_playable(path, data_dir)


def main() -> int:
    """The exit code of `triptych.studies.worker.as_worker`."""
    path, *data_dir = sys.argv[1:]
    tables, evaluation = json.loads(sys.stdin.readline())
    run = Path(path)
    own = run.parent / "logs" / run.name
    return as_worker(run, lambda: work(run, told(tables, own), evaluation, *data_dir))


if __name__ == "__main__":
    sys.exit(main())
