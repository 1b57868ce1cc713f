"""Everything that is measured of samples: diversity, latent coordinates, interpolation, the critic's slope."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from triptych.evaluate import directions, distribution, interpolate, lipschitz, pullback, scorecard
from triptych.evaluate.classifier import Judge, judge
from triptych.evaluate.features import Extractor, from_classifier, untrained
from triptych.evaluate.histogram import class_histogram
from triptych.evaluate.subject import Subject, as_levels
from triptych.runs import Result, Run
from triptych.types import HasCritic

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
    """
    referee = judge(subject, split) if _judgeable(subject, split) else None
    if features is None:
        features = from_classifier(referee) if referee else untrained(subject)
    found = distribution.distances(subject, split, features)
    if referee:
        results, arrays = class_histogram(subject, referee, split)
        found |= results
        run.save_arrays("class_histogram", **arrays)
    found |= _latent_space(subject, run, coordinates, referee)
    found |= scorecard.scorecard(
        subject, split, features, features.name, referee.network if referee else None
    )
    run.save_arrays("sample_interpolation", **_levels(interpolate.between_samples(subject)))
    if isinstance(subject.method, HasCritic):
        results, norms = lipschitz.audit(subject, split)
        found |= results
        run.save_arrays("gradient_norms", **norms)
    return found


def _latent_space(
    subject: Subject, run: Run, coordinates: tuple[int, ...], referee: Judge | None
) -> dict[str, Result]:
    if referee:
        results, arrays = directions.directions(
            subject, referee.network, referee.classes, referee.identity, coordinates
        )
    else:
        results, arrays = directions.directions(subject, coordinates=coordinates)
    run.save_arrays("coordinates", **arrays)
    principal, pictures = pullback.principal(subject)
    run.save_arrays("principal", **pictures)
    return results | principal


def _judgeable(subject: Subject, split: str) -> bool:
    """Whether there are labels to train a classifier with, and others to see how good it is."""
    train, test = (subject.dataset.splits[name].labels for name in ("train", split))
    if train is None or test is None or split == "train":
        return False
    return len(np.unique(train)) > 1 and set(train) == set(test)


def _levels(tensors: Mapping[str, Tensor]) -> dict[str, npt.NDArray[np.generic]]:
    """Images as levels, vectors as they are."""
    return {k: as_levels(v) if v.ndim > 2 else v.cpu().numpy() for k, v in tensors.items()}
