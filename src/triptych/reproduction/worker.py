"""The run of one panel in a process of its own: ``python -m triptych.reproduction.worker FOLDER [DATA_DIR]``.

It reads config and evaluation as a line of JSON, trains or goes on, measures and draws. When its standard input
ends it stops as at Ctrl-C, with a complete checkpoint.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from triptych.config import merge, to_dict
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.safe import Attempts
from triptych.reproduction.plan import RunPanel
from triptych.runs import Run
from triptych.studies.pace import told
from triptych.studies.pool import Task, begin
from triptych.studies.worker import as_worker, settled, train_and_measure

__all__ = ["task"]


def task(path: Path, panel: RunPanel, data_dir: str | None, share: int) -> Task:
    """The run of a panel as what a `triptych.studies.pool.Pool` does, with its ``share`` of the cores."""
    log = path.parent / "logs" / f"{path.name}.log"
    words = ["triptych.reproduction.worker", str(path), *([] if data_dir is None else [data_dir])]
    line = json.dumps([panel.config.anchored().tables(), to_dict(panel.evaluate)])
    return Task(path, log, lambda: begin(words, log, share, line), lambda: settled(path, True))


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
    return as_worker(Path(path), lambda: work(Path(path), told(tables), evaluation, *data_dir))


if __name__ == "__main__":
    sys.exit(main())
