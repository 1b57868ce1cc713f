"""The VAE of the reference report as a person would write it: the yardstick of `benchmarks/vae.py`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class PlainVAE(nn.Module):
    """784-300-300-200 and 100-300-300-784."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, 300), nn.ELU(), nn.Linear(300, 300), nn.ELU(), nn.Linear(300, 200)
        )
        self.decoder = nn.Sequential(
            nn.Linear(100, 300), nn.ELU(), nn.Linear(300, 300), nn.ELU(), nn.Linear(300, 784)
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


def plain_steps(model: PlainVAE, images: Tensor) -> Iterator[float]:
    """Train for ever with a DataLoader; yields the loss of every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    while True:
        for (x,) in loader:
            probabilities, mean, log_variance = model(x)
            reconstruction = F.binary_cross_entropy(probabilities, x, reduction="none").sum(1)
            kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
            loss = (reconstruction + kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


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
