"""The variational autoencoder (Kingma and Welling 2014, arXiv 1312.6114), with its kin as options.

β (Higgins et al. 2017), free bits (Kingma et al. 2016), the importance-weighted bound (Burda et al. 2016) with either
gradient (Tucker et al. 2018), and priors that are mixtures (Tomczak and Welling 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from triptych.bases.formulas import plain
from triptych.bases.latent_variables import (
    LatentVariableConfig,
    LatentVariableModel,
    log_q,
)
from triptych.config import WIDEST, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import ImageToVector
from triptych.nets.joint import gathered
from triptych.nets.mlp import mlp
from triptych.objectives import elbo as objective
from triptych.objectives.importance import (
    doubly_reparameterised,
    importance_bound,
    log_density_of_draws,
)
from triptych.objectives.priors import draw_prior
from triptych.types import (
    Batch,
    DataSpec,
    DiagonalGaussian,
    Losses,
    Selection,
)

__all__ = ["VAE", "VAEConfig"]


@dataclass(frozen=True)
class VAEConfig(LatentVariableConfig):
    """What is particular to the VAE. The defaults are the reference's network."""

    latent: int = 100
    """Number of latent coordinates."""
    kl: Literal["analytic", "monte-carlo"] = "analytic"
    """How the divergence to a prior N(0, I) is computed in training; of other priors and of several samples there is no closed form."""
    samples: int = 1
    """Samples of z an image in training; with several the importance-weighted bound is optimised (IWAE)."""
    gradient: Literal["standard", "doubly-reparameterised"] = "standard"
    """How the encoder learns from the importance-weighted bound."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none, and free bits where there is no ELBO."""
        super().__post_init__()
        for name, value in (("latent", self.latent), ("samples", self.samples)):
            limited(f"--method.{name}", value, 1, WIDEST)
        if self.free_bits and self.weighted:
            raise TriptychError(
                "--method.free-bits is for the ELBO: leave out --method.samples and --method.gradient"
            )

    @property
    def weighted(self) -> bool:
        """Whether importance weights are what is optimised."""
        return self.samples > 1 or self.gradient != "standard"


class VAE(LatentVariableModel):
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
    config: VAEConfig

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec, config.latent)
        config = self.config
        self.bound_samples = config.samples
        if config.samples > 1:
            self.selection = Selection("valid/importance_bound", "higher")
        self.encoder: nn.Module
        if config.net == "mlp":
            self.encoder = nn.Sequential(
                nn.Flatten(), *mlp(spec.dimensions, config.hidden, 2 * config.latent)
            )
        else:
            self.encoder = ImageToVector(spec.shape, 2 * config.latent, config.width)
        self.decoder = self._image_decoder()
        self._add_scale_and_prior(config.latent)

    def formula(self) -> str:
        """The bound of log p(x) that is optimised, and the prior."""
        bound = self._weighted_formula() if self.config.weighted else self._elbo_formula()
        return rf"{self._begins()}{bound}, \quad {self._prior_formula('z')}"

    def _elbo_formula(self) -> str:
        kl = r"\operatorname{KL}\left(q(z \mid x) \,\|\, p(z)\right)"
        if self.config.free_bits:
            least = plain(self.config.free_bits)
            if self.mixture is None and self.config.kl == "analytic":
                mean = r"\mathbb{E}_x \operatorname{KL}_j"
                kl = rf"\sum_j \max\left({least},\, {mean}\right)"
            else:
                kl = rf"\max\left({self.latent} \cdot {least},\, \mathbb{{E}}_x {kl}\right)"
        return rf"\mathbb{{E}}_{{q(z \mid x)}}\left[\log p(x \mid z)\right] - {self._beta_formula()}{kl}"

    def _weighted_formula(self) -> str:
        ratio = r"\frac{p(x \mid z_i) \, p(z_i)}{q(z_i \mid x)}"
        if self.config.beta != 1:
            beta = plain(self.config.beta)
            ratio = rf"p(x \mid z_i) \left(\frac{{p(z_i)}}{{q(z_i \mid x)}}\right)^{{{beta}}}"
        k = self.config.samples
        mean = rf"\frac{{1}}{{{k}}} \sum_{{i=1}}^{{{k}}} {ratio}"
        return rf"\mathbb{{E}}_{{z_i \sim q(z \mid x)}}\left[\log {mean}\right]"

    def _noise_shape(self) -> tuple[int, ...]:
        return (self.config.samples, self.latent) if self.config.weighted else (self.latent,)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−(reconstruction − w·KL), w = β once the warm-up is over; or −L_k of weights tempered by the same w."""
        weight = self._weight(progress)
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
            kl = objective.kl_monte_carlo(log_q(q, noise), self._log_prior(z))
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
            log_density = log_density_of_draws(z, noise, q.log_variance)
        else:
            log_density = log_q(q, noise)
        reconstruction = self.log_likelihood(x, z)
        kl = objective.kl_monte_carlo(log_density, self._log_prior(z))
        bound = importance_bound(reconstruction - weight * kl + tag)
        terms = {"reconstruction": reconstruction.mean(-1), "kl": kl.mean(-1)}
        terms["elbo"] = objective.elbo(terms["reconstruction"], terms["kl"])
        terms["importance_bound"] = importance_bound(objective.elbo(reconstruction, kl).detach())
        return Losses(-bound, terms)

    def _code(self, x: Tensor) -> DiagonalGaussian:
        return self.posterior(x)

    def draw_prior(self, noise: Tensor) -> Tensor:
        """Draws from p(z) of noise from N(0, I), N×latent."""
        return draw_prior(noise, self._components())

    def posterior(self, x: Tensor) -> DiagonalGaussian:
        """q(z|x)."""
        return DiagonalGaussian(*self.encoder(x).float().chunk(2, dim=-1))

    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """The ELBO and its two terms from one sample of z, with the analytic divergence where there is one."""
        return self._terms(x, noise, analytic=self.mixture is None)[0]

    def log_weights(self, x: Tensor, q: DiagonalGaussian, noise: Tensor) -> Tensor:
        """Log p(z) + log p(x|z) − log q(z|x), N×K."""
        z = q.sample(noise)
        return self._log_prior(z) + self.log_likelihood(x, z) - log_q(q, noise)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z|x), N×latent."""
        return self.posterior(x).mean
