"""What methods have in common that compare two looks at an image: a residual network, a projector, and what they are fed.

It is no method: it has no objective. `triptych.nets` has networks that know no data, so it stands beside
`triptych.types`, on whose contract it rests.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from triptych.config import WIDEST, OptimizerConfig, ViewsConfig, limited
from triptych.errors import TriptychError
from triptych.nets.heads import projector
from triptych.nets.resnet import ResNet, Stem
from triptych.types import Batch, DataSpec, Group, Method, Phase, Selection

__all__ = ["ADAM", "SGD", "JointEmbedding", "JointEmbeddingConfig"]

SGD = OptimizerConfig(name="sgd", lr=0.06, momentum=0.9, weight_decay=5e-4, schedule="cosine")
"""How networks of this kind learn where nothing else is said, with batches of 128 images."""

ADAM = OptimizerConfig(lr=1e-3, schedule="cosine", warmup=0.1)
"""How they learn whose projections have lengths that count, where nothing else is said: plain steps of a useful size diverge."""

C = TypeVar("C", bound="JointEmbeddingConfig")


@dataclass(frozen=True)
class JointEmbeddingConfig:
    """Network, normalisation, views and optimizer."""

    depth: Literal[10, 18, 34, 50] = 18
    """Layers of the residual network; 10 has one block a stage."""
    stem: Stem = "imagenet"
    """Before the first block: 7×7 stride 2 and max-pool, 3×3 at full size (`cifar`), or 3×3 stride 2 (`half`)."""
    width: int = 64
    """Channels of the first stage; they double at every later one."""
    projector: tuple[int, ...] = (512, 512, 2048)
    """Widths of the projector's layers; the last is the space in which views are compared."""
    batch_norm: Literal["joint", "local"] = "joint"
    """Where several devices share a batch: normalise over all of it, or each part by itself, which is another method."""
    mean: tuple[float, ...] = ()
    """Subtracted from each channel; without any it is the mean of the training images."""
    std: tuple[float, ...] = ()
    """Each channel is divided by it; without any it is the standard deviation of the training images."""
    views: ViewsConfig = field(default_factory=ViewsConfig)
    """How two looks at an image differ."""
    optimizer: OptimizerConfig = field(default=SGD)
    """How backbone and projector learn."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        if not self.projector:
            raise TriptychError("--method.projector needs one width or more")
        for name, value in (("width", self.width), *(("projector", w) for w in self.projector)):
            limited(f"--method.{name}", value, 1, WIDEST)
        if any(value <= 0 for value in self.std):
            raise TriptychError("--method.std divides: every value must be above 0")
        for scale in self.std:
            limited("--method.std", scale, 1 / WIDEST, WIDEST)
        for centre in self.mean:
            limited("--method.mean", centre, -WIDEST, WIDEST)


class JointEmbedding(Method):
    """A backbone gives features h of an image, and a projector z of h, where two looks at it are compared.

    A subclass has an objective, and more networks if it needs some.
    """

    selection = Selection("valid/knn_top1", "higher")
    gauge = "loss"
    worth_compiling = False
    normalised: ClassVar[bool] = True
    """Whether the projector ends in batch normalisation, so that every dimension of z has mean 0 and variance 1 in a batch."""
    config: JointEmbeddingConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: Any, spec: DataSpec) -> None:
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
        self.backbone, self.projector = self._networks()

    def _networks(self) -> tuple[ResNet, torch.nn.Sequential]:
        """A backbone and a projector of the config's sizes."""
        config = self.config
        backbone = ResNet(config.depth, config.stem, config.width, self.spec.shape[0])
        head = projector(backbone.features, config.projector, normalised=self.normalised)
        # The layout in which the convolutions of CPUs and GPUs are fastest.
        return backbone.to(memory_format=torch.channels_last), head  # type: ignore[call-overload]

    @classmethod
    def resolve(cls, config: C, spec: DataSpec) -> C:
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

    def phases(self) -> tuple[Phase, ...]:
        """One phase: backbone and projector together."""
        return (Phase("agreement", (Group(("backbone", "projector"), self.config.optimizer),)),)

    def after_initialise(self) -> None:
        """Every block starts as its shortcut."""
        self.backbone.silence_residuals()

    def _projections(self, batch: Batch) -> list[Tensor]:
        """The projections of every view, N×projection each.

        Each view passes by itself: batch norm of both together would be another method.
        """
        return [self.projector(self._backbone(x)) for x in batch.views]

    def _scaled(self, x: Tensor) -> Tensor:
        """Images as the backbone is fed them."""
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def _backbone(self, x: Tensor) -> Tensor:
        out: Tensor = self.backbone(self._scaled(x))
        return out

    def encode(self, x: Tensor) -> Tensor:
        """The backbone's features h, N×features: what is measured and exported."""
        return self._backbone(x).float()

    def project(self, h: Tensor) -> Tensor:
        """The projections z, N×projection."""
        z: Tensor = self.projector(h)
        return z
