"""LeJEPA's sketched isotropic Gaussian regularisation, SIGReg (Balestriero and LeCun 2025, arXiv 2511.08544)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from triptych.bases.formulas import plain
from triptych.bases.joint_embedding import ADAM, JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.joint import gathered
from triptych.objectives.gaussianity import sketched
from triptych.objectives.similarity import cosine
from triptych.types import Batch, Losses, Noise, Phase

__all__ = ["SIGReg", "SIGRegConfig"]


@dataclass(frozen=True)
class SIGRegConfig(JointEmbeddingConfig):
    """What is particular to SIGReg. The defaults are the authors' λ, directions and quadrature, for a residual network."""

    regulariser_weight: float = 0.02
    """λ, the share of the regulariser in the loss; with 0 all images may have one projection."""
    directions: int = 256
    """Random directions along which a batch is held against N(0, 1), new ones in each step."""
    projector: tuple[int, ...] = (2048, 2048, 64)
    """Widths of the projector's layers; the last is the space in which views are compared."""
    optimizer: OptimizerConfig = field(default=ADAM)
    """How backbone and projector learn."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        super().__post_init__()
        limited("--method.directions", self.directions, 1, WIDEST)
        if not 0 <= self.regulariser_weight < 1:
            raise TriptychError(
                f"--method.regulariser-weight {self.regulariser_weight} is no share that leaves some to the views; "
                "give 0.02 for instance, 0 or more and less than 1"
            )


class SIGReg(JointEmbedding):
    """Projections of two looks are to be near each other, and those of a batch distributed like N(0, I) along random directions.

    Example:
        >>> import torch
        >>> from triptych.types import DataSpec
        >>> config = SIGRegConfig(depth=10, width=4, projector=(16, 8))
        >>> method = SIGReg(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.project(method.encode(torch.zeros(5, 3, 32, 32))).shape
        torch.Size([5, 8])
    """

    Config = SIGRegConfig
    title = "SIGReg (LeJEPA)"
    gathers = True
    cosine = "cosine"
    only_agrees = False
    by_direction = False
    guard = "the regulariser has its weight"
    normalised = False
    config: SIGRegConfig

    def formula(self) -> str:
        """The share of the views, and that of the regulariser where it has one."""
        weight = plain(self.config.regulariser_weight)
        views = r"\tfrac{1}{4 d} \|z_1 - z_2\|^2"
        if not self.config.regulariser_weight:
            return rf"\min \; {views}"
        distance = r"\int |\hat\varphi_{a \cdot z}(t) - e^{-t^2/2}|^2 e^{-t^2/2} dt"
        return (
            rf"\min \; (1 - \lambda) {views} + \lambda N \, \mathbb{{E}}_{{\|a\| = 1}} {distance}, "
            rf"\quad \lambda = {weight}"
        )

    def phases(self) -> tuple[Phase, ...]:
        """One phase, with directions that are the same for all images of a batch."""
        (phase,) = super().phases()
        shape = self.config.projector[-1], self.config.directions
        return (Phase(phase.name, phase.groups, {"directions": Noise(shape, shared=True)}),)

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """(1 − λ) (1/2d) Σ_v ‖z_v − z̄‖² + λ ½ Σ_v SIGReg(z_v), z̄ the mean of the two views (definition 3)."""
        z1, z2 = self._projections(batch)
        # The mean of both squared distances to the middle: a quarter of that from one to the other.
        invariance = (z1 - z2).square().mean(1) / 4
        first, second = (sketched(gathered(z), noise["directions"]) for z in (z1, z2))
        regulariser = (first + second) / 2
        weight = self.config.regulariser_weight
        loss = (1 - weight) * invariance + weight * regulariser
        terms = {"loss": loss, "invariance": invariance, "regulariser": regulariser}
        return Losses(loss, {**terms, "cosine": cosine(z1, z2)})
