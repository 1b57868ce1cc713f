"""How near features come to those of the training images."""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evaluation.subject import BLOCK, Network, Subject

__all__ = ["nearest", "training_features"]

BANK = 50_000
"""Training images that are searched at most, spread evenly over the split."""

CHUNK = 500
"""Queries compared with the bank at once."""


def nearest(queries: Tensor, bank: Tensor) -> Tensor:
    """Euclidean distance min_j ‖q_i − b_j‖ of each query to its nearest neighbour in the bank.

    Args:
        queries: …×d features.
        bank: N×d features.

    Returns:
        … distances ≥ 0. Memory is bounded by chunks of queries × N.
    """
    # Distances do not change, and the products below lose fewer digits.
    centre = bank.mean(0)
    bank = bank - centre
    offset = bank.square().sum(1) / 2
    found = []
    for chunk in torch.split((queries - centre).flatten(end_dim=-2), CHUNK):
        index = torch.addmm(offset, chunk, bank.T, beta=-1).argmax(1)
        found.append((chunk - bank[index]).norm(dim=1))
    return torch.cat(found).view(queries.shape[:-1])


def training_features(subject: Subject, extract: Network) -> Tensor:
    """Features of the training images, N×d, or of `BANK` of them."""
    count = len(subject.dataset.splits["train"])
    wanted = torch.linspace(0, count - 1, min(count, BANK), dtype=torch.float64).round().long()
    found, blocks = [], subject.block_count("train")
    with torch.inference_mode():
        for number, x in subject.blocks("train"):
            inside = wanted[wanted // BLOCK == number] - number * BLOCK
            found.append(extract(x[inside.to(x.device)]))
            subject.progress("features of the training images (blocks)", number + 1, blocks)
    return torch.cat(found)
