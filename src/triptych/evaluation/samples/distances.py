"""How far the distribution of samples is from that of real images, beside the floor that is reached by real ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

import torch
from torch import Tensor

from triptych.data.stream import as_floats
from triptych.errors import TriptychError
from triptych.evaluation.samples.coverage import K_DENSITY, K_PRECISION, Overlap, overlap
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.samples.frechet import frechet_distance, kernel_distance
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.runs import Result
from triptych.types import Samples

__all__ = ["distances"]

SETS = 5
"""Independent sets of samples: their spread is the standard error."""

MOST = 10_000
"""Images in a set, at most."""

MOST_NEIGHBOURS = 5_000
"""Images in a set whose neighbours are looked for, at most: the work grows with the square."""

FEWEST = K_DENSITY + 1
"""Images that every measure needs."""

ESTIMATORS: dict[str, dict[str, str | int | float]] = {
    "frechet": {"estimator": "Gaussian fit, unbiased covariances"},
    "kid": {"estimator": "unbiased MMD², all pairs", "kernel": "(x·y/d + 1)³"},
    "precision": {"estimator": "samples in real balls", "k": K_PRECISION},
    "recall": {"estimator": "real images in sample balls", "k": K_PRECISION},
    "density": {"estimator": "real balls around a sample, over k", "k": K_DENSITY},
    "coverage": {"estimator": "real balls with a sample in them", "k": K_DENSITY},
}

BIAS = "biased upward at a finite number of images: comparable at equal numbers only"


def distances(subject: Subject, split: str, extractor: Extractor) -> dict[str, Result]:
    """Distances of samples from a split's images over some features, each with its floor.

    ``<split>/frechet``, ``kid``, ``precision``, ``recall``, ``density`` and ``coverage``
    are means over 5 independent sets of as many samples as there are reference images
    (10,000 at most; neighbours among 5,000 at most), with the standard error over sets.
    ``<split>/frechet_floor`` and so on have training images in the place of samples: what
    a perfect model would get, or a little more than that where the features were
    trained on those very images and are surer of them.

    Nothing is measured of a split of 5 images or fewer. Units are those of the features.

    Raises:
        TriptychError: a sample has features that are not finite.
    """
    method, rows = subject.method, _shuffled(subject, split)
    assert isinstance(method, Samples)
    if len(rows) < FEWEST:
        return {}
    count = min(len(rows), MOST)
    real = _real_features(subject, split, rows[:count], extractor)
    made = [_sample_features(subject, method, number, count, extractor) for number in range(SETS)]
    found = _measured(subject, split, extractor, real, made)
    floor = [
        _real_features(subject, "train", some, extractor)
        for some in _floor_rows(subject, split, count)
    ]
    if floor:
        found |= _measured(subject, split, extractor, real, floor, "_floor")
    return found


def _shuffled(subject: Subject, split: str) -> Tensor:
    """All rows of a split in an order that is the same for every run: files may be sorted by class."""
    draw = generator(torch.device("cpu"), "distances", "rows", split)
    return torch.randperm(len(subject.dataset.splits[split]), generator=draw)


def _floor_rows(subject: Subject, split: str, count: int) -> list[Tensor]:
    """Disjoint sets of training images, none of them a reference image; fewer or smaller where they run out."""
    rows = _shuffled(subject, "train")
    if split == "train":
        rows = rows[count:]
    if len(rows) < FEWEST:
        return []
    sets = max(1, min(SETS, len(rows) // count))
    return list(torch.split(rows[: sets * count], count))


def _real_features(subject: Subject, split: str, rows: Tensor, extractor: Extractor) -> Tensor:
    """Features of some images of a split, binarized as the subject is."""
    pixels = subject.dataset.splits[split].pixels
    draw = generator(torch.device("cpu"), "distances", "binarize", split, int(rows[0]))

    found = []
    for part in torch.split(rows, BLOCK):
        levels = torch.from_numpy(pixels[part.numpy()]).to(subject.device)
        found.append(extractor(as_floats(levels, subject.binarize, draw)).cpu())
    return torch.cat(found)


def _sample_features(
    subject: Subject, method: Samples, number: int, count: int, extractor: Extractor
) -> Tensor:
    """Features of one set of samples, from latents that are the same for every run."""
    draw = generator(subject.device, "distances", "samples", number)
    found = []
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        z = torch.randn(size, method.latent, generator=draw, device=subject.device)
        with torch.inference_mode():
            found.append(extractor(method.sample(z)).cpu())
        done = number * count + start + size
        subject.progress("features of samples (images)", done, SETS * count)
    features = torch.cat(found)
    if not features.isfinite().all():
        raise TriptychError(
            f"samples of the {subject.checkpoint} weights are not finite numbers over the features "
            f"'{extractor.name}'; evaluate other weights with --checkpoint, or other --features"
        )
    return features


def _measured(
    subject: Subject,
    split: str,
    extractor: Extractor,
    real: Tensor,
    sets: Sequence[Tensor],
    suffix: str = "",
) -> dict[str, Result]:
    """All six measures of every set against the reference, as results."""
    what = f"comparing {'training images' if suffix else 'samples'} with {split} (sets)"
    values: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for done, features in enumerate(sets, start=1):
        near = overlap(real[:MOST_NEIGHBOURS], features[:MOST_NEIGHBOURS])
        values["frechet"].append(frechet_distance(real, features))
        values["kid"].append(kernel_distance(real, features))
        for name, value in near._asdict().items():
            values[name].append(value)
        subject.progress(what, done, len(sets))
    found = {}
    for name, estimator in ESTIMATORS.items():
        most = MOST_NEIGHBOURS if name in Overlap._fields else MOST
        size, reference = min(len(sets[0]), most), min(len(real), most)
        protocol = subject.protocol(
            split,
            features=extractor.name,
            dimension=real.shape[1],
            samples=size,
            sets=len(sets),
            reference_images=reference,
            **estimator,
        )
        notes = _notes(name, len(sets), size, reference, real.shape[1], bool(suffix))
        found[f"{split}/{name}{suffix}"] = Result(
            fmean(values[name]), _error(values[name]), size * len(sets), protocol, "; ".join(notes)
        )
    return found


def _error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; one value has none."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def _notes(
    name: str, sets: int, size: int, reference: int, dimension: int, floor: bool
) -> Iterator[str]:
    if floor:
        yield "training images in the place of samples"
    if floor and size < reference:
        yield (
            f"fewer training images ({size}) than reference images ({reference}), so that it is no floor "
            "of distances at that many"
        )
    if sets > 1:
        yield "standard error over sets, against the same reference images"
    else:
        yield "one set only, so no standard error"
    if name == "frechet":
        yield BIAS
        if min(size, reference) <= dimension:
            yield (
                f"no more than {min(size, reference)} images in a set for {dimension} features: covariances are not of "
                "full rank, and the bias is large"
            )
