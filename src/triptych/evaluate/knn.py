"""Nearest-neighbour classification of frozen features (Wu et al. 2018, arXiv 1805.01978)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.evaluate.subject import Subject
from triptych.runs import Result
from triptych.types import Encodes

__all__ = ["features", "knn", "knn_predict"]

CHUNK = 1000
"""Queries compared with the bank at once."""


def knn_predict(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int = 200, temperature: float = 0.1
) -> Tensor:
    """Predicted class of each query: its k nearest by cosine vote with weight exp(cos / temperature).

    Args:
        bank: N×d features.
        labels: their N classes, int64.
        queries: M×d features.
        k: how many neighbours vote.
        temperature: of the weights; 0.1 in the paper's published code.

    Returns:
        M classes, int64. Memory is bounded by chunks of queries × N.
    """
    bank = F.normalize(bank.float(), dim=-1)
    classes = int(labels.max()) + 1
    k = min(k, len(bank))
    found = []
    for chunk in torch.split(F.normalize(queries.float(), dim=-1), CHUNK):
        similarity, nearest = (chunk @ bank.T).topk(k, dim=-1)
        weights = ((similarity - 1) / temperature).exp()
        votes = torch.zeros(len(chunk), classes, device=bank.device)
        found.append(votes.scatter_add_(1, labels[nearest], weights).argmax(-1))
    return torch.cat(found)


def features(subject: Subject, split: str) -> Tensor:
    """What the method's ``encode`` makes of every image of a split, N×d."""
    method = subject.method
    assert isinstance(method, Encodes)
    with torch.inference_mode():
        return torch.cat([method.encode(x).float() for _, x in subject.blocks(split)])


def knn(subject: Subject, split: str, k: int = 200, temperature: float = 0.1) -> dict[str, Result]:
    """``<split>/knn_top1`` with the training split as the bank, and the same on raw pixels as a floor.

    Raw pixels already do well above chance, so a figure without that line says little.
    """
    train, test = subject.dataset.splits["train"], subject.dataset.splits[split]
    assert train.labels is not None and test.labels is not None
    labels = torch.from_numpy(train.labels).to(subject.device)
    truth = torch.from_numpy(test.labels).to(subject.device)

    def accuracy(bank: Tensor, queries: Tensor, what: str) -> Result:
        right = (knn_predict(bank, labels, queries, k, temperature) == truth).cpu().double()
        share = float(right.mean())
        return Result(
            share,
            math.sqrt(share * (1 - share) / len(right)),
            len(right),
            subject.protocol(
                split,
                features=what,
                bank=f"train ({len(bank)})",
                k=min(k, len(bank)),
                temperature=temperature,
                similarity="cosine",
                unit="share right",
            ),
        )

    def pixels(name: str) -> Tensor:
        return torch.cat([x.flatten(1) for _, x in subject.blocks(name)])

    return {
        f"{split}/knn_top1": accuracy(
            features(subject, "train"), features(subject, split), "encoder output"
        ),
        f"{split}/knn_top1_pixels": accuracy(pixels("train"), pixels(split), "raw pixels"),
    }
