"""A network that follows an average, as somebody would write it who adds a method: its loss is no cosine with its sign turned."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from triptych.config import OptimizerConfig, ViewsConfig
from triptych.nets.heads import predictor, projector
from triptych.nets.resnet import ResNet
from triptych.objectives.similarity import cosine
from triptych.types import Batch, DataSpec, Group, Losses, Method, Phase


@dataclass(frozen=True)
class FollowerConfig:
    """A network for digits."""

    optimizer: OptimizerConfig = OptimizerConfig(name="sgd", lr=0.15, momentum=0.9)
    views: ViewsConfig = field(default_factory=lambda: ViewsConfig(crop_scale=(0.6, 1.0), flip=0.0))


class Follower(Method):
    """Predict what a moving average of the network projects (Grill et al. 2020, arXiv 2006.07733)."""

    Config = FollowerConfig
    gauge = "loss"
    worth_compiling = False

    def __init__(self, config: FollowerConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.views = config.views
        self.backbone = ResNet(10, "half", 8, spec.shape[0])
        self.projector = projector(self.backbone.features, (128, 128))
        self.predictor = predictor(128, 64)

    def after_initialise(self) -> None:
        """The average begins where the network does."""
        self.target = copy.deepcopy(nn.Sequential(self.backbone, self.projector))
        self.target.requires_grad_(False)

    def phases(self) -> tuple[Phase, ...]:
        """One."""
        group = Group(("backbone", "projector", "predictor"), self.config.optimizer)
        return (Phase("prediction", (group,)),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """2 − 2cos, of each view from the other."""
        p1, p2 = (self.predictor(self.project(self.encode(x))) for x in batch.views)
        with torch.no_grad():
            z1, z2 = (self.target((x - 0.5) / 0.25) for x in batch.views)
        loss = 4 - 2 * cosine(p1, z2) - 2 * cosine(p2, z1)
        return Losses(loss, {"loss": loss})

    @torch.no_grad()
    def after_step(self, progress: Tensor) -> None:
        """The average follows."""
        own = nn.Sequential(self.backbone, self.projector)
        for mean, now in zip(self.target.parameters(), own.parameters(), strict=True):
            mean.lerp_(now, 0.02)

    def encode(self, x: Tensor) -> Tensor:
        """Features."""
        h: Tensor = self.backbone((x - 0.5) / 0.25).float()
        return h

    def project(self, h: Tensor) -> Tensor:
        """Projections."""
        z: Tensor = self.projector(h).float()
        return z
