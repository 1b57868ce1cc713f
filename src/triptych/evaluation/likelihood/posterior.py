"""What each latent coordinate knows of an image: divergence, active units, traversals."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evaluation.subject import BLOCK, Subject
from triptych.objectives.elbo import kl_to_standard_normal
from triptych.runs import Result
from triptych.types import Decodes, DiagonalGaussian, HasLikelihood

__all__ = ["active_units", "traversal"]

ACTIVE = 0.01
"""Variance over the data of a coordinate's posterior mean above which it is active (Burda et al. 2016)."""


def _posteriors(subject: Subject, split: str) -> tuple[Tensor, Tensor]:
    method = subject.method
    assert isinstance(method, HasLikelihood)

    def posterior(start: int) -> dict[str, Tensor]:
        with torch.inference_mode():
            q: DiagonalGaussian = method.posterior(subject.block(split, start // BLOCK))
        return q._asdict()

    found = subject.rows(range(0, len(subject.dataset.splits[split]), BLOCK), posterior)
    return found["mean"].cpu().double(), found["log_variance"].cpu().double()


def active_units(subject: Subject, split: str) -> dict[str, Result]:
    """``latent/active_units`` and ``latent/kl_per_dimension`` (nats, mean over images, by coordinate)."""
    mean, log_variance = _posteriors(subject, split)
    kl = kl_to_standard_normal(mean, log_variance).mean(0)
    spread = mean.var(0, correction=0)
    protocol = subject.protocol(split, threshold=ACTIVE, estimator="Var over images of E[z|x]")
    active = Result(
        int((spread > ACTIVE).sum()), None, len(mean), protocol, "a count of coordinates"
    )
    if len(mean) < 2:
        active = Result.left_out("one image has no variance", protocol)
    return {
        "latent/active_units": active,
        "latent/kl_per_dimension": Result(
            [round(v, 5) for v in kl.tolist()],
            None,
            len(mean),
            subject.protocol(split, estimator="analytic KL", unit="nats an image"),
            "a description of every coordinate, in their order",
        ),
    }


def traversal(
    subject: Subject, split: str, coordinates: int = 8, steps: int = 11, reach: float = 3.0
) -> dict[str, Tensor]:
    """One test image decoded while one coordinate moves from −reach to +reach prior deviations.

    The coordinates are those of the largest mean KL, the largest first. Returns
    ``images`` (coordinates×steps×C×H×W), ``coordinates``, ``values`` and ``kl``.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood) and isinstance(method, Decodes)
    kl = kl_to_standard_normal(*_posteriors(subject, split)).mean(0)
    chosen = kl.argsort(descending=True)[:coordinates]
    values = torch.linspace(-reach, reach, steps, device=subject.device)
    with torch.inference_mode():
        start = method.posterior(subject.examples(split, 1)).mean
        z = start.expand(len(chosen), steps, -1).clone()
        z[torch.arange(len(chosen)), :, chosen] = values
        images = method.decode(z.flatten(0, 1))
    return {
        "images": images.view(*z.shape[:2], *images.shape[1:]),
        "coordinates": chosen,
        "values": values,
        "kl": kl[chosen],
    }
