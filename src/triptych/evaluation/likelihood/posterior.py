"""What each latent coordinate knows of an image: divergence, active units, traversals."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evaluation.likelihood.estimates import of_prior
from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.objectives.elbo import kl_to_standard_normal
from triptych.runs import Result
from triptych.types import (
    STANDARD_NORMAL,
    Decodes,
    DiagonalGaussian,
    Encodes,
    HasCoordinateKL,
    HasLikelihood,
    HasPrior,
)

__all__ = ["active_units", "traversal"]

ACTIVE = 0.01
"""Variance over the data of a coordinate's posterior mean above which it is active (Burda et al. 2016)."""

DRAWN = 10_000
"""Latents from a prior other than N(0, I) that tell how far its coordinates reach."""

LATENTS = {"mean": "E[z|x]", "code": "the code of x"}
"""What tells the latents of an image: of several levels a code has the mean of one at those above, which is no E[z|x]."""

NO_MEAN = (
    "the method gives neither a diagonal Gaussian q(z|x) nor a code of every latent coordinate"
)


def _look(subject: Subject, split: str) -> dict[str, Tensor]:
    """Of every image the ``mean`` of its latents and the ``kl`` of each coordinate, N×latent, as far as they are known.

    Where q(z|x) is no diagonal Gaussian there is the ``code`` in the mean's place, the method's own, if it has one
    number for each coordinate.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood)
    own_prior = isinstance(method, HasPrior) and method.prior != STANDARD_NORMAL

    def look(start: int) -> dict[str, Tensor]:
        number = start // BLOCK
        found: dict[str, Tensor] = {}
        with torch.inference_mode():
            x = subject.block(split, number)
            if isinstance(method, HasCoordinateKL):
                draw = generator(subject.device, "elbo", split, number)
                noise = torch.randn(len(x), method.latent, generator=draw, device=subject.device)
                kl = method.kl_per_coordinate(x, noise)
                found |= {} if kl is None else {"kl": kl.cpu().double()}
            q = method.posterior(x)
            if isinstance(q, DiagonalGaussian):
                found["mean"] = q.mean.cpu().double()
                if "kl" not in found and not own_prior and not isinstance(method, HasCoordinateKL):
                    found["kl"] = kl_to_standard_normal(*(t.cpu().double() for t in q))
            elif isinstance(method, Encodes):
                code = method.encode(x)
                if code.shape == (len(x), method.latent):
                    found["code"] = code.cpu().double()
        return found

    return subject.rows(range(0, len(subject.dataset.splits[split]), BLOCK), look)


def _unknown(subject: Subject) -> str:
    """Why the divergence of each coordinate is not known."""
    method = subject.method
    if isinstance(method, HasPrior) and method.prior != STANDARD_NORMAL:
        return f"the prior, {method.prior}, does not factorise over the latent coordinates: its divergence is one number for all"
    return "q(z|x) is no diagonal Gaussian, and the method does not say the divergence of each coordinate"


def active_units(subject: Subject, split: str) -> dict[str, Result]:
    """``latent/active_units`` and ``latent/kl_per_dimension`` (nats, mean over images, by coordinate)."""
    method, found = subject.method, _look(subject, split)
    gaussian = not isinstance(method, HasCoordinateKL)
    known = next((name for name in LATENTS if name in found), None)
    of = LATENTS[known or "mean"]
    protocol = subject.protocol(split, threshold=ACTIVE, estimator=f"Var over images of {of}")
    count = len(subject.dataset.splits[split])
    if known is None:
        active = Result.left_out(NO_MEAN, protocol)
    elif count < 2:
        active = Result.left_out("one image has no variance", protocol)
    else:
        spread = found[known].var(0, correction=0)
        active = Result(
            int((spread > ACTIVE).sum()), None, count, protocol, "a count of coordinates"
        )
    of_kl = subject.protocol(
        split,
        **of_prior(method),
        estimator="analytic KL"
        if gaussian
        else "KL of each coordinate, 1 sample of those it depends on",
        unit="nats an image",
    )
    kl = Result.left_out(_unknown(subject), of_kl)
    if "kl" in found:
        kl = Result(
            [round(v, 5) for v in found["kl"].mean(0).tolist()],
            None,
            count,
            of_kl,
            "a description of every coordinate, in their order",
        )
    return {"latent/active_units": active, "latent/kl_per_dimension": kl}


def traversal(
    subject: Subject, split: str, coordinates: int = 8, steps: int = 11, reach: float = 3.0
) -> dict[str, Tensor]:
    """One test image decoded while one coordinate moves from −reach to +reach deviations of the prior about its mean.

    The coordinates are those of the largest mean KL, the largest first; where that is not known, those whose latent
    mean spreads most over the images. Returns ``images`` (coordinates×steps×C×H×W), ``coordinates``, ``values`` in
    deviations of the prior, and ``kl`` or ``spread``; nothing of a method that tells no latents of an image.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood) and isinstance(method, Decodes)
    found = _look(subject, split)
    known = next((name for name in LATENTS if name in found), None)
    if known is None:
        return {}
    by = "kl" if "kl" in found else "spread"
    size = found["kl"].mean(0) if by == "kl" else found[known].std(0, correction=0)
    chosen = size.argsort(descending=True)[:coordinates]
    values = torch.linspace(-reach, reach, steps, device=subject.device)
    with torch.inference_mode():
        start = _start(subject, split)
        z = start.expand(len(chosen), steps, -1).clone()
        centre, deviation = (moment[chosen, None] for moment in _moments(subject))
        z[torch.arange(len(chosen)), :, chosen] = centre + deviation * values
        images = method.decode(z.flatten(0, 1))
    return {
        "images": images.view(*z.shape[:2], *images.shape[1:]),
        "coordinates": chosen,
        "values": values,
        by: size[chosen],
    }


def _start(subject: Subject, split: str) -> Tensor:
    """The latents of one image, 1×latent."""
    method, x = subject.method, subject.examples(split, 1)
    assert isinstance(method, HasLikelihood)
    q = method.posterior(x)
    start: Tensor = q.mean if isinstance(q, DiagonalGaussian) else method.encode(x)
    return start


def _moments(subject: Subject) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each coordinate under the prior."""
    method, device = subject.method, subject.device
    assert isinstance(method, HasLikelihood)
    if not isinstance(method, HasPrior) or method.prior == STANDARD_NORMAL:
        return torch.zeros(method.latent, device=device), torch.ones(method.latent, device=device)
    z = prior_latents(subject, DRAWN)
    return z.mean(0), z.std(0)
