"""SimCLR in a thin network, as somebody would write it who adds a method: its loss is an entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.config import OptimizerConfig, ViewsConfig
from triptych.nets.heads import projector
from triptych.nets.resnet import ResNet
from triptych.types import Batch, DataSpec, Group, Losses, Method, Phase


@dataclass(frozen=True)
class SimCLRConfig:
    """A network for digits."""

    optimizer: OptimizerConfig = OptimizerConfig(name="sgd", lr=0.1, momentum=0.9)
    views: ViewsConfig = field(default_factory=lambda: ViewsConfig(crop_scale=(0.6, 1.0), flip=0.0))


class SimCLR(Method):
    """Tell the other view of an image among all views of a batch (Chen et al. 2020, arXiv 2002.05709)."""

    Config = SimCLRConfig
    gauge = "loss"
    worth_compiling = False

    def __init__(self, config: SimCLRConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.views = config.views
        self.backbone = ResNet(10, "half", 8, spec.shape[0])
        self.projector = projector(self.backbone.features, (128, 128))

    def phases(self) -> tuple[Phase, ...]:
        """One."""
        return (Phase("contrast", (Group(("backbone", "projector"), self.config.optimizer),)),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """NT-Xent at temperature 0.2."""
        z = torch.cat([F.normalize(self.project(self.encode(x)), dim=1) for x in batch.views])
        logits = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
        other = torch.arange(len(z)).roll(len(z) // 2)
        loss = F.cross_entropy(logits, other, reduction="none").view(2, -1).mean(0)
        return Losses(loss, {"loss": loss})

    def encode(self, x: Tensor) -> Tensor:
        """Features."""
        h: Tensor = self.backbone((x - 0.5) / 0.25).float()
        return h

    def project(self, h: Tensor) -> Tensor:
        """Projections."""
        z: Tensor = self.projector(h).float()
        return z
