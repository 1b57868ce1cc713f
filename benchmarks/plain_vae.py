"""The VAE of the reference report as a person would write it: the yardstick of `benchmarks/vae.py` and `gpu.py`.

It runs where the images are, in fp32 with PyTorch's own settings (on a card TF32 for convolutions, not for products),
and hands the loss out as it is on the device: the host never waits for a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class PlainVAE(nn.Module):
    """784-300-300-200 and 100-300-300-784, or another number of latents than 100."""

    def __init__(self, latent: int = 100) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, 300), nn.ELU(), nn.Linear(300, 300), nn.ELU(), nn.Linear(300, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, 300), nn.ELU(), nn.Linear(300, 300), nn.ELU(), nn.Linear(300, 784)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return torch.sigmoid(self.decoder(z) - 5), mean, log_variance

    def take(self, method: nn.Module) -> PlainVAE:
        """The weights of a trained VAE of Triptych, for a comparison on the same network."""
        for mine, its in zip(self.parameters(), method.parameters(), strict=True):
            mine.data.copy_(its.data)
        return self


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Epoch after epoch in a new order: by a DataLoader, or by an index where the images lie on a card.

    There a DataLoader would launch a kernel an image, which nobody would put up with.
    """
    if images.device.type == "cpu":
        loader = DataLoader(TensorDataset(images), batch_size=size, shuffle=True)
        while True:
            yield from (x for (x,) in loader)
    while True:
        order = torch.randperm(len(images), device=images.device)
        yield from (images[index] for index in order.split(size))


def plain_steps(model: PlainVAE, images: Tensor, batch: int = 64) -> Iterator[Tensor]:
    """Train for ever, where the images are; yields the loss of every step."""
    model.to(images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    for x in batches(images, batch):
        probabilities, mean, log_variance = model(x)
        reconstruction = F.binary_cross_entropy(probabilities, x, reduction="none").sum(1)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        loss = (reconstruction + kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


@torch.no_grad()
def plain_log_likelihood(model: PlainVAE, images: Tensor, samples: int = 200) -> float:
    """Importance sampling in batches of the recipe: encode, draw K latents, decode them, log-sum-exp."""
    found = []
    for x in images.split(64):
        mean, log_variance = model.encoder(x).chunk(2, dim=1)
        std = torch.exp(0.5 * log_variance)
        z = mean[:, None] + std[:, None] * torch.randn(len(x), samples, mean.shape[1])
        p_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
        q_z = torch.distributions.Normal(mean[:, None], std[:, None]).log_prob(z).sum(-1)
        probabilities = torch.sigmoid(model.decoder(z) - 5)
        target = x[:, None].expand_as(probabilities)
        p_x = -F.binary_cross_entropy(probabilities, target, reduction="none").sum(-1)
        found.append(torch.logsumexp(p_x + p_z - q_z, 1) - torch.log(torch.tensor(float(samples))))
    return float(torch.cat(found).mean())
