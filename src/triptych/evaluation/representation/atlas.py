"""What is kept of a representation to be looked at: a map of its features, and who is next to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.representation.cosine_neighbours import nearest
from triptych.evaluation.representation.projection import Maps, maps, maps_aside
from triptych.evaluation.subject import Subject, as_levels

__all__ = ["FEWEST", "feature_map", "mapping", "nearest_others", "neighbours", "project"]

Array = npt.NDArray[Any]

FEWEST = 4
"""Images below which there is nothing to map: t-SNE wants three neighbours of each."""

PERPLEXITY = 30.0
"""Neighbours that t-SNE keeps together, roughly, where there are three times as many images."""

SHOWN, NEAREST = 600, 8
"""Images of a map that are shown with their neighbours, at most, and neighbours of each."""

THUMBNAIL = 32
"""Pixels of a thumbnail's longer side, at most."""

SAME = 1e-12
"""Variance of unit vectors below which they are one and the same but for rounding."""


def feature_map(subject: Subject, split: str, count: int = 2000) -> dict[str, Array]:
    """Two dimensions of the features of ``count`` images evenly spread over a split, by PCA and by t-SNE.

    Of the directions of the features, h / ‖h‖: see `project`.

    Returns:
        ``pca`` and ``tsne`` N×2, ``shares``, ``variance`` and ``perplexity``, as of `project`;
        ``images`` N×C×h×w, thumbnails of at most 32 pixels a side, and ``index``, their places in
        the split, and ``of``, how many are there; ``labels`` N and the names ``classes`` where there are labels; ``shown`` M ≤ 600,
        places in the map evenly spread over it, and of each of these ``nearest`` M×k, the k ≤ 8
        others among them that are nearest by cosine, places in ``shown``, and their ``similarity``
        M×k, the largest first; ``split`` and ``checkpoint``, what was looked at.

    Raises:
        TriptychError: fewer than 4 images, or features that are not finite.
    """
    with mapping(subject, split, count, aside=False) as made:
        return made()


@contextmanager
def mapping(
    subject: Subject, split: str, count: int = 2000, *, aside: bool
) -> Iterator[Callable[[], dict[str, Array]]]:
    """Begin a `feature_map`; what is given ends it. Its projection is made ``aside``, in a process of its own, or then."""
    index = subject.spread(split, count)
    images = _thumbnails(subject.examples(split, count))
    features = _of(subject, split, index)
    found: dict[str, Array] = {"images": as_levels(images), "index": index}
    found["of"] = np.array(len(subject.dataset.splits[split]))
    shown = np.linspace(0, len(index) - 1, min(SHOWN, len(index))).round().astype(np.int64)
    similarity, others = (v.cpu().numpy() for v in nearest_others(features[shown], NEAREST))
    found |= {"shown": shown, "nearest": others, "similarity": similarity}
    labels = subject.dataset.splits[split].labels
    if labels is not None:
        found |= {"labels": labels[index], "classes": _names(subject, labels)}
    found |= _looked_at(subject, split)
    with _projecting(features.cpu().numpy(), aside) as projected:
        yield lambda: projected() | found


def project(features: Array) -> dict[str, Array]:
    """PCA (Pearson 1901) and t-SNE (van der Maaten and Hinton 2008) of the directions h / ‖h‖.

    Unit length, since the neighbours that judge the features compare by cosine, and
    ‖a − b‖² = 2 − 2 cos(a, b): what is near here is near there. Standardising every
    dimension would weigh directions as no evaluation here does. t-SNE begins from the principal
    components, in the same state each time, with perplexity min(30, (N − 1) / 3).

    Args:
        features: N×d, N ≥ 4, d ≥ 2.

    Returns:
        ``pca`` and ``tsne`` N×2, ``shares`` (2) of the ``variance``, which is 1 − ‖mean‖² in all
        dimensions, and ``perplexity``. Where all features point the same way both maps are one
        point and the shares are 0.

    Raises:
        TriptychError: fewer than 4 rows, or features that are not finite.

    Example:
        >>> found = project(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -2.0]]))
        >>> found["shares"].tolist(), float(found["perplexity"])
        ([0.5, 0.5], 1.0)
    """
    with _projecting(features, aside=False) as projected:
        return projected()


@contextmanager
def _projecting(features: Array, aside: bool) -> Iterator[Callable[[], Maps]]:
    n = len(features)
    if n < FEWEST:
        raise TriptychError(f"a map of the features needs {FEWEST} images or more; there are {n}")
    if not np.isfinite(features).all():
        raise TriptychError("the features are not finite numbers; evaluate an earlier checkpoint")
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    x = F.normalize(torch.from_numpy(features).double(), dim=1, eps=1e-30).numpy()
    x = x - x.mean(0)
    variance = float(x.var(0).sum())
    about = {
        "perplexity": np.array(perplexity, np.float32),
        "variance": np.array(variance, np.float32),
    }
    if variance <= SAME:
        point = np.zeros((n, 2), np.float32)
        yield lambda: {"pca": point, "tsne": point, "shares": np.zeros(2, np.float32), **about}
        return
    given = x, variance, perplexity
    with maps_aside(*given) if aside else nullcontext(partial(maps, *given)) as made:
        yield lambda: {name: value.astype(np.float32) for name, value in made().items()} | about


def nearest_others(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest cosines of each row with the other rows, and which rows they are.

    As of `nearest`, without the row itself: a copy of it is a neighbour like any other.

    Args:
        features: N×d, N ≥ 2.
        k: how many; all N − 1 others where there are fewer.

    Example:
        >>> cosine, place = nearest_others(torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]), k=1)
        >>> [round(c, 6) for c in cosine.flatten().tolist()], place.flatten().tolist()
        ([0.6, 0.8, 0.8], [1, 2, 1])
    """
    cosine, place = nearest(features, features, k + 1)
    own = place == torch.arange(len(features), device=place.device)[:, None]
    # Of more than k copies the row itself may not be among the first; the last is left out instead.
    own[:, -1] |= ~own.any(1)
    return cosine[~own].view(len(features), -1), place[~own].view(len(features), -1)


def neighbours(subject: Subject, split: str, queries: int = 12, k: int = 8) -> dict[str, Array]:
    """Images of a split and the k training images whose features are nearest to theirs by cosine.

    The queries are not chosen by what they show: spread evenly over the split or, where it has
    labels, over each class and the classes over all, one of each where more do not fit in.

    Args:
        subject: what to look at.
        split: where the queries are from; in the training split each would find itself.
        queries: how many at most.
        k: neighbours of each; all training images where there are fewer.

    Returns:
        ``queries`` Q×C×H×W and ``images`` Q×k×C×H×W, uint8; ``similarity`` Q×k, the largest first;
        ``query_index`` Q and ``index`` Q×k, places in their splits; where both splits have labels
        ``query_labels`` Q, ``labels`` Q×k and the names ``classes``; ``split`` and ``checkpoint``.
    """
    train, images = subject.dataset.splits["train"], subject.dataset.splits[split]
    chosen = subject.spread(split, queries)
    if images.labels is not None:
        chosen = _spread_over_classes(images.labels, queries)
    asked = _of(subject, split, chosen)
    similarity, index = (v.cpu().numpy() for v in nearest(subject.features("train"), asked, k))
    found = {
        "queries": images.pixels[chosen],
        "images": train.pixels[index],
        "similarity": similarity,
        "query_index": chosen,
        "index": index,
    }
    if images.labels is not None and train.labels is not None:
        labels = {"query_labels": images.labels[chosen], "labels": train.labels[index]}
        found |= labels | {"classes": _names(subject, train.labels, images.labels)}
    return found | _looked_at(subject, split)


def _of(subject: Subject, split: str, index: npt.NDArray[np.int64]) -> Tensor:
    """The features of some images of a split."""
    features = subject.features(split)
    return features[torch.from_numpy(index).to(features.device)]


def _thumbnails(images: Tensor) -> Tensor:
    """Images of at most `THUMBNAIL` pixels a side, of the same proportions."""
    height, width = images.shape[2:]
    shrink = min(1.0, THUMBNAIL / max(height, width))
    if shrink == 1:
        return images
    size = [max(1, round(height * shrink)), max(1, round(width * shrink))]
    return F.interpolate(images, size, mode="bilinear", antialias=True)


def _spread_over_classes(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Places of ``count`` images at most, by class: as many of each, in the middle of equal parts of it."""
    present = np.unique(labels)
    if len(present) > count:
        present = present[np.linspace(0, len(present) - 1, count).round().astype(int)]
    each = count // len(present)
    places = [np.flatnonzero(labels == name) for name in present]
    parts = [(np.arange(min(each, len(p))) + 0.5) / min(each, len(p)) * len(p) for p in places]
    return np.concatenate([p[at.astype(int)] for p, at in zip(places, parts, strict=True)])


def _names(subject: Subject, *labels: npt.NDArray[np.int64]) -> Array:
    """The names of the classes, or their numbers where nobody named them."""
    count = 1 + max(int(found.max()) for found in labels)
    return np.array(subject.dataset.classes or [str(i) for i in range(count)])


def _looked_at(subject: Subject, split: str) -> dict[str, Array]:
    return {"split": np.array(split), "checkpoint": np.array(subject.checkpoint)}
