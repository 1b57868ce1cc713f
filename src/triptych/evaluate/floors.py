"""What needs no learning at all, below which a learned representation says nothing."""

from __future__ import annotations

import json

from triptych.data.hashing import digest
from triptych.data.places import cache_root
from triptych.evaluate import knn
from triptych.evaluate.subject import Subject
from triptych.files import write

__all__ = ["pixels_knn_top1"]

RECIPE = "1"
"""To be raised whenever the same images would give another number: part of the name in the cache."""


def pixels_knn_top1(subject: Subject, split: str) -> float:
    """Share of a labelled split that `knn.accuracy` gets right over raw pixels.

    It belongs to the data and not to the run, and takes as long as all the rest of
    a look at a thin network: it is computed once and kept in the cache.
    """
    dataset = subject.dataset
    key = digest((RECIPE, dataset.fingerprint, subject.binarize, split))[:32]
    path = cache_root() / "floors" / f"{key}.json"
    try:
        return float(json.loads(path.read_text())["pixels_knn_top1"])
    except (OSError, ValueError, KeyError):
        pass  # Not there, or damaged: it can be made again.
    train, test = dataset.splits["train"].labels, dataset.splits[split].labels
    assert train is not None and test is not None
    bank, queries = (knn.pixels(subject, name) for name in ("train", split))
    found = knn.accuracy(bank, train, queries, test)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps({"data": dataset.title, "pixels_knn_top1": found}))
    return found
