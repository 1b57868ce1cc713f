"""SimCLR (Chen et al. 2020, arXiv 2002.05709), and what is left of it without negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from triptych.bases.formulas import plain
from triptych.bases.joint_embedding import JointEmbedding, JointEmbeddingConfig
from triptych.config import WIDEST, limited
from triptych.nets.joint import gathered
from triptych.objectives.contrastive import nt_xent
from triptych.objectives.similarity import cosine
from triptych.types import Batch, Losses

__all__ = ["SimCLR", "SimCLRConfig"]


@dataclass(frozen=True)
class SimCLRConfig(JointEmbeddingConfig):
    """What is particular to SimCLR. The defaults are the paper's head and its temperature for CIFAR-10."""

    negatives: bool = True
    """Whether the looks at other images are to be unlike; without them the projections collapse."""
    temperature: float = 0.5
    """τ: cosines are divided by it; the smaller it is, the more the nearest others count."""
    projector: tuple[int, ...] = (512, 128)
    """Widths of the projector's layers; the last is the space in which views are compared."""

    def __post_init__(self) -> None:
        """Refuse a temperature that is none."""
        super().__post_init__()
        limited("--method.temperature", self.temperature, 1 / WIDEST, WIDEST)


class SimCLR(JointEmbedding):
    """A network tells the other look at an image among all looks of a batch, by their cosines.

    Example:
        >>> import torch
        >>> from triptych.types import DataSpec
        >>> config = SimCLRConfig(depth=10, width=4, projector=(16, 8))
        >>> method = SimCLR(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.project(method.encode(torch.zeros(5, 3, 32, 32))).shape
        torch.Size([5, 8])
    """

    Config = SimCLRConfig
    title = "SimCLR"
    gathers = True
    cosine = "cosine"
    only_agrees = False
    guard = "the looks at other images count as negatives, and that a batch has many"
    config: SimCLRConfig

    def formula(self) -> str:
        """The cross-entropy, or without negatives the cosine of the two looks alone."""
        temperature = plain(self.config.temperature)
        if not self.config.negatives:
            return rf"\min \; -\tfrac{{1}}{{\tau}} \cos(z_1, z_2), \quad \tau = {temperature}"
        return (
            r"\min \; -\log \frac{\exp(\cos(z_i, z_j) / \tau)}"
            rf"{{\sum_{{k \neq i}} \exp(\cos(z_i, z_k) / \tau)}}, \quad \tau = {temperature}"
        )

    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """NT-Xent of the two looks at every image; without negatives −cos(z₁, z₂) / τ, its numerator alone."""
        z1, z2 = self._projections(batch)
        agreement, temperature = cosine(z1, z2), self.config.temperature
        if self.config.negatives:
            loss = nt_xent(gathered(z1), gathered(z2), temperature)
        else:
            loss = -agreement / temperature
        return Losses(loss, {"loss": loss, "cosine": agreement})
