"""What needs no learning at all, below which a learned representation says nothing."""

from __future__ import annotations

import json

from triptych.data.hashing import digest
from triptych.data.places import cache_root
from triptych.evaluation.labels import Judged
from triptych.evaluation.representation import knn
from triptych.evaluation.subject import Subject
from triptych.files import write

__all__ = ["pixels_knn_top1"]

RECIPE = "2"
"""To be raised whenever the same images would give another number: part of the name in the cache."""


def pixels_knn_top1(subject: Subject, split: str, who: Judged) -> float:
    """Share of a split's judged images that `knn.scored_pixels` gets right.

    It belongs to the data and not to the run, and takes as long as all the rest of
    a look at a thin network: it is computed once and kept in the cache.
    """
    dataset = subject.dataset
    key = digest((RECIPE, dataset.fingerprint, subject.binarize, split))[:32]
    path = cache_root() / "floors" / f"{key}.json"
    try:
        return float(json.loads(path.read_text())["pixels_knn_top1"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # Not there, or damaged: it can be made again.
    found = knn.scored_pixels(subject, split, who)
    kept = {"data": dataset.title, "pixels_knn_top1": found.top1, "k": found.k}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(kept))
    return found.top1
