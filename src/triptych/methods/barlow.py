"""Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230), and what is left of it without decorrelation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from triptych.bases.formulas import plain
from triptych.bases.joint_embedding import JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, limited
from triptych.nets.joint import gathered
from triptych.objectives.redundancy import cross_correlation, off_diagonal, on_diagonal
from triptych.objectives.similarity import cosine
from triptych.types import Batch, Losses

__all__ = ["Barlow", "BarlowConfig"]


@dataclass(frozen=True)
class BarlowConfig(JointEmbeddingConfig):
    """What is particular to Barlow Twins. The defaults are the paper's weight and its three layers, four times thinner."""

    off_diagonal_weight: float = 5e-3
    """λ, the weight of the correlations of different dimensions; with 0 all dimensions may be the same."""
    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the projector's layers; the last is how many dimensions are correlated."""

    def __post_init__(self) -> None:
        """Refuse a weight that is none."""
        super().__post_init__()
        limited("--method.off-diagonal-weight", self.off_diagonal_weight, 0, WIDEST)


class Barlow(JointEmbedding):
    """Each dimension of the projections is to be the same for both looks at an image, and correlated with no other dimension.

    Example:
        >>> import torch
        >>> from triptych.types import DataSpec
        >>> config = BarlowConfig(depth=10, width=4, projector=(16, 8))
        >>> method = Barlow(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.project(method.encode(torch.zeros(5, 3, 32, 32))).shape
        torch.Size([5, 8])
    """

    Config = BarlowConfig
    title = "Barlow Twins"
    gathers = True
    cosine = "cosine"
    only_agrees = False
    guard = "the correlations of different dimensions have their weight"
    config: BarlowConfig

    def formula(self) -> str:
        """Both sums over the correlations, or without a weight the first alone."""
        alike = r"\min \; \sum_i (1 - C_{ii})^2"
        of = r"C = \operatorname{corr}(z_1, z_2)"
        if not self.config.off_diagonal_weight:
            return rf"{alike}, \quad {of}"
        weight = plain(self.config.off_diagonal_weight)
        return rf"{alike} + \lambda \sum_i \sum_{{j \neq i}} C_{{ij}}^2, \quad {of}, \;\; \lambda = {weight}"

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """Σ (1 − C_ii)² + λ Σ_{i≠j} C_ij² (equation 1); the projector's last layer has standardised z₁ and z₂."""
        z1, z2 = self._projections(batch)
        c = cross_correlation(gathered(z1), gathered(z2))
        invariance, redundancy = on_diagonal(c), off_diagonal(c)
        loss = invariance + self.config.off_diagonal_weight * redundancy
        terms = {"loss": loss, "invariance": invariance, "redundancy": redundancy}
        return Losses(loss, {**terms, "cosine": cosine(z1, z2)})
