"""A variational autoencoder of two levels (Tomczak and Welling 2018, arXiv 1705.07120, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from triptych.bases.formulas import plain
from triptych.bases.latent_variables import (
    LatentVariableConfig,
    LatentVariableModel,
    log_q,
)
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import ImageToVector
from triptych.nets.joint import gathered
from triptych.nets.mlp import hidden_layers, mlp
from triptych.objectives import elbo as objective
from triptych.objectives.priors import draw_prior
from triptych.types import (
    Batch,
    DataSpec,
    DiagonalGaussian,
    Losses,
)

__all__ = ["HVAE", "HVAEConfig", "TwoLevels"]

LOG_VARIANCES = (-6.0, 2.0)
"""Between these log-variances every Gaussian that a network gives stays, as the authors' do: no step can make one of them explode."""


@dataclass(frozen=True)
class HVAEConfig(LatentVariableConfig):
    """What is particular to the hierarchical VAE, whose prior is that of z₂. The defaults are the paper's network with an N(0, I) prior."""

    upper: int = 40
    """Coordinates of z₂, the level that has the prior."""
    lower: int = 40
    """Coordinates of z₁, the level below, whose distribution follows from z₂."""
    hidden: tuple[int, ...] = (300, 300)
    """Widths of the hidden layers (decoders have them in reverse); with convolutions those between the levels."""
    layers: Literal["gated", "elu"] = "gated"
    """Kind of hidden layer: a linear one times a gate, or one with an ELU behind it."""
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=5e-4))
    """How everything learns."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        super().__post_init__()
        if not self.hidden:
            raise TriptychError("--method.hidden needs one width or more")
        for name, value in (("upper", self.upper), ("lower", self.lower)):
            limited(f"--method.{name}", value, 1, WIDEST)


class TwoLevels(NamedTuple):
    """What images tell of both levels before noise comes in, one row an image.

    q(z₂|x) = N(mean, diag exp(log_variance)); q(z₁|x, z₂) follows from ``features`` and z₂.
    """

    mean: Tensor
    log_variance: Tensor
    features: Tensor

    # No property: the compiler of PyTorch 2.10 and before reads none of a named tuple.
    def upper(self) -> DiagonalGaussian:
        """q(z₂|x)."""
        return DiagonalGaussian(self.mean, self.log_variance)


class Drawn(NamedTuple):
    """z₂ ~ q(z₂|x) and z₁ ~ q(z₁|x, z₂), with q and p of z₁ there."""

    z2: Tensor
    z1: Tensor
    q1: DiagonalGaussian
    p1: DiagonalGaussian


class HVAE(LatentVariableModel):
    """A VAE whose hidden numbers lie on two levels: the upper ones make a distribution of the lower ones, and both the image.

        p(x, z₁, z₂) = p(x|z₁,z₂) p(z₁|z₂) p(z₂)        q(z₁, z₂|x) = q(z₂|x) q(z₁|x,z₂)

    It is trained on the ELBO (Tomczak and Welling 2018, arXiv 1705.07120, section 4). Its latents are those of both
    levels side by side, z = (z₂, z₁).

    Example:
        >>> spec = DataSpec((1, 28, 28), "binary")
        >>> hvae = HVAE(HVAEConfig(upper=2, lower=3), spec)
        >>> hvae.decode(torch.zeros(4, 5)).shape
        torch.Size([4, 1, 28, 28])
    """

    Config = HVAEConfig
    title = "hierarchical variational autoencoder"
    divergences = ("levelwise analytic", "Monte-Carlo upper and analytic lower")
    whose = " on the upper level"
    config: HVAEConfig

    def __init__(self, config: HVAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec, config.upper + config.lower)
        self._build_networks(self.config, spec)
        self._add_scale_and_prior(config.upper)

    def _build_networks(self, config: HVAEConfig, spec: DataSpec) -> None:
        widths, gated = config.hidden, config.layers == "gated"
        first, last = widths[0], widths[-1]
        self.upper_encoder: nn.Module
        self.features: nn.Module
        if config.net == "mlp":
            self.upper_encoder = nn.Sequential(
                nn.Flatten(), *mlp(spec.dimensions, widths, 2 * config.upper, gated=gated)
            )
            self.features = nn.Sequential(
                nn.Flatten(), *hidden_layers(spec.dimensions, widths[:1], gated=gated)
            )
        else:
            self.upper_encoder = ImageToVector(spec.shape, 2 * config.upper, config.width)
            self.features = nn.Sequential(
                ImageToVector(spec.shape, first, config.width), nn.ELU(inplace=True)
            )
        self.decoder = self._image_decoder(gated=gated)
        # q(z₁|x, z₂) sees features of both. What the first layer behind them makes of x's part it makes once an image.
        joint = 2 * last if gated else last
        self.from_image = nn.Linear(first, joint)
        self.from_upper = nn.Sequential(
            *hidden_layers(config.upper, widths[:1], gated=gated),
            nn.Linear(first, joint, bias=False),
        )
        self.lower_encoder = nn.Sequential(
            nn.GLU() if gated else nn.ELU(inplace=True), nn.Linear(last, 2 * config.lower)
        )
        self.lower_prior = mlp(config.upper, widths, 2 * config.lower, gated=gated)

    def formula(self) -> str:
        """The evidence lower bound of both levels, and the prior of the upper one."""
        config = self.config
        lower = r"\operatorname{KL}\left(q(z_1 \mid x, z_2) \,\|\, p(z_1 \mid z_2)\right)"
        upper = r"\operatorname{KL}\left(q(z_2 \mid x) \,\|\, p(z_2)\right)"
        if config.free_bits:
            least = plain(config.free_bits)
            whole = rf"\max\left({config.upper} \cdot {least},\, \mathbb{{E}}_x {upper}\right)"
            lower, each = (
                rf"\sum_j \max\left({least},\, \mathbb{{E}}_x \operatorname{{KL}}_{{{level}j}}\right)"
                for level in (1, 2)
            )
            upper = each if self.mixture is None else whole
        weight = self._beta_formula()
        return (
            rf"{self._begins()}\mathbb{{E}}_{{q(z_1, z_2 \mid x)}}\left[\log p(x \mid z_1, z_2) - {weight}{lower}\right]"
            rf" - {weight}{upper},"
            "\n"
            f"{self._prior_formula('z_2')}"
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−(reconstruction − w·KL), w = β once the warm-up is over."""
        terms, (upper, lower) = self._terms(batch.x, noise["z"])
        kl = terms["kl"]
        if self.config.free_bits > 0:
            # A mixture does not factorise over coordinates: the upper level is one group of all of them then.
            least = self.config.free_bits
            above = least * self.config.upper / upper.shape[1]
            kl = objective.free_bits(gathered(upper), above) + objective.free_bits(
                gathered(lower), least
            )
        return Losses(-objective.elbo(terms["reconstruction"], kl * self._weight(progress)), terms)

    def _terms(self, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """The ELBO's terms from one sample of z, and the divergence of each level, N×groups.

        Given z₂ that of the lower level is a closed form; that of the upper one is for a prior N(0, I).
        """
        q = self.posterior(x)
        drawn = self._drawn(q, noise)
        lower = objective.kl_diagonal_gaussians(*drawn.q1, *drawn.p1)
        if self.mixture is None:
            upper = objective.kl_to_standard_normal(*q.upper())
        else:
            log_q2 = log_q(q.upper(), noise[..., : self.config.upper])
            upper = objective.kl_monte_carlo(log_q2, self._log_prior(drawn.z2)).unsqueeze(-1)
        kl_upper, kl_lower = upper.sum(-1), lower.sum(-1)
        reconstruction = self.log_likelihood(x, torch.cat([drawn.z2, drawn.z1], -1))
        kl = kl_upper + kl_lower
        terms = {
            "elbo": objective.elbo(reconstruction, kl),
            "reconstruction": reconstruction,
            "kl": kl,
            "kl_upper": kl_upper,
            "kl_lower": kl_lower,
        }
        return terms, (upper, lower)

    def _drawn(self, q: TwoLevels, noise: Tensor) -> Drawn:
        """Both levels from noise N×latent, or N×K×latent."""
        e2, e1 = torch.split(noise, [self.config.upper, self.config.lower], -1)
        z2 = q.upper().sample(e2)
        features = q.features if noise.ndim == 2 else q.features.unsqueeze(1)
        q1, p1 = self._lower_posterior(features, z2), _gaussian(self.lower_prior(z2))
        # N×K×lower each where there are K of them: element for element.
        z1 = torch.addcmul(q1.mean, (0.5 * q1.log_variance).exp(), e1)
        return Drawn(z2, z1, q1, p1)

    def _lower_posterior(self, features: Tensor, z2: Tensor) -> DiagonalGaussian:
        """q(z₁|x, z₂)."""
        return _gaussian(self.lower_encoder(features + self.from_upper(z2)))

    def _code(self, x: Tensor) -> DiagonalGaussian:
        return _gaussian(self.upper_encoder(x))

    def posterior(self, x: Tensor) -> TwoLevels:
        """q(z₂|x), and what q(z₁|x, z₂) wants of x."""
        return TwoLevels(*self._code(x), self.from_image(self.features(x)))

    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """The ELBO and its terms, the divergence of each level among them, from one sample of z."""
        return self._terms(x, noise)[0]

    def kl_per_coordinate(self, x: Tensor, noise: Tensor) -> Tensor | None:
        """Of z₂ in closed form, of z₁ given one sample of z₂; none where the prior of z₂ is a mixture."""
        if self.mixture is not None:
            return None
        return torch.cat(self._terms(x, noise)[1], -1)

    def log_weights(self, x: Tensor, q: TwoLevels, noise: Tensor) -> Tensor:
        """Log p(z₂) + log p(z₁|z₂) + log p(x|z₁,z₂) − log q(z₂|x) − log q(z₁|x,z₂), N×K."""
        drawn = self._drawn(q, noise)
        e2, e1 = torch.split(noise, [self.config.upper, self.config.lower], -1)
        p1 = objective.gaussian_log_likelihood(drawn.p1.mean, 0.5 * drawn.p1.log_variance, drawn.z1)
        p = self._log_prior(drawn.z2) + p1
        likelihood = self.log_likelihood(x, torch.cat([drawn.z2, drawn.z1], -1))
        return p + likelihood - log_q(q.upper(), e2) - log_q(drawn.q1, e1)

    def draw_prior(self, noise: Tensor) -> Tensor:
        """(z₂, z₁) with z₂ ~ p(z₂) and z₁ ~ p(z₁|z₂) of noise from N(0, I), N×latent."""
        e2, e1 = torch.split(noise, [self.config.upper, self.config.lower], -1)
        z2 = draw_prior(e2, self._components())
        return torch.cat([z2, _gaussian(self.lower_prior(z2)).sample(e1)], -1)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z₂|x), and that of q(z₁|x, z₂) there, N×latent."""
        q = self.posterior(x)
        return torch.cat([q.mean, self._lower_posterior(q.features, q.mean).mean], -1)


def _gaussian(output: Tensor) -> DiagonalGaussian:
    """Mean and log-variance from what a network gives, …×2d."""
    mean, log_variance = output.float().chunk(2, dim=-1)
    return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCES))
