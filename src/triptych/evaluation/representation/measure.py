"""Everything that is measured of features that were learned by comparing views."""

from __future__ import annotations

from dataclasses import replace

from triptych.evaluation.labels import left_out, named
from triptych.evaluation.representation import atlas, knn, probe
from triptych.evaluation.representation.monitor import FeaturesMonitor
from triptych.evaluation.subject import Subject
from triptych.runs import Result, Run

__all__ = ["agreement"]

LAST = ("knn_top1", "knn_balanced", "linear_top1", "logistic_top1")
"""What is measured with the last weights as well."""

NOT_INDEPENDENT = "one value of a set of images: its error over images is not estimated"


def agreement(
    subject: Subject, run: Run, split: str, untrained: Subject, last: Subject | None
) -> dict[str, Result]:
    """Neighbours, linear probes, spread and verdict; what pictures are drawn from goes to the run.

    What the images or their labels do not allow is left out with its reason.

    Args:
        subject: with the weights to be judged.
        run: whose log holds the looks during training.
        split: the headline figures are measured on it.
        untrained: the same network with its initial weights, the floor.
        last: the network at the end of the training, where ``subject`` has other weights.
    """
    found = _spread(subject, run) | _pictures(subject, run, split)
    found |= knn.knn(subject, split, untrained=untrained) | probe.probe(subject, split)
    if split != "valid":
        # What the weights were chosen by: no more than a look behind the scenes.
        found |= knn.encoder_top1(subject, "valid")
    if last is not None:
        end = knn.encoder_top1(last, split) | probe.probe(last, split)
        for name in LAST:
            found[f"{split}/{name}_last"] = end[f"{split}/{name}"]
    elif subject.checkpoint != "last":
        names = [f"{split}/{name}_last" for name in LAST]
        found |= left_out(subject, split, names, "the training has saved no last weights yet")
    return found


def _pictures(subject: Subject, run: Run, split: str) -> dict[str, Result]:
    """Keep what the pictures are drawn from; returns those that cannot be, with the reason."""
    lost: dict[str, Result] = {}
    count = len(subject.dataset.splits[split])
    if count >= atlas.FEWEST:
        run.save_arrays("feature-map", **atlas.feature_map(subject, split))
    else:
        why = f"a map needs {atlas.FEWEST} images or more; {named(split)} images: {count}"
        lost |= left_out(subject, split, ["feature-map"], why)
    if split == "train":
        why = "a training image is the nearest neighbour of itself"
        return lost | left_out(subject, split, ["neighbours"], why)
    run.save_arrays("neighbours", **atlas.neighbours(subject, split))
    return lost


def _spread(subject: Subject, run: Run) -> dict[str, Result]:
    monitor = FeaturesMonitor(subject, run)
    protocol = subject.protocol(monitor.split, views="two fixed augmented views of each image")
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
