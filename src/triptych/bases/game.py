"""What methods have in common in which a generator plays against a critic."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from triptych.nets.average import early, follow
from triptych.types import DataSpec, Method, Selection

__all__ = ["Game"]


class Game(Method):
    """A generator G, a critic of its images, and where the config has an ``ema`` an average of G that makes the samples.

    A subclass has the networks and the objectives of both.
    """

    # No figure that needs neither labels nor training tells good samples from better ones: on SVHN
    # the distance over random features rose while that over a classifier's fell. The last weights
    # whose samples have not collapsed are the best.
    selection = Selection("samples/healthy_step", "higher")
    gauge = "critic_gap"
    gathers = False
    worth_compiling = False
    averaged: Tensor

    def __init__(self, config: Any, spec: DataSpec, critic: nn.Module) -> None:
        super().__init__(config, spec)
        self.latent = config.latent
        self.generator = self._generator()
        self.critic = critic
        self.average: nn.Module | None = None
        if config.ema > 0:
            self.average = self._generator()
            self.register_buffer("averaged", torch.zeros(()))
        # The layout in which the convolutions of CPUs and GPUs are fastest.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _generator(self) -> nn.Sequential:
        return nn.Sequential(self._layers(), nn.Tanh())

    @abstractmethod
    def _layers(self) -> nn.Module:
        """The generator before its squashing: N×latent → N×C×H×W."""

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
        """[0, 1] → [−1, 1], the range of tanh, which is what the critic sees and in whose units its slopes are."""
        return 2 * x - 1

    def sample(self, z: Tensor) -> Tensor:
        """(G(z) + 1) / 2, by the averaged generator where there is one."""
        generator = self.generator if self.average is None else self.average
        image: Tensor = generator(z)
        return (image.float() + 1) / 2
