"""A generator against a critic, by one of several losses, with what keeps the critic from being too steep."""

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
from triptych.nets.augment import DRAWS, augment
from triptych.nets.dcgan import Critic, VectorToImage
from triptych.nets.sngan import ResidualCritic, ResidualGenerator
from triptych.nets.spectral import iterate
from triptych.objectives.adversarial import (
    PAIRED,
    Loss,
    critic_loss,
    generator_loss,
    squared_norm,
)
from triptych.objectives.wasserstein import gradient_norm, interpolates, lipschitz_penalty
from triptych.types import Batch, DataSpec, Group, Losses, Noise, Phase

__all__ = ["GAN", "AugmentConfig", "GANConfig"]

_OPTIMIZER = OptimizerConfig(lr=2e-4, betas=(0.5, 0.999))


@dataclass(frozen=True)
class AugmentConfig:
    """How images and samples alike are altered before the critic sees them (Zhao et al. 2020); 0 leaves out."""

    colour: float = 0.0
    """Strength of random brightness, saturation and contrast; 1 is the paper's."""
    translation: float = 0.0
    """Share of its sides by which an image moves at most; the paper's is 0.125."""
    cutout: float = 0.0
    """Side of the hole in an image, as a share of the image's; the paper's is 0.5."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("colour", "translation", "cutout"):
            limited(f"--method.augment.{name}", getattr(self, name), 0, 1)

    @property
    def alters(self) -> bool:
        """Whether it does anything."""
        return self.colour > 0 or self.translation > 0 or self.cutout > 0


@dataclass(frozen=True)
class GANConfig:
    """What is particular to the game. The defaults are the networks and the loss of DCGAN (Radford et al. 2016).

    A step is one update of the generator after all of the critic.
    """

    loss: Loss = "non-saturating"
    """What critic and generator minimise."""
    net: Literal["dcgan", "resnet"] = "dcgan"
    """Strided convolutions, or the residual networks of the SNGAN."""
    latent: int = 128
    """Number of latent coordinates."""
    width: int = 64
    """Channels: of dcgan next to the image, doubled at every halving of it; of resnet everywhere in the critic, and half as many as in the generator."""
    critic_steps: int = 1
    """Updates of the critic, each on fresh images, before one of the generator."""
    spectral: bool = False
    """Give every layer of the critic spectral normalisation."""
    penalty: Literal["none", "one-sided", "two-sided"] = "none"
    """Punish slopes of the critic above 1 between images and samples (one-sided), or all that differ from 1."""
    penalty_weight: float = 10.0
    """λ, the weight of that penalty."""
    r1: float = 0.0
    """γ₁: half of it times the squared slope of the critic at images is added; 0 leaves out."""
    r2: float = 0.0
    """γ₂: the same at samples."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """How images and samples alike are altered before the critic sees them: for few images."""
    batch_norm: Literal["joint", "local"] = "joint"
    """Where several devices share a batch: normalise over all of it, or each part by itself, which is another method."""
    ema: float = 0.0
    """Decay of a moving average of the generator that then makes the samples; 0 keeps none."""
    critic_optimizer: OptimizerConfig = field(default=_OPTIMIZER)
    """How the critic learns."""
    generator_optimizer: OptimizerConfig = field(default=_OPTIMIZER)
    """How the generator learns."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, and a game without an end."""
        sizes = {"latent": self.latent, "width": self.width, "critic-steps": self.critic_steps}
        for name, value in sizes.items():
            limited(f"--method.{name}", value, 1, WIDEST)
        weights = {"penalty-weight": self.penalty_weight, "r1": self.r1, "r2": self.r2}
        for name, weight in weights.items():
            limited(f"--method.{name}", weight, 0, WIDEST)
        if not 0 <= self.ema < 1:
            raise TriptychError(
                f"--method.ema {self.ema} is no decay; give 0.999 for instance, or 0"
            )
        if self.loss == "wasserstein" and not (self.penalised or self.spectral):
            raise TriptychError(
                "--method.loss wasserstein has no end where the critic may be as steep as it likes: "
                "give --method.penalty one-sided and a weight, or --method.spectral true"
            )

    @property
    def penalised(self) -> bool:
        """Whether a penalty holds the critic to slopes of 1; one without weight holds nothing."""
        return self.penalty != "none" and self.penalty_weight > 0


class GAN(Game):
    """A critic D learns to tell images from samples of a generator G, and the generator to be taken for an image.

    Example:
        >>> gan = GAN(GANConfig(latent=2, width=4, net="resnet"), DataSpec((3, 32, 32), "colour"))
        >>> gan.sample(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 32, 32])
    """

    Config = GANConfig
    title = "GAN"
    config: GANConfig
    critic: Critic | ResidualCritic
    lipschitz: float
    """Declared by a critic that a penalty holds to slopes of 1; layers of norm 1 are no promise of it."""

    def __init__(self, config: GANConfig, spec: DataSpec) -> None:
        # Where a loss sees differences of scores alone, a constant would be trained by rounding errors.
        absolute = config.loss not in ("wasserstein", *PAIRED)
        kind = Critic if config.net == "dcgan" else ResidualCritic
        critic = kind(spec.shape, config.width, offset=absolute, spectral=config.spectral)
        super().__init__(config, spec, critic)
        if config.penalised:
            self.lipschitz = 1.0

    def _layers(self) -> nn.Module:
        shape, config = self.spec.shape, self.config
        if config.net == "dcgan":
            return VectorToImage(config.latent, shape, config.width, batch_norm=True)
        return ResidualGenerator(config.latent, shape, 2 * config.width)

    def formula(self) -> str:
        """What the critic minimises, with what is added to it, and what the generator does."""
        config = self.config
        x, sample = (r"T(x)", r"T(G(z))") if config.augment.alters else ("x", "G(z)")
        critic, generator = _FORMULAE[config.loss]
        said = critic
        for at, weight in (("x", config.r1), ("G", config.r2)):
            if weight:
                said += rf" + \frac{{{plain(weight)}}}{{2}} \mathbb{{E}} \|\nabla D({at})\|^2"
        if config.penalised:
            excess = r"\|\nabla D(\hat{x})\| - 1"
            if config.penalty == "one-sided":
                excess = rf"\max(0, {excess})"
            said += rf" + {plain(config.penalty_weight)} \, \mathbb{{E}}\left({excess}\right)^2"
        held = r", \quad \|W\| = 1" if config.spectral else ""
        found = f"\\min_D \\; {said}{held},\n\\min_G \\; {generator}"
        return found.replace("(G)", f"({sample})").replace("(x)", f"({x})")

    def phases(self) -> tuple[Phase, ...]:
        """The critic, each time on fresh images, then the generator, which sees images where the loss is of pairs."""
        config = self.config
        z, draws = {"z": Noise((self.latent,))}, Noise((DRAWS,), "uniform")
        paired = config.loss in PAIRED
        fake = {"fake": draws} if config.augment.alters else {}
        real = {"real": draws} if config.augment.alters else {}
        between = {"t": Noise((), "uniform")} if config.penalised else {}
        critic = Group(("critic",), config.critic_optimizer)
        generator = Group(("generator",), config.generator_optimizer)
        return (
            Phase("critic", (critic,), z | between | real | fake, repeats=config.critic_steps),
            Phase("generator", (generator,), z | fake | (real if paired else {}), images=paired),
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """The critic's loss with all penalties, or the generator's; see `triptych.objectives.adversarial`."""
        return self._generates(batch, noise) if phase == "generator" else self._tells(batch, noise)

    def _tells(self, batch: Batch, noise: Mapping[str, Tensor]) -> Losses:
        config, real = self.config, self.scaled(batch.x)
        # Nothing of the generator learns here, and its running statistics move as they do in training.
        with torch.no_grad():
            fake = self.generator(noise["z"]).to(real.dtype)
        real, fake = self._seen(real, noise, "real"), self._seen(fake, noise, "fake")
        # One pass over both: without batch normalisation an example's score is its own.
        score_real, score_fake = self.critic(torch.cat([real, fake])).float().chunk(2)
        minimise = critic_loss(config.loss, score_real, score_fake)
        terms = {"critic_gap": score_real - score_fake}
        if config.loss != "wasserstein":
            terms["critic_loss"] = minimise
        terms.update(real_score=score_real, fake_score=score_fake)
        slopes = self._gradients(real, fake, noise)
        for name, weight in (("r1", config.r1), ("r2", config.r2)):
            if weight:
                terms[name] = squared_norm(slopes[name])
                minimise = 0.5 * weight * terms[name] + minimise
        if config.penalised and config.penalty != "none":
            norm = gradient_norm(slopes["between"])
            penalty = lipschitz_penalty(norm, config.penalty)
            terms.update(penalty=penalty, gradient_norm=norm)
            minimise = config.penalty_weight * penalty + minimise
        return Losses(minimise, terms)

    def _gradients(
        self, real: Tensor, fake: Tensor, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """∇D wherever a penalty asks for it, all in one pass: at what the critic sees, altered where that is."""
        points: dict[str, Tensor] = {}
        if self.config.r1:
            points["r1"] = real
        if self.config.r2:
            points["r2"] = fake
        if self.config.penalised:
            points["between"] = interpolates(real, fake, noise["t"])
        if not points:
            return {}
        found = self.critic.gradient(torch.cat([*points.values()])).chunk(len(points))
        return dict(zip(points, found, strict=True))

    def _generates(self, batch: Batch, noise: Mapping[str, Tensor]) -> Losses:
        config, real = self.config, None
        fake = self._seen(self.generator(noise["z"]), noise, "fake")
        score = self.critic(fake).float()
        if config.loss in PAIRED:
            with torch.no_grad():
                real = self.critic(self._seen(self.scaled(batch.x), noise, "real")).float()
        loss = generator_loss(config.loss, score, real)
        return Losses(loss, {"generator_loss": loss})

    def _seen(self, x: Tensor, noise: Mapping[str, Tensor], which: str) -> Tensor:
        """What the critic sees of images or samples in [−1, 1]: T of each, with draws of its own."""
        to = self.config.augment
        if not to.alters:
            return x
        return augment(x.float(), noise[which], to.colour, to.translation, to.cutout)

    def after_update(self, phase: str) -> None:
        """One power iteration for every update of the critic."""
        if phase == "critic":
            iterate(self.critic)


_FORMULAE: Mapping[Loss, tuple[str, str]] = {
    "non-saturating": (
        r"-\mathbb{E} \log \sigma(D(x)) - \mathbb{E} \log(1 - \sigma(D(G)))",
        r"-\mathbb{E} \log \sigma(D(G))",
    ),
    "hinge": (
        r"\mathbb{E} \max(0, 1 - D(x)) + \mathbb{E} \max(0, 1 + D(G))",
        r"-\mathbb{E}\, D(G)",
    ),
    "least-squares": (
        r"\frac{1}{2} \mathbb{E} (D(x) - 1)^2 + \frac{1}{2} \mathbb{E}\, D(G)^2",
        r"\frac{1}{2} \mathbb{E} (D(G) - 1)^2",
    ),
    "relativistic": (
        r"-\mathbb{E} \log \sigma(D(x) - D(G))",
        r"-\mathbb{E} \log \sigma(D(G) - D(x))",
    ),
    "wasserstein": (r"\mathbb{E}\, D(G) - \mathbb{E}\, D(x)", r"-\mathbb{E}\, D(G)"),
}
"""What critic and generator minimise, in LaTeX; (x) and (G) stand for what the critic sees."""
