"""The WGAN-LP of the reference report as a person would write it: the yardstick of `benchmarks/wgan.py`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def plain_generator(width: int) -> nn.Module:
    """100-4w-2w-w-3 with batch normalisation."""
    w = width
    return nn.Sequential(
        *(nn.ConvTranspose2d(100, 4 * w, 4), nn.BatchNorm2d(4 * w), nn.ReLU()),
        *(nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), nn.BatchNorm2d(2 * w), nn.ReLU()),
        *(nn.ConvTranspose2d(2 * w, w, 4, 2, 1), nn.BatchNorm2d(w), nn.ReLU()),
        *(nn.ConvTranspose2d(w, 3, 4, 2, 1), nn.Tanh()),
    )


def plain_critic(width: int) -> nn.Module:
    """3-w-2w-4w-1 with leaky ReLU."""
    w = width
    return nn.Sequential(
        *(nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(w, 2 * w, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(2 * w, 4 * w, 4, 2, 1), nn.LeakyReLU(0.2)),
        nn.Conv2d(4 * w, 1, 4),
    )


def plain_updates(width: int, images: Tensor, batch: int = 64) -> Iterator[float]:
    """Train for ever on images in [−1, 1]; yields the critic's loss after every update of the generator."""
    generator, critic = plain_generator(width), plain_critic(width)
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.5, 0.9))
    adam_f = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.5, 0.9))
    while True:
        for _ in range(5):
            x = images[torch.randint(len(images), (batch,))]
            y = generator(torch.randn(batch, 100, 1, 1)).detach()
            t = torch.rand(batch, 1, 1, 1)
            points = (t * x + (1 - t) * y).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            norm = gradient.flatten(1).norm(dim=1)
            penalty = torch.clamp(norm - 1, min=0).square().mean()
            loss = critic(y).mean() - critic(x).mean() + 10 * penalty
            adam_f.zero_grad()
            loss.backward()
            adam_f.step()
        adam_g.zero_grad()
        (-critic(generator(torch.randn(batch, 100, 1, 1))).mean()).backward()
        adam_g.step()
        yield loss.item()
