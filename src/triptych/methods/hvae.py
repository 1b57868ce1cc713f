"""A variational autoencoder of two levels (Tomczak and Welling 2018, arXiv 1705.07120, section 4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import ImageToVector, VectorToImage
from triptych.nets.joint import gathered
from triptych.nets.mlp import hidden_layers, mlp
from triptych.nets.priors import MixtureComponents, PseudoInputs
from triptych.nets.scale import LearnedScale
from triptych.objectives import elbo as objective
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

__all__ = ["HVAE", "HVAEConfig", "TwoLevels"]

SMALL = 32 * 32
"""Pixels up to which the networks are MLPs where nothing else is said."""

OFFSET = 80.0
"""Logits beyond it are probabilities of 0 or 1 in fp32, whatever the network says."""

LOG_VARIANCES = (-6.0, 2.0)
"""Between these log-variances every Gaussian that a network gives stays, as the authors' do: no step can make one of them explode."""

UPPER = " on the upper level"
"""Whose prior it is: p(z₁, z₂) is N(0, I) of no such model."""


@dataclass(frozen=True)
class HVAEConfig:
    """What is particular to the hierarchical VAE. The defaults are the paper's network with an N(0, I) prior."""

    upper: int = 40
    """Coordinates of z₂, the level that has the prior."""
    lower: int = 40
    """Coordinates of z₁, the level below, whose distribution follows from z₂."""
    net: Literal["auto", "mlp", "conv"] = "auto"
    """Between images and latents; `auto` is an MLP for one channel and as many pixels as 32×32, else convolutions."""
    hidden: tuple[int, ...] = (300, 300)
    """Widths of the hidden layers (decoders have them in reverse); with convolutions those between the levels."""
    layers: Literal["gated", "elu"] = "gated"
    """Kind of hidden layer: a linear one times a gate, or one with an ELU behind it."""
    width: int = 32
    """Channels of the first convolution; they double at every halving of the image."""
    likelihood: Literal["auto", "bernoulli", "gaussian", "logistic"] = "auto"
    """p(x|z₁,z₂); `auto` is Bernoulli for binary pixels, else the discretized logistic."""
    logit_offset: float = 0.0
    """Added to the Bernoulli logits; -5 starts near empty images."""
    prior: Literal["standard", "mixture", "vamp"] = "standard"
    """p(z₂): N(0, I), a mixture of learned Gaussians, or one of the codes of learned pseudo-inputs (VampPrior)."""
    components: int = 500
    """Gaussians, or pseudo-inputs, of a prior that is a mixture."""
    kl_warmup: float = 0.0
    """Share of the training over which the weight of the divergence rises from 0 to β."""
    beta: float = 1.0
    """β, the weight of the divergence in training."""
    free_bits: float = 0.0
    """Nats a latent coordinate that the divergence, on average over a batch, may take at no cost; 0 for none."""
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=5e-4))
    """How everything learns."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        if not self.hidden:
            raise TriptychError("--method.hidden needs one width or more")
        for name, value in (
            ("upper", self.upper),
            ("lower", self.lower),
            ("width", self.width),
            ("components", self.components),
            *(("hidden", h) for h in self.hidden),
        ):
            limited(f"--method.{name}", value, 1, WIDEST)
        limited("--method.logit-offset", self.logit_offset, -OFFSET, OFFSET)
        if not 0 <= self.kl_warmup <= 1:
            raise TriptychError(f"--method.kl-warmup {self.kl_warmup} is no share of the training")
        limited("--method.beta", self.beta, 0, WIDEST)
        limited("--method.free-bits", self.free_bits, 0, WIDEST)


class TwoLevels(NamedTuple):
    """What images tell of both levels before noise comes in, one row an image.

    q(z₂|x) = N(mean, diag exp(log_variance)); q(z₁|x, z₂) follows from ``features`` and z₂.
    """

    mean: Tensor
    log_variance: Tensor
    features: Tensor

    @property
    def upper(self) -> DiagonalGaussian:
        """q(z₂|x)."""
        return DiagonalGaussian(self.mean, self.log_variance)


class Drawn(NamedTuple):
    """z₂ ~ q(z₂|x) and z₁ ~ q(z₁|x, z₂), with q and p of z₁ there."""

    z2: Tensor
    z1: Tensor
    q1: DiagonalGaussian
    p1: DiagonalGaussian


class HVAE(Method):
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
    selection = Selection("valid/elbo", "higher")
    gauge = "elbo"
    gathers = False
    config: HVAEConfig
    prior = f"{STANDARD_NORMAL}{UPPER}"
    divergence = "levelwise analytic"

    def __init__(self, config: HVAEConfig, spec: DataSpec) -> None:
        config = self.resolve(config, spec)
        super().__init__(config, spec)
        if config.likelihood == "bernoulli" and spec.values != "binary":
            raise TriptychError(
                "a Bernoulli likelihood needs binary images; binarize them (--binarize dynamic) "
                "or choose --method.likelihood logistic"
            )
        self.latent = config.upper + config.lower
        self.likelihood = objective.LIKELIHOODS[config.likelihood]
        # The mean over a batch that free bits ask for is that of all devices.
        self.gathers = config.free_bits > 0
        self._build_networks(config, spec)
        self.scale = LearnedScale(spec.shape) if config.likelihood != "bernoulli" else None
        self.mixture: nn.Module | None = None
        if config.prior == "mixture":
            self.mixture = MixtureComponents(config.components, config.upper)
            self.prior = f"mixture of {config.components} Gaussians{UPPER}"
        elif config.prior == "vamp":
            self.mixture = PseudoInputs(config.components, spec.shape, spec.mean)
            self.prior = f"VampPrior of {config.components} pseudo-inputs{UPPER}"
        if self.mixture is not None:
            self.divergence = "Monte-Carlo upper and analytic lower"

    def _build_networks(self, config: HVAEConfig, spec: DataSpec) -> None:
        widths, gated = config.hidden, config.layers == "gated"
        first, last = widths[0], widths[-1]
        self.upper_encoder: nn.Module
        self.features: nn.Module
        self.decoder: nn.Module
        if config.net == "mlp":
            self.upper_encoder = nn.Sequential(
                nn.Flatten(), *mlp(spec.dimensions, widths, 2 * config.upper, gated=gated)
            )
            self.features = nn.Sequential(
                nn.Flatten(), *hidden_layers(spec.dimensions, widths[:1], gated=gated)
            )
            self.decoder = mlp(self.latent, widths[::-1], spec.dimensions, gated=gated)
        else:
            self.upper_encoder = ImageToVector(spec.shape, 2 * config.upper, config.width)
            self.features = nn.Sequential(
                ImageToVector(spec.shape, first, config.width), nn.ELU(inplace=True)
            )
            self.decoder = nn.Sequential(
                VectorToImage(self.latent, spec.shape, config.width, batch_norm=False),
                nn.Flatten(),
            )
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

    @classmethod
    def resolve(cls, config: HVAEConfig, spec: DataSpec) -> HVAEConfig:
        """Choose networks and likelihood from the data where the config leaves it open."""
        small = spec.dimensions <= SMALL and spec.shape[0] == 1
        net = ("mlp" if small else "conv") if config.net == "auto" else config.net
        likelihood = config.likelihood
        if likelihood == "auto":
            likelihood = "bernoulli" if spec.values == "binary" else "logistic"
        return dataclasses.replace(config, net=net, likelihood=likelihood)

    def formula(self) -> str:
        """The evidence lower bound of both levels, and the prior of the upper one."""
        config, count = self.config, self.config.components
        lower = r"\operatorname{KL}\left(q(z_1 \mid x, z_2) \,\|\, p(z_1 \mid z_2)\right)"
        upper = r"\operatorname{KL}\left(q(z_2 \mid x) \,\|\, p(z_2)\right)"
        if config.free_bits:
            least = np.format_float_positional(config.free_bits, trim="-")
            whole = rf"\max\left({config.upper} \cdot {least},\, \mathbb{{E}}_x {upper}\right)"
            lower, each = (
                rf"\sum_j \max\left({least},\, \mathbb{{E}}_x \operatorname{{KL}}_{{{level}j}}\right)"
                for level in (1, 2)
            )
            upper = each if self.mixture is None else whole
        beta = np.format_float_positional(config.beta, trim="-")
        weight = "" if config.beta == 1 else rf"{beta} \,"
        prior = {
            "standard": r"\mathcal{N}(0, I)",
            "mixture": rf"\tfrac{{1}}{{{count}}} \sum_c \mathcal{{N}}(\mu_c, \sigma_c^2)",
            "vamp": rf"\tfrac{{1}}{{{count}}} \sum_c q(z_2 \mid u_c)",
        }[config.prior]
        is_bound = config.beta == 1 and not config.free_bits
        begin = r"\log p(x) \;\ge\; " if is_bound else r"\max \; "
        return (
            rf"{begin}\mathbb{{E}}_{{q(z_1, z_2 \mid x)}}\left[\log p(x \mid z_1, z_2) - {weight}{lower}\right]"
            rf" - {weight}{upper},"
            "\n"
            rf"p(z_2) = {prior}"
        )

    def phases(self) -> tuple[Phase, ...]:
        """One phase: all networks, and what the prior learns, together."""
        modules = tuple(name for name, _ in self.named_children())
        return (
            Phase("elbo", (Group(modules, self.config.optimizer),), {"z": Noise((self.latent,))}),
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−(reconstruction − w·KL), w = β once the warm-up is over."""
        terms, (upper, lower) = self._terms(batch.x, noise["z"])
        weight: Tensor | float = self.config.beta
        if self.config.kl_warmup > 0:
            weight = weight * (progress / self.config.kl_warmup).clamp(max=1.0)
        kl = terms["kl"]
        if self.config.free_bits > 0:
            # A mixture does not factorise over coordinates: the upper level is one group of all of them then.
            least = self.config.free_bits
            above = least * self.config.upper / upper.shape[1]
            kl = objective.free_bits(gathered(upper), above) + objective.free_bits(
                gathered(lower), least
            )
        return Losses(-objective.elbo(terms["reconstruction"], kl * weight), terms)

    def after_step(self, progress: Tensor) -> None:
        """Pseudo-inputs stay images."""
        if isinstance(self.mixture, PseudoInputs):
            self.mixture.project()

    def _terms(self, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """The ELBO's terms from one sample of z, and the divergence of each level, N×groups.

        Given z₂ that of the lower level is a closed form; that of the upper one is for a prior N(0, I).
        """
        q = self.posterior(x)
        drawn = self._drawn(q, noise)
        lower = objective.kl_diagonal_gaussians(*drawn.q1, *drawn.p1)
        if self.mixture is None:
            upper = objective.kl_to_standard_normal(*q.upper)
        else:
            log_q = _log_q(q.upper, noise[..., : self.config.upper])
            upper = objective.kl_monte_carlo(log_q, self._log_prior(drawn.z2)).unsqueeze(-1)
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
        z2 = q.upper.sample(e2)
        features = q.features if noise.ndim == 2 else q.features.unsqueeze(1)
        q1, p1 = self._lower_posterior(features, z2), _gaussian(self.lower_prior(z2))
        # N×K×lower each where there are K of them: element for element.
        z1 = torch.addcmul(q1.mean, (0.5 * q1.log_variance).exp(), e1)
        return Drawn(z2, z1, q1, p1)

    def _lower_posterior(self, features: Tensor, z2: Tensor) -> DiagonalGaussian:
        """q(z₁|x, z₂)."""
        return _gaussian(self.lower_encoder(features + self.from_upper(z2)))

    def _components(self) -> Components | None:
        """What the prior of z₂ is a mixture of; none of N(0, I)."""
        if self.mixture is None:
            return None
        found = self.mixture()
        if isinstance(self.mixture, PseudoInputs):
            found = _gaussian(self.upper_encoder(found))
        return found[0], found[1]

    def _log_prior(self, z2: Tensor) -> Tensor:
        return prior_log_density(z2, self._components())

    def _output(self, z: Tensor) -> Tensor:
        """Decoder output N×D for N×latent, or N×K×D for N×K×latent: logits, or means before squashing."""
        out: Tensor = self.decoder(z.flatten(0, -2)).float()
        return out.view(*z.shape[:-1], -1).add_(self.config.logit_offset)

    def posterior(self, x: Tensor) -> TwoLevels:
        """q(z₂|x), and what q(z₁|x, z₂) wants of x."""
        q2 = _gaussian(self.upper_encoder(x))
        return TwoLevels(*q2, self.from_image(self.features(x)))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z₁,z₂) in nats: N for z = (z₂, z₁) N×latent, N×K for N×K×latent."""
        scale = None if self.scale is None else self.scale()
        return objective.pixel_log_likelihood(
            self.config.likelihood, self._output(z), scale, x.flatten(1)
        )

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
        return p + likelihood - _log_q(q.upper, e2) - _log_q(drawn.q1, e1)

    def draw_prior(self, noise: Tensor) -> Tensor:
        """(z₂, z₁) with z₂ ~ p(z₂) and z₁ ~ p(z₁|z₂) of noise from N(0, I), N×latent."""
        e2, e1 = torch.split(noise, [self.config.upper, self.config.lower], -1)
        z2 = draw_prior(e2, self._components())
        return torch.cat([z2, _gaussian(self.lower_prior(z2)).sample(e1)], -1)

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z₂|x), and that of q(z₁|x, z₂) there, N×latent."""
        q = self.posterior(x)
        return torch.cat([q.mean, self._lower_posterior(q.features, q.mean).mean], -1)

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z₁,z₂) as images in [0, 1]."""
        return self._output(z).sigmoid().view(-1, *self.spec.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decoded posterior means."""
        return self.decode(self.encode(x))


def _gaussian(output: Tensor) -> DiagonalGaussian:
    """Mean and log-variance from what a network gives, …×2d."""
    mean, log_variance = output.float().chunk(2, dim=-1)
    return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCES))


def _log_q(q: DiagonalGaussian, noise: Tensor) -> Tensor:
    """Log q(z) at z = mean + std·noise: in terms of the noise nothing is subtracted and lost."""
    spread = 0.5 * q.log_variance.sum(-1)
    if noise.ndim > q.log_variance.ndim:
        spread = spread.unsqueeze(-1)
    return objective.standard_normal_log_density(noise) - spread
