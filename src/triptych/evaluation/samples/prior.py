"""Latents and images drawn from the prior, the same for every run."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.types import STANDARD_NORMAL, Decodes, HasPrior, Method, Samples

__all__ = ["from_prior", "prior_blocks", "prior_latents", "prior_name", "prior_samples"]


def prior_name(method: Method) -> str:
    """What the prior of a method is called."""
    return method.prior if isinstance(method, HasPrior) else STANDARD_NORMAL


def from_prior(method: Method, noise: Tensor) -> Tensor:
    """Latents from the method's prior, N×latent, of noise from N(0, I): the noise itself where it has no other prior."""
    if not isinstance(method, HasPrior):
        return noise
    with torch.inference_mode():
        z: Tensor = method.draw_prior(noise)
    return z


def prior_latents(subject: Subject, count: int) -> Tensor:
    """``count`` draws of z from the prior, N×latent: the same for every run, and a longer list begins as a shorter."""
    method = subject.method
    assert isinstance(method, (Decodes, Samples))
    draw = generator(torch.device("cpu"), "samples")
    z = torch.empty(count, method.latent)
    for row in torch.split(z, 1):
        torch.randn(1, method.latent, generator=draw, out=row)
    return from_prior(method, z.to(subject.device))


def prior_samples(subject: Subject, count: int) -> Tensor:
    """``count`` images from the prior: drawn where the method can draw, else decoded means."""
    return torch.cat(list(prior_blocks(subject, count)))


def prior_blocks(subject: Subject, count: int) -> Iterator[Tensor]:
    """The same images a block at a time, so that memory does not grow with their number."""
    method = subject.method
    for z in torch.split(prior_latents(subject, count), BLOCK):
        with torch.inference_mode():
            if isinstance(method, Samples):
                drawn: Tensor = method.sample(z)
            else:
                assert isinstance(method, Decodes)
                drawn = method.decode(z)
        yield drawn
