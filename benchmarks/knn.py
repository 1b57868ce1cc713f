"""Nearest neighbours of many queries in a large bank, Triptych's and the plain way in turns.

    python benchmarks/knn.py [--queries 10000] [--bank 50000] [--features 512] [--k 200] [--rounds 3]

The plain way is `(q @ b.T).topk(k)` of unit vectors in fp32, 500 queries at once. Machines are
shared and drift: both are run in turns, the median of the ratios of neighbours is given, and the
processor's own time, divided by the threads, beside the clock's. The features are clusters that
overlap, through a ReLU, as those of a network do; both are to vote for the same class.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.evaluation.representation.cosine_neighbours import nearest

PLAIN_CHUNK = 500

CLASSES, TEMPERATURE = 10, 0.1


def plain_nearest(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosines and places of the k nearest as a person would write it."""
    bank = F.normalize(bank, dim=1)
    chunks = F.normalize(queries, dim=1).split(PLAIN_CHUNK)
    found = [(chunk @ bank.T).topk(k) for chunk in chunks]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def vote(found: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """The class that neighbours vote for."""
    similarity, index = found
    weights = ((similarity - 1) / TEMPERATURE).exp()
    votes = torch.zeros(len(index), CLASSES).scatter_add_(1, labels[index], weights)
    return votes.argmax(1)


def clusters(count: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features and classes."""
    centres = torch.randn(CLASSES, d, generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=draw)
    return (centres[labels] + 8 * torch.randn(count, d, generator=draw)).relu(), labels


def timed(work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[float, float, tuple[Tensor, Tensor]]:
    """Seconds of the clock, seconds of the processor for each thread, and the answer."""
    clock, processor = time.perf_counter(), time.process_time()
    found = work()
    spent = time.process_time() - processor
    return time.perf_counter() - clock, spent / torch.get_num_threads(), found


def main() -> None:
    """Measure both in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--bank", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    bank, labels = clusters(chosen.bank, chosen.features, 1)
    queries, truth = clusters(chosen.queries, chosen.features, 2)
    nearest(bank, queries[:500], chosen.k)  # Warm up.
    plain_nearest(bank, queries[:500], chosen.k)
    seconds: dict[str, list[tuple[float, float]]] = {"plain": [], "Triptych": []}
    classes = {}
    for _ in range(chosen.rounds):
        for name, method in (("plain", plain_nearest), ("Triptych", nearest)):
            clock, processor, found = timed(lambda f=method: f(bank, queries, chosen.k))
            seconds[name].append((clock, processor))
            classes[name] = vote(found, labels)
    for what, place in (("clock", 0), ("processor time / threads", 1)):
        plain, ours = ([s[place] for s in seconds[name]] for name in ("plain", "Triptych"))
        ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
        print(
            f"{chosen.queries:,} queries, bank {chosen.bank:,} × {chosen.features}, k {chosen.k}, {what}: "
            f"plain {statistics.median(plain):.2f} s, Triptych {statistics.median(ours):.2f} s "
            f"(least {min(ours):.2f} s; asked < 3 s), median ratio {ratio:.2f}"
        )
    same = (classes["plain"] == classes["Triptych"]).double().mean()
    right = (classes["Triptych"] == truth).double().mean()
    print(f"the same class for {same:.2%} of queries (asked 99.9 %), the right one for {right:.1%}")


if __name__ == "__main__":
    main()
