"""The Wasserstein GAN with a Lipschitz penalty (Petzka et al. 2018, arXiv 1709.08894)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from triptych.bases.formulas import plain
from triptych.bases.game import Game
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.dcgan import Critic, VectorToImage
from triptych.objectives.wasserstein import gradient_norm, interpolates, lipschitz_penalty
from triptych.types import Batch, DataSpec, Group, Losses, Noise, Phase

__all__ = ["WGAN", "WGANConfig"]

_OPTIMIZER = OptimizerConfig(lr=1e-4, betas=(0.5, 0.9))


@dataclass(frozen=True)
class WGANConfig:
    """What is particular to the WGAN. The defaults are the reference's network and game, not its length.

    A step is one update of the generator after all of the critic.
    """

    latent: int = 100
    """Number of latent coordinates."""
    width: int = 64
    """Channels next to the image; they double at every halving of it."""
    critic_steps: int = 5
    """Updates of the critic, each on fresh images, before one of the generator."""
    penalty: Literal["one-sided", "two-sided"] = "one-sided"
    """Punish slopes above 1 (WGAN-LP), or all that differ from 1 (WGAN-GP)."""
    penalty_weight: float = 10.0
    """λ, the weight of the penalty."""
    batch_norm: Literal["joint", "local"] = "joint"
    """Where several devices share a batch: normalise over all of it, or each part by itself, which is another method."""
    ema: float = 0.0
    """Decay of a moving average of the generator that then makes the samples; 0 keeps none."""
    critic_optimizer: OptimizerConfig = field(default=_OPTIMIZER)
    """How the critic learns."""
    generator_optimizer: OptimizerConfig = field(default=_OPTIMIZER)
    """How the generator learns."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        sizes = {"latent": self.latent, "width": self.width, "critic-steps": self.critic_steps}
        for name, value in sizes.items():
            limited(f"--method.{name}", value, 1, WIDEST)
        if self.penalty_weight < 0:
            raise TriptychError(
                f"--method.penalty-weight {self.penalty_weight} would reward steep critics; give 0 or more"
            )
        limited("--method.penalty-weight", self.penalty_weight, 0, WIDEST)
        if not 0 <= self.ema < 1:
            raise TriptychError(
                f"--method.ema {self.ema} is no decay; give 0.999 for instance, or 0"
            )


class WGAN(Game):
    """A critic f, kept from being steeper than 1, scores images above samples of the generator G; the gap of its scores is how far apart the two are.

    The critic ascends E f(x) − E f(G(z)) − λ E penalty(‖∇f(x̂)‖) and the generator E f(G(z)).

    Example:
        >>> gan = WGAN(WGANConfig(latent=2, width=4), DataSpec((3, 32, 32), "colour"))
        >>> gan.sample(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 32, 32])
    """

    Config = WGANConfig
    title = "Wasserstein GAN with a Lipschitz penalty"
    lipschitz = 1.0
    config: WGANConfig
    critic: Critic

    def __init__(self, config: WGANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec, Critic(spec.shape, config.width))

    def _layers(self) -> nn.Module:
        return VectorToImage(self.latent, self.spec.shape, self.config.width, batch_norm=True)

    def formula(self) -> str:
        """The game, with the penalty on a critic that is steeper than 1, or of two sides on one that is not as steep."""
        weight = plain(self.config.penalty_weight)
        excess = r"\|\nabla f(\hat{x})\| - 1"
        if self.config.penalty == "one-sided":
            excess = rf"\max(0, {excess})"
        return (
            r"\min_G \, \max_f \;\; \mathbb{E}\, f(x) - \mathbb{E}\, f(G(z))"
            rf" - \lambda\, \mathbb{{E}}\left({excess}\right)^2, \quad \lambda = {weight}"
        )

    def phases(self) -> tuple[Phase, ...]:
        """The critic several times, each on fresh images, then the generator, which sees none."""
        config, z = self.config, Noise((self.latent,))
        return (
            Phase(
                "critic",
                (Group(("critic",), config.critic_optimizer),),
                {"z": z, "t": Noise((), "uniform")},
                repeats=config.critic_steps,
            ),
            Phase(
                "generator",
                (Group(("generator",), config.generator_optimizer),),
                {"z": z},
                images=False,
            ),
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """Critic: −(f(x) − f(G(z))) + λ·penalty. Generator: −f(G(z))."""
        if phase == "generator":
            score = self.critic(self.generator(noise["z"])).float()
            return Losses(-score, {"generator_score": score})
        real = self.scaled(batch.x)
        # Nothing of the generator learns here, and its running statistics move as they do in training.
        with torch.no_grad():
            fake = self.generator(noise["z"]).to(real.dtype)
        # One pass over both: without batch normalisation an example's score is its own.
        score_real, score_fake = self.critic(torch.cat([real, fake])).float().chunk(2)
        norm = gradient_norm(self.critic.gradient(interpolates(real, fake, noise["t"])))
        penalty = lipschitz_penalty(norm, self.config.penalty)
        gap = score_real - score_fake
        terms = {"critic_gap": gap, "penalty": penalty, "gradient_norm": norm}
        return Losses(self.config.penalty_weight * penalty - gap, terms)
