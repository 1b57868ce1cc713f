"""The Wasserstein GAN with a Lipschitz penalty (Petzka et al. 2018, arXiv 1709.08894)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.average import early, follow
from triptych.nets.dcgan import Critic, VectorToImage
from triptych.objectives.wasserstein import gradient_norm, interpolates, lipschitz_penalty
from triptych.types import Batch, DataSpec, Group, Losses, Method, Noise, Phase, Selection

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


class WGAN(Method):
    """A critic f, kept from being steeper than 1, scores images above samples of the generator G; the gap of its scores is how far apart the two are.

    The critic ascends E f(x) − E f(G(z)) − λ E penalty(‖∇f(x̂)‖) and the generator E f(G(z)).

    Example:
        >>> gan = WGAN(WGANConfig(latent=2, width=4), DataSpec((3, 32, 32), "colour"))
        >>> gan.sample(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 32, 32])
    """

    Config = WGANConfig
    title = "Wasserstein GAN with a Lipschitz penalty"
    # No figure that needs neither labels nor training tells good samples from better ones: on SVHN
    # the distance over random features rose while that over a classifier's fell. The last weights
    # whose samples have not collapsed are the best.
    selection = Selection("samples/healthy_step", "higher")
    gauge = "critic_gap"
    gathers = False
    worth_compiling = False
    lipschitz = 1.0
    config: WGANConfig
    averaged: Tensor

    def __init__(self, config: WGANConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.latent = config.latent
        self.generator = self._generator()
        self.critic = Critic(spec.shape, config.width)
        self.average: nn.Module | None = None
        if config.ema > 0:
            self.average = self._generator()
            self.register_buffer("averaged", torch.zeros(()))
        # The layout in which the convolutions of CPUs and GPUs are fastest.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _generator(self) -> nn.Sequential:
        shape, config = self.spec.shape, self.config
        stack = VectorToImage(config.latent, shape, config.width, batch_norm=True)
        return nn.Sequential(stack, nn.Tanh())

    def formula(self) -> str:
        """The game, with the penalty on a critic that is steeper than 1, or of two sides on one that is not as steep."""
        weight = np.format_float_positional(self.config.penalty_weight, trim="-")
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

    def after_initialise(self) -> None:
        """The average begins where the generator does."""
        if self.average is not None:
            self.average.load_state_dict(self.generator.state_dict())

    def after_step(self, progress: Tensor) -> None:
        """Move the average towards the generator."""
        if self.average is not None:
            follow(self.average, self.generator, early(self.averaged, self.config.ema))
            self.averaged += 1

    def scaled(self, x: Tensor) -> Tensor:
        """[0, 1] → [−1, 1], the range of tanh, in which the critic is to be 1-Lipschitz."""
        return 2 * x - 1

    def sample(self, z: Tensor) -> Tensor:
        """(G(z) + 1) / 2, by the averaged generator where there is one."""
        generator = self.generator if self.average is None else self.average
        image: Tensor = generator(z)
        return (image.float() + 1) / 2
