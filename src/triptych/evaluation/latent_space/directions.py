"""What a shift along one latent coordinate does, held against shifts along random directions.

That a coordinate does something is no news: every direction does. So each
measure of every coordinate axis stands beside the same measure of random unit
directions, from the same latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.latent_space.axes import (
    COLLAPSED,
    CONVERGED,
    RANDOM,
    Comparison,
    Flags,
    axes_sentence,
    comparisons,
    converged,
    converged_sentence,
    fisher,
    least_share,
    movement_sentence,
)
from triptych.evaluation.latent_space.shifts import SHIFTS, Start, Survey, Values, start, survey
from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import Subject, as_levels, generator
from triptych.runs import Result
from triptych.types import Samples

__all__ = ["check_coordinates", "directions"]

RANKED = "movement@10"
"""What coordinates are ranked by: the image moves a good deal, and is still one of many."""

LATENTS = 40
MANY = 1000
"""Training images, at most, whose differences samples are held against before any shift."""

COLUMNS = 10
"""Latents in a grid."""


def check_coordinates(coordinates: Sequence[int], latent: int) -> None:
    """Raise `TriptychError` if a coordinate is none of a latent space of so many."""
    for wrong in (c for c in coordinates if not 0 <= c < latent):
        raise TriptychError(
            f"there is no latent coordinate {wrong}: this model has {latent}; "
            f"give --coordinates from 0 to {latent - 1}"
        )


def directions(
    subject: Subject, classifier: LabelClassifier | None = None, coordinates: Sequence[int] = ()
) -> tuple[dict[str, Result], dict[str, Values]]:
    """``latent/coordinates``: every axis against 200 random directions, in a table and in sentences.

    Shown are ``coordinates``; without any, the three that move the image most at ε = 10.

    Returns:
        The result, and for pictures: ``images`` (coordinates × ε × latents × C×H×W, ε = 0 first),
        ``random_images`` (one random direction), ``coordinates``, ``shifts``, and the random
        directions' values of every measure as ``random_<measure>``.

    Raises:
        TriptychError: a coordinate that the latent space does not have.
    """
    method = subject.method
    assert isinstance(method, Samples)
    check_coordinates(coordinates, method.latent)
    z, u = prior_latents(subject, LATENTS), _axes_and_random(subject, method.latent)
    classify = classifier.network if classifier else None
    shared = partial(subject.shared, said="latent directions (a few at once)")
    both = survey(method.sample, z, u, SHIFTS, classify, shared)
    axes = {k: v[: method.latent] for k, v in both.items()}
    random = {k: v[method.latent :] for k, v in both.items()}
    with torch.inference_mode():
        begin = start(method.sample(z), subject.examples("train", MANY), classify)
    table = _table(axes, random, begin, classifier.classes if classifier else None)
    shown = list(coordinates) or table["order"][:3]
    images = _pictures(method, z[:COLUMNS], u[[*shown, method.latent]])
    pictures = {"images": images[:-1], "random_images": images[-1]}
    kept = {f"random_{k}": v.astype(np.float32) for k, v in random.items()}
    kept |= {"coordinates": np.array(shown), "shifts": np.array((0.0, *SHIFTS))}
    return {"latent/coordinates": _result(subject, classifier, table)}, kept | pictures


def _axes_and_random(subject: Subject, latent: int) -> Tensor:
    """Every axis, then `RANDOM` random unit directions: the same for every run."""
    draw = generator(torch.device("cpu"), "directions")
    drawn = F.normalize(torch.randn(RANDOM, latent, generator=draw))
    return torch.cat([torch.eye(latent), drawn]).to(subject.device)


def _result(subject: Subject, classifier: LabelClassifier | None, table: dict[str, Any]) -> Result:
    protocol = subject.protocol(
        "none",
        estimator="sample(z + eps u) against sample(z), u an axis or a random unit direction",
        random=RANDOM,
        attributes="mean signed change at eps = 1",
        judge=classifier.identity if classifier else "none",
        test="farther out than random: exponential tail for an axis, Mann-Whitney for all; Holm over axes within a measure, and over measures",
        unit="RMS pixel change in [0, 1]; stroke in pixels; hue in degrees",
    )
    note = "a table: errors over latents are in the spread of the random directions"
    return Result(table, None, LATENTS, protocol, note)


def _pictures(method: Samples, z: Tensor, u: Tensor) -> npt.NDArray[np.uint8]:
    """Directions × ε × latents × C×H×W, the reference's grids."""
    moved = z + z.new_tensor((0.0, *SHIFTS))[:, None, None] * u[:, None, None]
    with torch.inference_mode():
        images = [as_levels(method.sample(block.flatten(0, 1))) for block in moved]
    return np.stack(images).reshape(*moved.shape[:3], *images[0].shape[1:])


def _table(
    axes: Survey, random: Survey, begin: Start, classes: Sequence[str] | None
) -> dict[str, Any]:
    """Everything to be said of the axes, as JSON has it."""
    found = comparisons(axes, random)
    labelled = f"share@{SHIFTS[-1]:g}" in axes
    last = [converged(side, SHIFTS[-1], begin) for side in (axes, random)]
    what = (
        f"over {100 * CONVERGED:.0f} % in one class, more than at ε = 0"
        if labelled
        else f"under {100 * COLLAPSED:.0f} % of their diversity left"
    )
    named = [k for k in axes if k.startswith("class@")]
    values = {k: _rounded(v) for k, v in axes.items() if k not in named}
    return {
        "order": np.argsort(-axes[RANKED], kind="stable").tolist(),
        "axes": values | {k: [_class(c, classes) for c in axes[k]] for k in named},
        "random": {k: _summary(random[k]) for k in values},
        "comparison": {name: _as_json(c) for name, c in found.items()},
        "converged": {
            f"{e:g}": _shares(converged(axes, e, begin), converged(random, e, begin))
            for e in SHIFTS[1:]
        },
        "start": _started(begin, classes),
        "destinations": _destinations(axes, random, last, classes) if labelled else {},
        "sentences": [
            axes_sentence(found),
            movement_sentence(found[RANKED]),
            converged_sentence(last[0], last[1], what, begin),
        ],
    }


def _started(begin: Start, classes: Sequence[str] | None) -> dict[str, Any]:
    """The samples at ε = 0, and the least share of one class that is more than there."""
    told: dict[str, Any] = {"n": begin.n, "diversity": float(f"{begin.diversity:.4g}")}
    if begin.winner is not None:
        told |= {"class": _class(begin.winner, classes), "share": begin.share}
        told |= {"least": least_share(begin)}
    return told


def _rounded(values: Values) -> list[float]:
    return [float(f"{v:.4g}") for v in values]


def _class(index: float, classes: Sequence[str] | None) -> str:
    return classes[int(index)] if classes is not None else str(int(index))


def _summary(values: Values) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    mean, std = values.mean(), values.std(ddof=1)
    parts = {"mean": mean, "std": std, "2.5% quantile": low, "97.5% quantile": high}
    return {k: float(f"{v:.4g}") for k, v in parts.items()}


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "p": found.overall,
        "p, all axes together": found.together,
        "axes beyond chance": found.special,
        "axes outside the random 95%": found.outside,
        "z": _rounded(found.z),
    }


def _shares(axes: Flags, random: Flags) -> dict[str, float]:
    return {"axes": axes.mean(), "random": random.mean(), "p": fisher(axes, random)}


def _destinations(
    axes: Survey,
    random: Survey,
    last: Sequence[Flags],
    classes: Sequence[str] | None,
) -> dict[str, dict[str, int]]:
    """How many axes and random directions have converged to each class at the largest ε."""
    name = f"class@{SHIFTS[-1]:g}"
    ends = [side[name][done].astype(int) for side, done in zip((axes, random), last, strict=True)]
    return {
        _class(k, classes): {"axes": int((ends[0] == k).sum()), "random": int((ends[1] == k).sum())}
        for k in range(len(classes) if classes else 1 + max([0, *ends[0], *ends[1]]))
    }
