"""A training into a new run folder, and one that goes on."""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from triptych import data as data_plane
from triptych import plugins
from triptych.config import DeviceName
from triptych.data.spec import Dataset
from triptych.data.stream import Stream
from triptych.environment import environment
from triptych.errors import TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment.config import ExperimentConfig
from triptych.experiment.preparation import ENVIRONMENT, environment_text, facts, prepare
from triptych.experiment.trained import images_of, opened
from triptych.runs import Run
from triptych.training import events
from triptych.training.loop import Display, fit
from triptych.types import Method

__all__ = ["copied", "resume", "train"]


def train(
    config: ExperimentConfig,
    out: str | Path | None = None,
    *,
    root: str | Path = "runs",
    dataset: Dataset | None = None,
    display: Display | None = None,
) -> Run:
    """Train into a new run folder: ``out``, or the next free number below ``root``.

    ``dataset`` is what ``config.data`` names, where it has been loaded already.

    Nothing is written before data and method have proved to fit each other.
    Returns the run, whose `status` says whether it is done or was interrupted.

    Raises `TriptychError` for anything wrong with the input, and for a loss that is not finite.
    """
    dataset = dataset or data_plane.load(config.data)
    config, method, stream = prepare(config.anchored(), dataset)
    files = {
        ENVIRONMENT: environment_text(_environment(config, method, dataset, stream.device)),
        **copied(config),
    }
    if out is None:
        title = f"{config.method_name}-{Path(config.data.name).name}"
        run = Run.create_numbered(Path(root), title, config.tables(), files)
    else:
        run = Run.create(Path(out), config.tables(), files)
    _fit(config, run, method, dataset, stream, display, resume=False)
    return run


def resume(
    path: str | Path,
    *,
    data_dir: str | Path | None = None,
    data: str | Path | None = None,
    device: DeviceName | None = None,
    display: Display | None = None,
) -> Run:
    """Go on with a run that was interrupted, to the same bits as if it never had been.

    ``data`` says where images of one's own lie now, and ``device`` where to go on: on another
    device than before the bits differ, which is warned of.

    Raises `TriptychError` where the data are not those that the run began with, and where its
    config.toml, or the file of its method, was edited since.
    """
    run, config = opened(path, data_dir, data)
    if run.status() == "done":
        raise TriptychError(f"'{path}' is done already: {run.reason()}")
    dataset = images_of(run, config, exact=True, named=data is not None)
    before = config.train.device
    if device is not None:
        # How a step is done was decided for the device before.
        capture = config.train.capture if device == before else "auto"
        train = dataclasses.replace(config.train, device=device, capture=capture)
        config = dataclasses.replace(config, train=train)
    config, method, stream = prepare(config, dataset)
    if stream.device.type != before:
        warnings.warn(
            f"'{path}' goes on on {stream.device.type} and began on {before}: "
            "it does not end in the same bits",
            stacklevel=2,
        )
    _note_environment(run, _environment(config, method, dataset, stream.device))
    _fit(config, run, method, dataset, stream, display, resume=run.checkpoint("last").exists())
    return run


def copied(config: ExperimentConfig) -> dict[str, str]:
    """The file of a method of one's own, by its name in a folder that is to have it; from now on this machine knows its content."""
    source = config.source
    if source is None or source.package:
        return {}
    plugins.trust(source)
    return {f"{config.method_name}.py": plugins.loaded(config.method_name, source).text}


def _environment(
    config: ExperimentConfig, method: Method, dataset: Dataset, device: torch.device
) -> dict[str, Any]:
    """With what a run is made, and what its method is and can do."""
    return {**environment(dataset, device), "method": facts(config, method)}


def _note_environment(run: Run, now: dict[str, Any]) -> None:
    """Write environment.json where a kill came before it, and where another machine or device goes on add that."""
    found = run.environment()
    if not found:
        run.write(ENVIRONMENT, environment_text(now))
        return
    kept = ("triptych", "torch", "python", "platform", "device", "threads", "commit")
    differs = {key: now[key] for key in kept if found.get(key) != now[key]}
    if differs:
        before = found.get("resumed", [])
        resumed = before if isinstance(before, list) else []
        found["resumed"] = [*resumed, {"step": run.about("last").get("step", 0), **differs}]
        run.write(ENVIRONMENT, environment_text(found))


def _fit(
    config: ExperimentConfig,
    run: Run,
    method: Method,
    dataset: Dataset,
    stream: Stream,
    display: Display | None,
    resume: bool,
) -> None:
    subject = Subject(
        method,
        dataset,
        config.data.binarize,
        stream.device,
        method_name=config.method_name,
        # A look reads them where the training has them.
        placed={"train": (dataset.splits["train"].pixels, stream.pixels)},
    )
    with ExitStack() as stack:
        stack.enter_context(run.lock())
        if config.train.log == "tensorboard":
            run = stack.enter_context(events.Followed(run.path))
        run.reopen()
        if not resume:
            run.rewind(-1)
        try:
            ended = fit(
                method,
                stream,
                config.train,
                run,
                seed=config.seed,
                observe=Monitor(subject, run),
                display=display,
                resume=resume,
            )
        except TriptychError as error:
            run.finish("FAILED", str(error))
            raise
        except Exception as error:
            run.finish("FAILED", f"{type(error).__name__}: {error}")
            raise
        if ended == "done":
            run.finish("DONE", f"trained for {config.train.duration}")
