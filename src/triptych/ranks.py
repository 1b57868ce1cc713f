"""The processes that share one piece of work, a device each: who they are, and how they add and gather."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from triptych.errors import TriptychError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["ALONE", "PATIENCE", "Ranks", "current", "joined", "size_from_environment"]

T = TypeVar("T")

PATIENCE = "TRIPTYCH_PATIENCE"
"""The environment variable with the seconds after which a process that waits for another gives up."""

PATIENT = 600.0
"""Seconds without that variable: what one process does between two meetings (a look, a save) is shorter."""


class Ranks:
    """Processes that do the same work, each on its share: rank ``rank`` of ``size``.

    Each method is a meeting: all ranks call the same ones in the same order, and who misses one is waited for
    `PATIENCE` seconds. Alone, with ``size`` 1, nothing is communicated.

    Example:
        >>> [Ranks(rank, 3).part(8) for rank in range(3)]
        [(0, 3), (3, 6), (6, 8)]
        >>> ALONE.part(8), ALONE.gathered("a"), ALONE.any(False)
        ((0, 8), ['a'], False)
    """

    def __init__(self, rank: int = 0, size: int = 1, local: int = 0, local_size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.local, self.local_size = local, local_size
        """Its number among the ranks of this machine, and how many they are."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def part(self, count: int) -> tuple[int, int]:
        """Start and stop of this rank's share of ``count`` things in a row; the first ranks have one more where it does not divide."""
        return self._start(self.rank, count), self._start(self.rank + 1, count)

    def _start(self, rank: int, count: int) -> int:
        each, more = divmod(count, self.size)
        return rank * each + min(rank, more)

    def gathered(self, thing: T) -> list[T]:
        """The things of all ranks, in their order; tensors come as they are on the host.

        Between processes of one training, which trust each other: things travel as pickles.
        """
        if self.size == 1:
            return [thing]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, thing, group=_host_group())
        return found

    def of_first(self, thing: T) -> T:
        """What rank 0 has; the others' is ignored."""
        if self.size == 1:
            return thing
        import torch.distributed as dist

        found: list[Any] = [thing]
        dist.broadcast_object_list(found, src=0, group=_host_group())
        return found[0]  # type: ignore[no-any-return]

    def any(self, flag: bool) -> bool:
        """Whether it is so for any rank."""
        if self.size == 1:
            return flag
        import torch
        import torch.distributed as dist

        said = torch.tensor(int(flag))
        dist.all_reduce(said, dist.ReduceOp.MAX, group=_host_group())
        return bool(said)

    def same(self, what: str, thing: object) -> None:
        """A `TriptychError` on all ranks where they do not all have the same ``thing``, which it calls ``what``."""
        everybody = self.gathered(thing)
        odd = next((rank for rank, other in enumerate(everybody) if other != everybody[0]), None)
        if odd is not None:
            raise TriptychError(
                f"the processes of this training differ: {what} is {everybody[0]} for rank 0 and {everybody[odd]} for rank {odd}"
            )

    def add_(self, tensor: Tensor) -> None:
        """Replace a tensor of the device by the sum of all ranks', the same bits on each."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of all ranks', for autograd: its gradient is the sum of all ranks' gradients, as often as it is asked for."""
        if self.size == 1:
            return tensor
        from triptych.nets.joint import Added

        return Added.apply(tensor)  # type: ignore[no-any-return,no-untyped-call]


ALONE = Ranks()
"""One process by itself."""

_now = ALONE
_host: Any = None


def current() -> Ranks:
    """The ranks that this process is one of at the moment; `ALONE` where it is by itself."""
    return _now


def _host_group() -> Any:
    return _host


def size_from_environment() -> int:
    """How many ranks a launcher such as torchrun has begun, this process among them; 1 without any.

    Raises `TriptychError` where the launcher's variables make no sense.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if "RANK" not in os.environ or "LOCAL_RANK" not in os.environ:
        return 1
    if not text.isdecimal() or int(text) < 1:
        raise TriptychError(f"the environment's WORLD_SIZE is {text!r}; a launcher such as torchrun sets it")
    return int(text)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Within it this process is one of the ranks that a launcher has begun, which meet here; `ALONE` without one.

    Tensors are added by NCCL on CUDA and by Gloo elsewhere.
    """
    global _now, _host
    size = size_from_environment()
    if size == 1 or _now is not ALONE:
        yield _now
        return
    import torch
    import torch.distributed as dist

    patience = timedelta(seconds=float(os.environ.get(PATIENCE) or PATIENT))
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=patience)
    try:
        _host = dist.new_group(backend="gloo", timeout=patience) if backend != "gloo" else None
        of: Sequence[int] = [int(os.environ[name]) for name in ("RANK", "LOCAL_RANK")]
        _now = Ranks(of[0], size, of[1], int(os.environ.get("LOCAL_WORLD_SIZE", size)))
        yield _now
    finally:
        _now, _host = ALONE, None
        dist.destroy_process_group()
