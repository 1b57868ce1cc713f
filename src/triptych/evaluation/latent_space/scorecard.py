"""Is the way through latent space better than the overlay of two pictures? A paired comparison.

All distances are those of features scaled to unit length. A blurred image has
small features, near the mean of all: by their raw distance the overlay of two
real images lies nearer to the training images than a real image does (on SVHN,
8.2 against 8.9), by that of their directions farther away (0.29 against 0.27).
Whether it does is measured each time, as a control of the features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.evaluation.labels import named
from triptych.evaluation.latent_space.interpolation import end_points, overlay, path_scores, ways
from triptych.evaluation.samples.prior import prior_name
from triptych.evaluation.statistics import Paired, holm, paired_t
from triptych.evaluation.subject import BLOCK, Network, Subject
from triptych.runs import Result
from triptych.types import Samples

__all__ = ["entropy", "nearest_distance", "primary_sentence", "scorecard", "training_features"]


Scores = Mapping[str, Tensor]
"""A score's name → its values, one for each pair."""

PAIRS = 256
FEWEST = 2
"""Pairs of held-out images that have a spread."""
ALPHA = torch.arange(11) / 10
AT_ONCE = BLOCK // len(ALPHA)
"""Pairs whose whole ways are a block of images at most."""
MIDDLE = slice(3, 8)
"""α = 0.3 … 0.7: nearer the ends every way is close to a sample."""

ROUNDING = 1e-5
"""Differences below this share of the mean score are float32's, not the method's, and count as 0."""

PRIMARY = "distance to training"
UNITS = {
    PRIMARY: "feature distance",
    "path length": "feature distance",
    "relative path length": "straight distances",
    "largest step": "feature distance",
    "entropy": "nats",
}

BANK = 50_000
"""Training images that are searched at most, spread evenly over the split."""

CHUNK = 500
"""Queries compared with the bank at once."""


def nearest_distance(queries: Tensor, bank: Tensor) -> Tensor:
    """Euclidean distance min_j ‖q_i − b_j‖ of each query to its nearest neighbour in the bank.

    Args:
        queries: …×d features.
        bank: N×d features.

    Returns:
        … distances ≥ 0. Memory is bounded by chunks of queries × N.
    """
    # Distances do not change, and the products below lose fewer digits.
    centre = bank.mean(0)
    bank = bank - centre
    offset = bank.square().sum(1) / 2
    found = []
    for chunk in torch.split((queries - centre).flatten(end_dim=-2), CHUNK):
        index = torch.addmm(offset, chunk, bank.T, beta=-1).argmax(1)
        found.append((chunk - bank[index]).norm(dim=1))
    return torch.cat(found).view(queries.shape[:-1])


def training_features(subject: Subject, extract: Network) -> Tensor:
    """Features of the training images, N×d, or of `BANK` of them."""
    count = len(subject.dataset.splits["train"])
    wanted = torch.linspace(0, count - 1, min(count, BANK), dtype=torch.float64).round().long()

    def features(number: int) -> Tensor:
        inside = wanted[wanted // BLOCK == number] - number * BLOCK
        with torch.inference_mode():
            x = subject.block("train", number)
            return extract(x[inside.to(x.device)])

    said = "features of the training images (blocks)"
    return torch.cat(subject.map_blocks("train", features, said))


def primary_sentence(primary: Paired, control: Paired | None, features: str) -> str:
    """What the primary comparison says, following its interval, and whether the control lets it.

    ``control`` is the distance of overlays of held-out images − that of the
    images themselves: features that do not see them as farther away cannot tell
    an overlay from an image. An interval that has 0 in it decides nothing, and says how large
    a difference may be.
    """
    if primary.low == primary.high == 0:
        return (
            "Linear latent and pixel interpolation are equally far from the training images in each of "
            f"{primary.n} pairs ({features})."
        )
    interval = f"95 % interval {primary.low:.3g} to {primary.high:.3g}, {primary.n} pairs"
    interval = f"({features}; latent − pixel: {interval.replace('-', '−')})."
    if primary.low <= 0 <= primary.high:
        mean = f"{primary.mean:+.3g}".replace("-", "−")
        said = (
            "Whether linear latent or pixel interpolation stays nearer to the training images is undecided: "
            f"the distances differ by {mean} {interval}"
        )
    else:
        side = "nearer to" if primary.mean < 0 else "farther from"
        said = (
            f"Linear latent interpolation stays {abs(primary.mean):.3g} {side} the training images "
            f"than pixel interpolation {interval}"
        )
    if control is not None and control.low <= 0:
        said += (
            " But these features do not place overlays of two held-out images farther away than the "
            "images themselves: nothing follows from it."
        )
    return said


def entropy(logits: Tensor) -> Tensor:
    """Entropy −Σ p log p of softmax(logits) over the last dimension, in nats, 0 … log(classes)."""
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def scorecard(
    subject: Subject,
    split: str,
    extract: Network,
    features: str,
    classify: Network | None = None,
    pairs: int = PAIRS,
) -> dict[str, Result]:
    """``interpolation/latent_vs_pixel``, the one primary score, and ``interpolation/scorecard`` around it.

    With fewer than four held-out images the control is left out, as ``interpolation/control``.

    Primary, of each pair: the distance in feature space to the nearest training
    image, mean over α = 0.3 … 0.7, linear latent − pixel; negative where the way
    through latent space stays nearer to the training images. Every other
    comparison is corrected by Holm's method together.

    Args:
        subject: a method that draws samples.
        split: the held-out images whose own distance to the training images is the baseline.
        extract: N×C×H×W in [0, 1] → N×d features.
        features: what they are, for the protocol.
        classify: N×C×H×W in [0, 1] → N logits a class; without it there is no entropy.
        pairs: disjoint pairs of latents.
    """

    def unit(x: Tensor) -> Tensor:
        return F.normalize(extract(x).float(), dim=1)

    bank = training_features(subject, unit)
    distances, measured = _scores(subject, unit, bank, classify, pairs)
    baseline, control = _held_out(subject, split, unit, bank, pairs)
    baseline["end points"] = distances["linear"][:, [0, -1]].flatten()
    primary, rows = _compare(measured)
    table = {
        "verdict": primary_sentence(primary, control, features),
        "differences": rows,
        "control": control and control._asdict(),
        **_summary(measured, distances, baseline),
    }
    protocol = _protocol(subject, split, features, len(bank), pairs)
    note = "a table: every row has its own; the first is not corrected, all others by Holm together"
    found = {
        "interpolation/latent_vs_pixel": Result(primary.mean, primary.stderr, primary.n, protocol),
        "interpolation/scorecard": Result(table, None, pairs, protocol, note),
    }
    if control is None:
        found["interpolation/control"] = Result.left_out(_uncontrolled(subject, split), protocol)
    return found


def _scores(
    subject: Subject, unit: Network, bank: Tensor, classify: Network | None, pairs: int
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """The distance to the training images along each way, and every score of each."""
    paths = _along(subject, unit, pairs)
    distances = {way: _to_training(subject, path, bank) for way, path in paths.items()}
    measured = {
        way: {PRIMARY: distances[way][:, MIDDLE].mean(1), **path_scores(path)}
        for way, path in paths.items()
    }
    if classify is not None:
        for way, logits in _along(subject, classify, pairs).items():
            measured[way]["entropy"] = entropy(logits[:, MIDDLE]).mean(1)
    return distances, measured


def _uncontrolled(subject: Subject, split: str) -> str:
    """Why nobody knows whether the features tell a picture from an overlay."""
    if split == "train":
        return "the control needs images that are not searched, and these are all training images"
    count = len(subject.dataset.splits[split])
    return f"the control needs {2 * FEWEST} held-out images or more; {named(split)} images: {count}"


def _summary(measured: Mapping[str, Scores], distances: Scores, baseline: Scores) -> dict[str, Any]:
    """Levels of every score and of the baseline, and the distance to the training images at every α."""
    return {
        "levels": {
            score: {way: _level(found[score]) for way, found in measured.items()}
            for score in measured["pixel"]
        },
        "curves": {
            "alpha": [round(a, 1) for a in ALPHA.tolist()],
            **{way: found.mean(0).tolist() for way, found in distances.items()},
        },
        "floor": {name: _level(found) for name, found in baseline.items()},
    }


def _protocol(
    subject: Subject, split: str, features: str, bank: int, pairs: int
) -> dict[str, str | int | float]:
    return subject.protocol(
        split,
        features=features,
        bank=f"train ({bank})",
        pairs=pairs,
        alpha="0, 0.1 … 1; distance to training and entropy: mean over 0.3 … 0.7",
        latents=f"{prior_name(subject.method)}, each in one pair",
        estimator="paired Student t, latent − pixel",
        unit="Euclidean distance of features of unit length",
    )


def _along(subject: Subject, network: Network, pairs: int) -> dict[str, Tensor]:
    """What a network makes of the images of each way, pairs×steps×outputs."""
    method = subject.method
    assert isinstance(method, Samples)

    def outputs(z: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            made = ways(method, z, ALPHA.to(z)).items()
            return {
                way: network(images.flatten(0, 1)).float().view(*images.shape[:2], -1)
                for way, images in made
            }

    found = subject.shared(outputs, torch.split(end_points(subject, pairs), AT_ONCE))
    return {way: torch.cat([some[way] for some in found]) for way in found[0]}


def _to_training(subject: Subject, path: Tensor, bank: Tensor) -> Tensor:
    """`nearest_distance` of every step of the paths, pairs×steps."""

    def distance(part: Tensor) -> Tensor:
        return nearest_distance(part, bank)

    return torch.cat(subject.shared(distance, torch.split(path, AT_ONCE)))


def _held_out(
    subject: Subject, split: str, unit: Network, bank: Tensor, pairs: int
) -> tuple[dict[str, Tensor], Paired | None]:
    """Distances of held-out images and of the overlays of their pairs, and the control that compares them."""
    images = subject.examples(split, 2 * pairs)
    pairs = len(images) // 2
    if split == "train" or pairs < FEWEST:  # An image of the bank would find itself.
        return {}, None
    # Neighbours in a file sorted by class would be of one class.
    ends = torch.stack([images[:pairs], images[pairs : 2 * pairs]], 1)

    def features(part: Tensor) -> Tensor:
        with torch.inference_mode():
            path = overlay(part, ALPHA.to(part))
            return unit(path.flatten(0, 1)).view(*path.shape[:2], -1)

    paths = torch.cat(subject.shared(features, torch.split(ends, AT_ONCE)))
    distances = _to_training(subject, paths, bank)
    alone, overlays = distances[:, [0, -1]], distances[:, MIDDLE].mean(1)
    control = paired_t(_differences(overlays, alone.mean(1)))
    return {"held-out images": alone.flatten(), "held-out overlays": overlays}, control


def _compare(measured: Mapping[str, Scores]) -> tuple[Paired, list[dict[str, Any]]]:
    """The primary comparison, and the rows of all, primary first; Holm's p for all others."""
    pixel = measured["pixel"]
    pairings = [(score, way) for score in pixel for way in measured if way != "pixel"]
    found = [paired_t(_differences(measured[way][score], pixel[score])) for score, way in pairings]
    adjusted = [found[0].p, *holm([paired.p for paired in found[1:]])]
    rows = [
        {"score": score, "unit": UNITS[score], "way": way, **paired._asdict(), "p_adjusted": p}
        for (score, way), paired, p in zip(pairings, found, adjusted, strict=True)
    ]
    return found[0], rows


def _differences(latent: Tensor, pixel: Tensor) -> list[float]:
    """Latent − pixel of each pair, and 0 where they differ by no more than rounding."""
    a, b = latent.cpu().double(), pixel.cpu().double()
    same = (a - b).abs() <= ROUNDING * b.mean()
    found: list[float] = torch.where(same, 0, a - b).tolist()
    return found


def _level(values: Tensor) -> dict[str, float | int]:
    """Mean over pairs or images, its standard error, and how many."""
    values = values.cpu().double()
    stderr = float(values.std()) / math.sqrt(len(values))
    return {"mean": float(values.mean()), "stderr": stderr, "n": len(values)}
