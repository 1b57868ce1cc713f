"""Everything that is measured of features that were learned by comparing views."""

from __future__ import annotations

from dataclasses import replace

from triptych.evaluate import atlas, knn, probe
from triptych.evaluate.features_monitor import FeaturesMonitor
from triptych.evaluate.subject import Subject
from triptych.runs import Result, Run

__all__ = ["agreement"]

NOT_INDEPENDENT = "one value of a set of images: its error over images is not estimated"


def agreement(
    subject: Subject, run: Run, split: str, untrained: Subject, last: Subject | None
) -> dict[str, Result]:
    """Neighbours, linear probes, spread and verdict; what pictures are drawn from goes to the run.

    Args:
        subject: with the weights to be judged.
        run: whose log holds the looks during training.
        split: the headline figures are measured on it.
        untrained: the same network with its initial weights, the floor.
        last: the network at the end of the training, where ``subject`` has other weights.
    """
    found = _spread(subject, run)
    images = subject.dataset.splits
    if len(images[split]) >= atlas.FEWEST:
        run.save_arrays("feature-map", **atlas.feature_map(subject, split))
    # A training image would find itself in the bank.
    if split == "train":
        return found
    run.save_arrays("neighbours", **atlas.neighbours(subject, split))
    if any(images[name].labels is None for name in ("train", split)):
        return found
    found |= knn.knn(subject, split, untrained=untrained) | probe.probe(subject, split)
    if split != "valid" and "valid" in images and images["valid"].labels is not None:
        # What the weights were chosen by: no more than a look behind the scenes.
        found |= knn.encoder_top1(subject, "valid")
    if last is not None:
        end = knn.encoder_top1(last, split) | probe.probe(last, split)
        for name in ("knn_top1", "linear_top1", "logistic_top1"):
            found[f"{split}/{name}_last"] = end[f"{split}/{name}"]
    return found


def _spread(subject: Subject, run: Run) -> dict[str, Result]:
    monitor = FeaturesMonitor(subject, run)
    held_out = "valid" if "valid" in subject.dataset.splits else "train"
    protocol = subject.protocol(held_out, views="two fixed augmented views of each image")
    found = {
        name: Result(value, None, monitor.images, protocol, NOT_INDEPENDENT)
        for name, value in monitor.measures().items()
    }
    lines = run.metrics()
    looks = [line["step"] for line in lines if "features/std" in line]
    if looks:
        name, sentence = monitor.verdict(lines)
        # The log knows the step of its last look; the weights are kept where a checkpoint is of that step.
        kept = run.weights("last")
        digest = kept.digest if kept is not None and kept.step == looks[-1] else ""
        judged = replace(subject, checkpoint="last", step=looks[-1], weights=digest)
        protocol = judged.protocol(held_out, rule="verdict.judge", step=looks[-1])
        found["verdict"] = Result(name, None, monitor.images, protocol, sentence)
    return found
