"""Everything that is measured of samples: diversity, latent coordinates, interpolation, the critic's slope."""

from __future__ import annotations

import numpy as np

from triptych.evaluation.labels import judged, left_out, named
from triptych.evaluation.latent_space.directions import check_coordinates, directions
from triptych.evaluation.latent_space.interpolation import between_samples
from triptych.evaluation.latent_space.pullback import principal
from triptych.evaluation.latent_space.scorecard import scorecard
from triptych.evaluation.samples.classes import class_histogram
from triptych.evaluation.samples.classifier import LabelClassifier, label_classifier, weakness
from triptych.evaluation.samples.distances import ESTIMATORS, FEWEST, distances
from triptych.evaluation.samples.extractors import Extractor, from_classifier, untrained
from triptych.evaluation.samples.lipschitz import audit
from triptych.evaluation.subject import Subject, as_arrays
from triptych.runs import Result, Run
from triptych.types import LipschitzCritic, Samples

__all__ = ["generation"]

NAMED = 5
"""Classes that a reason names."""


def generation(
    subject: Subject,
    run: Run,
    split: str,
    features: Extractor | None = None,
    coordinates: tuple[int, ...] = (),
) -> dict[str, Result]:
    """Measure the samples of a method that draws them; what pictures are drawn from goes to the run.

    Distances are over ``features``: without any those of the classifier that judges
    the classes, and of a random network where there are no labels to train one. What images or
    labels do not allow is left out with its reason.

    Raises:
        TriptychError: a coordinate that the latent space does not have, before anything is measured.
    """
    assert isinstance(subject.method, Samples)
    check_coordinates(coordinates, subject.method.latent)
    who = judged(subject.dataset, split)
    trained, why = None, who if isinstance(who, str) else ""
    if not isinstance(who, str):
        trained = label_classifier(subject, split)
        why = weakness(trained.confusion)
    classifier = None if why else trained
    if features is None:
        features = from_classifier(trained) if trained else untrained(subject)
    found = _distances(subject, split, features)
    found |= _classes(subject, run, split, classifier, why)
    found |= _latent_space(subject, run, coordinates, classifier)
    found |= scorecard(
        subject, split, features, features.name, classifier.network if classifier else None
    )
    if classifier is None:
        found |= left_out(subject, split, ["interpolation/entropy"], why)
    run.save_arrays("sample_interpolation", **as_arrays(between_samples(subject)))
    if isinstance(subject.method, LipschitzCritic):
        results, norms = audit(subject, split)
        found |= results
        run.save_arrays("gradient_norms", **norms)
    return found


def _distances(subject: Subject, split: str, features: Extractor) -> dict[str, Result]:
    """All distances, and those for which there are too few images, with the reason."""
    found = distances(subject, split, features)
    names = [f"{split}/{n}{end}" for end in ("", "_floor") for n in ESTIMATORS]
    few = FEWEST
    why = f"fewer than {few} training images are left to stand in the place of samples"
    count = len(subject.dataset.splits[split])
    if count < few:
        why = f"distributions of {few} images or more are compared; {named(split)} images: {count}"
    return found | left_out(subject, split, (n for n in names if n not in found), why)


def _classes(
    subject: Subject, run: Run, split: str, classifier: LabelClassifier | None, why: str
) -> dict[str, Result]:
    """The test of the classes' shares, if there is a classifier whose confusion is known for every class."""
    name = "samples/class_histogram"
    if classifier is None:
        return left_out(subject, split, [name], why)
    seen, taught = classifier.confusion.sum(1), classifier.training_histogram
    unknown = np.flatnonzero((seen == 0) & (taught > 0))
    if len(unknown):
        classes = ", ".join(classifier.classes[k] for k in unknown[:NAMED])
        more = f" and {len(unknown) - NAMED} others" if len(unknown) > NAMED else ""
        why = (
            f"no {named(split)} image is of {classes}{more}, so how that is recognised is not known"
        )
        return left_out(subject, split, [name], why)
    results, arrays = class_histogram(subject, classifier, split)
    run.save_arrays("class_histogram", **arrays)
    return results


def _latent_space(
    subject: Subject, run: Run, coordinates: tuple[int, ...], classifier: LabelClassifier | None
) -> dict[str, Result]:
    results, arrays = directions(subject, classifier, coordinates)
    run.save_arrays("coordinates", **arrays)
    of_metric, pictures = principal(subject)
    run.save_arrays("principal", **pictures)
    return results | of_metric
