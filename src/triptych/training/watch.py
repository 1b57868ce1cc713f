"""What is kept on the device between log points: the sum of every term, and what the first bad update had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.types import Losses

__all__ = ["Watch", "reduce_losses"]


def reduce_losses(losses: Losses) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
    """What an update needs of its losses.

    Returns the scalar to differentiate; the means of it and of every term as one
    vector; 1 if any of them is not finite, else 0, as a vector of one; and their names.
    """
    objective = losses.minimise.mean()
    terms = [term.detach().float().mean() for term in losses.terms.values()]
    values = torch.stack([objective.detach().float(), *terms])
    bad = 1 - values.isfinite().all().float().view(1)
    return objective, values, bad, ("objective", *losses.terms)


class Watch:
    """The reduced terms of one phase's updates since the last log point.

    Everything is a tensor on the device, changed in place: a recorded step goes on counting, and nothing waits
    for the device until `bad` or `read` is called. ``skip`` is shared with the optimizers and the other phases:
    from the first update with a bad value on it is 1, and nobody changes anything more.
    """

    def __init__(self, phase: str, skip: Tensor, ranks: int = 1) -> None:
        self.phase, self.skip = phase, skip
        self.names: tuple[str, ...] = ()
        # Of a sum of many steps single precision loses what the last ones add; one kind of device has no other.
        wide = torch.float32 if skip.device.type == "mps" else torch.float64
        self.sums = torch.zeros(0, dtype=wide, device=skip.device)
        self.count = torch.zeros((), dtype=torch.int64, device=skip.device)
        self.broken = torch.zeros(0, device=skip.device)
        self.broken_at = torch.full_like(self.count, -1)
        # One that is alone knows whose it was.
        self.broken_by = torch.zeros(ranks, device=skip.device) if ranks > 1 else None

    def see(self, values: Tensor, bad: Tensor, names: tuple[str, ...], step: Tensor) -> None:
        """Take in the reduced terms of one update of a step, which is counted from 0; ``bad`` has a flag for each rank."""
        if not self.names:
            self._begin(names)
        elif names != self.names:
            raise TriptychError(
                f"phase '{self.phase}' logs {', '.join(names[1:])}, and its checkpoint says {', '.join(self.names[1:])}: "
                "it was made by another method; train again"
            )
        # All are 0 or 1: the first bad one is the only one that is above.
        anyone = bad.amax()
        first = anyone > self.skip
        torch.where(first, values, self.broken, out=self.broken)
        torch.where(first, step, self.broken_at, out=self.broken_at)
        if self.broken_by is not None:
            torch.where(first, bad, self.broken_by, out=self.broken_by)
        self.sums.add_(values)
        self.count.add_(1)
        torch.maximum(self.skip, anyone, out=self.skip)

    def bad(self) -> tuple[int, str, list[int]] | None:
        """Step, counted from 1, term and ranks of the first bad value of all phases, if this phase had it."""
        step = int(self.broken_at)
        if step < 0:
            return None
        finite = self.broken.isfinite().tolist()
        # The objective is not finite either, but it is a term that names the cause.
        bad = [name for name, ok in zip(self.names, finite, strict=True) if not ok]
        by = [0] if self.broken_by is None else self.broken_by.nonzero().flatten().tolist()
        return step + 1, (bad[1:] or bad)[0], by

    def read(self) -> dict[str, float]:
        """The mean of every term since the last call, and start again."""
        means = (self.sums / self.count).tolist()
        self.sums.zero_()
        self.count.zero_()
        return dict(zip(self.names[1:], means[1:], strict=True))

    def tensors(self) -> list[Tensor]:
        """Everything that `see` changes, but for the shared ``skip``."""
        kept = [self.sums, self.count, self.broken, self.broken_at]
        return kept if self.broken_by is None else [*kept, self.broken_by]

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next log line of a resumed run is the same."""
        return {f"watch.{self.phase}.sums": self.sums, f"watch.{self.phase}.count": self.count}

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[str], path: Path) -> None:
        """Take back what `state` gave, with the names that the checkpoint at ``path`` describes."""
        if (before := tensors.get(f"watch.{self.phase}")) is not None and before.ndim == 2:
            # Older checkpoints have a row of every update since the log point.
            sums, count = before.double().sum(0), torch.tensor(len(before))
        else:
            missing = torch.empty(0, 0)
            sums = tensors.get(f"watch.{self.phase}.sums", missing)
            count = tensors.get(f"watch.{self.phase}.count", missing)
        if sums.shape != (len(names),) or count.shape != () or count < 0:
            raise TriptychError(
                f"the checkpoint '{path}' was made for another config: "
                f"what phase '{self.phase}' has logged does not fit"
            )
        if names:
            self._begin(tuple(names))
            self.sums.copy_(sums)
            self.count.copy_(count)

    def _begin(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sums = self.sums.new_zeros(len(names))
        self.broken = self.broken.new_zeros(len(names))
