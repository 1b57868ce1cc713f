"""What is looked at while a method trains: validation figures, the same samples again, a collapse alarm."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from triptych.evaluate import collapse, likelihood
from triptych.evaluate.frechet import frechet_distance
from triptych.evaluate.latent import prior_latents
from triptych.evaluate.subject import Subject, as_levels
from triptych.evaluate.untrained import Untrained
from triptych.runs import Run
from triptych.types import HasCritic, HasLikelihood, Moment, Samples

__all__ = ["WATCHED", "Monitor"]

WATCHED = 64
"""Latents whose samples are kept at every landmark, and watched for collapse."""

MANY = 1000
"""Images and samples, at most, behind a figure of a moment: quick, and rough."""


class Monitor:
    """Looks at a subject in training, by what its method can do; what it finds is logged.

    ``valid/elbo`` and its terms for a likelihood. For samples: a picture at every
    landmark, ``samples/diversity``, ``valid/frechet_untrained``, ``valid/critic_gap``
    and, where it comes to that, ``alarm``.
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
            found |= likelihood.validation_elbo(self.subject)
        if isinstance(method, Samples):
            found |= self._samples(method, moment)
        return found

    @torch.inference_mode()
    def _samples(self, method: Samples, moment: Moment) -> dict[str, float | str]:
        images = torch.cat([method.sample(z) for z in torch.split(self._latents, WATCHED)])
        if moment.landmark:
            self.run.save_moment(moment.step, as_levels(images[:WATCHED]))
        features = self._extractor(images)
        diversity = collapse.spread(features[:WATCHED]) / self._real_spread
        found: dict[str, float | str] = {"samples/diversity": diversity}
        if "valid" in self.subject.dataset.splits:
            found["valid/frechet_untrained"] = frechet_distance(self._real_features, features)
            if isinstance(method, HasCritic):
                real, fake = (
                    torch.cat(
                        [method.critic(method.scaled(x)) for x in torch.split(some, WATCHED)]
                    ).mean()
                    for some in (self._real, images)
                )
                found["valid/critic_gap"] = float(real - fake)
        return found | self._alarm(moment, diversity)

    def _alarm(self, moment: Moment, diversity: float) -> dict[str, str]:
        """One alarm, at the first look at which the collapse is sure."""
        metrics = self.run.metrics()
        if any("alarm" in entry for entry in metrics):
            return {}
        looks = [(e["step"], e["samples/diversity"]) for e in metrics if "samples/diversity" in e]
        since = collapse.collapsed([*looks, (moment.step, diversity)], moment.total)
        if since is None:
            return {}
        said = (
            f"the samples collapsed at step {since}: the nearest two of {WATCHED} are "
            f"{diversity:.0%} as far apart as in as many real images"
        )
        return {"alarm": said}

    @cached_property
    def _latents(self) -> Tensor:
        return prior_latents(self.subject, max(WATCHED, len(self._real)))

    @cached_property
    def _real(self) -> Tensor:
        splits = self.subject.dataset.splits
        return self.subject.examples("valid" if "valid" in splits else "train", MANY)

    @cached_property
    def _extractor(self) -> Untrained:
        return Untrained(self.subject.dataset.shape[0], self.subject.device)

    @cached_property
    def _real_features(self) -> Tensor:
        return self._extractor(self._real)

    @cached_property
    def _real_spread(self) -> float:
        # Neighbours in a file may be of one class: as many as the samples, from all over it.
        every = max(1, len(self._real) // WATCHED)
        return collapse.spread(self._real_features[::every][:WATCHED])
