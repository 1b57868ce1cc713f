"""Latents and images drawn from the prior, the same for every run."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evaluation.subject import Subject, generator
from triptych.types import Decodes, Samples

__all__ = ["prior_latents", "prior_samples"]


def prior_latents(subject: Subject, count: int) -> Tensor:
    """``count`` draws of z from N(0, I), N×latent: the same for every run, and a longer list begins as a shorter."""
    method = subject.method
    assert isinstance(method, (Decodes, Samples))
    draw = generator(torch.device("cpu"), "samples")
    z = [torch.randn(1, method.latent, generator=draw) for _ in range(count)]
    return torch.cat(z).to(subject.device)


def prior_samples(subject: Subject, count: int) -> Tensor:
    """``count`` images from the prior: drawn where the method can draw, else decoded means."""
    method, z = subject.method, prior_latents(subject, count)
    with torch.inference_mode():
        if isinstance(method, Samples):
            drawn: Tensor = method.sample(z)
        else:
            assert isinstance(method, Decodes)
            drawn = method.decode(z)
    return drawn
