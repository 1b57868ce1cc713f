"""A training into a new run folder, and one that goes on."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch

from triptych import checkpoint, plugins
from triptych import data as data_plane
from triptych.config import DeviceName
from triptych.data.spec import Dataset
from triptych.data.stream import Stream
from triptych.environment import enough_memory, environment
from triptych.errors import CIRCUMSTANCES, LostError, TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment.config import ExperimentConfig
from triptych.experiment.launch import Fallen, on_devices
from triptych.experiment.preparation import (
    ENVIRONMENT,
    SMALLER,
    environment_text,
    facts,
    prepare,
)
from triptych.experiment.trained import images_of, opened
from triptych.ranks import Ranks, joined
from triptych.runs import Run
from triptych.training import events
from triptych.training.loop import Display, fit
from triptych.training.step import images_per_step
from triptych.types import Method

__all__ = ["copied", "resume", "train"]


def train(
    config: ExperimentConfig,
    out: str | Path | None = None,
    *,
    root: str | Path = "runs",
    dataset: Dataset | None = None,
    display: Display | None = None,
    begun: Callable[[Path], object] | None = None,
) -> Run:
    """Train into a new run folder: ``out``, or the next free number below ``root``.

    ``dataset`` is what ``config.data`` names, where it has been loaded already; ``begun`` is told of the folder as soon
    as it is there.

    Nothing is written before data and method have proved to fit each other. On several devices a process each is begun
    for the training; where a launcher such as torchrun has begun them already, each of them calls this.
    Returns the run, whose `status` says whether it is done or was interrupted.

    Raises `TriptychError` for anything wrong with the input, and for a loss that is not finite.
    """
    with joined() as ranks:
        dataset = dataset or ranks.unanimous(lambda: data_plane.load(config.data))
        if ranks.size > 1:
            config = _on(config, ranks.size)
        ranks.same("the fingerprint of the images", dataset.fingerprint)
        config, method, stream = prepare(config.anchored(), dataset, ranks)
        _refuse_others(ranks, config, method)
        made = ranks.by_first(lambda: _made(config, method, dataset, stream, out, Path(root)).path)
        run = Run(made, ranks=ranks)
        if begun and ranks.first:
            begun(made)
        if config.train.devices > ranks.size:
            total = _total(config, method, stream)
            # The ranks have theirs: where these lie on a GPU, its memory is wanted.
            del method, stream
            _follow(config, run, total, display)
        else:
            _fit(config, run, method, dataset, stream, display)
    return Run(made)


def _refuse_others(ranks: Ranks, config: ExperimentConfig, method: Method) -> None:
    """Refuse ranks that would train something else, or something in another way; where files lie is each machine's matter."""
    if ranks.size == 1:
        return
    tables = config.tables()
    tables["data"].pop("dir", None)
    tables["train"].pop("threads")
    if data_plane.entry_for(config.data.name) is None:
        tables["data"].pop("name")
    for name, table in tables.items():
        ranks.same(f"the config's {name}", table)
    weights = {f"{checkpoint.WEIGHTS}{k}": v for k, v in method.state_dict().items()}
    ranks.same("the digest of the initial weights", checkpoint.weights_digest(weights))


def _made(
    config: ExperimentConfig,
    method: Method,
    dataset: Dataset,
    stream: Stream,
    out: str | Path | None,
    root: Path,
) -> Run:
    """The folder of a new run."""
    files = {
        ENVIRONMENT: environment_text(_environment(config, method, dataset, stream.device)),
        **copied(config),
    }
    if out is not None:
        return Run.create(Path(out), config.tables(), files)
    title = f"{config.method_name}-{Path(config.data.name).name}"
    return Run.create_numbered(root, title, config.tables(), files)


def resume(
    path: str | Path,
    *,
    data_dir: str | Path | None = None,
    data: str | Path | None = None,
    device: DeviceName | None = None,
    devices: int | None = None,
    display: Display | None = None,
) -> Run:
    """Go on with a run that was interrupted, to the same bits as if it never had been.

    ``data`` says where images of one's own lie now, ``device`` where to go on, and ``devices`` on how many: on another
    device or number than before the bits differ, which is warned of. Without it they are as many as before. Where a launcher has
    begun several processes, each of them calls this, and finds the run in a folder that all of them see.

    Raises `TriptychError` where the data are not those that the run began with, and where its
    config.toml, or the file of its method, was edited since.
    """
    with joined() as ranks:
        run, config = opened(path, data_dir, data)
        status = run.status()
        if status == "done":
            raise TriptychError(f"'{path}' is done already: {run.reason()}")
        if status == "running":
            raise TriptychError(f"another process is training '{path}' just now")
        dataset = images_of(run, config, exact=True, named=data is not None)
        before, devices_before = config.train.device, _devices_before(run, config)
        config = _on(config, ranks.size if ranks.size > 1 else devices or devices_before)
        if device is not None:
            # How a step is done was decided for the device before.
            capture = config.train.capture if device == before else "auto"
            train = dataclasses.replace(config.train, device=device, capture=capture)
            config = dataclasses.replace(config, train=train)
        config, method, stream = prepare(config, dataset, ranks, goes_on=True)
        if not method.normalises_jointly and config.train.devices != devices_before:
            raise TriptychError(
                f"'{path}' normalises each device's part of a batch by itself, and was trained on "
                f"{devices_before}: on {config.train.devices} it would be another method"
            )
        if ranks.first and stream.device.type != before:
            warnings.warn(
                f"'{path}' goes on on {stream.device.type} and began on {before}: "
                "it does not end in the same bits",
                stacklevel=2,
            )
        if config.train.devices > ranks.size:
            total = _total(config, method, stream)
            # The ranks have theirs: where these lie on a GPU, its memory is wanted.
            del method, stream
            _follow(config, run, total, display)
        else:
            _refuse_others(ranks, config, method)
            now = _environment(config, method, dataset, stream.device)
            _fit(config, run, method, dataset, stream, display, goes_on=now)
    return Run(run.path)


def _on(config: ExperimentConfig, devices: int) -> ExperimentConfig:
    """The same on so many devices; the threads of each are decided anew where they are others."""
    train = config.train
    threads = train.threads if devices == train.devices else 0
    return dataclasses.replace(
        config, train=dataclasses.replace(train, devices=devices, threads=threads)
    )


def _devices_before(run: Run, config: ExperimentConfig) -> int:
    """On how many devices a run was when it was saved last, or begun."""
    found = run.about("last").get("devices", config.train.devices)
    return found if isinstance(found, int) and found > 0 else config.train.devices


def _total(config: ExperimentConfig, method: Method, stream: Stream) -> int:
    return config.train.duration.steps(stream.batches_per_epoch / images_per_step(method.phases()))


def _follow(config: ExperimentConfig, run: Run, total: int, display: Display | None) -> None:
    """Let a process on each device train a run that has been made, and show what they log.

    Raises `TriptychError` where the run broke, and where one of the processes died.
    """
    told, log, size = len(run.metrics()), run.path / "metrics.jsonl", 0

    def look() -> None:
        nonlocal told, size
        now = log.stat().st_size if log.exists() else 0
        if now == size:
            return
        size = now
        lines = run.metrics()
        # A run that goes on begins with what it had saved.
        told = min(told, len(lines))
        for line in lines[told:]:
            if "note" in line:
                warnings.warn(str(line["note"]), stacklevel=2)
            elif display:
                rest = {k: v for k, v in line.items() if k not in ("step", "epoch", "seconds")}
                display(line["step"], total, line["epoch"], rest)
        told = len(lines)

    images, train = config.data, config.train
    named = images.name != run.config["data"]["name"]
    job = {
        "verb": "train",
        "run": str(run.path.resolve()),
        "data_dir": images.dir,
        "data": images.name if named else None,
        "device": train.device,
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    fallen = on_devices(train.devices, job, train.threads, look)
    if run.status() == "failed":
        raise TriptychError(run.reason())
    if fallen is None or run.status() == "done":
        return
    raise TriptychError(_how_it_fell(run, fallen, train.devices))


def _how_it_fell(run: Run, fallen: list[Fallen], devices: int) -> str:
    step = run.about("last").get("step")
    kept = "nothing was saved yet" if step is None else f"step {step} is saved"
    why = "; ".join(map(str, fallen)) or "all ranks ended before the training did"
    return f"{why}; {kept}, go on with: triptych train --resume {run.path} --devices {devices}"


def copied(config: ExperimentConfig) -> dict[str, str]:
    """The file of a method of one's own, by its name in a folder that is to have it; from now on this machine knows its content."""
    source = config.source
    if source is None or source.package:
        return {}
    try:
        plugins.trust(source)
    except TriptychError as error:
        # It was named by who trains, and is executed already.
        warnings.warn(f"{error}; later commands will ask", stacklevel=2)
    return {f"{config.method_name}.py": plugins.loaded(config.method_name, source).text}


def _environment(
    config: ExperimentConfig, method: Method, dataset: Dataset, device: torch.device
) -> dict[str, Any]:
    """With what a run is made, and what its method is and can do."""
    return {**environment(dataset, device), "method": facts(config, method)}


def _note_environment(run: Run, now: dict[str, Any]) -> None:
    """Write environment.json where a kill came before it, and where another machine or device goes on add that."""
    # Each of several ranks may find another difference; what they ask of the run they ask all.
    found, step = run.environment(), run.about("last").get("step", 0)
    if not found:
        run.write(ENVIRONMENT, environment_text(now))
        return
    kept = ("triptych", "torch", "python", "platform", "device", "threads", "commit")
    differs = {key: now[key] for key in kept if found.get(key) != now[key]}
    if differs:
        before = found.get("resumed", [])
        resumed = before if isinstance(before, list) else []
        found["resumed"] = [*resumed, {"step": step, **differs}]
        run.write(ENVIRONMENT, environment_text(found))


def _fit(
    config: ExperimentConfig,
    run: Run,
    method: Method,
    dataset: Dataset,
    stream: Stream,
    display: Display | None,
    goes_on: dict[str, Any] | None = None,
) -> None:
    """Train a run that is new, or one that ``goes_on`` with what environment.json would say of it now."""
    ranks = stream.ranks
    subject = Subject(
        method,
        dataset,
        config.data.binarize,
        stream.device,
        method_name=config.method_name,
        # A look reads them where the training has them.
        placed={"train": (dataset.splits["train"].pixels, stream.pixels)},
        ranks=ranks,
    )
    with ExitStack() as stack:
        stack.enter_context(run.lock())
        if ranks.first and config.train.log == "tensorboard":
            run = stack.enter_context(events.Followed(run.path, ranks=ranks))
        # What was asked before the run was held, another process may have changed.
        if ranks.by_first((run.path / "DONE").exists):
            raise TriptychError(f"'{run.path}' is done already: {run.reason()}")
        if goes_on is not None:
            _note_environment(run, goes_on)
        run.reopen()
        resume = goes_on is not None and run.has("last")
        if not resume:
            run.rewind(-1)
        try:
            with enough_memory(SMALLER):
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
        except (LostError, *CIRCUMSTANCES):
            # Nothing is wrong with the run: it goes on from its last checkpoint, here or where there is room.
            raise
        except Exception as error:
            said = (
                str(error)
                if isinstance(error, TriptychError)
                else f"{type(error).__name__}: {error}"
            )
            run.finish("FAILED", said)
            if isinstance(error, TriptychError):
                # All ranks found the same; a launcher ends the others with the first that leaves, be this not said yet.
                with suppress(LostError):
                    ranks.meet()
            raise
        if ended == "done":
            run.finish("DONE", f"trained for {config.train.duration}")
