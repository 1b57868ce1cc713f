"""The evaluation of a trained run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch

from triptych.config import to_dict
from triptych.data.spec import Dataset
from triptych.environment import at_most, cores, device_for, enough_memory, tf32, warn_if_emulated
from triptych.errors import TriptychError, unknown
from triptych.evaluation.samples.extractors import Extractor, from_encoder, from_torchscript
from triptych.evaluation.suite import EvaluateConfig
from triptych.evaluation.suite import evaluate as measure
from triptych.experiment.launch import on_devices
from triptych.experiment.preparation import ENVIRONMENT, environment_text, facts
from triptych.experiment.trained import Trained, by, open_trained, opened, title_of, weighted
from triptych.progress import Progress, silent
from triptych.ranks import current, joined, launched, refuse_missing
from triptych.runs import Result, Run
from triptych.types import Encodes

__all__ = ["evaluate", "extractor"]


def evaluate(
    path: str | Path,
    config: EvaluateConfig | None = None,
    *,
    data_dir: str | Path | None = None,
    data: str | Path | None = None,
    progress: Progress = silent,
) -> dict[str, Result]:
    """Measure a run, write results.json and what pictures are drawn from; returns the results.

    Products and convolutions in fp32 are fp32's on a GPU too, whatever the training allowed. Where a launcher has begun
    several processes, each measures its share, a device each; the first writes, and all have all results.
    """
    config = config or EvaluateConfig()
    if config.devices > 1 and not launched():
        return _on_devices(path, config, data_dir, data)
    with joined() as ranks, ExitStack() as stack:
        stack.enter_context(at_most(config.threads or cores()))
        stack.enter_context(tf32(False))
        stack.enter_context(enough_memory("measure fewer --samples, or on a larger machine"))
        trained = open_trained(
            path,
            config.checkpoint,
            data_dir=data_dir,
            data=data,
            device=config.device,
            progress=progress if ranks.first else silent,
        )
        subject = trained.subject
        trained.run.tidy()
        _complete(trained)
        if config.split not in subject.dataset.splits:
            raise unknown("split", config.split, subject.dataset.splits)
        features = (
            extractor(config.features, subject.dataset, subject.device) if config.features else None
        )
        found = measure(
            subject,
            Run(trained.run.path, subject.made_with, ranks),
            config,
            features,
            untrained=trained.untrained,
            last=trained.last if trained.run.has("last") else None,
        )
        return ranks.of_first(found)


def _on_devices(
    path: str | Path, config: EvaluateConfig, data_dir: str | Path | None, data: str | Path | None
) -> dict[str, Result]:
    """The same by a process on each device of this machine; all that stands in results.json then."""
    run = Run.open(path)
    device = device_for(config.device)
    refuse_missing(device, config.devices)
    # What a rank says nobody hears; only importance sampling has the precision.
    if "HasLikelihood" in run.method().can:
        warn_if_emulated(config.dtype, device)
    where = {"data_dir": data_dir, "data": data}
    job = {
        "verb": "evaluate",
        "run": str(run.path.resolve()),
        "config": to_dict(config),
        **{name: None if place is None else str(place) for name, place in where.items()},
    }
    threads = config.threads or max(1, cores() // config.devices)
    fallen = on_devices(config.devices, job, threads)
    if fallen is None:
        raise KeyboardInterrupt
    if fallen:
        # What is wrong with the input every rank says alike.
        raise TriptychError(fallen[0].words if fallen[0].code == 2 else "; ".join(map(str, fallen)))
    return run.recorded()


def _complete(trained: Trained) -> None:
    """Let a run of before, whose environment.json does not say what its method is and can do, say it from now on."""
    run, found = trained.run, trained.run.environment()
    if found and found.get("method") is None:
        told = {**found, "method": facts(trained.config, trained.subject.method)}
        run.write(ENVIRONMENT, environment_text(told))


def extractor(path: Path, dataset: Dataset, device: torch.device) -> Extractor:
    """The features of a trained encoder, where ``path`` is its run, or of a TorchScript file."""
    if not path.is_dir():
        return current().unanimous(lambda: from_torchscript(path, device))
    run, config = opened(path)
    method, weights = weighted(run, config, device, "best")
    if not isinstance(method, Encodes):
        raise TriptychError(f"'{path}' has no encoder: {config.method_name} gives no features")
    if method.spec.shape != dataset.shape:
        raise TriptychError(
            f"'{path}' was trained on images of {by(method.spec.shape)} "
            f"and these are of {by(dataset.shape)}"
        )
    return from_encoder(
        method, f"{config.method_name} trained on {title_of(run, config)}, {weights}"
    )
