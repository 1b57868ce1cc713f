"""Priors that are mixtures of Gaussians: densities, and draws that need no randomness beside the latent's own.

    p(z) = (1/C) Σ_c N(z; m_c, diag s_c²)

With free m and s it is the mixture of Gaussians, with m_c, s_c those of q(z|u_c) of learned pseudo-inputs u_c the
VampPrior (Tomczak and Welling 2018, arXiv 1705.07120, equations 9 and 10).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from triptych.objectives.elbo import LOG_2PI, standard_normal_log_density

__all__ = [
    "Components",
    "draw_mixture",
    "draw_prior",
    "mixture_log_density",
    "prior_log_density",
]

Components: TypeAlias = tuple[Tensor, Tensor]
"""Mean and log-variance of the components of a mixture, each C×d."""


def prior_log_density(z: Tensor, components: Components | None) -> Tensor:
    """Log p(z) of a mixture, or of N(0, I) without components; …×d → …, nats."""
    if components is None:
        return standard_normal_log_density(z)
    return mixture_log_density(z, *components)


def draw_prior(noise: Tensor, components: Components | None) -> Tensor:
    """Draws z ~ p(z) of noise from N(0, I), N×d → N×d: the noise itself without components."""
    return noise if components is None else draw_mixture(noise, *components)


def mixture_log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log (1/C) Σ_c N(z; mean_c, diag exp(log_variance_c)).

    The squares are multiplied out, so that all distances are two products of matrices and memory does not grow with
    C·d for each z. What cancels between them would be lost in single precision, and under autocast or TF32 sooner:
    they are in double precision, where the device has it.

    Args:
        z: …×d.
        mean: C×d.
        log_variance: C×d.

    Returns:
        …, nats: a density, so it may exceed 0.

    Example:
        >>> centre = torch.zeros(1, 2)
        >>> mixture_log_density(torch.zeros(3, 2), centre, centre)
        tensor([-1.8379, -1.8379, -1.8379])
    """
    wide = torch.float32 if z.device.type == "mps" else torch.float64
    flat, m, log_v = (t.reshape(-1, t.shape[-1]).to(wide) for t in (z, mean, log_variance))
    precision = torch.exp(-log_v)
    # About the components' common centre the terms that cancel are smaller.
    centre = m.detach().mean(0)
    flat, m = flat - centre, m - centre
    constant = (precision * m.square() + log_v + LOG_2PI).sum(-1)
    distance = flat.square() @ precision.T - 2 * flat @ (precision * m).T + constant
    each = (-0.5 * distance).to(z.dtype)
    return (torch.logsumexp(each, -1) - math.log(len(mean))).view(z.shape[:-1])


def draw_mixture(noise: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draws from (1/C) Σ_c N(mean_c, diag exp(log_variance_c)) as a function of noise from N(0, I), N×d → N×d.

    u = Φ(ε₁) is uniform; the whole part of C·u chooses the component, and of what remains, uniform too and independent
    of it, Φ⁻¹ makes a normal again: the first coordinate's noise within the component. Exact, but for the rounding of
    the noise, of which log₂ C bits are spent on the choice.
    """
    count = len(mean)
    # On the host, where there always is double precision.
    scaled = count * torch.special.ndtr(noise[:, 0].cpu().double())
    chosen = scaled.floor().clamp(0, count - 1)
    remainder = (scaled - chosen).clamp(1e-12, 1 - 1e-12)
    first = torch.special.ndtri(remainder).to(noise)
    within = torch.cat([first.unsqueeze(1), noise[:, 1:]], 1)
    at = chosen.long().to(mean.device)
    return torch.addcmul(mean[at], (0.5 * log_variance[at]).exp(), within)
