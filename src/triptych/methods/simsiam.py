"""SimSiam (Chen and He 2021, arXiv 2011.10566) with the switches of its ablations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from triptych.bases.joint_embedding import JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.nets.heads import predictor, random_predictor
from triptych.objectives.similarity import symmetric_loss
from triptych.types import Batch, DataSpec, Group, Losses, Phase

__all__ = ["SimSiam", "SimSiamConfig"]

_SGD = OptimizerConfig(name="sgd", lr=0.03, momentum=0.9, weight_decay=5e-4)


@dataclass(frozen=True)
class SimSiamConfig(JointEmbeddingConfig):
    """What is particular to SimSiam. The defaults are the reference's network, for batches of 256."""

    stop_gradient: bool = True
    """Whether the projections that are predicted count as constants; without it the networks collapse."""
    predictor: Literal["mlp", "none", "fixed-random"] = "mlp"
    """What predicts one view's projection from the other's; `fixed-random` never learns."""
    predictor_width: int = 512
    """Width of the predictor's hidden layer."""
    optimizer: OptimizerConfig = field(default=dataclasses.replace(_SGD, schedule="cosine"))
    """How backbone and projector learn; the paper's rate is 0.03 for every 256 images of a batch."""
    predictor_optimizer: OptimizerConfig = field(default=_SGD)
    """How the predictor learns: at a constant rate, or it falls behind what it predicts."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        super().__post_init__()
        limited("--method.predictor-width", self.predictor_width, 1, WIDEST)


class SimSiam(JointEmbedding):
    """One network gives z₁ and z₂ of two views; the loss holds each against the other, or what a small network h makes of it.

    Example:
        >>> import torch
        >>> config = SimSiamConfig(depth=10, width=4, projector=(16,), predictor_width=8)
        >>> method = SimSiam(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.encode(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 32])
    """

    Config = SimSiamConfig
    title = "SimSiam"
    gathers = False
    cosine = "-loss"
    guard = "the gradient stops at the targets and that a predictor learns between the views"
    config: SimSiamConfig

    def __init__(self, config: SimSiamConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.predictor: nn.Module = nn.Identity()
        if config.predictor != "none":
            build = predictor if config.predictor == "mlp" else random_predictor
            self.predictor = build(config.projector[-1], config.predictor_width)

    def formula(self) -> str:
        """The loss of two views, with the stop-gradient and the predictor that this config has."""
        target = r"\operatorname{stop}(z_%d)" if self.config.stop_gradient else "z_%d"
        guess = "z_%d" if self.config.predictor == "none" else "h(z_%d)"
        pairs = (rf"\cos\left({guess % a},\, {target % b}\right)" for a, b in ((1, 2), (2, 1)))
        return rf"\min \; -\tfrac{{1}}{{2}} \left[{' + '.join(pairs)}\right]"

    def phases(self) -> tuple[Phase, ...]:
        """One phase; a predictor that does not learn is in no group."""
        groups = [Group(("backbone", "projector"), self.config.optimizer)]
        if self.config.predictor == "mlp":
            groups.append(Group(("predictor",), self.config.predictor_optimizer))
        return (Phase("agreement", tuple(groups)),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """−½ [cos(p₁, z₂) + cos(p₂, z₁)], the targets z detached where the gradient stops."""
        z1, z2 = self._projections(batch)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        if self.config.stop_gradient:
            z1, z2 = z1.detach(), z2.detach()
        loss = symmetric_loss(p1, p2, z1, z2)
        return Losses(loss, {"loss": loss})
