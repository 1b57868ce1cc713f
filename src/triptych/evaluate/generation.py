"""Everything that is measured of samples: diversity, latent coordinates, interpolation, the critic's slope."""

from __future__ import annotations

import warnings

import numpy as np

from triptych.evaluate import directions, distribution, interpolate, lipschitz, pullback, scorecard
from triptych.evaluate.classifier import Judge, judge
from triptych.evaluate.diversity import class_histogram
from triptych.evaluate.features import Extractor, from_classifier, untrained
from triptych.evaluate.subject import Subject, as_arrays
from triptych.runs import Result, Run
from triptych.types import HasCritic, Samples

__all__ = ["generation"]


def generation(
    subject: Subject,
    run: Run,
    split: str,
    features: Extractor | None = None,
    coordinates: tuple[int, ...] = (),
) -> dict[str, Result]:
    """Measure the samples of a method that draws them; what pictures are drawn from goes to the run.

    Distances are over ``features``: without any those of the classifier that judges
    the classes, and of a random network where there are no labels to train one.

    Raises:
        TriptychError: a coordinate that the latent space does not have, before anything is measured.
    """
    assert isinstance(subject.method, Samples)
    directions.check_coordinates(coordinates, subject.method.latent)
    referee = judge(subject, split) if _judgeable(subject, split) else None
    if features is None:
        features = from_classifier(referee) if referee else untrained(subject)
    found = distribution.distances(subject, split, features)
    if referee and _all_classes(subject, split):
        results, arrays = class_histogram(subject, referee, split)
        found |= results
        run.save_arrays("class_histogram", **arrays)
    found |= _latent_space(subject, run, coordinates, referee)
    found |= scorecard.scorecard(
        subject, split, features, features.name, referee.network if referee else None
    )
    run.save_arrays("sample_interpolation", **as_arrays(interpolate.between_samples(subject)))
    if isinstance(subject.method, HasCritic):
        results, norms = lipschitz.audit(subject, split)
        found |= results
        run.save_arrays("gradient_norms", **norms)
    return found


def _latent_space(
    subject: Subject, run: Run, coordinates: tuple[int, ...], referee: Judge | None
) -> dict[str, Result]:
    results, arrays = directions.directions(subject, referee, coordinates)
    run.save_arrays("coordinates", **arrays)
    principal, pictures = pullback.principal(subject)
    run.save_arrays("principal", **pictures)
    return results | principal


def _judgeable(subject: Subject, split: str) -> bool:
    """Whether there are labels to train a classifier with, and others to see how good it is."""
    train, test = (subject.dataset.splits[name].labels for name in ("train", split))
    if train is None or test is None or split == "train":
        return False
    return len(np.unique(train)) > 1 and bool(np.isin(test, train).all())


def _all_classes(subject: Subject, split: str) -> bool:
    """Whether every class has test images, without which its row of the confusion is not known."""
    train, test = (subject.dataset.splits[name].labels for name in ("train", split))
    assert train is not None and test is not None
    missing = np.setdiff1d(train, test)
    if len(missing):
        warnings.warn(
            f"no class histogram: the {split} split has no image of class {missing[0]}",
            stacklevel=2,
        )
    return not len(missing)
