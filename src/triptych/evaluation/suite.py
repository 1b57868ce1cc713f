"""Everything that can be measured of a method, by what it can do and never by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro

from triptych.config import THREADS, WIDEST, DeviceName, limited
from triptych.environment import precision, warn_if_emulated
from triptych.errors import TriptychError
from triptych.evaluation.generation import generation
from triptych.evaluation.labels import left_out
from triptych.evaluation.latent_space.interpolation import between_images
from triptych.evaluation.likelihood.estimates import elbo, log_likelihood
from triptych.evaluation.likelihood.posterior import active_units, traversal
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.representation.knn import knn
from triptych.evaluation.representation.measure import representation
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.samples.prior import prior_blocks
from triptych.evaluation.subject import Subject, as_arrays, as_levels
from triptych.runs import Result, Run
from triptych.types import Decodes, Encodes, HasLikelihood, Projects, Reconstructs, Samples

__all__ = ["EvaluateConfig", "evaluate"]

PICTURES = 64
"""Samples in the grid."""


@dataclass(frozen=True)
class EvaluateConfig:
    """How an evaluation is done."""

    device: DeviceName = "auto"
    """Where to compute; it need not be where the run was trained."""
    devices: int = 1
    """Devices that share the images, a process each; the numbers are the same on any number, but for rounding."""
    split: str = "test"
    """The split that the headline figures are measured on."""
    checkpoint: Literal["best", "last"] = "best"
    """The weights: the best (by validation; of samples the last that have not collapsed), or the last."""
    samples: int = 1000
    """Of a likelihood: importance samples an image; the headline figure uses the first 200, the K-curve all."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Of a likelihood: precision of matrix products in importance sampling; `auto` is bf16 where the hardware has it."""
    features: Annotated[Path | None, tyro.conf.arg(metavar="RUN|FILE")] = None
    """Measure distances of samples over the features of another run's encoder, or of a TorchScript Inception."""
    coordinates: tuple[int, ...] = ()
    """Latent coordinates to show shifted; without any, the three that move the image most."""
    threads: int | None = None
    """Threads on the CPU at most; without a number, every core that this process may use."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        limited("--samples", self.samples, 1, WIDEST)
        limited("--devices", self.devices, 1, THREADS)
        if self.threads is not None:
            limited("--threads", self.threads, 1, THREADS)
        for coordinate in self.coordinates:
            limited("--coordinates", coordinate, 0, WIDEST)


def evaluate(
    subject: Subject,
    run: Run,
    config: EvaluateConfig,
    features: Extractor | None = None,
    *,
    untrained: Callable[[], Subject],
    last: Callable[[], Subject] | None,
) -> dict[str, Result]:
    """Measure what can be measured, record it in results.json and keep what pictures are drawn from.

    ``features`` are those over which samples are compared with images, where not the default ones;
    ``untrained`` and ``last`` give the same subject with the method's initial and its final weights, if there are any.

    Raises:
        TriptychError: an option that this method has no use for, or a coordinate that it lacks.
    """
    method, split = subject.method, config.split
    if (features or config.coordinates) and not isinstance(method, Samples):
        raise TriptychError(
            "--features and --coordinates are for a method that draws samples; leave them out"
        )
    found: dict[str, Result] = {}
    if isinstance(method, HasLikelihood):
        found |= _likelihood(subject, split, config)
    if isinstance(method, Projects):
        found |= representation(subject, run, split, untrained, last)
    elif isinstance(method, Encodes):
        found |= knn(subject, split)
    if isinstance(method, Samples):
        run.record(found)  # What comes next takes minutes: keep what is known.
        found |= generation(subject, run, split, features, config.coordinates)
    found |= _keep_pictures(subject, run, split)
    # What training could not watch is missed on the page as well.
    for name, why in Monitor(subject, run).unwatched.items():
        found.setdefault(name, Result.left_out(why, subject.protocol(name.split("/")[0])))
    run.record(found)
    return found


def _likelihood(subject: Subject, split: str, config: EvaluateConfig) -> dict[str, Result]:
    found: dict[str, Result] = {}
    for name in dict.fromkeys(("valid", split)):
        if name in subject.dataset.splits:
            found |= elbo(subject, name)
    if subject.ranks.first:
        warn_if_emulated(config.dtype, subject.device)
    fast = precision(config.dtype, subject.device) == "bf16"
    dtype = torch.bfloat16 if fast else torch.float32
    found |= log_likelihood(subject, split, config.samples, dtype)
    return found | active_units(subject, split)


def _keep_pictures(subject: Subject, run: Run, split: str) -> dict[str, Result]:
    """Keep what the pictures are drawn from; returns those that cannot be, with the reason."""
    method, splits = subject.method, subject.dataset.splits
    if isinstance(method, (Decodes, Samples)):
        levels = [as_levels(images) for images in prior_blocks(subject, PICTURES)]
        run.save_arrays("samples", images=np.concatenate(levels))
    if isinstance(method, Reconstructs):
        x = subject.examples(split, 20)
        with torch.inference_mode():
            run.save_arrays(
                "reconstructions",
                originals=as_levels(x),
                reconstructions=as_levels(method.reconstruct(x)),
            )
    likely = isinstance(method, HasLikelihood) and isinstance(method, Decodes)
    if likely and (moved := traversal(subject, split)):
        run.save_arrays("traversal", **as_arrays(moved))
    if isinstance(method, Encodes) and isinstance(method, Decodes):
        if len(splits[split]) < 2:
            return left_out(subject, split, ["interpolation"], "one image leads to no other")
        run.save_arrays("interpolation", **as_arrays(between_images(subject, split)))
    return {}
