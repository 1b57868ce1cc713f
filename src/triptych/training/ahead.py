"""What the coming steps need, on the device before they need it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

__all__ = ["Ahead"]

Make = Callable[[int, int], tuple[Tensor, ...]]
"""``make(first, count)``: the rows of ``count`` steps from ``first`` on, tensors on the host that begin with count."""


class Ahead:
    """A ring of two windows of rows on the device, a row a step: one is read while the host fills the other.

    `pick` takes the row of a step whose number is on the device, and asks the host for nothing; `before` is called
    by the host before each step, and does something only where a window begins. On CUDA rows are made by a thread of their own and
    copied through pinned memory on a stream of their own; elsewhere they are made when they are
    needed, unless ``aside`` asks for the thread. Memory is bounded by two windows here, and two there.

    Args:
        make: the rows of some steps.
        window: steps in a window.
        total: steps of the training; none is made beyond it.
        device: where the rows are read.
        aside: whether a thread makes the next window while this one is read.
    """

    def __init__(
        self, make: Make, window: int, total: int, device: torch.device, aside: bool | None = None
    ) -> None:
        self.make, self.window, self.total, self.device = make, window, total, device
        cuda = device.type == "cuda"
        self._copies = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        # Of each half: its rows have come; they are not read any more.
        self._come = [torch.cuda.Event() if cuda else None for _ in range(2)]  # type: ignore[no-untyped-call]
        self._read = [torch.cuda.Event() if cuda else None for _ in range(2)]  # type: ignore[no-untyped-call]
        # Which device is meant by default is a matter of each thread.
        there = (torch.cuda.set_device, (device,)) if device.index is not None else (None, ())
        self._threads = (
            ThreadPoolExecutor(1, "ahead", *there) if (cuda if aside is None else aside) else None
        )
        self._rings: list[Tensor] = []
        self._pinned: list[list[Tensor]] = [[], []]
        self._now = -1
        self._next: tuple[int, Future[None]] | None = None

    def before(self, step: int) -> None:
        """See to it that the row of this step is, or will be when the device comes to it, in its place."""
        number = step // self.window
        if number == self._now:
            return
        if self._copies is not None and self._now >= 0:
            read = self._read[self._now % 2]
            assert read is not None
            read.record()
        if self._next is not None:
            expected, made = self._next
            made.result()
        if self._next is None or expected != number:
            self._fill(number)
        come = self._come[number % 2]
        if come is not None:
            come.wait()
        self._now, self._next = number, None
        if self._threads is not None and (number + 1) * self.window < self.total:
            self._next = number + 1, self._threads.submit(self._fill, number + 1)

    def last(self, step: int) -> int:
        """The last step whose row comes with that of this one."""
        return min((step // self.window + 1) * self.window, self.total) - 1

    def pick(self, step: Tensor) -> tuple[Tensor, ...]:
        """The row of a step, a number on the device: what `make` gave for it, without the first dimension."""
        row = (step % (2 * self.window)).view(1)
        return tuple(ring.index_select(0, row).squeeze(0) for ring in self._rings)

    def close(self) -> None:
        """Wait for what is on its way, and let the thread go."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._copies is not None:
            self._copies.synchronize()

    def _fill(self, number: int) -> None:
        """Put a window into its half of the ring."""
        first = number * self.window
        count = min(self.window, self.total - first)
        rows, half = self.make(first, count), number % 2
        if not self._rings:
            self._rings = [
                torch.zeros((2 * self.window, *r.shape[1:]), dtype=r.dtype, device=self.device)
                for r in rows
            ]
            if self._copies is not None:
                self._copies.wait_stream(torch.cuda.current_stream(self.device))
        places = [ring.narrow(0, half * self.window, count) for ring in self._rings]
        if self._copies is None:
            for place, row in zip(places, rows, strict=True):
                place.copy_(row)
            return
        come, read = self._come[half], self._read[half]
        assert come is not None
        assert read is not None
        # The pinned rows of the window before may be on their way still.
        come.synchronize()
        if not self._pinned[half]:
            self._pinned[half] = [
                torch.empty((self.window, *r.shape[1:]), dtype=r.dtype, pin_memory=True)
                for r in rows
            ]
        with torch.cuda.stream(self._copies):
            # The device may still read the window before.
            self._copies.wait_event(read)
            for place, pinned, row in zip(places, self._pinned[half], rows, strict=True):
                pinned[:count].copy_(row)
                place.copy_(pinned[:count], non_blocking=True)
            come.record(self._copies)
