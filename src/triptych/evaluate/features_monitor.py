"""What is looked at while a method that compares views trains: its features, and whether they collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from triptych.data.stream import VIEWS
from triptych.data.views import apply, draw
from triptych.evaluate import knn, representation
from triptych.evaluate.floors import pixels_knn_top1
from triptych.evaluate.subject import BLOCK, Subject
from triptych.evaluate.verdict import Verdict, evidence, judge, sure
from triptych.runs import Run
from triptych.types import Moment, Projects

__all__ = ["FeaturesMonitor"]

MANY = 2000
"""Held-out images, at most, of which two views are compared."""


class FeaturesMonitor:
    """Measures the features at a moment; at step 0, before any training, that is the untrained floor.

    ``<split>/knn_top1`` for ``valid`` and ``test`` where there are labels, the training images as bank;
    of two fixed views of held-out images ``features/std`` and ``features/effective_rank`` of the
    projections, ``features/backbone_rank``, and ``features/alignment``, ``features/uniformity`` of
    the projections; ``features/retrieval``, the share of first views whose nearest second view, by the
    backbone's features, is of the same image; the name of the ``verdict``, and an ``alarm``; at step 0 also ``floor/pixels_knn_top1``, on the test images.
    """

    def __init__(self, subject: Subject, run: Run) -> None:
        assert isinstance(subject.method, Projects)
        self.subject, self.run, self.method = subject, run, subject.method

    def __call__(self, moment: Moment) -> dict[str, float | str]:
        """Everything worth logging at this moment."""
        found: dict[str, float | str] = {**self.measures(), **self._neighbours(moment)}
        return found | self._judged(moment, found)

    @torch.inference_mode()
    def measures(self) -> dict[str, float]:
        """What two views of held-out images say of the features, without labels."""
        h1, h2 = (self._encoded(view) for view in self._views)
        z1, z2 = self.method.project(h1), self.method.project(h2)
        return {
            "features/std": representation.unit_std(z1),
            "features/effective_rank": representation.effective_rank(z1),
            "features/backbone_rank": representation.effective_rank(h1),
            "features/alignment": representation.alignment(z1, z2),
            "features/uniformity": representation.uniformity(z1),
            "features/retrieval": representation.retrieval(h1, h2),
        }

    @property
    def images(self) -> int:
        """How many images `measures` looks at."""
        return len(self._views[0])

    def verdict(self, lines: Sequence[Mapping[str, Any]]) -> Verdict:
        """What became of the run at its last look, by its log with that look in it."""
        with torch.inference_mode():
            h = self._encoded(self._views[0][:2])
            dimensions = self.method.project(h).shape[1], h.shape[1]
        valid = self.subject.dataset.splits.get("valid")
        queries = len(valid) if valid is not None else 0
        cosine = self.subject.method.cosine
        return judge(evidence(lines, dimensions, self.images, queries, cosine))

    def _judged(self, moment: Moment, found: Mapping[str, Any]) -> dict[str, str | float]:
        """The name of the verdict, and one alarm a run: at the first look at which a failure is sure."""
        lines = self.run.metrics()
        name, sentence = self.verdict([*lines, {"step": moment.step, **found}])
        said: dict[str, str | float] = {"verdict": name}
        looks = [(line["step"], line["verdict"]) for line in lines if "verdict" in line]
        since = sure([*looks, (moment.step, name)], moment.total)
        if since is not None and not any("alarm" in line for line in lines):
            said |= {"alarm": sentence, "since": since}
        return said

    def _encoded(self, images: Tensor) -> Tensor:
        return torch.cat([self.method.encode(x) for x in torch.split(images, BLOCK)])

    def _neighbours(self, moment: Moment) -> dict[str, float | str]:
        splits = self.subject.dataset.splits
        bank_labels = splits["train"].labels
        if bank_labels is None:
            return {}
        found: dict[str, float | str] = {}
        bank = knn.features(self.subject, "train")
        for name in ("valid", "test"):
            labels = splits[name].labels if name in splits else None
            if labels is not None:
                queries = knn.features(self.subject, name)
                found[f"{name}/knn_top1"] = knn.accuracy(bank, bank_labels, queries, labels)
        if moment.step == 0 and "test/knn_top1" in found:
            found["floor/pixels_knn_top1"] = pixels_knn_top1(self.subject, "test")
        return found

    @cached_property
    def _views(self) -> tuple[Tensor, ...]:
        """The same two views of the same held-out images at every moment and in every run."""
        assert self.method.views is not None
        split = "valid" if "valid" in self.subject.dataset.splits else "train"
        levels = self.subject.levels(split, MANY)
        _, _, height, width = levels.shape
        table = draw(self.method.views, (height, width), len(levels), 0, 0, VIEWS)
        rows = torch.arange(len(levels))
        return tuple(apply(levels, table.rows(rows, view)) for view in range(VIEWS))
