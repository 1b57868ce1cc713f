"""What is kept on the device between log points: every term of every update, and whether all were finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.types import Losses

__all__ = ["Watch", "reduce_losses"]

FIRST = 64
"""Updates for which there is room at first."""


def reduce_losses(losses: Losses) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
    """What an update needs of its losses.

    Returns the scalar to differentiate; the means of it and of every term as one
    vector; 1 if any of them is not finite, else 0; and their names.
    """
    objective = losses.minimise.mean()
    terms = [term.detach().float().mean() for term in losses.terms.values()]
    values = torch.stack([objective.detach().float(), *terms])
    bad = 1 - values.isfinite().all().float()
    return objective, values, bad, ("objective", *losses.terms)


class Watch:
    """The reduced terms of one phase's updates since the last log point.

    Nothing here waits for the device until `bad` or `read` is called. ``skip`` is
    shared with the optimizers and the other phases: from the first update with a
    bad value on it is 1, and nobody changes anything more.
    """

    def __init__(self, phase: str, repeats: int, log_every: int, skip: Tensor) -> None:
        self.phase, self.repeats, self.skip = phase, repeats, skip
        self.rows = repeats * log_every
        self.names: tuple[str, ...] = ()
        self.history = torch.zeros(0, 0, device=skip.device)
        self.count = 0

    def see(self, values: Tensor, bad: Tensor, names: tuple[str, ...]) -> None:
        """Take in the reduced terms of one update."""
        if not self.names:
            self.names = names
            self.history = values.new_zeros(0, len(names))
        if self.count == len(self.history):
            # Twice as long: what is never reached needs no memory.
            more = min(max(self.count, FIRST), self.rows - self.count)
            self.history = torch.cat([self.history, values.new_zeros(more, len(names))])
        self.history[self.count] = values
        self.count += 1
        torch.maximum(self.skip, bad, out=self.skip)

    def bad(self, step: int) -> tuple[int, str] | None:
        """Step and term of the first bad value since the last log point, now that ``step`` steps are done."""
        finite = self.history[: self.count].isfinite()
        if bool(finite.all()):
            return None
        row = int(finite.all(1).int().argmin())
        first = step - (self.count - 1 - row) // self.repeats
        # The objective is not finite either, but it is a term that names the cause.
        bad = [n for n, ok in zip(self.names, finite[row].tolist(), strict=True) if not ok]
        return first, (bad[1:] or bad)[0]

    def read(self) -> dict[str, float]:
        """The mean of every term since the last call, and start again."""
        values = self.history[: self.count].mean(0).tolist()
        self.count = 0
        return dict(zip(self.names[1:], values[1:], strict=True))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next log line of a resumed run is the same."""
        return {f"watch.{self.phase}": self.history[: self.count]}

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[str], path: Path) -> None:
        """Take back what `state` gave, with the names that the checkpoint at ``path`` describes."""
        begun = tensors.get(f"watch.{self.phase}", torch.empty(0))
        if begun.ndim != 2 or begun.shape[1] != len(names) or len(begun) > self.rows:
            raise TriptychError(
                f"the checkpoint '{path}' was made for another config: "
                f"what phase '{self.phase}' has logged does not fit"
            )
        self.names = tuple(names)
        self.history = begun.to(self.skip.device, torch.float32, copy=True)
        self.count = len(begun)
