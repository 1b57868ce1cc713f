"""VICReg (Bardes et al. 2022, arXiv 2105.04906), each of its terms with a weight that may be 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from triptych.bases.formulas import plain
from triptych.bases.joint_embedding import ADAM, JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, OptimizerConfig, limited
from triptych.errors import TriptychError
from triptych.nets.joint import gathered
from triptych.objectives.redundancy import covariance_penalty, variance_hinge
from triptych.objectives.similarity import cosine
from triptych.types import Batch, Losses

__all__ = ["VICReg", "VICRegConfig"]


@dataclass(frozen=True)
class VICRegConfig(JointEmbeddingConfig):
    """What is particular to VICReg. The defaults are the paper's weights and its three layers, four times thinner."""

    invariance_weight: float = 25.0
    """λ, of the squared distance of the two views."""
    variance_weight: float = 25.0
    """μ, of what lacks to a standard deviation of 1 in each dimension; with 0 all images may have one projection."""
    covariance_weight: float = 1.0
    """ν, of the covariances of different dimensions; with 0 all dimensions may be the same."""
    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the projector's layers; the last is the space in which views are compared."""
    optimizer: OptimizerConfig = field(default=ADAM)
    """How backbone and projector learn."""

    def __post_init__(self) -> None:
        """Refuse weights that are none, and a loss without any."""
        super().__post_init__()
        for name in ("invariance", "variance", "covariance"):
            limited(f"--method.{name}-weight", getattr(self, f"{name}_weight"), 0, WIDEST)
        if not self.invariance_weight:
            raise TriptychError(
                "--method.invariance-weight 0 would compare no views; give a number above 0"
            )


class VICReg(JointEmbedding):
    """Projections of two looks are to be near each other, to vary in each dimension, and in each on its own.

    Example:
        >>> import torch
        >>> from triptych.types import DataSpec
        >>> config = VICRegConfig(depth=10, width=4, projector=(16, 8))
        >>> method = VICReg(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.project(method.encode(torch.zeros(5, 3, 32, 32))).shape
        torch.Size([5, 8])
    """

    Config = VICRegConfig
    title = "VICReg"
    gathers = True
    cosine = "cosine"
    only_agrees = False
    by_direction = False
    guard = "the variance term and the covariance term have their weights"
    normalised = False
    config: VICRegConfig

    def formula(self) -> str:
        """The terms that have a weight, s of two views and v, c of each."""
        config = self.config
        terms = (
            (r"\lambda", config.invariance_weight, r"\|z_1 - z_2\|^2 / d"),
            (r"\mu", config.variance_weight, r"\tfrac{1}{2} \left[v(z_1) + v(z_2)\right]"),
            (r"\nu", config.covariance_weight, r"\left[c(z_1) + c(z_2)\right]"),
        )
        kept = [(sign, weight, of) for sign, weight, of in terms if weight]
        total = " + ".join(rf"{sign} {of}" for sign, _, of in kept)
        values = r",\, ".join(rf"{sign} = {plain(weight)}" for sign, weight, _ in kept)
        return rf"\min \; {total}, \quad {values}"

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """λ s(z₁, z₂) + μ ½ [v(z₁) + v(z₂)] + ν [c(z₁) + c(z₂)] (equation 6, with the authors' code).

        There s is the mean over the dimensions and the variance term halved, unlike in the paper's equations; the paper's weights
        are those of the code.
        """
        config, (z1, z2) = self.config, self._projections(batch)
        invariance, agreement = (z1 - z2).square().mean(1), cosine(z1, z2)
        z1, z2 = gathered(z1), gathered(z2)
        variance = (variance_hinge(z1) + variance_hinge(z2)) / 2
        covariance = covariance_penalty(z1) + covariance_penalty(z2)
        loss = (
            config.invariance_weight * invariance
            + config.variance_weight * variance
            + config.covariance_weight * covariance
        )
        terms = {"loss": loss, "invariance": invariance, "variance": variance}
        return Losses(loss, {**terms, "covariance": covariance, "cosine": agreement})
