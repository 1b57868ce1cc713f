"""The reference's SimSiam as a person would write it: the yardstick of `benchmarks/simsiam.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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


def plain_resnet18() -> nn.Module:
    """ResNet-18 with the ImageNet stem, without a classifier."""
    stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)),
        nn.MaxPool2d(3, 2, 1),
        *(Block(*size) for a, b, s in stages for size in ((a, b, s), (b, b, 1))),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def plain_heads() -> tuple[nn.Module, nn.Module]:
    """Projector 512-512-2048 and predictor 2048-512-2048."""

    def hidden(a: int, b: int) -> tuple[nn.Module, ...]:
        return nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True)

    last = nn.Linear(512, 2048, bias=False), nn.BatchNorm1d(2048, affine=False)
    projector = nn.Sequential(*hidden(512, 512), *hidden(512, 512), *last)
    return projector, nn.Sequential(*hidden(2048, 512), nn.Linear(512, 2048))


def plain_updates(pairs: Iterable[tuple[Tensor, Tensor]], lr: float) -> Iterator[float]:
    """Train on batches of two views for as long as there are any; yields the loss after every update."""
    projector, predictor = plain_heads()
    encoder = nn.Sequential(plain_resnet18(), projector)
    parameters = [*encoder.parameters(), *predictor.parameters()]
    sgd = torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=5e-4)
    for x1, x2 in pairs:
        z1, z2 = encoder(x1), encoder(x2)
        p1, p2 = predictor(z1), predictor(z2)
        agreement = F.cosine_similarity(p1, z2.detach()) + F.cosine_similarity(p2, z1.detach())
        loss = -0.5 * agreement.mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        yield loss.item()
