"""The variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import ImageToVector, VectorToImage
from triptych.nets.mlp import mlp
from triptych.objectives import elbo as objective
from triptych.types import (
    Batch,
    DataSpec,
    DiagonalGaussian,
    Group,
    Losses,
    Method,
    Noise,
    Phase,
    Selection,
)

__all__ = ["VAE", "VAEConfig"]

LIKELIHOODS = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian over 256 levels",
    "logistic": "logistic over 256 levels",
}


SMALL = 32 * 32
"""Pixels up to which the network is an MLP where nothing else is said."""

OFFSET = 80.0
"""Logits beyond it are probabilities of 0 or 1 in fp32, whatever the network says."""


@dataclass(frozen=True)
class VAEConfig:
    """What is particular to the VAE. The defaults are the reference's network."""

    latent: int = 100
    """Number of latent coordinates."""
    net: Literal["auto", "mlp", "conv"] = "auto"
    """Encoder and decoder; `auto` is an MLP for one channel and as many pixels as 32×32, else convolutions."""
    hidden: tuple[int, ...] = (300, 300)
    """Widths of the MLP's hidden layers (the decoder has them in reverse)."""
    width: int = 32
    """Channels of the first convolution; they double at every halving of the image."""
    likelihood: Literal["auto", "bernoulli", "gaussian", "logistic"] = "auto"
    """p(x|z); `auto` is Bernoulli for binary pixels, else the discretized logistic."""
    logit_offset: float = 0.0
    """Added to the Bernoulli logits; -5 starts the reference near empty images."""
    kl: Literal["analytic", "monte-carlo"] = "analytic"
    """How the divergence to the prior is computed in training."""
    kl_warmup: float = 0.0
    """Share of the training over which the weight of the divergence rises from 0 to 1."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How encoder and decoder learn."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name, value in (
            ("latent", self.latent),
            ("width", self.width),
            *(("hidden", h) for h in self.hidden),
        ):
            limited(f"--method.{name}", value, 1, WIDEST)
        limited("--method.logit-offset", self.logit_offset, -OFFSET, OFFSET)
        if not 0 <= self.kl_warmup <= 1:
            raise TriptychError(f"--method.kl-warmup {self.kl_warmup} is no share of the training")


class VAE(Method):
    """An encoder q(z|x) tells which hidden numbers z an image x may have, a decoder p(x|z) makes the image of them.

    Both are trained on the ELBO, a lower bound of log p(x) (Kingma and Welling 2014, arXiv 1312.6114).

    Example:
        >>> spec = DataSpec((1, 28, 28), "binary")
        >>> vae = VAE(VAEConfig(latent=2), spec)
        >>> vae.decode(torch.zeros(3, 2)).shape
        torch.Size([3, 1, 28, 28])
    """

    Config = VAEConfig
    title = "variational autoencoder"
    selection = Selection("valid/elbo", "higher")
    gauge = "elbo"
    gathers = False
    config: VAEConfig

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        config = self.resolve(config, spec)
        super().__init__(config, spec)
        if config.likelihood == "bernoulli" and spec.values != "binary":
            raise TriptychError(
                "a Bernoulli likelihood needs binary images; binarize them (--binarize dynamic) "
                "or choose --method.likelihood logistic"
            )
        self.latent = config.latent
        self.likelihood = LIKELIHOODS[config.likelihood]
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.net == "mlp":
            self.encoder = nn.Sequential(
                nn.Flatten(), *mlp(spec.dimensions, config.hidden, 2 * config.latent)
            )
            self.decoder = mlp(config.latent, config.hidden[::-1], spec.dimensions)
        else:
            self.encoder = ImageToVector(spec.shape, 2 * config.latent, config.width)
            self.decoder = nn.Sequential(
                VectorToImage(config.latent, spec.shape, config.width, batch_norm=False),
                nn.Flatten(),
            )
        self.scale = LearnedScale(spec) if config.likelihood != "bernoulli" else None

    @classmethod
    def resolve(cls, config: VAEConfig, spec: DataSpec) -> VAEConfig:
        """Choose network and likelihood from the data where the config leaves it open."""
        small = spec.dimensions <= SMALL and spec.shape[0] == 1
        net = ("mlp" if small else "conv") if config.net == "auto" else config.net
        likelihood = config.likelihood
        if likelihood == "auto":
            likelihood = "bernoulli" if spec.values == "binary" else "logistic"
        return dataclasses.replace(config, net=net, likelihood=likelihood)

    def formula(self) -> str:
        """The evidence lower bound."""
        return (
            r"\log p(x) \;\ge\; \mathbb{E}_{q(z \mid x)}\left[\log p(x \mid z)\right]"
            r" - \operatorname{KL}\left(q(z \mid x) \,\|\, p(z)\right), \quad p(z) = \mathcal{N}(0, I)"
        )

    def phases(self) -> tuple[Phase, ...]:
        """One phase: encoder and decoder together."""
        modules = ("encoder", "decoder") + (("scale",) if self.scale is not None else ())
        return (
            Phase("elbo", (Group(modules, self.config.optimizer),), {"z": Noise((self.latent,))}),
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−(reconstruction − β·KL), β = 1 once the warm-up is over."""
        terms = self._terms(batch.x, noise["z"], analytic=self.config.kl == "analytic")
        kl = terms["kl"]
        if self.config.kl_warmup > 0:
            kl = kl * (progress / self.config.kl_warmup).clamp(max=1.0)
        return Losses(-objective.elbo(terms["reconstruction"], kl), terms)

    def _terms(self, x: Tensor, noise: Tensor, analytic: bool) -> dict[str, Tensor]:
        q = self.posterior(x)
        z = q.sample(noise)
        reconstruction = self.log_likelihood(x, z)
        if analytic:
            kl = objective.kl_to_standard_normal(q.mean, q.log_variance).sum(-1)
        else:
            kl = objective.kl_monte_carlo(
                self._log_q(q, noise), objective.standard_normal_log_density(z)
            )
        bound = objective.elbo(reconstruction, kl)
        return {"elbo": bound, "reconstruction": reconstruction, "kl": kl}

    def _output(self, z: Tensor) -> Tensor:
        """Decoder output N×D for N×latent, or N×K×D for N×K×latent: logits, or means before squashing."""
        out: Tensor = self.decoder(z.flatten(0, -2)).float()
        # In place: nothing before it needs these values, and they are most of the work.
        return out.view(*z.shape[:-1], -1).add_(self.config.logit_offset)

    @staticmethod
    def _log_q(q: DiagonalGaussian, noise: Tensor) -> Tensor:
        """Log q(z|x) at z = q.sample(noise): in terms of the noise nothing is subtracted and lost."""
        spread = 0.5 * q.log_variance.sum(-1)
        density = objective.standard_normal_log_density(noise)
        return density - (spread.unsqueeze(-1) if noise.ndim == 3 else spread)

    def posterior(self, x: Tensor) -> DiagonalGaussian:
        """q(z|x)."""
        return DiagonalGaussian(*self.encoder(x).float().chunk(2, dim=-1))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats: N for z N×latent, N×K for z N×K×latent."""
        out, flat = self._output(z), x.flatten(1)
        if self.scale is None:
            return objective.bernoulli_log_likelihood(out, flat)
        if z.ndim == 3:
            flat = flat.unsqueeze(1)
        if self.config.likelihood == "logistic":
            density = objective.discretized_logistic_log_likelihood
        else:
            density = objective.discretized_gaussian_log_likelihood
        return density(out.sigmoid(), self.scale(), flat)

    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """The ELBO and its two terms with the analytic divergence, from one sample of z."""
        return self._terms(x, noise, analytic=True)

    def log_weights(self, x: Tensor, q: DiagonalGaussian, noise: Tensor) -> Tensor:
        """Log p(z) + log p(x|z) − log q(z|x), N×K."""
        z = q.sample(noise)
        prior = objective.standard_normal_log_density(z)
        return prior + self.log_likelihood(x, z) - self._log_q(q, noise)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), N×latent."""
        return self.posterior(x).mean

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z) as images in [0, 1]."""
        return self._output(z).sigmoid().view(-1, *self.spec.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decoded posterior means."""
        return self.decode(self.encode(x))


class LearnedScale(nn.Module):
    """The logarithm of one scale for each channel, spread over the pixels: a vector of length D."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.pixels = spec.dimensions // spec.shape[0]
        self.log_scale = nn.Parameter(torch.empty(spec.shape[0]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at a tenth of the range: wide enough that no pixel is impossible."""
        nn.init.constant_(self.log_scale, math.log(0.1))

    def forward(self) -> Tensor:
        """D values of log scale, in the units of pixels in [0, 1]."""
        return self.log_scale.repeat_interleave(self.pixels)
