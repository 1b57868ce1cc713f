"""Nearest-neighbour classification of frozen features (Wu et al. 2018, arXiv 1805.01978)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych import records
from triptych.data.hashing import digest
from triptych.data.places import cache_root
from triptych.errors import TriptychError
from triptych.evaluation.labels import Judged, judged, left_out
from triptych.evaluation.representation.cosine_neighbours import Bank, nearest
from triptych.evaluation.statistics import proportion, share_error
from triptych.evaluation.subject import Subject
from triptych.files import write
from triptych.ranks import ALONE, Ranks
from triptych.records import Shape
from triptych.runs import Result

__all__ = [
    "Scored",
    "encoder_top1",
    "knn",
    "knn_predict",
    "pixels_top1",
    "scored",
    "scored_pixels",
    "untrained_top1",
    "voters",
]

FLOOR: Shape = {"pixels_knn_top1": (int, float), "k": int}
"""What is kept of `pixels_top1`."""

RECIPE = "2"
"""To be raised whenever the same images would give another baseline: part of the name in the cache."""

TEMPERATURE = 0.1
"""τ of the votes, as in the published code of Wu et al."""

VOTERS = 200
"""Neighbours that vote (Wu et al. 2018), where the bank is large enough for so many."""

BANK_SHARE = 15
"""The bank is at least so many times larger than the number of those that vote."""

RARE = 10
"""Images below which the smallest class decides no more how many neighbours vote."""

UNIT = 2**40
"""Votes of the nearest neighbour; what is farther has fewer."""

ASKED = 2**14
"""Queries whose neighbours are held at once: 40 MB of 200 each."""

PART = 2**26
"""Bytes of images, as floats, that are held at once where raw pixels are compared."""


Labels = npt.NDArray[np.int64]


def voters(labels: Labels) -> int:
    """How many neighbours vote in a bank with these labels: 200, or what is right for a smaller one.

    No more than a fifteenth of the bank, else far and near ones vote alike, nor than the smallest class
    has images (but 10 of them in any case): of 200 in a bank of 180 all vote, and the larger class wins always.

    Example:
        >>> voters(np.arange(3500) % 10), voters(np.arange(180) % 2), voters(np.array([0] * 3489 + [1] * 11))
        (200, 12, 11)
    """
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    return max(1, min(VOTERS, len(labels) // BANK_SHARE, max(RARE, smallest)))


class Scored(NamedTuple):
    """What the neighbours' votes came to for N queries: shares in [0, 1].

    ``balanced`` is the mean over ``classes`` classes of the share that is right in each, with its
    binomial ``error``: always naming the largest class has 1 / classes, whatever its size.
    """

    top1: float
    balanced: float
    error: float
    n: int
    classes: int
    k: int


def knn_predict(
    bank: Tensor,
    labels: Tensor,
    queries: Tensor,
    k: int | None = None,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Class of each query by the vote of its k nearest, weights exp(cos / τ) (Wu et al. 2018, section 3.4).

    Args:
        bank: N×d features.
        labels: their N classes, int64.
        queries: M×d features.
        k: how many neighbours vote; `voters` of the bank where none is given.
        temperature: τ of the weights; 0.1 in the paper's published code.

    Returns:
        M classes, int64; of equal votes the lower class. Memory is that of a `Bank`, however many queries there are.

    Raises:
        TriptychError: k < 1, temperature ≤ 0, or features that are not finite.

    Example:
        >>> bank, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), torch.tensor([0, 1, 1])
        >>> knn_predict(bank, labels, torch.tensor([[2.0, 1.0], [1.0, 2.0]]), k=1).tolist()
        [0, 1]
    """
    if not temperature > 0:
        raise TriptychError(f"the temperature of the votes must be above 0, not {temperature}")
    k = voters(labels.cpu().numpy()) if k is None else k
    ready = Bank(bank)
    parts = [
        _voted(*ready.nearest(part, k), labels, temperature) for part in torch.split(queries, ASKED)
    ]
    return torch.cat(parts)


def _voted(similarity: Tensor, index: Tensor, labels: Tensor, temperature: float) -> Tensor:
    if similarity.device.type == "mps":
        # Versions of PyTorch add whole numbers there in 32 bits, without a word.
        host = _voted(similarity.cpu(), index.cpu(), labels.cpu(), temperature)
        return host.to(similarity.device)
    # Relative to the nearest: exp(1 / 0.01) is beyond single precision.
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    classes, places = torch.unique(labels, return_inverse=True)
    # Whole numbers: their sum does not depend on the order, which on a GPU is another every time.
    counts = (weights * UNIT).round().long()
    votes = torch.zeros(len(index), len(classes), dtype=torch.int64, device=weights.device)
    found: Tensor = classes[votes.scatter_add_(1, places[index], counts).argmax(-1)]
    return found


def scored(
    bank: Tensor,
    bank_labels: Labels,
    queries: Tensor,
    labels: Labels,
    k: int | None = None,
    temperature: float = TEMPERATURE,
    ranks: Ranks = ALONE,
) -> Scored:
    """How often `knn_predict` is right, over all queries and class by class; each rank asks for its share of them.

    Example:
        >>> bank, rare = torch.eye(2), torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
        >>> found = scored(bank, np.array([0, 0]), rare, np.array([0] * 9 + [1]), k=1)
        >>> found.top1, found.balanced, found.classes
        (0.9, 0.5, 2)
    """
    k = min(voters(bank_labels) if k is None else k, len(bank))
    classes = torch.from_numpy(bank_labels).to(bank.device)

    def predict(rows: Sequence[int]) -> list[Tensor]:
        mine = queries[rows[0] : rows[-1] + 1]
        return [knn_predict(bank, classes, mine, k, temperature)]

    return _score(torch.cat(ranks.shared(range(len(queries)), predict)), labels, k)


def _score(predicted: Tensor, labels: Labels, k: int) -> Scored:
    right = predicted.cpu().numpy() == labels
    present, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    recall = np.bincount(place, right) / counts
    errors = [share_error(float(p), int(n)) for p, n in zip(recall, counts, strict=True)]
    return Scored(
        float(right.mean()),
        float(recall.mean()),
        math.hypot(*errors) / len(present),
        len(labels),
        len(present),
        k,
    )


def scored_pixels(
    subject: Subject,
    split: str,
    who: Judged,
    k: int | None = None,
    temperature: float = TEMPERATURE,
) -> Scored:
    """`scored` of a split's images as vectors of their values in [0, 1], which need not all be in memory at once."""
    k = min(voters(who.bank) if k is None else k, len(who.bank))
    found: list[Tensor] = []
    for images in _pixels(subject, split):
        asked = partial(_voted_pixels, subject, images, who.bank, k, temperature)
        found += subject.ranks.shared(range(len(images)), asked)
    return _score(torch.cat(found).cpu()[torch.from_numpy(who.rows)], who.labels, k)


def _voted_pixels(
    subject: Subject,
    images: Tensor,
    labels: Labels,
    k: int,
    temperature: float,
    rows: Sequence[int],
) -> Iterator[Tensor]:
    """The classes of some of the images by the vote of the training images, a part of which is there at a time."""
    queries = images[rows[0] : rows[-1] + 1]
    similarity = queries.new_empty(len(queries), 0)
    index, start = similarity.long(), 0
    for bank in _pixels(subject, "train"):
        near, place = nearest(bank, queries, k)
        both = torch.cat([similarity, near], 1)
        similarity, order = (v[:, :k] for v in both.sort(dim=1, descending=True, stable=True))
        index = torch.cat([index, place + start], 1).gather(1, order)
        start += len(bank)
        del bank  # Before the next is put together.
    yield _voted(similarity, index, torch.from_numpy(labels).to(index.device), temperature)


def _pixels(subject: Subject, split: str) -> Iterator[Tensor]:
    """Every image of a split as a vector, N×d, in parts of a bounded size."""
    part: list[Tensor] = []
    for _, x in subject.blocks(split):
        part.append(x.flatten(1))
        if sum(v.nbytes for v in part) >= PART:
            whole, part = torch.cat(part), []
            yield whole
            del whole
    if part:
        yield torch.cat(part)


def pixels_top1(subject: Subject, split: str, who: Judged) -> tuple[float, int]:
    """Share of a split's judged images that `scored_pixels` gets right, and how many neighbours voted.

    It belongs to the data and not to the run, and takes as long as all the rest of a look at a thin
    network: it is computed once and kept in the cache.
    """
    dataset = subject.dataset
    key = digest((RECIPE, dataset.fingerprint, subject.binarize, split))[:32]
    path = cache_root() / "floors" / f"{key}.json"
    kept = subject.ranks.by_first(partial(_kept, path))
    if kept is not None:
        return kept
    found = scored_pixels(subject, split, who)
    if dataset.fingerprint:
        told: dict[str, str | float | int] = {"data": dataset.title}
        told |= {"pixels_knn_top1": found.top1, "k": found.k}
        subject.ranks.by_first(lambda: _keep(path, told))
    return found.top1, found.k


def _keep(path: Path, told: Mapping[str, str | float | int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(told))


def _kept(path: Path) -> tuple[float, int] | None:
    """What `pixels_top1` has written; nothing where it is not there, or damaged: it can be made again."""
    try:
        kept = records.parsed(path, FLOOR, "delete it")
    except TriptychError:
        return None
    return None if kept is None else (float(kept["pixels_knn_top1"]), kept["k"])


def knn(subject: Subject, split: str) -> dict[str, Result]:
    """`encoder_top1`, and ``<split>/knn_top1_pixels``, what raw pixels reach: a baseline well above chance."""
    found, name = encoder_top1(subject, split), f"{split}/knn_top1_pixels"
    who = judged(subject.dataset, split)
    if isinstance(who, str):
        return found | left_out(subject, split, [name], who)
    share, k = pixels_top1(subject, split, who)
    # No weights have a part in it.
    plain = replace(subject, checkpoint="none", step=0, weights="", trained_on="", batch_norm="")
    return found | {name: _top1(share, who, _protocol(plain, split, who, "raw pixels", k))}


def untrained_top1(untrained: Subject, split: str) -> dict[str, Result]:
    """``<split>/knn_top1_untrained``: what the encoder reaches before any training, the other baseline."""
    name, who = f"{split}/knn_top1_untrained", judged(untrained.dataset, split)
    if isinstance(who, str):
        return left_out(untrained, split, [name], who)
    found = _scored_features(untrained, split, who)
    what = "output of the untrained encoder"
    return {name: _top1(found.top1, who, _protocol(untrained, split, who, what, found.k))}


def encoder_top1(subject: Subject, split: str) -> dict[str, Result]:
    """``<split>/knn_top1`` and ``knn_balanced``: `scored` over the encoder's output, the training split as the bank.

    Left out with the reason where labels do not allow it.
    """
    names = f"{split}/knn_top1", f"{split}/knn_balanced"
    who = judged(subject.dataset, split)
    if isinstance(who, str):
        return left_out(subject, split, names, who)
    found = _scored_features(subject, split, who)
    protocol = _protocol(subject, split, who, "encoder output", found.k)
    unit = f"share right of a class, mean of {found.classes}"
    balanced = Result(found.balanced, found.error, found.n, protocol | {"unit": unit}, who.note)
    return {names[0]: _top1(found.top1, who, protocol), names[1]: balanced}


def _scored_features(subject: Subject, split: str, who: Judged) -> Scored:
    queries = subject.features(split)
    rows = torch.from_numpy(who.rows).to(queries.device)
    bank = subject.features("train")
    return scored(bank, who.bank, queries[rows], who.labels, ranks=subject.ranks)


def _top1(share: float, who: Judged, protocol: Mapping[str, str | int | float]) -> Result:
    return proportion(share, len(who.labels), {**protocol, "unit": "share right"}, who.note)


def _protocol(
    subject: Subject, split: str, who: Judged, what: str, k: int
) -> dict[str, str | int | float]:
    return subject.protocol(
        split,
        features=what,
        bank=f"train ({len(who.bank)})",
        k=k,
        temperature=TEMPERATURE,
        similarity="cosine",
    )
