"""One run of a study in a process of its own: ``python -m triptych.studies.worker FOLDER ARM SEED [DATA_DIR [DATA]]``.

It trains or goes on, then measures. DATA is where images of one's own lie, DATA_DIR a mirror of named data sets, and
both are empty where there is none. When its standard input ends, because the
study wants to stop or has died, it stops as at Ctrl-C, with a complete checkpoint.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from triptych import experiment
from triptych.environment import device_for, lacks_memory
from triptych.errors import TriptychError, printable
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.processes import interrupt_at_end_of_input
from triptych.progress import Progress, silent
from triptych.runs import Run
from triptych.studies.plan import Cell, load
from triptych.studies.process import NO_ROOM, STOPPED
from triptych.training.loop import Display
from triptych.training.settings import TrainConfig

__all__ = [
    "MEASURED",
    "as_worker",
    "measure",
    "settled",
    "threads",
    "train",
    "train_and_measure",
    "work",
]

MEASURED = "MEASURED"
"""A file that the evaluation leaves behind when it is complete: results.json grows part by part."""

PATIENCE = 60.0
"""Seconds for which a process that still saves this run is waited for."""

stopping = threading.Event()


def settled(run: Path, evaluate: bool) -> bool:
    """Whether there is nothing left to do for a run: it failed, or is trained and measured.

    What broke by the machine, a full disk say, has not failed.

    Example:
        >>> settled(tmp_path, evaluate=False)
        False
        >>> Run(tmp_path).finish("FAILED", "the loss was not finite")
        >>> settled(tmp_path, evaluate=True)
        True
    """
    if (run / "FAILED").exists():
        return True
    return (run / "DONE").exists() and (not evaluate or (run / MEASURED).exists())


def work(folder: Path, cell: Cell, data_dir: str | None = None, data: str | None = None) -> None:
    """Train or go on with one run of the study in ``folder``, and measure it.

    Raises:
        TriptychError: what the input has wrong. A training that broke is recorded in its run folder.
        KeyboardInterrupt: it was asked to stop.
    """
    # Written just now by the process that began this one, which has executed the method's file.
    study = load(folder / "study.toml", only_trusted=False)
    path, config = cell.path(folder), study.experiment(cell).at(data=data)
    count = dataclasses.replace(config.train, threads=threads(config.train))
    config = dataclasses.replace(config, train=count)
    measures = EvaluateConfig(checkpoint=study.config.checkpoint) if study.config.evaluate else None
    train_and_measure(path, config, measures, data_dir)


def train_and_measure(
    path: Path, config: ExperimentConfig, measures: EvaluateConfig | None, data_dir: str | None
) -> None:
    """Train or go on, and measure, if that is wanted; KeyboardInterrupt where the process was asked to stop."""
    train(path, config, data_dir)
    if stopping.is_set() or not (path / "DONE").exists():
        raise KeyboardInterrupt
    if measures is not None:
        measure(path, measures, data_dir)


def train(
    path: Path,
    config: ExperimentConfig,
    data_dir: str | None = None,
    display: Display | None = None,
) -> None:
    """Train into ``path``, or go on with the run that was begun there; nothing where it is done."""
    if (path / "DONE").exists():
        return
    if (path / "config.toml").exists():
        _wait_until_free(Run(path))
        experiment.resume(path, data_dir=data_dir, display=display)
        return
    # The config is the first file that a run gets: without it, nothing is lost.
    shutil.rmtree(path, ignore_errors=True)
    experiment.train(config.at(data_dir), path, display=display)


def measure(
    path: Path, config: EvaluateConfig, data_dir: str | None = None, progress: Progress = silent
) -> None:
    """Measure a run that is trained; nothing where that is done."""
    if not (path / MEASURED).exists():
        experiment.evaluate(path, config, data_dir=data_dir, progress=progress)
        Run(path).write(MEASURED, "results.json is complete\n")


def threads(settings: TrainConfig) -> int:
    """One on a CPU unless the study says how many: runs side by side use the cores better.

    Example:
        >>> threads(TrainConfig(device="cpu")), threads(TrainConfig(device="cpu", threads=2))
        (1, 2)
    """
    # A cluster has a card where the machine that asks for it may have none.
    device = settings.device if settings.device == "cuda" else device_for(settings.device).type
    return settings.threads or int(device == "cpu")


def _wait_until_free(run: Run) -> None:
    """A worker whose study was killed saves its run before it ends."""
    began = time.monotonic()
    while run.status() == "running" and time.monotonic() - began < PATIENCE:
        time.sleep(0.5)


def as_worker(path: Path, do: Callable[[], None]) -> int:
    """Work on the run in ``path`` until that is done or standard input ends.

    Returns the exit code: 0 for a run with an outcome, 2 for wrong input or a machine that refused something, 130 for one to go on with, `NO_ROOM`
    where the card had no memory left: then nothing is recorded of it, and who began the process decides.
    """
    interrupt_at_end_of_input(stopping.set)
    try:
        do()
    except KeyboardInterrupt:
        return STOPPED
    except TriptychError as error:
        print(printable(str(error)), file=sys.stderr)
        if lacks_memory(error) == "cuda":
            return NO_ROOM
        return 0 if (path / "FAILED").exists() else 2
    except (OSError, MemoryError) as error:
        print(printable(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return 2
    except Exception as error:
        if lacks_memory(error) != "cuda":
            raise
        (path / "FAILED").unlink(missing_ok=True)
        print(printable(f"{type(error).__name__}: {error}".replace("\n", " ")), file=sys.stderr)
        return NO_ROOM
    return 0


def main() -> int:
    """The exit code of `as_worker`."""
    folder, arm, seed, *data = sys.argv[1:]
    places = [where or None for where in data]
    cell = Cell(arm, int(seed))
    return as_worker(cell.path(Path(folder)), lambda: work(Path(folder), cell, *places))


if __name__ == "__main__":
    sys.exit(main())
