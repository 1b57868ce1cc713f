"""From a config to a trained and measured run: where data, method, loop and evaluation meet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch

from triptych import checkpoint, methods, presets
from triptych import data as data_plane
from triptych.config import DeviceName, merge, to_dict
from triptych.data.spec import DataConfig, Dataset
from triptych.data.stream import Stream
from triptych.environment import cores, device_for, environment
from triptych.errors import TriptychError, unknown
from triptych.evaluate.features import Extractor, from_encoder, from_torchscript
from triptych.evaluate.monitor import Monitor
from triptych.evaluate.subject import Subject
from triptych.evaluate.suite import EvaluateConfig
from triptych.evaluate.suite import evaluate as measure
from triptych.nets.initialise import initialise
from triptych.progress import Progress, silent
from triptych.runs import Result, Run
from triptych.train.loop import Display, fit, images_per_step
from triptych.train.settings import TrainConfig
from triptych.types import DataSpec, Encodes, Method

__all__ = [
    "ExperimentConfig",
    "default_config",
    "evaluate",
    "load_method",
    "prepare",
    "resume",
    "train",
]


MANY_STEPS = 10_000
"""Steps from which compiling, some ten seconds on a CPU, has paid for itself."""


@dataclass(frozen=True)
class ExperimentConfig:
    """One run: everything that is needed to repeat it."""

    method_name: str
    """Which method; a name of `triptych.methods.names`."""
    method: Any
    """The method's own config."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which images."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How to train."""
    seed: int = 0
    """Everything random follows from this number."""

    def tables(self) -> dict[str, Any]:
        """As config.toml holds it."""
        return {
            "seed": self.seed,
            "method": {"name": self.method_name, **to_dict(self.method)},
            "data": to_dict(self.data),
            "train": to_dict(self.train),
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> ExperimentConfig:
        """Read what `tables` gave, strictly."""
        rest = dict(tables)
        method = rest.pop("method", {})
        if not isinstance(method, Mapping):
            raise TriptychError("the config's 'method' must be a table, [method] with a name")
        method = dict(method)
        name = method.pop("name", None)
        if name is None:
            raise TriptychError("the config names no method: it needs [method] with a name")
        default = cls(name, methods.find(name).Config())
        return merge(default, {**rest, "method": method})


def default_config(method: str, preset: str | None = None) -> ExperimentConfig:
    """A method's defaults, changed as a preset says; `TriptychError` for an unknown one of either.

    Example:
        >>> default_config("vae", "reference").train.batch_size
        64
    """
    config = ExperimentConfig(method, methods.find(method).Config())
    if preset is None:
        return config
    return merge(config, presets.tables(method, preset))


def _anchored(config: ExperimentConfig) -> ExperimentConfig:
    """The same with absolute paths: a run is resumed and evaluated from any folder."""
    data = config.data
    if data.dir is not None:
        data = dataclasses.replace(data, dir=str(Path(data.dir).expanduser().resolve()))
    if data_plane.entry_for(data.name) is None:
        data = dataclasses.replace(data, name=str(Path(data.name).expanduser().resolve()))
    return dataclasses.replace(config, data=data)


def _resolve(config: ExperimentConfig, spec: DataSpec, device: torch.device) -> ExperimentConfig:
    """Decide every ``auto`` once: what the run records, and a resumed run obeys."""
    train = config.train
    threads = train.threads or cores()
    method = methods.find(config.method_name).resolve(config.method, spec)
    train = dataclasses.replace(train, device=cast(DeviceName, device.type), threads=threads)
    return dataclasses.replace(config, method=method, train=train)


def _spec(dataset: Dataset, data: DataConfig) -> DataSpec:
    if data.binarize != "none" and dataset.values == "binary":
        raise TriptychError(
            f"the images of {dataset.title} are black and white already; leave out --binarize"
        )
    values = dataset.values if data.binarize == "none" else "binary"
    moments = dataset.moments
    return DataSpec(dataset.shape, values, dataset.mirrors, moments.mean, moments.std)


def _build(config: ExperimentConfig, dataset: Dataset, device: torch.device) -> Method:
    """The method with its initial weights, on its device."""
    method = methods.find(config.method_name)(config.method, _spec(dataset, config.data))
    initialise(method, config.seed)
    method.after_initialise()
    return method.to(device)


def prepare(config: ExperimentConfig, dataset: Dataset) -> tuple[ExperimentConfig, Method, Stream]:
    """What `triptych.train.loop.fit` needs: the config with every ``auto`` decided, method and batches.

    Also sets the number of threads that the config asks for.
    """
    device = device_for(config.train.device)
    config = _resolve(config, _spec(dataset, config.data), device)
    torch.set_num_threads(config.train.threads)
    method = _build(config, dataset, device)
    stream = Stream(
        dataset.splits["train"],
        config.train.batch_size,
        config.seed,
        device,
        config.data.binarize,
        dataset.fingerprint,
        method.views,
        method.smallest_batch,
    )
    if config.train.compile == "auto":
        per_epoch = stream.batches_per_epoch / images_per_step(method.phases())
        pays = method.worth_compiling and device.type == "cpu"
        pays = pays and config.train.duration.steps(per_epoch) >= MANY_STEPS
        train = dataclasses.replace(config.train, compile="on" if pays else "off")
        config = dataclasses.replace(config, train=train)
    return config, method, stream


def train(
    config: ExperimentConfig,
    out: Path | None = None,
    *,
    root: Path = Path("runs"),
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
    config, method, stream = prepare(_anchored(config), dataset)
    title = f"{config.method_name}-{Path(config.data.name).name}"
    if out is None:
        run = Run.create_numbered(root, title, config.tables())
    else:
        run = Run.create(out, config.tables())
    run.write("environment.json", json.dumps(environment(dataset, stream.device), indent=1) + "\n")
    _fit(config, run, method, dataset, stream, display, resume=False)
    return run


def resume(path: Path, *, data_dir: str | None = None, display: Display | None = None) -> Run:
    """Go on with a run that was interrupted, to the same bits as if it never had been."""
    run, config, dataset = _reopen(path, data_dir)
    if run.status() == "done":
        raise TriptychError(f"'{path}' is done already: {run.reason()}")
    config, method, stream = prepare(config, dataset)
    _fit(config, run, method, dataset, stream, display, resume=run.checkpoint("last").exists())
    return run


def _fit(
    config: ExperimentConfig,
    run: Run,
    method: Method,
    dataset: Dataset,
    stream: Stream,
    display: Display | None,
    resume: bool,
) -> None:
    subject = Subject(method, dataset, config.data.binarize, stream.device)
    with run.lock():
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


def _reopen(
    path: Path, data_dir: str | None, progress: Progress = silent
) -> tuple[Run, ExperimentConfig, Dataset]:
    run = Run.open(path)
    config = ExperimentConfig.from_tables(run.config)
    if data_dir is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=data_dir))
    return run, config, data_plane.load(config.data, progress=progress)


def evaluate(
    path: Path,
    config: EvaluateConfig | None = None,
    *,
    data_dir: str | None = None,
    progress: Progress = silent,
) -> dict[str, Result]:
    """Measure a run, write results.json and what pictures are drawn from; returns the results."""
    config = config or EvaluateConfig()
    run, trained, dataset = _reopen(path, data_dir, progress)
    if config.split not in dataset.splits:
        raise unknown("split", config.split, dataset.splits)
    torch.set_num_threads(cores())
    device = device_for(config.device)
    method, which = _weighted(run, trained, dataset, device, config.checkpoint)
    subject = Subject(method, dataset, trained.data.binarize, device, which, progress)
    features = _extractor(config.features, dataset, device) if config.features else None
    return measure(
        subject,
        run,
        config,
        features,
        untrained=lambda: _build(trained, dataset, device).eval(),
        last=lambda: _weighted(run, trained, dataset, device, "last")[0],
    )


def _extractor(path: Path, dataset: Dataset, device: torch.device) -> Extractor:
    """The features of a trained encoder, where ``path`` is its run, or of a TorchScript file."""
    if not path.is_dir():
        return from_torchscript(path, device)
    run, trained, own = _reopen(path, None)
    method, which = _weighted(run, trained, own, device, "best")
    if not isinstance(method, Encodes):
        raise TriptychError(f"'{path}' has no encoder: {trained.method_name} gives no features")
    if own.shape != dataset.shape:
        raise TriptychError(
            f"'{path}' was trained on images of {'×'.join(map(str, own.shape))} "
            f"and these are of {'×'.join(map(str, dataset.shape))}"
        )
    return from_encoder(method, f"{trained.method_name} trained on {own.title}, {which} weights")


def load_method(
    path: Path,
    which: Literal["best", "last"] = "best",
    *,
    data_dir: str | None = None,
    device: str = "auto",
) -> Method:
    """A run's trained method in ``eval()`` mode: `encode`, `decode` and what else it can do.

    The best weights are the last ones where nothing was validated.
    """
    run, trained, dataset = _reopen(path, data_dir)
    return _weighted(run, trained, dataset, device_for(device), which)[0]


def _weighted(
    run: Run, config: ExperimentConfig, dataset: Dataset, device: torch.device, which: str
) -> tuple[Method, str]:
    """The method with the weights of a checkpoint, and which checkpoint that was."""
    if not run.checkpoint(which).exists():
        which = "last"
    method = _build(config, dataset, device)
    tensors, about = checkpoint.load(run.checkpoint(which))
    checkpoint.load_weights(method, tensors, run.checkpoint(which))
    if about["data"] != dataset.fingerprint:
        raise TriptychError(
            f"'{run.path}' was trained on other data than is read now from {config.data.name}; "
            "its config.toml says where it looked, and --data-dir names another mirror"
        )
    return method.eval(), which
