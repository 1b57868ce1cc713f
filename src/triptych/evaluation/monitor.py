"""What is looked at while a method trains: validation figures, the same samples again, a collapse alarm."""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych.evaluation.labels import named
from triptych.evaluation.likelihood.estimates import validation_elbo
from triptych.evaluation.looks import counts_from
from triptych.evaluation.representation.measure import FeaturesMonitor
from triptych.evaluation.samples.distances import frechet_distance
from triptych.evaluation.samples.extractors import Extractor, untrained
from triptych.evaluation.samples.mode_collapse import LOW, collapsed, spread
from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import BLOCK, Subject, as_levels
from triptych.runs import Run, grouped
from triptych.types import HasCritic, HasLikelihood, Moment, Projects, Samples

__all__ = ["WATCHED", "Monitor"]

WATCHED = 64
"""Latents whose samples are kept at every landmark, and watched for collapse."""

MANY = 1000
"""Images and samples, at most, behind a figure of a moment: quick, and rough."""

FEWEST = 10
"""Real images below which their spread is no measure of anybody's."""

Levels = npt.NDArray[np.uint8]

LIKELIHOOD = ("valid/elbo", "valid/reconstruction", "valid/kl")

COMPARED = ("valid/frechet_untrained", "valid/critic_gap", "valid/critic_memory")
"""What samples are to held-out images, as far as the method has a critic."""


class Monitor:
    """Looks at a subject in training, by what its method can do; what it finds is logged.

    ``valid/elbo`` and its terms for a likelihood. For compared views: `FeaturesMonitor`. For samples: a picture at every
    landmark; ``samples/diversity``; ``samples/healthy_step``, the step itself unless the samples
    look collapsed: the highest one has the best weights; where it comes to that, ``alarm`` with
    the step ``since`` which it is so; and with 64 validation images or more ``valid/frechet_untrained``,
    ``valid/critic_gap`` = E f(valid) − E f(samples) and
    ``valid/critic_memory`` = E f(train) − E f(valid), 0 for a critic that remembers nothing.

    What the images or their labels do not allow is said once, in the first line, as ``left_out``.
    """

    def __init__(self, subject: Subject, run: Run) -> None:
        self.subject, self.run = subject, run

    def __call__(self, moment: Moment) -> dict[str, float | str]:
        """Everything worth logging at this moment."""
        method, found = self.subject.method, dict[str, float | str]()
        if (
            moment.due
            and isinstance(method, HasLikelihood)
            and "valid" in self.subject.dataset.splits
        ):
            found |= validation_elbo(self.subject)
        if isinstance(method, Samples):
            found |= self._samples(method, moment)
        if isinstance(method, Projects) and (moment.due or moment.step == 0):
            found |= self._features(moment)
        if moment.step == 0 and self.unwatched:
            found["left_out"] = "; ".join(
                f"{', '.join(names)}: {why}" for why, names in grouped(self.unwatched)
            )
        # On machines that differ figures do by a rounding, and what decides over weights is to be one.
        return self.subject.ranks.of_first(found)

    @cached_property
    def unwatched(self) -> dict[str, str]:
        """What this method's log will not have, and why: name → reason."""
        method, found = self.subject.method, dict[str, str]()
        if isinstance(method, HasLikelihood) and "valid" not in self.subject.dataset.splits:
            found |= dict.fromkeys(LIKELIHOOD, "there is no validation split")
        if isinstance(method, Samples):
            found |= self._not_compared(method)
        if isinstance(method, Projects):
            found |= self._features.unwatched
        return found

    def _not_compared(self, method: Samples) -> dict[str, str]:
        found: dict[str, str] = {}
        if self._split != "valid":
            valid = self.subject.dataset.splits.get("valid")
            why = "there is no validation split"
            if valid is not None:
                why = (
                    f"samples are compared with {WATCHED} held-out images or more; {len(valid)} are"
                )
            names = COMPARED if isinstance(method, HasCritic) else COMPARED[:1]
            found |= dict.fromkeys(names, why)
        if len(self._real) < FEWEST:
            few = (
                f"{len(self._real)} {named(self._split)} images are too few to compare spreads with"
            )
            found["samples/diversity"] = f"{few}; {FEWEST} are enough"
        elif self._spread == 0:
            found["samples/diversity"] = "most of the real images have a duplicate"
        return found

    @cached_property
    def _features(self) -> FeaturesMonitor:
        return FeaturesMonitor(self.subject, self.run)

    @torch.inference_mode()
    def _samples(self, method: Samples, moment: Moment) -> dict[str, float | str]:
        pieces = torch.split(self._latents, self._at_once)
        critic = method if self._split == "valid" and isinstance(method, HasCritic) else None

        def draw(number: int) -> tuple[Levels | None, Tensor, Tensor | None]:
            images = method.sample(pieces[number])
            kept = moment.landmark and number == 0
            return (
                as_levels(images[:WATCHED]) if kept else None,
                self._extractor(images),
                None if critic is None else _scores(critic, images),
            )

        drawn = self.subject.shared(draw, range(len(pieces)))
        features = torch.cat([features for _, features, _ in drawn])
        if drawn[0][0] is not None:
            self.run.save_moment(moment.step, drawn[0][0])
        if not features.isfinite().all():
            # No figure of such samples means anything, and theirs are never the best weights.
            return self._alarm("the samples hold values that are not finite numbers", moment.step)
        found: dict[str, float | str] = {}
        collapse = False
        if "samples/diversity" not in self.unwatched:
            diversity = spread(features[: self._few]) / self._spread
            found["samples/diversity"] = diversity
            found |= self._collapse(moment, diversity)
            collapse = diversity < LOW and moment.step >= counts_from(moment.total)
        if not collapse:
            found["samples/healthy_step"] = moment.step
        if self._split == "valid":
            found["valid/frechet_untrained"] = frechet_distance(self._real_features, features)
            if critic is not None:
                fake = float(torch.cat([s for *_, s in drawn if s is not None]).mean())
                real, seen = (self._score(critic, some) for some in (self._real, self._seen))
                found |= {"valid/critic_gap": real - fake, "valid/critic_memory": seen - real}
        return found

    @property
    def _at_once(self) -> int:
        """Images that a network is given at once: few for a core's cache, all where each call is a launch."""
        return WATCHED if self.subject.device.type == "cpu" else MANY

    def _score(self, method: HasCritic, images: Tensor) -> float:
        parts = torch.split(images, self._at_once)
        scores = self.subject.shared(partial(_scores, method), parts)
        return float(torch.cat(scores).mean())

    def _alarm(self, said: str, since: int) -> dict[str, float | str]:
        """One alarm a run, the first."""
        told = any("alarm" in entry for entry in self.run.metrics())
        return {} if told else {"alarm": said, "since": since}

    def _collapse(self, moment: Moment, diversity: float) -> dict[str, float | str]:
        """An alarm at the first look at which the collapse is sure."""
        metrics = self.run.metrics()
        looks = [(e["step"], e["samples/diversity"]) for e in metrics if "samples/diversity" in e]
        since = collapsed([*looks, (moment.step, diversity)], moment.total)
        if since is None:
            return {}
        said = (
            f"the samples collapsed at step {since}: from a sample to its nearest other it is "
            f"typically {diversity:.0%} of what it is among real images"
        )
        return self._alarm(said, since)

    @cached_property
    def _split(self) -> str:
        """The real images to compare with: held-out ones, if there are enough of them."""
        valid = self.subject.dataset.splits.get("valid")
        return "valid" if valid is not None and len(valid) >= WATCHED else "train"

    @cached_property
    def _latents(self) -> Tensor:
        return prior_latents(self.subject, max(WATCHED, len(self._real)))

    @cached_property
    def _real(self) -> Tensor:
        return self.subject.examples(self._split, MANY)

    @cached_property
    def _seen(self) -> Tensor:
        return self.subject.examples("train", MANY)

    @cached_property
    def _extractor(self) -> Extractor:
        return untrained(self.subject)

    @cached_property
    def _real_features(self) -> Tensor:
        return torch.cat(self.subject.shared(self._extractor, torch.split(self._real, BLOCK)))

    @property
    def _few(self) -> int:
        """As many samples as real images: a set of fewer is farther apart."""
        return min(WATCHED, len(self._real))

    @cached_property
    def _spread(self) -> float:
        """Of real images; 0 where most of them have a duplicate, and nothing can be said then."""
        # Neighbours in a file may be of one class: as many as the samples, from all over it.
        every = len(self._real) // self._few
        return spread(self._real_features[::every][: self._few])


def _scores(method: HasCritic, images: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = method.critic(method.scaled(images))
    return found
