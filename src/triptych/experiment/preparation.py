"""What a training needs, made from a config: every ``auto`` decided, the method built, and its batches."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

import torch

from triptych.config import DeviceName
from triptych.data.spec import DataConfig, Dataset
from triptych.data.stream import Stream
from triptych.environment import (
    cores,
    device_for,
    enough_memory,
    memory,
    precision,
    warn_if_emulated,
)
from triptych.errors import TriptychError
from triptych.experiment.config import ExperimentConfig
from triptych.nets.initialise import Undrawn, initialise
from triptych.ranks import ALONE, Ranks, refuse_missing
from triptych.training import events
from triptych.training.step import images_per_step
from triptych.types import DataSpec, Method, capabilities

__all__ = ["ENVIRONMENT", "SMALLER", "build", "environment_text", "facts", "prepare"]

ENVIRONMENT = "environment.json"
"""Where a run says with what it was made."""

SMALLER = "take a smaller --batch-size, --image-size or smaller networks"
"""What to do where a training finds too little memory."""

MANY_STEPS = 10_000
"""Steps from which compiling, some ten seconds on a CPU and up to half a minute on a GPU, has paid for itself."""


def prepare(
    config: ExperimentConfig, dataset: Dataset, ranks: Ranks = ALONE, *, goes_on: bool = False
) -> tuple[ExperimentConfig, Method, Stream]:
    """What `triptych.training.loop.fit` needs: the config with every ``auto`` decided, method and batches.

    Of several ``ranks`` each gets the same method and its part of the batches. A run that ``goes_on`` has chosen: no
    warning offers it a choice. Also sets the number of threads that the config asks for.

    Raises `TriptychError` for what does not fit, also on as many devices as the config has, where this is one process.
    """
    if config.train.log == "tensorboard":
        events.need()
    device = ranks.own(device_for(config.train.device))
    spec = _spec(dataset, config.data)
    config = _resolved(config, spec, device, ranks)
    if ranks.first:
        warn_if_emulated(config.train.dtype, device, goes_on)
    torch.set_num_threads(config.train.threads)
    with enough_memory(SMALLER):
        method = build(config, spec, device)
        stream = Stream(
            dataset.splits["train"],
            config.train.batch_size,
            config.seed,
            device,
            config.data.binarize,
            dataset.fingerprint,
            method.views,
            method.smallest_batch,
            ranks,
        )
    _refuse_unshared(config, method, device, ranks)
    config = _compiled_or_not(config, method, stream)
    if config.train.compile == "on" and device.type == "cuda" and _transposes(method):
        # In this layout PyTorch 2.11 compiles transposed convolutions to code that stops in an assertion; the
        # compiler chooses layouts of its own anyway.
        method.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return config, method, stream


def build(config: ExperimentConfig, spec: DataSpec, device: torch.device) -> Method:
    """The method with its initial weights, on its device."""
    with torch.device("meta"), Undrawn():
        _refuse_too_large(config.kind(config.method, spec), device)
    method = config.kind(config.method, spec)
    initialise(method, config.seed)
    method.after_initialise()
    return method.to(device)


def _spec(dataset: Dataset, data: DataConfig) -> DataSpec:
    if data.binarize != "none" and dataset.values == "binary":
        raise TriptychError(
            f"the images of {dataset.title} are black and white already; leave out --binarize"
        )
    values = dataset.values if data.binarize == "none" else "binary"
    moments = dataset.moments
    return DataSpec(dataset.shape, values, dataset.mirrors, moments.mean, moments.std)


def _resolved(
    config: ExperimentConfig, spec: DataSpec, device: torch.device, ranks: Ranks
) -> ExperimentConfig:
    """Decide every ``auto`` once: what the run records, and a resumed run obeys."""
    # A rank knows its share; here are those of all that will be begun.
    threads = config.train.threads or max(
        1, cores() // (max(config.train.devices, ranks.size) // ranks.size)
    )
    method = config.kind.resolve(config.method, spec)
    on_cuda, capture = device.type == "cuda", config.train.capture
    if capture == "on" and not on_cuda:
        raise TriptychError(
            f"--capture on records a CUDA graph, and the device is {device.type}; say --capture auto"
        )
    if capture == "auto":
        capture = "on" if on_cuda else "off"
    train = dataclasses.replace(
        config.train,
        device=cast(DeviceName, device.type),
        dtype=precision(config.train.dtype, device),
        threads=threads,
        capture=capture,
    )
    return dataclasses.replace(config, method=method, train=train)


def _compiled_or_not(config: ExperimentConfig, method: Method, stream: Stream) -> ExperimentConfig:
    """Decide whether compiling pays, where nobody has said."""
    if config.train.compile != "auto":
        return config
    per_epoch = stream.batches_per_epoch / images_per_step(method.phases())
    # Of a recorded step in single precision it saves little: the kernels of the networks are most of it.
    pays = {
        "cpu": method.worth_compiling,
        "cuda": config.train.dtype == "bf16",
    }.get(stream.device.type, False)
    pays = pays and config.train.duration.steps(per_epoch) >= MANY_STEPS
    train = dataclasses.replace(config.train, compile="on" if pays else "off")
    return dataclasses.replace(config, train=train)


def _refuse_unshared(
    config: ExperimentConfig, method: Method, device: torch.device, ranks: Ranks
) -> None:
    """Refuse batches that so many devices cannot share."""
    batch, devices = config.train.batch_size, config.train.devices
    if ranks.size == 1:
        # Those that will be begun.
        refuse_missing(device, devices)
    smallest = 1 if method.normalises_jointly else method.smallest_batch
    if batch < devices * smallest:
        raise TriptychError(
            f"{devices} devices cannot share batches of {batch}, of which each needs {smallest}; "
            f"give --batch-size {devices * smallest} or more"
        )
    if devices > 1 and method.gathers is None:
        raise TriptychError(
            f"{config.method_name} does not say whether its loss compares the images of a batch, of which each device would "
            "see a part: its class sets gathers = False where every image's loss is its own, else True (see Method.gathers)"
        )
    if method.gathers and batch % devices:
        raise TriptychError(
            f"{config.method_name} compares the images of a batch with each other, and {batch} of them do not divide "
            f"evenly among {devices} devices; give --batch-size {batch - batch % devices} for instance"
        )


def _transposes(method: Method) -> bool:
    return any(isinstance(module, torch.nn.ConvTranspose2d) for module in method.modules())


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


def environment_text(told: dict[str, Any]) -> str:
    """What environment.json is to hold, as its text."""
    return json.dumps(told, indent=1) + "\n"


def _formula(method: Method) -> str:
    """What a method says it optimises; a `TriptychError` where that is no text, before anything is trained."""
    try:
        found = method.formula()
    except Exception as error:
        raise TriptychError(
            f"formula() of {type(method).__name__} fails: {error or type(error).__name__}"
        ) from error
    if not isinstance(found, str):
        raise TriptychError(
            f"formula() of {type(method).__name__} is to give LaTeX, and gives {found!r}"
        )
    return found


def facts(config: ExperimentConfig, method: Method) -> dict[str, Any]:
    """What a method is and can do, as environment.json has it: that is read without the method's code."""
    return {
        "name": config.method_name,
        "title": method.title,
        "about": (method.__doc__ or "").strip().partition("\n")[0],
        "formula": _formula(method),
        "can": list(capabilities(method)),
        "cosine": method.cosine,
        "source": None if config.source is None else config.source.table(),
    }
