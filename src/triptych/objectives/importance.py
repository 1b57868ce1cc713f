"""Importance-weighted bounds and likelihood (Burda, Grosse and Salakhutdinov 2016, arXiv 1509.00519).

With log-weights log w = log p(x, z) − log q(z|x) of samples z ~ q(z|x):

    L_k = E[log (1/k) Σ_{i≤k} w_i],    ELBO = L_1 ≤ L_k ≤ L_{k+1} ≤ log p(x)

All in nats, one value per example; samples lie along the last dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from triptych.objectives.elbo import LOG_2PI

__all__ = [
    "NestedBounds",
    "WeightSums",
    "doubly_reparameterised",
    "importance_bound",
    "log_density_of_draws",
    "log_mean_exp",
    "nested_blocks",
]


def log_mean_exp(x: Tensor, dim: int = -1) -> Tensor:
    """log((1/n) Σ exp(x)) without overflow.

    Example:
        >>> log_mean_exp(torch.tensor([1000.0, 1000.0]))
        tensor(1000.)
    """
    return torch.logsumexp(x, dim) - math.log(x.shape[dim])


def importance_bound(log_weights: Tensor) -> Tensor:
    """L_K from N×K log-weights: the importance-weighted bound with all K samples; N, nats."""
    return log_mean_exp(log_weights, -1)


class _Doubly(torch.autograd.Function):
    """z and a tag of zeros, N×K; the gradient of z times 1 − τ + τ w̄, w̄ that of the tag as a share of its sum over K."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, temper: Tensor | float) -> tuple[Tensor, Tensor]:
        ctx.temper = temper
        return z.view_as(z), z.new_zeros(z.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        of_z, of_tag = gradients
        total = of_tag.sum(-1, keepdim=True)
        # An image that does not count has no gradient to divide.
        share = of_tag / total.where(total != 0, 1)
        return of_z * (1 - ctx.temper + ctx.temper * share).unsqueeze(-1), None


def doubly_reparameterised(z: Tensor, temper: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Samples N×K×d and a tag of zeros, N×K, to be added to their log-weights: the gradient of Tucker et al. (2018).

    With normalised weights w̄ (arXiv 1810.04152, equation 8), where q enters the weights only through z:

        ∇_φ L_K = E[Σ_i w̄_i² ∂log w_i/∂z_i ∂z_i/∂φ],      ∇_θ L_K = E[Σ_i w̄_i ∂log w_i/∂θ]

    `importance_bound` of log-weights and tag gives every log-weight its w̄, and every tag too: that is what the
    gradient of z is weighed with once more on its way to φ, in the same backward pass. Parameters that enter the
    log-weights elsewhere, θ, get the gradient that they always have; so do an encoder's by which a VampPrior is made.
    The density of q must be that of `log_density_of_draws`, which keeps its parameters out. With K = 1 it is the path
    derivative of Roeder et al. (2017).

    Where log q counts ``temper`` times in the log-weights, τ, so does its score −τ ∂log q/∂φ, of which
    E[w̄ ∂log q/∂φ] = E[w̄ (1 − w̄) ∂log w/∂z ∂z/∂φ]: the weight is (1 − τ) w̄ + τ w̄² then, and w̄² for τ = 1.
    """
    found: tuple[Tensor, Tensor] = _Doubly.apply(z, temper)  # type: ignore[no-untyped-call]
    return found


def log_density_of_draws(z: Tensor, noise: Tensor, log_variance: Tensor) -> Tensor:
    """Log q(z|x) at z = mean + std·noise, with a gradient by z alone and none by mean and variance; N×K, nats.

    Args:
        z: N×K×d, with its gradient.
        noise: N×K×d, that made it.
        log_variance: N×d.
    """
    log_variance = log_variance.detach().unsqueeze(1)
    value = -0.5 * (noise.square() + LOG_2PI + log_variance)
    # ∂log q/∂z = −noise/std. Nothing is subtracted from z that would have to cancel.
    slope = noise * torch.exp(-0.5 * log_variance)
    return (value - slope * (z - z.detach())).sum(-1)


def nested_blocks(k: int, wanted: Sequence[int] = (1, 5, 50, 200, 1000)) -> tuple[int, ...]:
    """Block sizes from 1 to ``k`` of which each divides the next, as many of ``wanted`` as fit.

    Example:
        >>> nested_blocks(1000)
        (1, 5, 50, 200, 1000)
        >>> nested_blocks(300)
        (1, 5, 50, 300)
    """
    chain = [k]
    for size in sorted((w for w in wanted if w < k), reverse=True):
        if chain[-1] % size == 0:
            chain.append(size)
    return tuple(reversed(chain if chain[-1] == 1 else [*chain, 1]))


class WeightSums(NamedTuple):
    """Σw and Σw² of any number of log-weights, kept in logarithms: K streams through bounded memory.

    Example:
        >>> log_w = torch.randn(2, 6)
        >>> sums = WeightSums.of(log_w[:, :4]).add(WeightSums.of(log_w[:, 4:]))
        >>> torch.allclose(sums.bound(), importance_bound(log_w), atol=1e-5)
        True
    """

    log_sum: Tensor
    log_sum_squares: Tensor
    count: int  # type: ignore[assignment]

    @classmethod
    def of(cls, log_weights: Tensor) -> Self:
        """The sums of N×K log-weights, over K."""
        return cls(
            torch.logsumexp(log_weights, -1),
            torch.logsumexp(2 * log_weights, -1),
            log_weights.shape[-1],
        )

    def add(self, other: Self) -> Self:
        """The sums over both sets of samples."""
        return type(self)(
            torch.logaddexp(self.log_sum, other.log_sum),
            torch.logaddexp(self.log_sum_squares, other.log_sum_squares),
            self.count + other.count,
        )

    def bound(self) -> Tensor:
        """L_K, nats."""
        return self.log_sum - math.log(self.count)

    def effective_sample_size(self) -> Tensor:
        """1/Σw̄² = (Σw)²/Σw², between 1 (one sample carries all) and K (q is the posterior)."""
        return torch.exp(2 * self.log_sum - self.log_sum_squares)

    def bias(self) -> Tensor:
        """Leading term of E[L_K] − log p(x): −½(1/ESS − 1/K), nats, ≤ 0 (delta method).

        It says how far below log p(x) the estimate lies on average, where ESS is large. With an
        ESS of a few it is no estimate: it never falls below −½, however far below the estimate lies. Nor does
        an ESS that is large for most images vouch for it: where q is narrower than the posterior the weights have no
        variance to speak of, and only the few images whose sample caught a large weight show it.
        """
        return -0.5 * (1 / self.effective_sample_size() - 1 / self.count)


class NestedBounds:
    """L_k for several block sizes k from the *same* samples, which may come in chunks.

    K samples are cut into K/k blocks of k and L_k is the mean over them. Because
    each block is a union of smaller ones, the curve over k never falls, exactly
    and for every example (Jensen's inequality), not only in expectation.

    Every block size must divide the next, and divide the chunk or be a multiple of it.
    """

    def __init__(self, blocks: Sequence[int]) -> None:
        self.blocks = tuple(blocks)
        self.sums: list[Tensor | None] = [None] * len(self.blocks)
        self.counts = [0] * len(self.blocks)
        self.open: list[WeightSums | None] = [None] * len(self.blocks)

    def add(self, log_weights: Tensor) -> None:
        """Take in the next N×chunk log-weights."""
        n, chunk = log_weights.shape
        if any(chunk % k and k % chunk for k in self.blocks):
            raise ValueError(f"chunks of {chunk} do not fit blocks of {self.blocks}")
        for i, k in enumerate(self.blocks):
            if k <= chunk:
                bounds = log_mean_exp(log_weights.reshape(n, -1, k))
                self._close(i, bounds.sum(-1), chunk // k)
                continue
            part, begun = WeightSums.of(log_weights), self.open[i]
            total = part if begun is None else begun.add(part)
            self.open[i] = total
            if total.count == k:
                self._close(i, total.bound(), 1)
                self.open[i] = None

    def _close(self, i: int, bounds: Tensor, count: int) -> None:
        before = self.sums[i]
        self.sums[i] = bounds if before is None else before + bounds
        self.counts[i] += count

    def curve(self) -> Tensor:
        """N×len(blocks), nats."""
        means = [s / c for s, c in zip(self.sums, self.counts, strict=True) if s is not None]
        return torch.stack(means, -1)
