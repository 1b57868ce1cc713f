"""How far the distribution of samples is from that of real images, beside what real images themselves reach.

Fréchet and kernel distance, precision and recall, density and coverage: each as a function of two sets of
features, and all of them measured of a model's samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor

from triptych.data.stream import as_floats
from triptych.errors import TriptychError
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.samples.prior import from_prior
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.runs import Result
from triptych.types import Samples

__all__ = [
    "K_DENSITY",
    "K_PRECISION",
    "Overlap",
    "distances",
    "frechet_distance",
    "kernel_distance",
    "overlap",
]

CHUNK = 500
"""Rows of a matrix of kernels or of distances held at once."""


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½) (Heusel et al. 2017, arXiv 1706.08500).

    The squared 2-Wasserstein distance of the Gaussians with the sets' means and
    unbiased covariances, in float64. The symmetric form has real roots even
    where a covariance is singular: fewer images than features are allowed. At a
    finite size the estimate is biased upward, the more the fewer images there are.

    Args:
        a: N×d features, N ≥ 2.
        b: M×d features, M ≥ 2.

    Returns:
        A distance ≥ 0 but for rounding, in squared units of the features.

    Raises:
        TriptychError: a set of fewer than two images, which has no covariance, or features that are not finite.

    Example:
        >>> a = torch.tensor([[0.0], [2.0]])
        >>> frechet_distance(a, a + 3)
        9.0
    """
    a, b = _checked(a, b)
    # Eigenvalues on the host, where those of a few hundred features take less than a GPU needs to begin.
    first, second = (torch.cov(x.T).view(x.shape[1], -1).cpu() for x in (a, b))
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum().cpu()
    return float(shift + first.trace() + second.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased MMD² with the kernel (x·y/d + 1)³, "KID" (Bińkowski et al. 2018, arXiv 1801.01401).

        Σ_{i≠j} k(a_i, a_j) / N(N−1) + Σ_{i≠j} k(b_i, b_j) / M(M−1) − 2 Σ_ij k(a_i, b_j) / NM

    Exact over all pairs, in float64 and in memory that does not grow with N·M.

    Args:
        a: N×d features, N ≥ 2.
        b: M×d features, M ≥ 2.

    Returns:
        An estimate whose expectation is 0 for equal distributions, so it can be negative.

    Raises:
        TriptychError: a set of fewer than two images, which has no pairs, or features that are not finite.

    Example:
        >>> kernel_distance(torch.zeros(3, 1), torch.ones(2, 1))
        7.0
    """
    a, b = _checked(a, b)
    between = _kernel_sum(a, b) / (len(a) * len(b))
    return _within(a) + _within(b) - 2 * between


def _checked(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets in float64, if a distance between them means anything."""
    if min(len(a), len(b)) < 2:
        raise TriptychError(
            f"a distance of distributions needs two images or more in each set; there are {len(a)} and {len(b)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise TriptychError("features that are not finite numbers have no distance")
    return _double(a), _double(b)


def _double(x: Tensor) -> Tensor:
    """In float64, on the host where the device has none."""
    return x.cpu().double() if x.device.type == "mps" else x.double()


def _within(x: Tensor) -> float:
    """Mean of the kernel over all ordered pairs of different rows."""
    count, d = x.shape
    same = float((x.square().sum(1) / d + 1).pow(3).sum())
    return (_kernel_sum(x, x) - same) / (count * (count - 1))


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    total = a.new_zeros(())
    for rows in torch.split(a, CHUNK):
        base = (rows @ b.T).div_(b.shape[1]).add_(1)
        total += torch.dot(base.square().flatten(), base.flatten())
    return float(total)


K_PRECISION = 3
"""Neighbour that sets a radius for precision and recall, as their authors chose."""

K_DENSITY = 5
"""Neighbour that sets a radius for density and coverage, as their authors chose."""

TIE = 1e-9
"""A neighbour on the rim of a ball is in it, whichever way rounding went: copies of real images are."""

ROUNDING = 1e-13
"""Share of the largest squared length that rounding may put between copies: a ball around equals has no radius else."""


class Overlap(NamedTuple):
    """Four answers to "are the samples real, and are they all that is real?".

    Precision and density fall when samples look like nothing real; recall and
    coverage when some of what is real is never sampled.
    """

    precision: float
    """Share of the samples inside the union of balls around real images, 0 to 1."""
    recall: float
    """Share of the real images inside the union of balls around samples, 0 to 1."""
    density: float
    """In how many real balls a sample lies, over k: about 1 for equal distributions, may exceed it."""
    coverage: float
    """Share of the real balls that have a sample in them, 0 to 1."""


def overlap(real: Tensor, samples: Tensor) -> Overlap:
    """Precision and recall with k = 3 (Kynkäänniemi et al. 2019), density and coverage with k = 5 (Naeem et al. 2020).

    The ball of a point reaches to its k-th nearest neighbour in its own set, itself
    not counted (arXiv 1904.06991, 2002.09797). In float64; memory is bounded by
    chunks of rows × the larger set.

    Args:
        real: N×d features of real images, N > 5.
        samples: M×d features of samples, M > 5.

    Raises:
        TriptychError: a set has too few points for its neighbours.
    """
    few = min(len(real), len(samples))
    if few <= K_DENSITY:
        raise TriptychError(
            f"density and coverage need more than {K_DENSITY} images in each set; there are {few}"
        )
    real, samples = _double(real), _double(samples)
    # Distances are differences of squares: near the origin they lose the fewest digits.
    centre = real.mean(0)
    real, samples = real - centre, samples - centre
    near, wide = _radii(real)
    near_samples, _ = _radii(samples)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = torch.zeros_like(recalled)
    # Counted on the device, and read once.
    precise = torch.zeros((), dtype=torch.int64, device=real.device)
    balls = torch.zeros_like(precise)
    for chunk, radii in zip(
        torch.split(samples, CHUNK), torch.split(near_samples, CHUNK), strict=True
    ):
        distance = _squared(chunk, real)
        precise += (distance <= near).any(1).sum()
        recalled |= (distance <= radii[:, None]).any(0)
        inside = distance <= wide
        balls += inside.sum()
        covered |= inside.any(0)
    return Overlap(
        int(precise) / len(samples),
        float(recalled.double().mean()),
        int(balls) / (K_DENSITY * len(samples)),
        float(covered.double().mean()),
    )


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of all pairs, not negative."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return torch.addmm(lengths, a, b.T, alpha=-2).clamp_(min=0)


def _radii(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squared radii of every point's ball, for precision and for density."""
    found = []
    for start in range(0, len(x), CHUNK):
        distance = _squared(x[start : start + CHUNK], x)
        rows = torch.arange(len(distance), device=x.device)
        distance[rows, start + rows] = torch.inf
        found.append(distance.topk(K_DENSITY, largest=False).values)
    slack = ROUNDING * x.square().sum(1).max()
    nearest = torch.cat(found) * (1 + TIE) + slack
    return nearest[:, K_PRECISION - 1], nearest[:, K_DENSITY - 1]


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
    """Distances of samples from a split's images over some features, each with its baseline.

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
    made = _sample_features(subject, method, count, extractor)
    found = _measured(subject, split, extractor, real, made)
    baseline = [
        _real_features(subject, "train", some, extractor)
        for some in _baseline_rows(subject, split, count)
    ]
    if baseline:
        found |= _measured(subject, split, extractor, real, baseline, "_floor")
    return found


def _shuffled(subject: Subject, split: str) -> Tensor:
    """All rows of a split in an order that is the same for every run: files may be sorted by class."""
    draw = generator(torch.device("cpu"), "distances", "rows", split)
    return torch.randperm(len(subject.dataset.splits[split]), generator=draw)


def _baseline_rows(subject: Subject, split: str, count: int) -> list[Tensor]:
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

    blocks = torch.split(rows, BLOCK)

    def images() -> Iterator[Tensor]:
        # All of them, since what is drawn for one follows what is drawn for those before it.
        for block in blocks:
            levels = torch.from_numpy(pixels[block.numpy()]).to(subject.device)
            yield as_floats(levels, subject.binarize, draw)

    def features(numbers: Sequence[int]) -> Iterator[Tensor]:
        return map(extractor, islice(images(), numbers[0], numbers[-1] + 1))

    return torch.cat(subject.ranks.shared(range(len(blocks)), features))


def _sample_features(
    subject: Subject, method: Samples, count: int, extractor: Extractor
) -> list[Tensor]:
    """Features of every set of samples, from latents that are the same for every run."""

    def features(z: Tensor) -> Tensor:
        with torch.inference_mode():
            return extractor(method.sample(z))

    sizes = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
    latents = []
    for number in range(SETS):
        draw = generator(subject.device, "distances", "samples", number)
        shapes = ((size, method.latent) for size in sizes)
        noises = (torch.randn(s, generator=draw, device=subject.device) for s in shapes)
        latents += [from_prior(subject.method, noise) for noise in noises]
    found = torch.cat(subject.shared(features, latents, "features of samples (blocks)"))
    if not found.isfinite().all():
        raise TriptychError(
            f"samples of the {subject.checkpoint} weights are not finite numbers over the features "
            f"'{extractor.name}'; evaluate other weights with --checkpoint, or other --features"
        )
    return list(torch.split(found, count))


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

    def compare(features: Tensor) -> dict[str, float]:
        near = overlap(real[:MOST_NEIGHBOURS], features[:MOST_NEIGHBOURS])
        return {
            "frechet": frechet_distance(real, features),
            "kid": kernel_distance(real, features),
            **near._asdict(),
        }

    compared = subject.shared(compare, sets, what)
    values = {name: [of_set[name] for of_set in compared] for name in ESTIMATORS}
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
    name: str, sets: int, size: int, reference: int, dimension: int, baseline: bool
) -> Iterator[str]:
    if baseline:
        yield "training images in the place of samples"
    if baseline and size < reference:
        yield (
            f"fewer training images ({size}) than reference images ({reference}), so that it is no baseline "
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
