"""Nearest-neighbour classification of frozen features (Wu et al. 2018, arXiv 1805.01978)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluate.cosine_neighbours import nearest
from triptych.evaluate.subject import Subject
from triptych.runs import Result
from triptych.types import Encodes

__all__ = [
    "accuracy",
    "encoder_top1",
    "features",
    "knn",
    "knn_predict",
    "pixels",
    "proportion",
    "wilson",
]


def knn_predict(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int = 200, temperature: float = 0.1
) -> Tensor:
    """Class of each query by the vote of its k nearest, weights exp(cos / τ) (Wu et al. 2018, section 3.4).

    Args:
        bank: N×d features.
        labels: their N classes, int64.
        queries: M×d features.
        k: how many neighbours vote.
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
    similarity, index = nearest(bank, queries, k)
    # Relative to the nearest: exp(1 / 0.01) is beyond single precision.
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    votes = torch.zeros(len(queries), int(labels.max()) + 1, device=weights.device)
    return votes.scatter_add_(1, labels[index], weights).argmax(-1)


def accuracy(
    bank: Tensor,
    bank_labels: npt.NDArray[np.int64],
    queries: Tensor,
    labels: npt.NDArray[np.int64],
    k: int = 200,
    temperature: float = 0.1,
) -> float:
    """Share of queries whose class `knn_predict` finds, in [0, 1].

    Example:
        >>> accuracy(torch.eye(2), np.array([0, 1]), torch.eye(2), np.array([0, 0]), k=1)
        0.5
    """
    device = bank.device
    classes = torch.from_numpy(bank_labels).to(device)
    found = knn_predict(bank, classes, queries, k, temperature)
    return float((found == torch.from_numpy(labels).to(device)).double().mean())


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927).

    Unlike p ± z·stderr it stays within [0, 1] and is not a point at 0 and 1.

    Example:
        >>> [round(p, 4) for p in wilson(0.5, 100)], [round(p, 4) for p in wilson(1.0, 10)]
        ([0.4038, 0.5962], [0.7225, 1.0])
    """
    z = 1.959964
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def proportion(
    share: float, n: int, protocol: Mapping[str, str | int | float], note: str = ""
) -> Result:
    """A share of n independent images as a result, with its binomial error and Wilson's interval."""
    low, high = wilson(share, n)
    interval = f"95 % interval {low:.3f} to {high:.3f} (Wilson)"
    stderr = math.sqrt(share * (1 - share) / n)
    return Result(share, stderr, n, protocol, f"{interval}; {note}" if note else interval)


@torch.inference_mode()
def features(subject: Subject, split: str) -> Tensor:
    """What the method's ``encode`` makes of every image of a split, N×d."""
    method = subject.method
    assert isinstance(method, Encodes)
    return torch.cat([method.encode(x).float() for _, x in subject.blocks(split)])


def pixels(subject: Subject, split: str) -> Tensor:
    """Every image of a split as a vector of its values in [0, 1], N×d."""
    return torch.cat([x.flatten(1) for _, x in subject.blocks(split)])


def knn(
    subject: Subject,
    split: str,
    k: int = 200,
    temperature: float = 0.1,
    untrained: Subject | None = None,
) -> dict[str, Result]:
    """`encoder_top1`, and the floors below which it says little.

    Raw pixels already do well above chance, ``<split>/knn_top1_pixels``, and so does the same
    encoder before any training, ``<split>/knn_top1_untrained``, given as ``untrained``.
    """
    raw = pixels(subject, "train"), pixels(subject, split)
    found = {
        **encoder_top1(subject, split, k, temperature),
        f"{split}/knn_top1_pixels": _measured(subject, split, *raw, "raw pixels", k, temperature),
    }
    if untrained is not None:
        vectors = features(untrained, "train"), features(untrained, split)
        what = "output of the untrained encoder"
        name = f"{split}/knn_top1_untrained"
        found[name] = _measured(untrained, split, *vectors, what, k, temperature)
    return found


def encoder_top1(
    subject: Subject, split: str, k: int = 200, temperature: float = 0.1
) -> dict[str, Result]:
    """``<split>/knn_top1``: `accuracy` over the encoder's output with the training split as the bank."""
    vectors = features(subject, "train"), features(subject, split)
    what = "encoder output"
    return {f"{split}/knn_top1": _measured(subject, split, *vectors, what, k, temperature)}


def _measured(
    subject: Subject,
    split: str,
    bank: Tensor,
    queries: Tensor,
    what: str,
    k: int,
    temperature: float,
) -> Result:
    train, test = subject.dataset.splits["train"].labels, subject.dataset.splits[split].labels
    assert train is not None and test is not None
    protocol = subject.protocol(
        split,
        features=what,
        bank=f"train ({len(bank)})",
        k=min(k, len(bank)),
        temperature=temperature,
        similarity="cosine",
        unit="share right",
    )
    share = accuracy(bank, train, queries, test, k, temperature)
    return proportion(share, len(queries), protocol)
