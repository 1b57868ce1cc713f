"""Everything that is measured of samples: diversity, latent coordinates, interpolation, the critic's slope."""

from __future__ import annotations

import numpy as np

from triptych.evaluation.labels import judged, left_out, named
from triptych.evaluation.latent_space import directions, pullback, scorecard
from triptych.evaluation.latent_space import interpolation as interpolate
from triptych.evaluation.samples import distances as distribution
from triptych.evaluation.samples import lipschitz
from triptych.evaluation.samples.classes import class_histogram
from triptych.evaluation.samples.classifier import Judge, judge, weakness
from triptych.evaluation.samples.extractors import Extractor, from_classifier, untrained
from triptych.evaluation.subject import Subject, as_arrays
from triptych.runs import Result, Run
from triptych.types import HasCritic, Samples

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
    directions.check_coordinates(coordinates, subject.method.latent)
    who = judged(subject.dataset, split)
    trained, why = None, who if isinstance(who, str) else ""
    if not isinstance(who, str):
        trained = judge(subject, split)
        why = weakness(trained.confusion)
    referee = None if why else trained
    if features is None:
        features = from_classifier(trained) if trained else untrained(subject)
    found = _distances(subject, split, features)
    found |= _classes(subject, run, split, referee, why)
    found |= _latent_space(subject, run, coordinates, referee)
    found |= scorecard.scorecard(
        subject, split, features, features.name, referee.network if referee else None
    )
    if referee is None:
        found |= left_out(subject, split, ["interpolation/entropy"], why)
    run.save_arrays("sample_interpolation", **as_arrays(interpolate.between_samples(subject)))
    if isinstance(subject.method, HasCritic):
        results, norms = lipschitz.audit(subject, split)
        found |= results
        run.save_arrays("gradient_norms", **norms)
    return found


def _distances(subject: Subject, split: str, features: Extractor) -> dict[str, Result]:
    """All distances, and those for which there are too few images, with the reason."""
    found = distribution.distances(subject, split, features)
    names = [f"{split}/{n}{end}" for end in ("", "_floor") for n in distribution.ESTIMATORS]
    few = distribution.FEWEST
    why = f"fewer than {few} training images are left to stand in the place of samples"
    count = len(subject.dataset.splits[split])
    if count < few:
        why = f"distributions of {few} images or more are compared; {named(split)} images: {count}"
    return found | left_out(subject, split, (n for n in names if n not in found), why)


def _classes(
    subject: Subject, run: Run, split: str, referee: Judge | None, why: str
) -> dict[str, Result]:
    """The test of the classes' shares, if there is a classifier whose confusion is known for every class."""
    name = "samples/class_histogram"
    if referee is None:
        return left_out(subject, split, [name], why)
    seen, taught = referee.confusion.sum(1), referee.training_histogram
    unknown = np.flatnonzero((seen == 0) & (taught > 0))
    if len(unknown):
        classes = ", ".join(referee.classes[k] for k in unknown[:NAMED])
        more = f" and {len(unknown) - NAMED} others" if len(unknown) > NAMED else ""
        why = (
            f"no {named(split)} image is of {classes}{more}, so how that is recognised is not known"
        )
        return left_out(subject, split, [name], why)
    results, arrays = class_histogram(subject, referee, split)
    run.save_arrays("class_histogram", **arrays)
    return results


def _latent_space(
    subject: Subject, run: Run, coordinates: tuple[int, ...], referee: Judge | None
) -> dict[str, Result]:
    results, arrays = directions.directions(subject, referee, coordinates)
    run.save_arrays("coordinates", **arrays)
    principal, pictures = pullback.principal(subject)
    run.save_arrays("principal", **pictures)
    return results | principal
