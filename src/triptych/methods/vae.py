"""The variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114), with its kin as options.

β (Higgins et al. 2017), free bits (Kingma et al. 2016), the importance-weighted bound (Burda et al. 2016) with either
gradient (Tucker et al. 2018), and priors that are mixtures (Tomczak and Welling 2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor, nn

from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import ImageToVector, VectorToImage
from triptych.nets.joint import gathered
from triptych.nets.mlp import mlp
from triptych.nets.priors import MixtureComponents, PseudoInputs
from triptych.nets.scale import LearnedScale
from triptych.objectives import elbo as objective
from triptych.objectives.importance import (
    doubly_reparameterised,
    importance_bound,
    log_density_of_draws,
)
from triptych.objectives.priors import Components, draw_prior, prior_log_density
from triptych.types import (
    STANDARD_NORMAL,
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
    """How the divergence to a prior N(0, I) is computed in training; of other priors and of several samples there is no closed form."""
    kl_warmup: float = 0.0
    """Share of the training over which the weight of the divergence rises from 0 to β."""
    beta: float = 1.0
    """β, the weight of the divergence in training."""
    free_bits: float = 0.0
    """Nats a latent coordinate that the divergence, on average over a batch, may take at no cost; 0 for none."""
    samples: int = 1
    """Samples of z an image in training; with several the importance-weighted bound is optimised (IWAE)."""
    gradient: Literal["standard", "doubly-reparameterised"] = "standard"
    """How the encoder learns from the importance-weighted bound."""
    prior: Literal["standard", "mixture", "vamp"] = "standard"
    """p(z): N(0, I), a mixture of learned Gaussians, or one of the codes of learned pseudo-inputs (VampPrior)."""
    components: int = 500
    """Gaussians, or pseudo-inputs, of a prior that is a mixture."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How encoder and decoder learn."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name, value in (
            ("latent", self.latent),
            ("width", self.width),
            ("samples", self.samples),
            ("components", self.components),
            *(("hidden", h) for h in self.hidden),
        ):
            limited(f"--method.{name}", value, 1, WIDEST)
        limited("--method.logit-offset", self.logit_offset, -OFFSET, OFFSET)
        if not 0 <= self.kl_warmup <= 1:
            raise TriptychError(f"--method.kl-warmup {self.kl_warmup} is no share of the training")
        limited("--method.beta", self.beta, 0, WIDEST)
        limited("--method.free-bits", self.free_bits, 0, WIDEST)
        if self.free_bits and self.weighted:
            raise TriptychError(
                "--method.free-bits is for the ELBO: leave out --method.samples and --method.gradient"
            )

    @property
    def weighted(self) -> bool:
        """Whether importance weights are what is optimised."""
        return self.samples > 1 or self.gradient != "standard"


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
    prior = STANDARD_NORMAL
    divergence = "analytic"

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        config = self.resolve(config, spec)
        super().__init__(config, spec)
        if config.likelihood == "bernoulli" and spec.values != "binary":
            raise TriptychError(
                "a Bernoulli likelihood needs binary images; binarize them (--binarize dynamic) "
                "or choose --method.likelihood logistic"
            )
        self.latent = config.latent
        self.likelihood = objective.LIKELIHOODS[config.likelihood]
        self.bound_samples = config.samples
        if config.samples > 1:
            self.selection = Selection("valid/importance_bound", "higher")
        # The mean over a batch that free bits ask for is that of all devices.
        self.gathers = config.free_bits > 0
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
        self.scale = LearnedScale(spec.shape) if config.likelihood != "bernoulli" else None
        self.mixture: nn.Module | None = None
        if config.prior == "mixture":
            self.mixture = MixtureComponents(config.components, config.latent)
            self.prior = f"mixture of {config.components} Gaussians"
        elif config.prior == "vamp":
            self.mixture = PseudoInputs(config.components, spec.shape, spec.mean)
            self.prior = f"VampPrior of {config.components} pseudo-inputs"
        if self.mixture is not None:
            self.divergence = "Monte-Carlo"

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
        """The bound of log p(x) that is optimised, and the prior."""
        config, count = self.config, self.config.components
        prior = {
            "standard": r"\mathcal{N}(0, I)",
            "mixture": rf"\tfrac{{1}}{{{count}}} \sum_c \mathcal{{N}}(\mu_c, \sigma_c^2)",
            "vamp": rf"\tfrac{{1}}{{{count}}} \sum_c q(z \mid u_c)",
        }[config.prior]
        is_bound = config.beta == 1 and not config.free_bits
        begin = r"\log p(x) \;\ge\; " if is_bound else r"\max \; "
        bound = self._weighted_formula() if config.weighted else self._elbo_formula()
        return rf"{begin}{bound}, \quad p(z) = {prior}"

    def _elbo_formula(self) -> str:
        beta = np.format_float_positional(self.config.beta, trim="-")
        weight = "" if self.config.beta == 1 else rf"{beta} \,"
        kl = r"\operatorname{KL}\left(q(z \mid x) \,\|\, p(z)\right)"
        if self.config.free_bits:
            least = np.format_float_positional(self.config.free_bits, trim="-")
            if self.mixture is None and self.config.kl == "analytic":
                mean = r"\mathbb{E}_x \operatorname{KL}_j"
                kl = rf"\sum_j \max\left({least},\, {mean}\right)"
            else:
                kl = rf"\max\left({self.latent} \cdot {least},\, \mathbb{{E}}_x {kl}\right)"
        return rf"\mathbb{{E}}_{{q(z \mid x)}}\left[\log p(x \mid z)\right] - {weight}{kl}"

    def _weighted_formula(self) -> str:
        ratio = r"\frac{p(x \mid z_i) \, p(z_i)}{q(z_i \mid x)}"
        if self.config.beta != 1:
            beta = np.format_float_positional(self.config.beta, trim="-")
            ratio = rf"p(x \mid z_i) \left(\frac{{p(z_i)}}{{q(z_i \mid x)}}\right)^{{{beta}}}"
        k = self.config.samples
        mean = rf"\frac{{1}}{{{k}}} \sum_{{i=1}}^{{{k}}} {ratio}"
        return rf"\mathbb{{E}}_{{z_i \sim q(z \mid x)}}\left[\log {mean}\right]"

    def phases(self) -> tuple[Phase, ...]:
        """One phase: encoder, decoder and what the prior learns together."""
        more = {"scale": self.scale, "mixture": self.mixture}
        modules = ("encoder", "decoder", *(name for name, part in more.items() if part is not None))
        shape = (self.config.samples, self.latent) if self.config.weighted else (self.latent,)
        return (Phase("elbo", (Group(modules, self.config.optimizer),), {"z": Noise(shape)}),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−(reconstruction − w·KL), w = β once the warm-up is over; or −L_k of weights tempered by the same w."""
        weight: Tensor | float = self.config.beta
        if self.config.kl_warmup > 0:
            weight = weight * (progress / self.config.kl_warmup).clamp(max=1.0)
        if self.config.weighted:
            return self._weighted(batch.x, noise["z"], weight)
        analytic = self.config.kl == "analytic" and self.mixture is None
        terms, each = self._terms(batch.x, noise["z"], analytic)
        kl = terms["kl"]
        if self.config.free_bits > 0:
            # What does not factorise over coordinates is one group of all of them.
            least = self.config.free_bits * self.latent / each.shape[1]
            kl = objective.free_bits(gathered(each), least)
        return Losses(-objective.elbo(terms["reconstruction"], kl * weight), terms)

    def _terms(self, x: Tensor, noise: Tensor, analytic: bool) -> tuple[dict[str, Tensor], Tensor]:
        """The ELBO's terms, and the divergence of each coordinate, or of all where it is no sum; N×groups."""
        q = self.posterior(x)
        z = q.sample(noise)
        reconstruction = self.log_likelihood(x, z)
        if analytic:
            each = objective.kl_to_standard_normal(q.mean, q.log_variance)
            kl = each.sum(-1)
        else:
            kl = objective.kl_monte_carlo(self._log_q(q, noise), self._log_prior(z))
            each = kl.unsqueeze(-1)
        bound = objective.elbo(reconstruction, kl)
        return {"elbo": bound, "reconstruction": reconstruction, "kl": kl}, each

    def _weighted(self, x: Tensor, noise: Tensor, weight: Tensor | float) -> Losses:
        """−L_k of log w = log p(x|z) − weight·(log q(z|x) − log p(z)); what is logged has a weight of 1."""
        q = self.posterior(x)
        z, doubly = q.sample(noise), self.config.gradient == "doubly-reparameterised"
        tag: Tensor | float = 0.0
        if doubly:
            z, tag = doubly_reparameterised(z, weight)
            log_q = log_density_of_draws(z, noise, q.log_variance)
        else:
            log_q = self._log_q(q, noise)
        reconstruction = self.log_likelihood(x, z)
        kl = objective.kl_monte_carlo(log_q, self._log_prior(z))
        bound = importance_bound(reconstruction - weight * kl + tag)
        terms = {"reconstruction": reconstruction.mean(-1), "kl": kl.mean(-1)}
        terms["elbo"] = objective.elbo(terms["reconstruction"], terms["kl"])
        terms["importance_bound"] = importance_bound(objective.elbo(reconstruction, kl).detach())
        return Losses(-bound, terms)

    def after_step(self, progress: Tensor) -> None:
        """Pseudo-inputs stay images."""
        if isinstance(self.mixture, PseudoInputs):
            self.mixture.project()

    def _components(self) -> Components | None:
        """What the prior is a mixture of; none of N(0, I)."""
        if self.mixture is None:
            return None
        found = self.mixture()
        return self.posterior(found) if isinstance(self.mixture, PseudoInputs) else found

    def _log_prior(self, z: Tensor) -> Tensor:
        return prior_log_density(z, self._components())

    def draw_prior(self, noise: Tensor) -> Tensor:
        """Draws from p(z) of noise from N(0, I), N×latent."""
        return draw_prior(noise, self._components())

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
        scale = None if self.scale is None else self.scale()
        return objective.pixel_log_likelihood(
            self.config.likelihood, self._output(z), scale, x.flatten(1)
        )

    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """The ELBO and its two terms from one sample of z, with the analytic divergence where there is one."""
        return self._terms(x, noise, analytic=self.mixture is None)[0]

    def log_weights(self, x: Tensor, q: DiagonalGaussian, noise: Tensor) -> Tensor:
        """Log p(z) + log p(x|z) − log q(z|x), N×K."""
        z = q.sample(noise)
        return self._log_prior(z) + self.log_likelihood(x, z) - self._log_q(q, noise)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), N×latent."""
        return self.posterior(x).mean

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z) as images in [0, 1]."""
        return self._output(z).sigmoid().view(-1, *self.spec.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decoded posterior means."""
        return self.decode(self.encode(x))
