"""What an attack is: an endless, seeded row of blows against the product, each of which it must bear without a loss."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = ["Attack", "Blow", "Figures"]


class Blow(NamedTuple):
    """One try: what kind it was, and what was lost; nothing if it was borne."""

    kind: str
    lost: str = ""
    """A sentence with what repeats it, a seed or a file that was kept."""
    count: int = 1
    """How many tries this stands for, where they come by the thousand."""


Attack = Callable[[Path, random.Random], Iterator[Blow]]
"""``attack(folder, draw)``: blows without end, in an empty folder of its own, all of chance from ``draw``."""


@dataclass
class Figures:
    """What an attack came to."""

    what: str
    seed: int
    kinds: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False
    """Whether it was ended by hand."""

    def add(self, blow: Blow) -> None:
        """Count a blow."""
        self.kinds[blow.kind] += blow.count
        if blow.lost:
            self.lost.append(f"{blow.kind}: {blow.lost}")

    def __str__(self) -> str:
        """One line: ``kills: 412 tried in 600 s (training 300, study 112), 0 lost; seed 7``."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.most_common())
        return (
            f"{self.what}: {self.kinds.total():,} tried in {self.seconds:,.0f} s ({kinds}), "
            f"{len(self.lost)} lost; seed {self.seed}{'; stopped by hand' if self.stopped else ''}"
        )
