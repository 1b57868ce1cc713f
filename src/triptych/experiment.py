"""From a config to a trained and measured run: where data, method, loop and evaluation meet."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch

from triptych import checkpoint, methods, presets
from triptych import data as data_plane
from triptych.config import DeviceName, limited, merge, to_dict
from triptych.data.spec import DataConfig, Dataset
from triptych.data.stream import Stream
from triptych.environment import at_most, cores, device_for, environment, memory
from triptych.errors import TriptychError, unknown
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.samples.extractors import Extractor, from_encoder, from_torchscript
from triptych.evaluation.subject import Subject
from triptych.evaluation.suite import EvaluateConfig
from triptych.evaluation.suite import evaluate as measure
from triptych.nets.initialise import Undrawn, initialise
from triptych.progress import Progress, silent
from triptych.runs import Result, Run
from triptych.training.loop import Display, fit, images_per_step
from triptych.training.settings import TrainConfig
from triptych.types import DataSpec, Encodes, Method
from triptych.weights import UNTRAINED, Weights

__all__ = [
    "ExperimentConfig",
    "Trained",
    "default_config",
    "evaluate",
    "extractor",
    "load_method",
    "open_trained",
    "prepare",
    "resume",
    "train",
]


ENVIRONMENT = "environment.json"
"""Where a run says with what it was made."""

MANY_STEPS = 10_000
"""Steps from which compiling, some ten seconds on a CPU, has paid for itself."""


SEEDS = 2**62
"""The largest seed: the numbers of a TOML file have 64 bits."""


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

    def __post_init__(self) -> None:
        """Refuse a seed that no file can hold, and a method's name beside another's config."""
        limited("--seed", self.seed, -SEEDS, SEEDS)
        if not isinstance(self.method, methods.find(self.method_name).Config):
            raise TriptychError(
                f"the config is not of {self.method_name}; a method is named by [method] name"
            )

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


def _build(config: ExperimentConfig, spec: DataSpec, device: torch.device) -> Method:
    """The method with its initial weights, on its device."""
    kind = methods.find(config.method_name)
    with torch.device("meta"), Undrawn():
        _refuse_too_large(kind(config.method, spec), device)
    method = kind(config.method, spec)
    initialise(method, config.seed)
    method.after_initialise()
    return method.to(device)


def _refuse_too_large(planned: Method, device: torch.device) -> None:
    """Before a network is built, from one that has only shapes: a system that has no room ends the process instead."""
    count = sum(parameter.numel() for parameter in planned.parameters())
    # fp32, each with its gradient and two moments of the optimizer.
    needed, there = 4 * 4 * count, memory(device)
    if needed > there:
        raise TriptychError(
            f"these networks have {count:,} weights, whose training takes {needed / 1e9:,.0f} GB, and there are "
            f"{there / 1e9:,.0f} GB on this {device.type}; choose smaller widths (options of --method) or --image-size"
        )


def prepare(config: ExperimentConfig, dataset: Dataset) -> tuple[ExperimentConfig, Method, Stream]:
    """What `triptych.training.loop.fit` needs: the config with every ``auto`` decided, method and batches.

    Also sets the number of threads that the config asks for.
    """
    device = device_for(config.train.device)
    spec = _spec(dataset, config.data)
    config = _resolve(config, spec, device)
    torch.set_num_threads(config.train.threads)
    # Without it cuDNN chooses sums whose order changes from run to run for the gradients of
    # convolutions: a WGAN ended in other bits each time, at the same speed.
    torch.backends.cudnn.deterministic = True
    method = _build(config, spec, device)
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
    files = {ENVIRONMENT: _environment(dataset, stream)}
    if out is None:
        run = Run.create_numbered(root, title, config.tables(), files)
    else:
        run = Run.create(out, config.tables(), files)
    _fit(config, run, method, dataset, stream, display, resume=False)
    return run


def resume(
    path: Path,
    *,
    data_dir: str | None = None,
    data: str | None = None,
    device: DeviceName | None = None,
    display: Display | None = None,
) -> Run:
    """Go on with a run that was interrupted, to the same bits as if it never had been.

    ``data`` says where images of one's own lie now, and ``device`` where to go on: on another
    device than before the bits differ, which is warned of.

    Raises `TriptychError` where the data are not those that the run began with, and where its
    config.toml was edited since.
    """
    run, config = _opened(path, data_dir, data)
    if run.status() == "done":
        raise TriptychError(f"'{path}' is done already: {run.reason()}")
    dataset = _images(run, config, exact=True, named=data is not None)
    before = config.train.device
    if device is not None:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, device=device))
    config, method, stream = prepare(config, dataset)
    if stream.device.type != before:
        warnings.warn(
            f"'{path}' goes on on {stream.device.type} and began on {before}: "
            "it does not end in the same bits",
            stacklevel=2,
        )
    _note_environment(run, dataset, stream.device)
    _fit(config, run, method, dataset, stream, display, resume=run.checkpoint("last").exists())
    return run


def _note_environment(run: Run, dataset: Dataset, device: torch.device) -> None:
    """Write environment.json where a kill came before it, and where another machine or device goes on add that."""
    found, now = run.environment(), environment(dataset, device)
    if not found:
        run.write(ENVIRONMENT, json.dumps(now, indent=1) + "\n")
        return
    kept = ("triptych", "torch", "python", "platform", "device", "threads", "commit")
    differs = {key: now[key] for key in kept if found.get(key) != now[key]}
    if differs:
        before = found.get("resumed", [])
        resumed = before if isinstance(before, list) else []
        found["resumed"] = [*resumed, {"step": run.about("last").get("step", 0), **differs}]
        run.write(ENVIRONMENT, json.dumps(found, indent=1) + "\n")


def _environment(dataset: Dataset, stream: Stream) -> str:
    return json.dumps(environment(dataset, stream.device), indent=1) + "\n"


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


class Trained(NamedTuple):
    """A trained run, opened once: its folder, its config, and its method with weights and data."""

    run: Run
    config: ExperimentConfig
    subject: Subject

    def last(self) -> Subject:
        """The same with the weights of the end of the training."""
        method, weights = _weighted(self.run, self.config, self.subject.device, "last")
        return self.subject.with_weights(method, weights)

    @property
    def trained_on(self) -> str:
        """The title of the images that it was trained on, which need not be those that it is looked at with."""
        return _title(self.run, self.config)

    def untrained(self) -> Subject:
        """The same with the weights before any training: what they score is a baseline."""
        subject = self.subject
        method = _build(self.config, subject.method.spec, subject.device).eval()
        digest = checkpoint.weights_digest(
            {f"{checkpoint.WEIGHTS}{k}": v for k, v in method.state_dict().items()}
        )
        return subject.with_weights(method, Weights(UNTRAINED, 0, digest))


def open_trained(
    path: Path,
    which: str = "best",
    *,
    data_dir: str | None = None,
    data: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Trained:
    """A run with the weights of a checkpoint, the last ones where nothing was validated, and its images.

    The images are those that the run was trained on, wherever their content is now: where the
    config says, at ``data``, or in the cache. Where they are other images, this is warned of and
    stands in every protocol as ``trained_on``.

    Raises `TriptychError` where there is no run, no data or no checkpoint, and where config.toml was
    edited after the training.
    """
    run, config = _opened(path, data_dir, data)
    where = device_for(device)
    method, weights = _weighted(run, config, where, which)
    dataset = _images(run, config, progress, named=data is not None)
    if dataset.shape != method.spec.shape:
        raise TriptychError(
            f"'{path}' was trained on images of {_by(method.spec.shape)} and {dataset.title} has "
            f"images of {_by(dataset.shape)}; name the data of the training with --data"
        )
    trained_on = run.about(weights.checkpoint)["data"]
    subject = Subject(
        method,
        dataset,
        config.data.binarize,
        where,
        weights.checkpoint,
        progress,
        weights.step,
        weights.digest,
        "" if trained_on == dataset.fingerprint else trained_on,
    )
    return Trained(run, config, subject)


def _opened(path: Path, data_dir: str | None, data: str | None) -> tuple[Run, ExperimentConfig]:
    """A run and its config, if that is what it was trained with; `TriptychError` names what is not."""
    run = Run.open(path)
    if edited := run.edited():
        raise TriptychError(
            f"'{path}' was trained with another config: {'; '.join(edited)}; put it back, or train "
            f"a new run with --preset {run.path / 'config.toml'}"
        )
    config = ExperimentConfig.from_tables(run.config)
    if data_dir is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=data_dir))
    if data is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, name=data))
    return run, _anchored(config) if data is not None else config


def _images(
    run: Run,
    config: ExperimentConfig,
    progress: Progress = silent,
    *,
    exact: bool = False,
    named: bool = False,
) -> Dataset:
    """The images of a run, known by their content; what is not as it was is warned of.

    With ``exact`` other images are a `TriptychError`. Images that a person has ``named`` are
    meant: those of the training in the cache do not take their place.
    """
    told = run.environment().get("data", {})
    wanted = next(
        (data for which in ("last", "best") if (data := run.about(which).get("data"))),
        told.get("fingerprint"),
    )
    try:
        dataset, why = data_plane.load(config.data, progress=progress), ""
    except TriptychError as error:
        dataset, why = None, str(error)
    if dataset is not None and wanted in (None, dataset.fingerprint):
        return dataset
    if dataset is not None:
        why = f"{config.data.name} holds other images than the run was trained on: {_differ(told, dataset)}"
    kept = None if named else data_plane.kept(config.data, str(told.get("decoded", "")))
    if kept is not None and kept.fingerprint == wanted:
        warnings.warn(f"those of the training are read from the cache, since {why}", stacklevel=2)
        return dataclasses.replace(kept, title=str(told.get("title", kept.title)))
    if dataset is None:
        raise TriptychError(
            f"{why}; where the images of '{run.path}' lie now is said by --data PATH"
        )
    if exact:
        raise TriptychError(
            f"'{run.path}' cannot go on with other data: {why}; name the images it began with by "
            "--data PATH, or another mirror by --data-dir"
        )
    warnings.warn(
        f"{why}; what is measured is of the images that are there now, of which some may have been trained on",
        stacklevel=2,
    )
    return dataset


def _differ(told: Mapping[str, Any], dataset: Dataset) -> str:
    """In what the images of a data set are not those that environment.json tells of."""
    then = told.get("images", {})
    now = {name: len(images) for name, images in dataset.splits.items()}
    if then == now or not isinstance(then, Mapping):
        return "as many, of other content"
    counts = [
        f"{then.get(name, 0):,} {name} images then and {now.get(name, 0):,} now"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    return ", ".join(counts)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def evaluate(
    path: Path,
    config: EvaluateConfig | None = None,
    *,
    data_dir: str | None = None,
    data: str | None = None,
    progress: Progress = silent,
) -> dict[str, Result]:
    """Measure a run, write results.json and what pictures are drawn from; returns the results."""
    config = config or EvaluateConfig()
    with at_most(config.threads or cores()):
        trained = open_trained(
            path,
            config.checkpoint,
            data_dir=data_dir,
            data=data,
            device=config.device,
            progress=progress,
        )
        subject = trained.subject
        if config.split not in subject.dataset.splits:
            raise unknown("split", config.split, subject.dataset.splits)
        features = (
            extractor(config.features, subject.dataset, subject.device) if config.features else None
        )
        return measure(
            subject,
            Run(path, made_with=subject.made_with),
            config,
            features,
            untrained=trained.untrained,
            last=trained.last if trained.run.checkpoint("last").exists() else None,
        )


def extractor(path: Path, dataset: Dataset, device: torch.device) -> Extractor:
    """The features of a trained encoder, where ``path`` is its run, or of a TorchScript file."""
    if not path.is_dir():
        return from_torchscript(path, device)
    run, config = _opened(path, None, None)
    method, weights = _weighted(run, config, device, "best")
    if not isinstance(method, Encodes):
        raise TriptychError(f"'{path}' has no encoder: {config.method_name} gives no features")
    if method.spec.shape != dataset.shape:
        raise TriptychError(
            f"'{path}' was trained on images of {_by(method.spec.shape)} "
            f"and these are of {_by(dataset.shape)}"
        )
    return from_encoder(method, f"{config.method_name} trained on {_title(run, config)}, {weights}")


def _title(run: Run, config: ExperimentConfig) -> str:
    """What the images of a training are called."""
    told = run.environment().get("data", {})
    found = told.get("title") if isinstance(told, Mapping) else None
    return str(found or config.data.name)


def load_method(
    path: Path,
    which: Literal["best", "last"] = "best",
    *,
    device: str = "auto",
) -> Method:
    """A run's trained method in ``eval()`` mode: `encode`, `decode` and what else it can do.

    The best weights are the last ones where nothing was validated. The images of the
    training are not needed.
    """
    run, config = _opened(path, None, None)
    return _weighted(run, config, device_for(device), which)[0]


def _weighted(
    run: Run, config: ExperimentConfig, device: torch.device, which: str
) -> tuple[Method, Weights]:
    """The method with the weights of a checkpoint, and which weights these are."""
    if not run.checkpoint(which).exists():
        which = "last"
    path = run.checkpoint(which)
    tensors, about = checkpoint.load(path)
    try:
        spec = merge(DataSpec((1, 1, 1), "grey"), about["spec"])
        weights = Weights(which, int(about["step"]), str(about["weights"]))
    except (KeyError, TypeError, ValueError):
        raise TriptychError(
            f"the checkpoint '{path}' does not say what it was trained on: it was made by an "
            "older version; train again"
        ) from None
    method = _build(config, spec, device)
    checkpoint.load_weights(method, tensors, path)
    return method.eval(), weights
