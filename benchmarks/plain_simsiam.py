"""The reference's SimSiam as a person would write it: the yardstick of `benchmarks/simsiam.py` and `gpu.py`.

It runs where it is told, in fp32 with PyTorch's own settings (on a card TF32 for convolutions, not for products), takes
views from a card or from pinned memory, and hands the loss out as it is on the device: the host never waits for a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)),
            *(nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)),
        )
        self.beside = nn.Sequential()
        if stride > 1 or a != b:
            self.beside = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.beside(x))


def plain_resnet(stem: str, width: int, blocks: int, channels: int) -> nn.Module:
    """A residual network without a classifier, so many blocks a stage: of two it is ResNet-18, of one ResNet-10."""
    w = width
    kernel, stride = {"imagenet": (7, 2), "cifar": (3, 1), "half": (3, 2)}[stem]
    first = nn.Conv2d(channels, w, kernel, stride, kernel // 2, bias=False)
    stages = [(w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 2)]
    return nn.Sequential(
        *(first, nn.BatchNorm2d(w), nn.ReLU(inplace=True)),
        *([nn.MaxPool2d(3, 2, 1)] if stem == "imagenet" else []),
        *(Block(*s) for a, b, k in stages for s in ((a, b, k), (b, b, 1))[:blocks]),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def plain_heads(features: int, widths: Sequence[int], hidden: int) -> tuple[nn.Module, nn.Module]:
    """A projector of these widths, and a predictor: 512-512-512-2048 and 2048-512-2048 in the reference."""

    def layer(a: int, b: int) -> tuple[nn.Module, ...]:
        return nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True)

    *before, end = features, *widths
    last = nn.Linear(before[-1], end, bias=False), nn.BatchNorm1d(end, affine=False)
    projector = nn.Sequential(*(m for a, b in pairwise(before) for m in layer(a, b)), *last)
    return projector, nn.Sequential(*layer(end, hidden), nn.Linear(hidden, end))


def plain_updates(
    pairs: Iterable[tuple[Tensor, Tensor]],
    lr: float,
    device: torch.device | str = "cpu",
    *,
    stem: str = "imagenet",
    width: int = 64,
    blocks: int = 2,
    channels: int = 3,
    projector: Sequence[int] = (512, 512, 2048),
    predictor: int = 512,
) -> Iterator[Tensor]:
    """Train on batches of two views for as long as there are any; yields the loss after every update.

    Without other words it is the reference's network.
    """
    heads = plain_heads(8 * width, projector, predictor)
    encoder = nn.Sequential(plain_resnet(stem, width, blocks, channels), heads[0]).to(device)
    predict = heads[1].to(device)
    parameters = [*encoder.parameters(), *predict.parameters()]
    sgd = torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=5e-4)
    for x1, x2 in pairs:
        z1, z2 = (encoder(x.to(device, non_blocking=True)) for x in (x1, x2))
        p1, p2 = predict(z1), predict(z2)
        agreement = F.cosine_similarity(p1, z2.detach()) + F.cosine_similarity(p2, z1.detach())
        loss = -0.5 * agreement.mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        yield loss.detach()
