"""What methods have in common that say how probable an image is, by latents that it may have come from."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from triptych.bases.formulas import plain
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import VectorToImage
from triptych.nets.mlp import mlp
from triptych.nets.priors import MixtureComponents, PseudoInputs
from triptych.nets.scale import LearnedScale
from triptych.objectives import elbo as objective
from triptych.objectives.priors import Components, prior_log_density
from triptych.types import (
    STANDARD_NORMAL,
    DataSpec,
    DiagonalGaussian,
    Group,
    Method,
    Noise,
    Phase,
    Selection,
)

__all__ = ["LatentVariableConfig", "LatentVariableModel", "log_q"]

SMALL = 32 * 32
"""Pixels up to which the network is an MLP where nothing else is said."""

OFFSET = 80.0
"""Logits beyond it are probabilities of 0 or 1 in fp32, whatever the network says."""

C = TypeVar("C", bound="LatentVariableConfig")


@dataclass(frozen=True)
class LatentVariableConfig:
    """Networks, likelihood, prior and what the divergence weighs."""

    net: Literal["auto", "mlp", "conv"] = "auto"
    """Between images and latents; `auto` is an MLP for one channel and as many pixels as 32×32, else convolutions."""
    hidden: tuple[int, ...] = (300, 300)
    """Widths of the MLP's hidden layers (the decoder has them in reverse)."""
    width: int = 32
    """Channels of the first convolution; they double at every halving of the image."""
    likelihood: Literal["auto", "bernoulli", "gaussian", "logistic"] = "auto"
    """p(x|z); `auto` is Bernoulli for binary pixels, else the discretized logistic."""
    logit_offset: float = 0.0
    """Added to the Bernoulli logits; -5 starts the reference near empty images."""
    prior: Literal["standard", "mixture", "vamp"] = "standard"
    """p(z): N(0, I), a mixture of learned Gaussians, or one of the codes of learned pseudo-inputs (VampPrior)."""
    components: int = 500
    """Gaussians, or pseudo-inputs, of a prior that is a mixture."""
    kl_warmup: float = 0.0
    """Share of the training over which the weight of the divergence rises from 0 to β."""
    beta: float = 1.0
    """β, the weight of the divergence in training."""
    free_bits: float = 0.0
    """Nats a latent coordinate that the divergence, on average over a batch, may take at no cost; 0 for none."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How everything learns."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        sizes = {"width": self.width, "components": self.components}
        for name, value in (*sizes.items(), *(("hidden", h) for h in self.hidden)):
            limited(f"--method.{name}", value, 1, WIDEST)
        limited("--method.logit-offset", self.logit_offset, -OFFSET, OFFSET)
        if not 0 <= self.kl_warmup <= 1:
            raise TriptychError(f"--method.kl-warmup {self.kl_warmup} is no share of the training")
        limited("--method.beta", self.beta, 0, WIDEST)
        limited("--method.free-bits", self.free_bits, 0, WIDEST)


class LatentVariableModel(Method):
    """A decoder p(x|z), a prior that may be a mixture, and the ELBO as what is watched.

    A subclass builds its networks, ``decoder`` by `_image_decoder` among them, then calls `_add_scale_and_prior`; it has
    a proposal and an objective.
    """

    selection = Selection("valid/elbo", "higher")
    gauge = "elbo"
    gathers = False
    divergences: ClassVar[tuple[str, str]] = ("analytic", "Monte-Carlo")
    """How the divergence to N(0, I) is computed, and that to a mixture."""
    whose: ClassVar[str] = ""
    """What follows the prior's name where it is that of some of the latents."""
    config: Any
    prior: str
    divergence: str
    decoder: nn.Module

    def __init__(self, config: Any, spec: DataSpec, latent: int) -> None:
        config = self.resolve(config, spec)
        super().__init__(config, spec)
        if config.likelihood == "bernoulli" and spec.values != "binary":
            raise TriptychError(
                "a Bernoulli likelihood needs binary images; binarize them (--binarize dynamic) "
                "or choose --method.likelihood logistic"
            )
        self.latent = latent
        self.likelihood = objective.LIKELIHOODS[config.likelihood]
        # The mean over a batch that free bits ask for is that of all devices.
        self.gathers = config.free_bits > 0

    def _image_decoder(self, *, gated: bool = False) -> nn.Module:
        config, spec = self.config, self.spec
        if config.net == "mlp":
            return mlp(self.latent, config.hidden[::-1], spec.dimensions, gated=gated)
        stack = VectorToImage(self.latent, spec.shape, config.width, batch_norm=False)
        return nn.Sequential(stack, nn.Flatten())

    def _add_scale_and_prior(self, coordinates: int) -> None:
        """The scale of pixels that have one, and what a prior learns of so many coordinates."""
        config, spec, count = self.config, self.spec, self.config.components
        self.scale = LearnedScale(spec.shape) if config.likelihood != "bernoulli" else None
        self.mixture: nn.Module | None = None
        name = STANDARD_NORMAL
        if config.prior == "mixture":
            self.mixture = MixtureComponents(count, coordinates)
            name = f"mixture of {count} Gaussians"
        elif config.prior == "vamp":
            self.mixture = PseudoInputs(count, spec.shape, spec.mean)
            name = f"VampPrior of {count} pseudo-inputs"
        self.prior = f"{name}{self.whose}"
        self.divergence = self.divergences[self.mixture is not None]

    @classmethod
    def resolve(cls, config: C, spec: DataSpec) -> C:
        """Choose network and likelihood from the data where the config leaves it open."""
        small = spec.dimensions <= SMALL and spec.shape[0] == 1
        net = ("mlp" if small else "conv") if config.net == "auto" else config.net
        likelihood = config.likelihood
        if likelihood == "auto":
            likelihood = "bernoulli" if spec.values == "binary" else "logistic"
        return dataclasses.replace(config, net=net, likelihood=likelihood)

    def phases(self) -> tuple[Phase, ...]:
        """One phase: all networks, and what the prior learns, together."""
        modules = tuple(name for name, _ in self.named_children())
        noise = {"z": Noise(self._noise_shape())}
        return (Phase("elbo", (Group(modules, self.config.optimizer),), noise),)

    def _noise_shape(self) -> tuple[int, ...]:
        return (self.latent,)

    def after_step(self, progress: Tensor) -> None:
        """Pseudo-inputs stay images."""
        if isinstance(self.mixture, PseudoInputs):
            self.mixture.project()

    def _begins(self) -> str:
        """How a formula begins: of a bound of log p(x), or of anything else that is made large."""
        is_bound = self.config.beta == 1 and not self.config.free_bits
        return r"\log p(x) \;\ge\; " if is_bound else r"\max \; "

    def _prior_formula(self, z: str) -> str:
        count = self.config.components
        found: dict[str, str] = {
            "standard": r"\mathcal{N}(0, I)",
            "mixture": rf"\tfrac{{1}}{{{count}}} \sum_c \mathcal{{N}}(\mu_c, \sigma_c^2)",
            "vamp": rf"\tfrac{{1}}{{{count}}} \sum_c q({z} \mid u_c)",
        }
        return rf"p({z}) = {found[self.config.prior]}"

    def _beta_formula(self) -> str:
        """The weight of a divergence, as it stands before one."""
        return "" if self.config.beta == 1 else rf"{plain(self.config.beta)} \,"

    def _weight(self, progress: Tensor) -> Tensor | float:
        """The weight of the divergence: β once the warm-up is over."""
        weight: Tensor | float = self.config.beta
        if self.config.kl_warmup > 0:
            weight = weight * (progress / self.config.kl_warmup).clamp(max=1.0)
        return weight

    @abstractmethod
    def _code(self, x: Tensor) -> DiagonalGaussian:
        """The proposal, of images, for the latents that have the prior."""

    def _components(self) -> Components | None:
        """What the prior is a mixture of; none of N(0, I)."""
        if self.mixture is None:
            return None
        found = self.mixture()
        return self._code(found) if isinstance(self.mixture, PseudoInputs) else found

    def _log_prior(self, z: Tensor) -> Tensor:
        return prior_log_density(z, self._components())

    def _output(self, z: Tensor) -> Tensor:
        """Decoder output N×D for N×latent, or N×K×D for N×K×latent: logits, or means before squashing."""
        out: Tensor = self.decoder(z.flatten(0, -2)).float()
        # In place: nothing before it needs these values, and they are most of the work.
        return out.view(*z.shape[:-1], -1).add_(self.config.logit_offset)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats: N for z N×latent, N×K for z N×K×latent."""
        scale = None if self.scale is None else self.scale()
        return objective.pixel_log_likelihood(
            self.config.likelihood, self._output(z), scale, x.flatten(1)
        )

    @abstractmethod
    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """The ELBO and its terms from one sample of z."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The code of each image, N×latent."""

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z) as images in [0, 1]."""
        return self._output(z).sigmoid().view(-1, *self.spec.shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decoded posterior means."""
        return self.decode(self.encode(x))


def log_q(q: DiagonalGaussian, noise: Tensor) -> Tensor:
    """Log q(z) at z = mean + std·noise: in terms of the noise nothing is subtracted and lost.

    Of noise N×d, or N×K×d, by a q with K rows an image or one.
    """
    spread = 0.5 * q.log_variance.sum(-1)
    if noise.ndim > q.log_variance.ndim:
        spread = spread.unsqueeze(-1)
    return objective.standard_normal_log_density(noise) - spread
