"""BYOL (Grill et al. 2020, arXiv 2006.07733), with the switches of what keeps it from collapsing."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from triptych.bases.formulas import plain
from triptych.bases.joint_embedding import SGD, JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.average import follow
from triptych.nets.heads import predictor
from triptych.objectives.similarity import cosine
from triptych.types import Batch, DataSpec, Group, Losses, Phase

__all__ = ["BYOL", "BYOLConfig"]


@dataclass(frozen=True)
class BYOLConfig(JointEmbeddingConfig):
    """What is particular to BYOL. The defaults are the paper's heads and moving average."""

    target: Literal["average", "copy", "none"] = "average"
    """What gives the projections that are predicted: a moving average of the network, the network itself with the gradient
    stopped (`copy`, an average that forgets at once), or no target network: the network itself, which learns from both sides."""
    momentum: float = 0.996
    """τ at the beginning, the share that the average keeps of itself in a step; it grows to 1 by half a cosine."""
    predictor: Literal["mlp", "none"] = "mlp"
    """What predicts one view's target from the other's projection."""
    predictor_width: int = 4096
    """Width of the predictor's hidden layer."""
    projector: tuple[int, ...] = (4096, 256)
    """Widths of the projector's layers; the last is the space in which views are compared."""
    predictor_optimizer: OptimizerConfig = field(default=SGD)
    """How the predictor learns."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none, and a share that is none."""
        super().__post_init__()
        limited("--method.predictor-width", self.predictor_width, 1, WIDEST)
        if not 0 <= self.momentum < 1:
            raise TriptychError(
                f"--method.momentum {self.momentum} is no share of the average that a step keeps; "
                "give 0.996 for instance, 0 or more and less than 1"
            )


class BYOL(JointEmbedding):
    """A network q predicts, from the projection of one look, what a slow average of the network projects the other look to.

    Example:
        >>> config = BYOLConfig(depth=10, width=4, projector=(16, 8), predictor_width=16)
        >>> method = BYOL(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.project(method.encode(torch.zeros(5, 3, 32, 32))).shape
        torch.Size([5, 8])
    """

    Config = BYOLConfig
    title = "BYOL"
    gathers = False
    cosine = "cosine"
    guard = "the targets come from a moving average without a gradient and that a predictor learns between the views"
    normalised = False
    config: BYOLConfig

    def __init__(self, config: BYOLConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.predictor: nn.Module = nn.Identity()
        if config.predictor == "mlp":
            self.predictor = predictor(config.projector[-1], config.predictor_width)
        self.target: nn.Sequential | None = None
        if config.target == "average":
            backbone, head = self._networks()
            self.target = nn.Sequential(OrderedDict(backbone=backbone, projector=head))
            self.target.requires_grad_(False)

    def formula(self) -> str:
        """The distance of unit vectors, with the targets and the predictor that this config has."""
        target = {"average": "z'_%d", "copy": r"\operatorname{stop}(z_%d)", "none": "z_%d"}
        guess = "z_%d" if self.config.predictor == "none" else "q(z_%d)"
        pairs = (
            rf"2 - 2 \cos\left({guess % a},\, {target[self.config.target] % b}\right)"
            for a, b in ((1, 2), (2, 1))
        )
        loss = rf"\min_\theta \; {' + '.join(pairs)}"
        if self.config.target != "average":
            return loss
        momentum = plain(self.config.momentum)
        return (
            rf"{loss}, \quad z' = g_\xi, \;\; \xi \leftarrow \tau \xi + (1 - \tau) \theta, "
            rf"\;\; \tau: {momentum} \to 1"
        )

    def phases(self) -> tuple[Phase, ...]:
        """One phase; the target learns nothing."""
        groups = [Group(("backbone", "projector"), self.config.optimizer)]
        if self.config.predictor == "mlp":
            groups.append(Group(("predictor",), self.config.predictor_optimizer))
        return (Phase("agreement", tuple(groups)),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """2 − 2 cos(q(z₁), z′₂), and the same with the views exchanged (equation 2, and below it)."""
        z1, z2 = self._projections(batch)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        t1, t2 = self._targets(batch, z1, z2)
        agreement = (cosine(p1, t2) + cosine(p2, t1)) / 2
        loss = 4 - 4 * agreement
        return Losses(loss, {"loss": loss, "cosine": agreement})

    def _targets(self, batch: Batch, *projections: Tensor) -> list[Tensor]:
        """What is predicted of each view."""
        if self.target is not None:
            with torch.no_grad():
                return [self.target(self._scaled(x)) for x in batch.views]
        stopped = self.config.target == "copy"
        return [z.detach() if stopped else z for z in projections]

    def after_initialise(self) -> None:
        """Every block starts as its shortcut, and the average where the network does."""
        super().after_initialise()
        if self.target is not None:
            for average, network in self._averaged(self.target):
                average.load_state_dict(network.state_dict())

    def after_step(self, progress: Tensor) -> None:
        """ξ ← τ ξ + (1 − τ) θ, τ = 1 − (1 − τ₀) (cos(π progress) + 1) / 2 (section 3.2).

        The running statistics are averaged too; nobody reads those of the target, which normalises by its batch.
        """
        if self.target is None:
            return
        rate = (1 - self.config.momentum) * ((math.pi * progress).cos() + 1) / 2
        for average, network in self._averaged(self.target):
            follow(average, network, rate)

    def _averaged(self, target: nn.Sequential) -> tuple[tuple[nn.Module, nn.Module], ...]:
        """Each part of the target, and what it follows."""
        return (
            (target.get_submodule("backbone"), self.backbone),
            (target.get_submodule("projector"), self.projector),
        )
