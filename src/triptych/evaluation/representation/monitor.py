"""What is looked at while a method that compares views trains: its features, and whether they collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from triptych.data.stream import VIEWS
from triptych.data.views import apply, draw
from triptych.evaluation.labels import judged, named
from triptych.evaluation.representation import geometry as representation
from triptych.evaluation.representation import knn
from triptych.evaluation.representation.baselines import pixels_knn_top1
from triptych.evaluation.representation.verdict import Verdict, evidence, judge, sure
from triptych.evaluation.subject import BLOCK, Subject
from triptych.runs import Run
from triptych.types import Moment, Projects

__all__ = ["FEWEST", "FeaturesMonitor"]

MANY = 2000
"""Held-out images, at most, of which two views are compared."""

FEWEST = 10
"""Images below which nothing is said of directions: n images vary in n − 1 of them at most, whatever was learned."""

MEASURES = (
    *("features/std", "features/effective_rank", "features/backbone_rank"),
    *("features/alignment", "features/uniformity", "features/retrieval"),
)

PAIR = 2
"""Images below which there is nothing to compare an image with."""


class FeaturesMonitor:
    """Measures the features at a moment; at step 0, before any training, that is the untrained floor.

    ``<split>/knn_top1`` and ``knn_balanced`` for ``valid`` and ``test`` where there are labels, the training
    images as bank, of which the ``knn/k`` nearest vote;
    of two fixed views of held-out images (of training images where fewer than 10 are held out) ``features/std`` and ``features/effective_rank`` of the
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
        return found | (self._judged(moment, found) if self.images >= FEWEST else {})

    @cached_property
    def unwatched(self) -> dict[str, str]:
        """What is not looked at, and why: the name that it would have in the log → the reason."""
        found: dict[str, str] = {}
        for split in ("valid", "test"):
            why = judged(self.subject.dataset, split)
            if isinstance(why, str):
                found |= dict.fromkeys((f"{split}/knn_top1", f"{split}/knn_balanced"), why)
        if "test/knn_top1" in found:
            found["floor/pixels_knn_top1"] = found["test/knn_top1"]
        few = f"{self.images:,} {named(self.split)} image{'s' * (self.images != 1)}"
        if self.images < PAIR:
            found |= dict.fromkeys(MEASURES, f"{few}, and nothing to compare it with")
        if self.images < FEWEST:
            found["verdict"] = f"{few}, and a verdict needs {FEWEST} or more"
        return found

    @torch.inference_mode()
    def measures(self) -> dict[str, float]:
        """What two views of held-out images say of the features, without labels; nothing of one image."""
        if self.images < PAIR:
            return {}
        h1, h2 = (self._encoded(view) for view in self._views)
        z1, z2 = self.method.project(h1), self.method.project(h2)
        values = (
            representation.unit_std(z1),
            representation.effective_rank(z1),
            representation.effective_rank(h1),
            representation.alignment(z1, z2),
            representation.uniformity(z1),
            representation.retrieval(h1, h2),
        )
        return dict(zip(MEASURES, values, strict=True))

    @property
    def images(self) -> int:
        """How many images `measures` looks at."""
        return min(MANY, len(self.subject.dataset.splits[self.split]))

    def verdict(self, lines: Sequence[Mapping[str, Any]]) -> Verdict:
        """What became of the run at its last look, by its log with that look in it."""
        with torch.inference_mode():
            h = self._encoded(self._views[0][:2])
            dimensions = self.method.project(h).shape[1], h.shape[1]
        who = judged(self.subject.dataset, "valid")
        queries = 0 if isinstance(who, str) else len(who.rows)
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
        dataset = self.subject.dataset
        found: dict[str, float | str] = {}
        bank: Tensor | None = None
        for name in ("valid", "test"):
            who = judged(dataset, name)
            if isinstance(who, str):
                continue
            bank = knn.features(self.subject, "train") if bank is None else bank
            queries = knn.features(self.subject, name)
            rows = torch.from_numpy(who.rows).to(queries.device)
            scored = knn.scored(bank, who.bank, queries[rows], who.labels)
            found[f"{name}/knn_top1"] = scored.top1
            found[f"{name}/knn_balanced"] = scored.balanced
            found["knn/k"] = scored.k
            if moment.step == 0 and name == "test":
                found["floor/pixels_knn_top1"] = pixels_knn_top1(self.subject, name, who)
        return found

    @cached_property
    def split(self) -> str:
        """Whose views are compared: held-out images where there are enough to speak of directions."""
        valid = self.subject.dataset.splits.get("valid")
        return "valid" if valid is not None and len(valid) >= FEWEST else "train"

    @cached_property
    def _views(self) -> tuple[Tensor, ...]:
        """The same two views of the same images at every moment and in every run."""
        assert self.method.views is not None
        levels = self.subject.levels(self.split, MANY)
        _, _, height, width = levels.shape
        table = draw(self.method.views, (height, width), len(levels), 0, 0, VIEWS)
        rows = torch.arange(len(levels))
        return tuple(apply(levels, table.rows(rows, view)) for view in range(VIEWS))
