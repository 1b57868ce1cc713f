"""What is accumulated on the device between log points: the mean of every term, and the first bad one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from triptych.errors import TriptychError

__all__ = ["Watch"]


class Watch:
    """Sums of one phase's terms since the last log point, and the first step at which one was not finite.

    Nothing here waits for the device until `read` or `check` is called.
    ``skip`` is shared with the optimizers: once it is 1 they change nothing more.
    """

    def __init__(self, phase: str, skip: Tensor) -> None:
        self.phase, self.skip = phase, skip
        self.names: tuple[str, ...] = ()
        device = skip.device
        self.sums = torch.zeros(0, device=device)
        self.bad_values = torch.zeros(0, device=device)
        self.count = 0
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=device)

    def see(self, step: int, minimise: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Take in the reduced objective and every term of one update."""
        names = ("objective", *terms)
        if self.names != names:
            self.names = names
            self.sums = torch.zeros(len(names), device=self.skip.device)
            self.bad_values = torch.zeros_like(self.sums)
        values = torch.stack([minimise, *(t.detach().mean() for t in terms.values())]).float()
        self.sums += values
        self.count += 1
        # Finite − finite = 0; anything else is not a number: one reduction says whether all is well.
        first = (values - values).sum().ne(0).float() * (1 - self.skip)
        self.bad_step += (first * (step + 1)).long()
        self.bad_values += torch.where(first > 0, values, 0.0)
        self.skip += first

    def check(self, kept: str) -> None:
        """A `TriptychError` if any value so far was not finite. Waits for the device."""
        step = int(self.bad_step)
        if step >= 0:
            good = self.bad_values.isfinite().tolist()
            term = next((n for n, ok in zip(self.names[1:], good[1:], strict=True) if not ok), None)
            raise TriptychError(
                f"the term '{term or self.names[0]}' of phase '{self.phase}' was not finite at "
                f"step {step}; lower the learning rate (--method.optimizer.lr), and find the last "
                f"good state, if one was saved, in '{kept}'"
            )

    def read(self) -> dict[str, float]:
        """The mean of every term since the last call, and start again."""
        values = (self.sums / max(self.count, 1)).tolist()
        self.sums.zero_()
        self.count = 0
        return dict(zip(self.names[1:], values[1:], strict=True))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold so that the next log line of a resumed run is the same."""
        return {f"watch.{self.phase}.sums": self.sums}

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[str], count: int) -> None:
        """Take back what `state` gave, with the names and the count that the checkpoint describes."""
        self.names, self.count = tuple(names), count
        self.sums = tensors[f"watch.{self.phase}.sums"].to(self.skip.device, copy=True)
        self.bad_values = torch.zeros_like(self.sums)
