"""The WGAN-LP of the reference report as a person would write it: the yardstick of `benchmarks/wgan.py` and `gpu.py`.

It runs where the images are, in fp32 with PyTorch's own settings (on a card TF32 for convolutions, not for products),
and hands the loss out as it is on the device: the host never waits for a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn


def halved(side: int) -> tuple[int, int]:
    """How often a side is halved, and what is left: 32 → 3, 4; 28 → 2, 7."""
    times = 3 if side % 8 == 0 else 2
    return times, side >> times


def plain_generator(
    width: int, shape: tuple[int, ...] = (3, 32, 32), latent: int = 100
) -> nn.Module:
    """100-4w-2w-w-3 with batch normalisation; 100-2w-w-1 for digits of 28×28."""
    times, base = halved(shape[1])
    widths = [width << i for i in reversed(range(times))]
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[0], base)]
    for a, b in zip(widths, [*widths[1:], shape[0]], strict=True):
        layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1)]
    return nn.Sequential(*layers, nn.Tanh())


def plain_critic(width: int, shape: tuple[int, ...] = (3, 32, 32)) -> nn.Module:
    """3-w-2w-4w-1 with leaky ReLU; 1-w-2w-1 for digits."""
    times, base = halved(shape[1])
    widths = [shape[0], *(width << i for i in range(times))]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, base))


def plain_updates(
    width: int, images: Tensor, batch: int = 64, latent: int = 100
) -> Iterator[Tensor]:
    """Train for ever on images in [−1, 1], where they are; yields the critic's loss after every update of the generator."""
    shape, device = tuple(images.shape[1:]), images.device
    generator = plain_generator(width, shape, latent).to(device)
    critic = plain_critic(width, shape).to(device)
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.5, 0.9))
    adam_f = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.5, 0.9))
    while True:
        for _ in range(5):
            x = images[torch.randint(len(images), (batch,), device=device)]
            y = generator(torch.randn(batch, latent, 1, 1, device=device)).detach()
            t = torch.rand(batch, 1, 1, 1, device=device)
            points = (t * x + (1 - t) * y).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
            norm = gradient.flatten(1).norm(dim=1)
            penalty = torch.clamp(norm - 1, min=0).square().mean()
            loss = critic(y).mean() - critic(x).mean() + 10 * penalty
            adam_f.zero_grad()
            loss.backward()
            adam_f.step()
        adam_g.zero_grad()
        z = torch.randn(batch, latent, 1, 1, device=device)
        (-critic(generator(z)).mean()).backward()
        adam_g.step()
        yield loss.detach()
