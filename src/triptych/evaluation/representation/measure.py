"""What is measured of features that were learned by comparing views: at moments of a training, and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from triptych.data.stream import VIEWS
from triptych.data.views import apply, draw
from triptych.evaluation.labels import Judged, judged, left_out, named
from triptych.evaluation.representation import atlas, geometry, knn, probe
from triptych.evaluation.representation.verdict import Verdict, evidence, judge, sure
from triptych.evaluation.subject import Subject
from triptych.runs import Result, Run
from triptych.types import Moment, Projects

__all__ = ["FEWEST", "FeaturesMonitor", "representation"]

T = TypeVar("T")

MANY = 2000
"""Held-out images, at most, of which two views are compared."""

NEIGHBOURS = {"train": 100_000, "valid": 30_000, "test": 30_000}
"""Images of a split, at most, that are neighbours or look for some at a moment: of a million, all would take hours."""

FEWEST = 10
"""Images below which nothing is said of directions: n images vary in n − 1 of them at most, whatever was learned."""

MEASURES = (
    *("features/std", "features/effective_rank", "features/backbone_rank"),
    *("features/alignment", "features/uniformity", "features/retrieval"),
)

TOGETHER = 2**28
"""Bytes of features of training images up to which best and last weights are measured side by side, and else in turn."""

PAIR = 2
"""Images below which there is nothing to compare an image with."""

LAST = ("knn_top1", "knn_balanced", "linear_top1", "logistic_top1")
"""What is measured with the last weights as well."""

NOT_INDEPENDENT = "one value of a set of images: its error over images is not estimated"


class FeaturesMonitor:
    """Measures the features at a moment; at step 0, before any training, that is the untrained network, the baseline.

    ``<split>/knn_top1`` and ``knn_balanced`` for ``valid`` and ``test`` where there are labels, the training
    images as bank, of which the ``knn/k`` nearest vote (of large splits some that lie evenly in them, `NEIGHBOURS`;
    ``knn/bank`` says then how many are in the bank);
    of two fixed views of held-out images (of training images where fewer than 10 are held out) ``features/std`` and ``features/effective_rank`` of the
    projections, ``features/backbone_rank``, and ``features/alignment``, ``features/uniformity`` of
    the projections; ``features/retrieval``, the share of first views whose nearest second view, by the
    backbone's features, is of the same image; the name of the ``verdict``, and an ``alarm``; at step 0 also ``floor/pixels_knn_top1``, on the test images.
    """

    def __init__(self, subject: Subject, run: Run) -> None:
        assert isinstance(subject.method, Projects)
        self.subject, self.run, self.method = subject, run, subject.method
        self._fewer = subject.thinned(NEIGHBOURS)

    def __call__(self, moment: Moment) -> dict[str, float | str]:
        """Everything worth logging at this moment."""
        found: dict[str, float | str] = {**self.measures(), **self._neighbours(moment)}
        return found | (self._judged(moment, found) if self.images >= FEWEST else {})

    @cached_property
    def unwatched(self) -> dict[str, str]:
        """What is not looked at, and why: the name that it would have in the log → the reason."""
        found: dict[str, str] = {}
        for split in ("valid", "test"):
            why = self._who[split]
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
        h1, h2 = (self.subject.encoded(view) for view in self._views)
        z1, z2 = self.method.project(h1), self.method.project(h2)
        values = (
            (geometry.unit_std if self.subject.method.by_direction else geometry.mean_std)(z1),
            geometry.effective_rank(z1),
            geometry.effective_rank(h1),
            geometry.alignment(z1, z2),
            geometry.uniformity(z1),
            geometry.retrieval(h1, h2),
        )
        return dict(zip(MEASURES, values, strict=True))

    @property
    def images(self) -> int:
        """How many images `measures` looks at."""
        return min(MANY, len(self.subject.dataset.splits[self.split]))

    def verdict(self, lines: Sequence[Mapping[str, Any]]) -> Verdict:
        """What became of the run at its last look, by its log with that look in it."""
        with torch.inference_mode():
            h = self.subject.encoded(self._views[0][:2])
            dimensions = self.method.project(h).shape[1], h.shape[1]
        who = self._who["valid"]
        queries = 0 if isinstance(who, str) else len(who.rows)
        method = self.subject.method
        return judge(
            evidence(
                lines,
                dimensions,
                self.images,
                queries,
                method.cosine,
                only_agrees=method.only_agrees,
                guard=method.guard,
            )
        )

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

    def _neighbours(self, moment: Moment) -> dict[str, float | str]:
        found: dict[str, float | str] = {}
        bank: Tensor | None = None
        for name, who in self._who.items():
            if isinstance(who, str):
                continue
            bank = self._fewer.features("train") if bank is None else bank
            queries = self._fewer.features(name)
            rows = torch.from_numpy(who.rows).to(queries.device)
            scored = knn.scored(bank, who.bank, queries[rows], who.labels, ranks=self.subject.ranks)
            found[f"{name}/knn_top1"] = scored.top1
            found[f"{name}/knn_balanced"] = scored.balanced
            found["knn/k"] = scored.k
            if self._fewer is not self.subject:
                found["knn/bank"] = len(who.bank)
            if moment.step == 0 and name == "test":
                found["floor/pixels_knn_top1"], _ = knn.pixels_top1(self._fewer, name, who)
        return found

    @cached_property
    def _who(self) -> dict[str, Judged | str]:
        """Whose classes neighbours are asked for, or why nobody's; the labels are the same at every look."""
        return {name: judged(self._fewer.dataset, name) for name in ("valid", "test")}

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


def representation(
    subject: Subject,
    run: Run,
    split: str,
    untrained: Callable[[], Subject],
    last: Callable[[], Subject] | None,
) -> dict[str, Result]:
    """Neighbours, linear probes, spread and verdict; what pictures are drawn from goes to the run.

    What the images or their labels do not allow is left out with its reason. Each network encodes each split
    once. Its features, 4 bytes a number, are let go of when all is measured of them; where they are large (`TOGETHER`),
    no two networks' are held at once.

    Args:
        subject: with the weights that are measured.
        run: whose log holds the looks during training.
        split: the headline figures are measured on it.
        untrained: gives the same network with its initial weights, the baseline.
        last: gives the network at the end of the training, where its weights are kept.
    """
    # The baseline's features are gone before those of the weights that are measured come.
    floor = knn.untrained_top1(untrained(), split)
    found = _spread(subject, run) | _neighbours(subject, run, split)
    found |= knn.knn(subject, split) | floor
    # What the weights were chosen by: no more than a look behind the scenes.
    chosen_by = knn.encoder_top1(subject, "valid") if split != "valid" else {}
    end = last() if last is not None and subject.checkpoint != "last" else None
    beside = end if subject.features("train").nbytes <= TOGETHER else None
    at_end = knn.encoder_top1(beside, split) if beside else {}
    with _mapping(subject, run, split) as keep_map:
        fits = probe.probes(subject, split)
        # The map is the first of all works, and so the first rank's, which alone keeps it.
        works = [keep_map, *fits, *(probe.probes(beside, split) if beside else [])]
        mapped, *probed = _fitted(works, subject)
    for result in probed[: len(fits)]:
        found |= result
    for result in probed[len(fits) :]:
        at_end |= result
    found |= chosen_by | mapped
    # The fits hold features as well.
    del fits, works
    subject.forget()
    if end and not beside:
        at_end = knn.encoder_top1(end, split)
        for result in _fitted(probe.probes(end, split), end):
            at_end |= result
    if subject.checkpoint == "last":
        return found
    names = [f"{split}/{name}_last" for name in LAST]
    if end is None:
        why = "the training has saved no last weights yet"
        return found | left_out(subject, split, names, why)
    return found | {name: at_end[name.removesuffix("_last")] for name in names}


def _fitted(works: Sequence[Callable[[], T]], subject: Subject) -> list[T]:
    """What each of some works on features gives, on every rank: they are shared, and a rank does its own side by side."""
    return subject.ranks.shared(works, lambda mine: _side_by_side(mine, subject.device))


def _side_by_side(works: Sequence[Callable[[], T]], device: torch.device) -> list[T]:
    """What each gives: on a CPU a core has one at a time; beside an accelerator the first, which only waits, is the last.

    Probes are thousands of small operations, which several threads do no sooner than one.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [work() for work in reversed(works)][::-1]
    each = max(1, threads // len(works))
    try:
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(each)) as pool:
            # Whoever interrupts it waits for what is begun, and not for what is not.
            return list(pool.map(lambda work: work(), works))
    finally:
        # What a worker sets is also the default of threads that start later.
        torch.set_num_threads(threads)


@contextmanager
def _mapping(subject: Subject, run: Run, split: str) -> Iterator[Callable[[], dict[str, Result]]]:
    """Begin the map of the features; what is given keeps it, or says why there is none."""
    count, threads = len(subject.dataset.splits[split]), torch.get_num_threads()
    if count < atlas.FEWEST:
        why = f"a map needs {atlas.FEWEST} images or more; {named(split)} images: {count}"
        yield lambda: left_out(subject, split, ["feature-map"], why)
        return
    with atlas.mapping(subject, split, aside=threads > 1 and subject.ranks.first) as made:

        def keep() -> dict[str, Result]:
            run.save_arrays("feature-map", **made())
            return {}

        yield keep


def _neighbours(subject: Subject, run: Run, split: str) -> dict[str, Result]:
    """Keep images with their neighbours, or give the reason why not."""
    if split == "train":
        why = "a training image is the nearest neighbour of itself"
        return left_out(subject, split, ["neighbours"], why)
    run.save_arrays("neighbours", **atlas.neighbours(subject, split))
    return {}


def _spread(subject: Subject, run: Run) -> dict[str, Result]:
    monitor = FeaturesMonitor(subject, run)
    protocol = subject.protocol(monitor.split, views="two fixed augmented views of each image")
    if not subject.method.by_direction:
        protocol["spread"] = "of projections as they are"
    found = {
        name: Result(value, None, monitor.images, protocol, NOT_INDEPENDENT)
        for name, value in monitor.measures().items()
    }
    lines = run.metrics()
    for name, why in monitor.unwatched.items():
        if name == "verdict" or name.startswith("features/"):
            found[name] = Result.left_out(why, protocol)
    looks = [line["step"] for line in lines if "features/std" in line]
    if subject.trained_on:
        why = "it rests on what the log says of the images of the training, and these are others"
        found["verdict"] = Result.left_out(why, protocol)
    if "verdict" not in found and looks:
        said, sentence = monitor.verdict(lines)
        # The log knows the step of its last look; the weights are kept where a checkpoint is of that step.
        kept = run.weights("last")
        digest = kept.digest if kept is not None and kept.step == looks[-1] else ""
        judged = replace(subject, checkpoint="last", step=looks[-1], weights=digest)
        of_last = judged.protocol(monitor.split, rule="verdict.judge", step=looks[-1])
        found["verdict"] = Result(said, None, monitor.images, of_last, sentence)
    return found
