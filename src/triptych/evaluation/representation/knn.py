"""Nearest-neighbour classification of frozen features (Wu et al. 2018, arXiv 1805.01978)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.labels import Judged, judged, left_out
from triptych.evaluation.representation.cosine_neighbours import nearest
from triptych.evaluation.statistics import proportion, share_error
from triptych.evaluation.subject import Subject
from triptych.runs import Result
from triptych.types import Encodes

__all__ = [
    "Scored",
    "accuracy",
    "encoder_top1",
    "features",
    "knn",
    "knn_predict",
    "scored",
    "scored_pixels",
    "voters",
]

VOTERS = 200
"""Neighbours that vote (Wu et al. 2018), where the bank is large enough for so many."""

BANK_SHARE = 15
"""The bank is at least so many times larger than the number of those that vote."""

RARE = 10
"""Images below which the smallest class decides no more how many neighbours vote."""

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
    temperature: float = 0.1,
) -> Tensor:
    """Class of each query by the vote of its k nearest, weights exp(cos / τ) (Wu et al. 2018, section 3.4).

    Args:
        bank: N×d features.
        labels: their N classes, int64.
        queries: M×d features.
        k: how many neighbours vote; `voters` of the bank where none is given.
        temperature: τ of the weights; 0.1 in the paper's published code.

    Returns:
        M classes, int64; of equal votes the lower class. Memory as of `nearest`.

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
    return _voted(*nearest(bank, queries, k), labels, temperature)


def _voted(similarity: Tensor, index: Tensor, labels: Tensor, temperature: float) -> Tensor:
    # Relative to the nearest: exp(1 / 0.01) is beyond single precision.
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    classes, places = torch.unique(labels, return_inverse=True)
    votes = torch.zeros(len(index), len(classes), device=weights.device)
    found: Tensor = classes[votes.scatter_add_(1, places[index], weights).argmax(-1)]
    return found


def accuracy(
    bank: Tensor,
    bank_labels: Labels,
    queries: Tensor,
    labels: Labels,
    k: int | None = None,
    temperature: float = 0.1,
) -> float:
    """Share of queries whose class `knn_predict` finds, in [0, 1].

    Example:
        >>> accuracy(torch.eye(2), np.array([0, 1]), torch.eye(2), np.array([0, 0]), k=1)
        0.5
    """
    return scored(bank, bank_labels, queries, labels, k, temperature).top1


def scored(
    bank: Tensor,
    bank_labels: Labels,
    queries: Tensor,
    labels: Labels,
    k: int | None = None,
    temperature: float = 0.1,
) -> Scored:
    """How often `knn_predict` is right, over all queries and class by class.

    Example:
        >>> bank, rare = torch.eye(2), torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
        >>> found = scored(bank, np.array([0, 0]), rare, np.array([0] * 9 + [1]), k=1)
        >>> found.top1, found.balanced, found.classes
        (0.9, 0.5, 2)
    """
    k = min(voters(bank_labels) if k is None else k, len(bank))
    classes = torch.from_numpy(bank_labels).to(bank.device)
    return _score(knn_predict(bank, classes, queries, k, temperature), labels, k)


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


@torch.inference_mode()
def features(subject: Subject, split: str) -> Tensor:
    """What the method's ``encode`` makes of every image of a split, N×d."""
    method = subject.method
    assert isinstance(method, Encodes)
    return torch.cat([method.encode(x).float() for _, x in subject.blocks(split)])


def scored_pixels(
    subject: Subject, split: str, who: Judged, k: int | None = None, temperature: float = 0.1
) -> Scored:
    """`scored` of a split's images as vectors of their values in [0, 1], which need not all be in memory at once."""
    k = min(voters(who.bank) if k is None else k, len(who.bank))
    found = []
    for queries in _pixels(subject, split):
        similarity = queries.new_empty(len(queries), 0)
        index, start = similarity.long(), 0
        for bank in _pixels(subject, "train"):
            near, place = nearest(bank, queries, k)
            both = torch.cat([similarity, near], 1)
            similarity, order = (v[:, :k] for v in both.sort(dim=1, descending=True, stable=True))
            index = torch.cat([index, place + start], 1).gather(1, order)
            start += len(bank)
            del bank  # Before the next is put together.
        classes = torch.from_numpy(who.bank).to(index.device)
        found.append(_voted(similarity, index, classes, temperature))
    return _score(torch.cat(found).cpu()[torch.from_numpy(who.rows)], who.labels, k)


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


def knn(
    subject: Subject,
    split: str,
    k: int | None = None,
    temperature: float = 0.1,
    untrained: Subject | None = None,
) -> dict[str, Result]:
    """`encoder_top1`, and the floors below which it says little.

    Raw pixels already do well above chance, ``<split>/knn_top1_pixels``, and so does the same
    encoder before any training, ``<split>/knn_top1_untrained``, given as ``untrained``.
    """
    who = judged(subject.dataset, split)
    found = encoder_top1(subject, split, k, temperature)
    floors = [f"{split}/knn_top1_pixels"]
    floors += [f"{split}/knn_top1_untrained"] if untrained is not None else []
    if isinstance(who, str):
        return found | left_out(subject, split, floors, who)
    raw = scored_pixels(subject, split, who, k, temperature)
    # No weights have a part in it.
    plain = replace(subject, checkpoint="none", step=0, weights="", trained_on="")
    found[floors[0]] = _results(plain, split, who, raw, "raw pixels", temperature)[0]
    if untrained is not None:
        what = "output of the untrained encoder"
        found[floors[1]] = _measured(untrained, split, who, what, k, temperature)[0]
    return found


def encoder_top1(
    subject: Subject, split: str, k: int | None = None, temperature: float = 0.1
) -> dict[str, Result]:
    """``<split>/knn_top1`` and ``knn_balanced``: `scored` over the encoder's output, the training split as the bank.

    Left out with the reason where labels do not allow it.
    """
    names = f"{split}/knn_top1", f"{split}/knn_balanced"
    who = judged(subject.dataset, split)
    if isinstance(who, str):
        return left_out(subject, split, names, who)
    results = _measured(subject, split, who, "encoder output", k, temperature)
    return dict(zip(names, results, strict=True))


def _measured(
    subject: Subject, split: str, who: Judged, what: str, k: int | None, temperature: float
) -> tuple[Result, Result]:
    bank, queries = features(subject, "train"), features(subject, split)
    judged_queries = queries[torch.from_numpy(who.rows).to(queries.device)]
    found = scored(bank, who.bank, judged_queries, who.labels, k, temperature)
    return _results(subject, split, who, found, what, temperature)


def _results(
    subject: Subject, split: str, who: Judged, found: Scored, what: str, temperature: float
) -> tuple[Result, Result]:
    """Share right, and the mean of the shares of every class."""
    protocol = subject.protocol(
        split,
        features=what,
        bank=f"train ({len(who.bank)})",
        k=found.k,
        temperature=temperature,
        similarity="cosine",
    )
    top1 = proportion(found.top1, found.n, protocol | {"unit": "share right"}, who.note)
    unit = f"share right of a class, mean of {found.classes}"
    return top1, Result(found.balanced, found.error, found.n, protocol | {"unit": unit}, who.note)
