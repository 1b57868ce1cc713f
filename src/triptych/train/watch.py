"""What is accumulated on the device between log points: the mean of every term, and the first bad one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from triptych.types import Losses

__all__ = ["Watch", "reduce_losses"]


def reduce_losses(losses: Losses) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """The scalar to differentiate, then the means of it and of every term as one vector, and their names."""
    objective = losses.minimise.mean()
    means = [objective.detach(), *(term.detach().float().mean() for term in losses.terms.values())]
    return objective, torch.stack(means), ("objective", *losses.terms)


class Watch:
    """Sums of one phase's terms since the last log point, and the first update at which one was not finite.

    Nothing here waits for the device until `read` or `bad` is called. ``skip`` is
    shared with the optimizers and the other phases: from the first bad update on
    it is 1 and nobody changes anything more. ``good`` counts, for every term, the
    updates up to there at which it was finite: at the first bad one some fall behind.
    """

    def __init__(self, phase: str, repeats: int, skip: Tensor) -> None:
        self.phase, self.repeats, self.skip = phase, repeats, skip
        self.names: tuple[str, ...] = ()
        self.sums = torch.zeros(0, device=skip.device)
        self.good = torch.zeros(0, device=skip.device)
        self.count = self.updates = self.first_step = 0

    def see(self, step: int, values: Tensor, names: tuple[str, ...]) -> None:
        """Take in the reduced terms of one update."""
        if self.names != names:
            self.names = names
            self.sums = torch.zeros_like(values)
        if not self.updates:
            self.first_step = step
            self.good = torch.zeros_like(values)
        finite = values.isfinite().float()
        self.good.addcmul_(finite, 1 - self.skip)
        torch.maximum(self.skip, 1 - finite.min(), out=self.skip)
        self.sums += values
        self.count += 1
        self.updates += 1

    def bad(self) -> tuple[int, str] | None:
        """Step and term of the first bad update, if there was one. Waits for the device."""
        if not self.updates or not bool(self.skip):
            return None
        good = self.good.tolist()
        least = min(good)
        if least == self.updates:
            return None
        # The objective is not finite either, but it is a term that names the cause.
        bad = [name for name, count in zip(self.names, good, strict=True) if count == least]
        return self.first_step + int(least) // self.repeats, (bad[1:] or bad)[0]

    def read(self) -> dict[str, float]:
        """The mean of every term since the last call, and start again."""
        values = (self.sums / max(self.count, 1)).tolist()
        self.sums = torch.zeros_like(self.sums)
        self.count = 0
        return dict(zip(self.names[1:], values[1:], strict=True))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next log line of a resumed run is the same."""
        return {f"watch.{self.phase}.sums": self.sums}

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[str], count: int) -> None:
        """Take back what `state` gave, with the names and the count that the checkpoint describes."""
        self.names, self.count = tuple(names), count
        self.sums = tensors[f"watch.{self.phase}.sums"].to(self.skip.device, copy=True)
