"""The one door to a trained run: its folder, its config, its method with weights, and its images."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from triptych import checkpoint
from triptych import data as data_plane
from triptych.config import merge
from triptych.data.spec import Dataset
from triptych.environment import device_for
from triptych.errors import DamagedError, TriptychError, unknown
from triptych.evaluation.subject import Subject
from triptych.experiment.config import ExperimentConfig
from triptych.experiment.preparation import build
from triptych.progress import Progress, silent
from triptych.ranks import current
from triptych.runs import Run
from triptych.types import DataSpec, Method
from triptych.weights import UNTRAINED, Weights

__all__ = [
    "Trained",
    "by",
    "images_of",
    "load_method",
    "open_trained",
    "opened",
    "recorded",
    "title_of",
    "weighted",
]


class Trained(NamedTuple):
    """A trained run, opened once: its folder, its config, and its method with weights and data."""

    run: Run
    config: ExperimentConfig
    subject: Subject

    def last(self) -> Subject:
        """The same with the weights of the end of the training."""
        method, weights = weighted(self.run, self.config, self.subject.device, "last")
        return self.subject.with_weights(method, weights)

    @property
    def trained_on(self) -> str:
        """The title of the images that it was trained on, which need not be those that it is looked at with."""
        return title_of(self.run, self.config)

    def untrained(self) -> Subject:
        """The same with the weights before any training: what they score is a baseline."""
        subject = self.subject
        method = build(self.config, subject.method.spec, subject.device).eval()
        digest = checkpoint.weights_digest(
            {f"{checkpoint.WEIGHTS}{k}": v for k, v in method.state_dict().items()}
        )
        return subject.with_weights(method, Weights(UNTRAINED, 0, digest))


def open_trained(
    path: str | Path,
    which: str = "best",
    *,
    data_dir: str | Path | None = None,
    data: str | Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Trained:
    """A run with the weights of a checkpoint, the last ones where nothing was validated, and its images.

    The images are those that the run was trained on, wherever their content is now: where the
    config says, at ``data``, or in the cache. Where they are other images, this is warned of and
    stands in every protocol as ``trained_on``.

    Raises `TriptychError` where there is no run, no data or no checkpoint, where config.toml or the file of the
    method was edited after the training, and for such a file that this machine does not trust.
    """
    run, config = opened(path, data_dir, data)
    where = run.ranks.own(device_for(device))
    method, weights = weighted(run, config, where, which)
    dataset = images_of(run, config, progress, named=data is not None)
    if dataset.shape != method.spec.shape:
        raise TriptychError(
            f"'{path}' was trained on images of {by(method.spec.shape)} and {dataset.title} has "
            f"images of {by(dataset.shape)}; name the data of the training with --data"
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
        config.method_name,
        batch_norm=_normalised(run, config, method, weights),
        ranks=run.ranks,
    )
    return Trained(run, config, subject)


def _normalised(run: Run, config: ExperimentConfig, method: Method, weights: Weights) -> str:
    """Over what each device normalised by itself, in words; empty where it was the whole batch."""
    devices = run.about(weights.checkpoint).get("devices", 1)
    if method.normalises_jointly or devices == 1 or method.smallest_batch == 1:
        return ""
    return f"local, of {config.train.batch_size} images on {devices} devices"


def load_method(
    path: str | Path,
    which: Literal["best", "last"] = "best",
    *,
    device: str = "auto",
) -> Method:
    """A run's trained method in ``eval()`` mode: `encode`, `decode` and what else it can do.

    The best weights are the last ones where nothing was validated. The images of the
    training are not needed.
    """
    run, config = opened(path)
    return weighted(run, config, device_for(device), which)[0]


def recorded(path: str | Path) -> ExperimentConfig:
    """The config that a run was trained with; a `TriptychError` where it is not in its folder as it was."""
    return opened(path)[1]


def opened(
    path: str | Path, data_dir: str | Path | None = None, data: str | Path | None = None
) -> tuple[Run, ExperimentConfig]:
    """A run and its config, if that is what it was trained with; `TriptychError` names what is not.

    Of several ranks the first has the folder, and reads for all; a method's own file must be there for each.
    """
    ranks = current()
    run = Run.open(Path(path), ranks)
    if edited := run.edited():
        raise TriptychError(
            f"'{path}' was trained with another config: {'; '.join(edited)}; put it back, or train "
            f"a new run with --preset {run.path / 'config.toml'}"
        )
    tables = run.config
    config = ranks.unanimous(
        lambda: ExperimentConfig.from_tables(tables, run.path).at(data_dir, data)
    )
    return run, config.anchored() if data is not None else config


def weighted(
    run: Run, config: ExperimentConfig, device: torch.device, which: str
) -> tuple[Method, Weights]:
    """The method with the weights of a checkpoint, and which weights these are; a `TriptychError` for another name."""
    if which not in ("best", "last"):
        raise unknown("checkpoint", str(which), ("best", "last"))
    if not run.has(which):
        which = "last"
    path = run.checkpoint(which)
    tensors, about = run.ranks.by_first(lambda: checkpoint.load(path))
    try:
        spec = merge(DataSpec((1, 1, 1), "grey"), about["spec"])
        weights = Weights(which, int(about["step"]), str(about["weights"]))
        if not about["data"]:
            raise ValueError
    except TriptychError as error:
        raise DamagedError(path, str(error), "take another checkpoint, or train again") from None
    except (KeyError, TypeError, ValueError):
        raise TriptychError(
            f"the checkpoint '{path}' does not say what it was trained on: it was made by an "
            "older version; train again"
        ) from None
    method = build(config, spec, device)
    checkpoint.load_weights(method, tensors, path)
    return method.eval(), weights


def images_of(
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
    found = run.ranks.unanimous(
        lambda: _images(run, config, progress, told, wanted, exact=exact, named=named)
    )
    run.ranks.same("the fingerprint of its images", found.fingerprint)
    return found


def _images(
    run: Run,
    config: ExperimentConfig,
    progress: Progress,
    told: Mapping[str, Any],
    wanted: str | None,
    *,
    exact: bool,
    named: bool,
) -> Dataset:
    """Those on this machine."""
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


def by(shape: tuple[int, ...]) -> str:
    """A shape in words: ``1×28×28``."""
    return "×".join(map(str, shape))


def title_of(run: Run, config: ExperimentConfig) -> str:
    """What the images of a training are called."""
    told = run.environment().get("data", {})
    found = told.get("title") if isinstance(told, Mapping) else None
    return str(found or config.data.name)
