"""The evidence lower bound and its two terms (Kingma and Welling 2014, arXiv 1312.6114).

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))

Every function returns nats, one value per example, summed over the trailing
dimension (pixels or latent coordinates). Log-likelihoods of discrete data are ≤ 0;
a divergence is ≥ 0 in expectation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "LIKELIHOODS",
    "bernoulli_log_likelihood",
    "discretized_gaussian_log_likelihood",
    "discretized_logistic_log_likelihood",
    "elbo",
    "free_bits",
    "gaussian_log_likelihood",
    "kl_diagonal_gaussians",
    "kl_monte_carlo",
    "kl_to_standard_normal",
    "pixel_log_likelihood",
    "standard_normal_log_density",
]

LOG_2PI = math.log(2 * math.pi)


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """Log p(x|l) = Σ_d x_d l_d − softplus(l_d), for Bernoulli pixels with logits l.

    No probability is formed, so no logit is too large and nothing has to be clamped.

    Args:
        logits: N×D, or N×K×D for K decodings of each example.
        x: N×D in [0, 1].

    Returns:
        N or N×K, nats, ≤ 0 for binary x.

    Example:
        >>> bernoulli_log_likelihood(torch.tensor([[0.0, -800.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([-0.6931])
    """
    if logits.ndim > x.ndim:
        x = x.unsqueeze(-2)
    # In place, because the softplus of many decodings is as large as anything here gets.
    return -F.softplus(logits).addcmul_(x.expand_as(logits), logits, value=-1).sum(-1)


def gaussian_log_likelihood(mean: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """Log N(x; mean, exp(log_scale)²) summed over the last dimension: a density, so it may exceed 0.

    Args:
        mean: …×D.
        log_scale: natural logarithm of the standard deviation, broadcast against ``mean``.
        x: …×D.

    Returns:
        …, nats.
    """
    standard = (x - mean) * torch.exp(-log_scale)
    return (-0.5 * (standard.square() + LOG_2PI) - log_scale).sum(-1)


def _bin_log_probability(log_cdf: Tensor, log_sf: Tensor, log_inner: Tensor, x: Tensor) -> Tensor:
    """The outermost levels take the whole tail, so that the 256 probabilities sum to one."""
    edge_low, edge_high = x <= 0.5 / 255, x >= 254.5 / 255
    return torch.where(edge_low, log_cdf, torch.where(edge_high, log_sf, log_inner)).sum(-1)


def discretized_logistic_log_likelihood(mean: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """Log P(x) where P is a logistic density integrated over each of 256 levels (Salimans et al. 2017).

    P(x) = σ((x + ½δ − mean)/s) − σ((x − ½δ − mean)/s), δ = 1/255, with open ends at 0 and 1.

    Args:
        mean: …×D, in the units of x.
        log_scale: natural logarithm of s, broadcast against ``mean``.
        x: …×D, multiples of 1/255 in [0, 1].

    Returns:
        …, nats, ≤ 0.
    """
    inverse = torch.exp(-log_scale)
    upper = (x + 0.5 / 255 - mean) * inverse
    lower = (x - 0.5 / 255 - mean) * inverse
    # σ(u) − σ(l) = σ(u) σ(−l) (1 − exp(l − u)): exact in the tails, where the difference cancels.
    width = torch.log(-torch.expm1(-inverse / 255))
    inner = F.logsigmoid(upper) + F.logsigmoid(-lower) + width
    return _bin_log_probability(F.logsigmoid(upper), F.logsigmoid(-lower), inner, x)


def discretized_gaussian_log_likelihood(mean: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """Log P(x) where P is a normal density integrated over each of 256 levels, with open ends.

    Arguments and result as for `discretized_logistic_log_likelihood`.
    """
    inverse = torch.exp(-log_scale)
    upper = (x + 0.5 / 255 - mean) * inverse
    lower = (x - 0.5 / 255 - mean) * inverse
    # Φ(u) − Φ(l) = Φ(−l) − Φ(−u): taken on the side of zero where both are small.
    right = lower + upper > 0
    near, far = torch.where(right, -lower, upper), torch.where(right, -upper, lower)
    log_near, log_far = _log_normal_cdf(near), _log_normal_cdf(far)
    inner = log_near + torch.log(-torch.expm1((log_far - log_near).clamp(max=-1e-7)))
    return _bin_log_probability(_log_normal_cdf(upper), _log_normal_cdf(-lower), inner, x)


def _log_normal_cdf(t: Tensor) -> Tensor:
    """The logarithm of Φ(t). In the far tail the gradient of ``torch.special.log_ndtr`` cancels; this one does not."""
    left = t.clamp(max=0.0)
    tail = torch.log(0.5 * torch.special.erfcx(left * -math.sqrt(0.5))) - 0.5 * left.square()
    return torch.where(t < 0, tail, torch.special.log_ndtr(t.clamp(min=0.0)))


LIKELIHOODS: Mapping[str, str] = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian over 256 levels",
    "logistic": "logistic over 256 levels",
}
"""Kind of p(x|z), and what a protocol calls it."""


def pixel_log_likelihood(kind: str, output: Tensor, log_scale: Tensor | None, x: Tensor) -> Tensor:
    """Log p(x|z) of a decoder's output for one of `LIKELIHOODS`.

    Args:
        kind: which.
        output: N×D, or N×K×D for K decodings of each image: logits, or means before they are squashed to [0, 1].
        log_scale: of each pixel, D; none of a Bernoulli.
        x: N×D in [0, 1].

    Returns:
        N or N×K, nats, ≤ 0 for the values that the pixels may have.
    """
    if log_scale is None:
        return bernoulli_log_likelihood(output, x)
    if output.ndim == 3:
        x = x.unsqueeze(1)
    if kind == "logistic":
        return discretized_logistic_log_likelihood(output.sigmoid(), log_scale, x)
    return discretized_gaussian_log_likelihood(output.sigmoid(), log_scale, x)


def standard_normal_log_density(z: Tensor) -> Tensor:
    """Log N(z; 0, I), summed over the last dimension; nats."""
    return -0.5 * (z.square() + LOG_2PI).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) ‖ N(0, I)) in closed form, **per coordinate** (sum them yourself).

    ½(mean² + variance − log variance − 1), nats, ≥ 0. Kingma and Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)


def kl_diagonal_gaussians(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """KL(N(mean, ·) ‖ N(other_mean, ·)) of diagonal Gaussians in closed form, per coordinate; nats, ≥ 0."""
    gap = (mean - other_mean).square() * torch.exp(-other_log_variance)
    log_ratio = log_variance - other_log_variance
    return 0.5 * (gap + log_ratio.exp() - log_ratio - 1)


def kl_monte_carlo(log_q: Tensor, log_p: Tensor) -> Tensor:
    """Log q(z) − log p(z) at z ~ q: an unbiased estimate of KL(q ‖ p) that can be negative; nats."""
    return log_q - log_p


def elbo(reconstruction: Tensor, kl: Tensor) -> Tensor:
    """E_q[log p(x|z)] − KL, nats an image; never above log p(x) in expectation."""
    return reconstruction - kl


def free_bits(kl: Tensor, nats: Tensor | float) -> Tensor:
    """Σ_j max(λ_j, mean over the batch of KL_j): what is minimised of the divergence with free bits.

    Kingma et al. 2016 (arXiv 1606.04934), equation 15. Groups of coordinates whose divergence is below λ on average
    get no gradient to be smaller still.

    Args:
        kl: N×G, the divergence of each group; N is the whole batch, on however many devices.
        nats: λ of every group, or of each, G.

    Returns:
        A scalar, nats an image, ≥ Σ λ_j.

    Example:
        >>> free_bits(torch.tensor([[0.2, 1.0], [0.0, 3.0]]), 0.5)
        tensor(2.5000)
    """
    return kl.mean(0).clamp(min=nats).sum()
