"""SimSiam (Chen and He 2021, arXiv 2011.10566) with the switches of its ablations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from triptych.config import WIDEST, OptimizerConfig, ViewsConfig, limited
from triptych.errors import TriptychError
from triptych.nets.heads import predictor, projector, random_predictor
from triptych.nets.resnet import ResNet, Stem
from triptych.objectives.similarity import symmetric_loss
from triptych.types import Batch, DataSpec, Group, Losses, Method, Phase, Selection

__all__ = ["SimSiam", "SimSiamConfig"]

_SGD = OptimizerConfig(name="sgd", lr=0.03, momentum=0.9, weight_decay=5e-4)


@dataclass(frozen=True)
class SimSiamConfig:
    """What is particular to SimSiam. The defaults are the reference's network, for batches of 256."""

    stop_gradient: bool = True
    """Whether the projections that are predicted count as constants; without it the networks collapse."""
    predictor: Literal["mlp", "none", "fixed-random"] = "mlp"
    """What predicts one view's projection from the other's; `fixed-random` never learns."""
    depth: Literal[10, 18, 34, 50] = 18
    """Layers of the residual network; 10 has one block a stage."""
    stem: Stem = "imagenet"
    """Before the first block: 7×7 stride 2 and max-pool, 3×3 at full size (`cifar`), or 3×3 stride 2 (`half`)."""
    width: int = 64
    """Channels of the first stage; they double at every later one."""
    projector: tuple[int, ...] = (512, 512, 2048)
    """Widths of the projector's layers; the last is the space in which views are compared."""
    predictor_width: int = 512
    """Width of the predictor's hidden layer."""
    batch_norm: Literal["joint", "local"] = "joint"
    """Where several devices share a batch: normalise over all of it, or each part by itself, which is another method."""
    mean: tuple[float, ...] = ()
    """Subtracted from each channel; without any it is the mean of the training images."""
    std: tuple[float, ...] = ()
    """Each channel is divided by it; without any it is the standard deviation of the training images."""
    views: ViewsConfig = field(default_factory=ViewsConfig)
    """How two looks at an image differ."""
    optimizer: OptimizerConfig = field(default=dataclasses.replace(_SGD, schedule="cosine"))
    """How backbone and projector learn; the paper's rate is 0.03 for every 256 images of a batch."""
    predictor_optimizer: OptimizerConfig = field(default=_SGD)
    """How the predictor learns: at a constant rate, or it falls behind what it predicts."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        if not self.projector:
            raise TriptychError("--method.projector needs one width or more")
        sizes = {"width": self.width, "predictor-width": self.predictor_width}
        for name, value in (*sizes.items(), *(("projector", w) for w in self.projector)):
            limited(f"--method.{name}", value, 1, WIDEST)
        if any(value <= 0 for value in self.std):
            raise TriptychError("--method.std divides: every value must be above 0")
        for scale in self.std:
            limited("--method.std", scale, 1 / WIDEST, WIDEST)
        for centre in self.mean:
            limited("--method.mean", centre, -WIDEST, WIDEST)


class SimSiam(Method):
    """One network gives z₁ and z₂ of two views; the loss holds each against the other, or what a small network h makes of it.

    Example:
        >>> config = SimSiamConfig(depth=10, width=4, projector=(16,), predictor_width=8)
        >>> method = SimSiam(config, DataSpec((3, 32, 32), "colour")).eval()
        >>> method.encode(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 32])
    """

    Config = SimSiamConfig
    title = "SimSiam"
    selection = Selection("valid/knn_top1", "higher")
    gauge = "loss"
    gathers = False
    cosine = "-loss"
    worth_compiling = False
    config: SimSiamConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: SimSiamConfig, spec: DataSpec) -> None:
        config = self.resolve(config, spec)
        super().__init__(config, spec)
        channels = spec.shape[0]
        for name in ("mean", "std"):
            values = getattr(config, name)
            if len(values) != channels:
                raise TriptychError(
                    f"--method.{name} has {len(values)} values and the images have {channels} channels"
                )
            self.register_buffer(
                name, torch.tensor(values).view(1, channels, 1, 1), persistent=False
            )
        self.views = config.views
        self.backbone = ResNet(config.depth, config.stem, config.width, channels)
        self.projector = projector(self.backbone.features, config.projector)
        self.predictor: nn.Module = nn.Identity()
        if config.predictor != "none":
            build = predictor if config.predictor == "mlp" else random_predictor
            self.predictor = build(config.projector[-1], config.predictor_width)
        # The layout in which the convolutions of CPUs and GPUs are fastest.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def resolve(cls, config: SimSiamConfig, spec: DataSpec) -> SimSiamConfig:
        """Mirror images only where they are of the same kind, and measure what normalises the channels."""
        flip = config.views.flip
        if flip is None:
            flip = 0.5 if spec.mirrors else 0.0
        channels = spec.shape[0]
        return dataclasses.replace(
            config,
            mean=config.mean or spec.mean or (0.5,) * channels,
            std=config.std or spec.std or (0.25,) * channels,
            views=dataclasses.replace(config.views, flip=flip),
        )

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
        """−½ [cos(p₁, z₂) + cos(p₂, z₁)], the targets z detached where the gradient stops.

        Each view passes by itself: batch norm of both together would be another method.
        """
        z1, z2 = (self.projector(self._backbone(x)) for x in batch.views)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        if self.config.stop_gradient:
            z1, z2 = z1.detach(), z2.detach()
        loss = symmetric_loss(p1, p2, z1, z2)
        return Losses(loss, {"loss": loss})

    def after_initialise(self) -> None:
        """Every block starts as its shortcut."""
        self.backbone.silence_residuals()

    def _backbone(self, x: Tensor) -> Tensor:
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.backbone(x)
        return out

    def encode(self, x: Tensor) -> Tensor:
        """The backbone's features h, N×features: what is measured and exported."""
        return self._backbone(x).float()

    def project(self, h: Tensor) -> Tensor:
        """The projections z, N×projection."""
        z: Tensor = self.projector(h)
        return z
