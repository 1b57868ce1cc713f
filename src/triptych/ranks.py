"""The processes that share one piece of work, a device each: who they are, and how they add and gather."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from triptych.errors import CIRCUMSTANCES, LostError, MachineError, TriptychError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "ALONE",
    "PATIENCE",
    "Ranks",
    "current",
    "joined",
    "launched",
    "leave",
    "refuse_missing",
]

S = TypeVar("S")
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

    def own(self, device: torch.device) -> torch.device:
        """The device of this rank, of those of a kind that its machine has; `TriptychError` where they are too few."""
        import torch

        refuse_missing(device, self.local_size)
        if self.size == 1 or device.type != "cuda":
            return device
        return torch.device("cuda", self.local)

    def gathered(self, thing: T) -> list[T]:
        """The things of all ranks, in their order; tensors in them stay on their kind of device.

        Between processes of one training, which trust each other: things travel as pickles, but for the bytes of
        their tensors, which go from device to device.
        """
        if self.size == 1:
            return [thing]
        import torch.distributed as dist

        outline, tensors = _taken_apart(thing)
        about = [(t.dtype, t.shape, t.device.type) for t in tensors]
        told: list[Any] = [None] * self.size
        with self._heard():
            dist.all_gather_object(told, (outline, about), group=_host)
            everybody = _gathered_tensors(tensors, [theirs for _, theirs in told])
        return [
            _put_together(outline, theirs)
            for (outline, _), theirs in zip(told, everybody, strict=True)
        ]

    def of_first(self, thing: T) -> T:
        """What rank 0 has; the others' is ignored."""
        if self.size == 1:
            return thing
        import torch.distributed as dist

        found: list[Any] = [thing]
        with self._heard():
            dist.broadcast_object_list(found, src=0, group=_host)
        return found[0]  # type: ignore[no-any-return]

    def by_first(self, work: Callable[[], T]) -> T:
        """What ``work`` gives rank 0, which alone does it; where it fails there, it fails on all."""
        if self.size == 1:
            return work()
        done, error = _attempted(work) if self.first else (None, None)
        done, failure = self.of_first((done, self._failure(error)))
        if failure is not None:
            raise self._said(failure) from error
        return done  # type: ignore[return-value]

    def unanimous(self, work: Callable[[], T]) -> T:
        """What ``work`` gives this rank, if it succeeds on every one; where it fails on one, it fails on all.

        ``work`` holds no meeting of its own: the others would wait there for the one that failed.
        """
        if self.size == 1:
            return work()
        done, error = _attempted(work)
        failed = next((f for f in self.gathered(self._failure(error)) if f is not None), None)
        if failed is not None:
            raise self._said(failed) from error
        return done  # type: ignore[return-value]

    def shared(self, things: Sequence[S], work: Callable[[Sequence[S]], Iterable[T]]) -> list[T]:
        """What ``work`` gives of all things, in their order, on every rank: each does its part of them, once.

        Where it fails on one rank, it fails on all. ``work`` is not asked for an empty part, and holds no meeting.

        Example:
            >>> ALONE.shared([1, 2, 3], lambda part: (2 * thing for thing in part))
            [2, 4, 6]
        """
        start, stop = self.part(len(things))
        mine = things[start:stop]
        found = self.unanimous(lambda: list(work(mine)) if stop > start else [])
        return [one for part in self.gathered(found) for one in part]

    def _failure(self, error: Exception | None) -> _Failure | None:
        if error is None:
            return None
        machine = isinstance(error, CIRCUMSTANCES)
        if isinstance(error, TriptychError):
            return _Failure(self.rank, str(error), True, machine)
        return _Failure(self.rank, f"{type(error).__name__}: {error}", False, machine)

    def _said(self, failure: _Failure) -> TriptychError:
        kind = MachineError if failure.machine else TriptychError
        if failure.expected:
            return kind(failure.sentence)
        return kind(f"rank {failure.rank} of {self.size} failed by {failure.sentence}")

    def any(self, flag: bool) -> bool:
        """Whether it is so for any rank."""
        if self.size == 1:
            return flag
        import torch
        import torch.distributed as dist

        said = torch.tensor(int(flag))
        with self._heard():
            dist.all_reduce(said, dist.ReduceOp.MAX, group=_host)
        return bool(said)

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.any(False)

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

            with self._heard():
                dist.all_reduce(tensor)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Let what a backend says of a rank that is gone be one sentence."""
        import torch

        try:
            yield
        except RuntimeError as error:
            # What a GPU has met with is its own.
            if isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error):
                raise
            raise LostError(
                f"rank {self.rank} of {self.size} does not hear of another one, which has ended or has kept it waiting "
                f"for {_patience():g} seconds ({str(error).strip().splitlines()[0]})"
            ) from error


class _Failure(NamedTuple):
    """What a rank could not do, whether that was a mistake in the input, which all ranks say alike, or the machine's fault."""

    rank: int
    sentence: str
    expected: bool
    machine: bool


def _attempted(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    # Whatever it is: the others wait to hear of it.
    except Exception as error:
        return None, error


def _taken_apart(thing: object) -> tuple[bytes, list[Tensor]]:
    """A thing as a pickle without its tensors, and these."""
    import torch

    tensors: list[Tensor] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, part: object) -> int | None:
            if not isinstance(part, torch.Tensor):
                return None
            tensors.append(part.detach())
            return len(tensors) - 1

    written = BytesIO()
    Pickler(written).dump(thing)
    return written.getvalue(), tensors


def _put_together(outline: bytes, tensors: Sequence[Tensor]) -> Any:
    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: int) -> Tensor:
            return tensors[pid]

    return Unpickler(BytesIO(outline)).load()


def _gathered_tensors(
    tensors: Sequence[Tensor], about: Sequence[Sequence[tuple[torch.dtype, torch.Size, str]]]
) -> list[list[Tensor]]:
    """The tensors of every rank, of which all know type and shape: their bytes in one row a rank, as long as the longest."""
    import torch
    import torch.distributed as dist

    def size(dtype: torch.dtype, shape: torch.Size) -> int:
        return dtype.itemsize * shape.numel()

    longest = max(sum(size(dtype, shape) for dtype, shape, _ in theirs) for theirs in about)
    on_card = any(kind == "cuda" for theirs in about for *_, kind in theirs)
    device = torch.device("cuda", torch.cuda.current_device()) if on_card else torch.device("cpu")
    rows = [torch.zeros(longest, dtype=torch.uint8, device=device) for _ in about]
    mine = torch.zeros(longest, dtype=torch.uint8, device=device)
    start = 0
    for tensor in tensors:
        # A tensor of one element counts as contiguous whatever its strides are, and may not be viewed as bytes.
        plain = tensor.clone(memory_format=torch.contiguous_format)
        flat = plain.view(-1).view(torch.uint8)
        mine[start : start + len(flat)].copy_(flat)
        start += len(flat)
    if longest:
        dist.all_gather(rows, mine, group=None if on_card else _host)
    found: list[list[Tensor]] = []
    for theirs, row in zip(about, rows, strict=True):
        found.append([])
        start = 0
        for dtype, shape, kind in theirs:
            stop = start + size(dtype, shape)
            # A copy begins where its numbers may, and holds no more memory than they take.
            part = row[start:stop].clone().view(dtype).view(shape)
            found[-1].append(part.to(kind))
            start = stop
    return found


def refuse_missing(device: torch.device, count: int) -> None:
    """A `TriptychError` where this machine has fewer devices of a kind."""
    import torch

    there = count
    if device.type == "cuda":
        there = torch.cuda.device_count()
    elif device.type != "cpu":
        there = 1
    if there < count:
        raise TriptychError(
            f"{count} devices are asked for and this machine has {there} of kind {device.type}; "
            f"say --devices {there}, or --device cpu"
        )


ALONE = Ranks()
"""One process by itself."""

_now = ALONE
_host: Any = None


def current() -> Ranks:
    """The ranks that this process is one of at the moment; `ALONE` where it is by itself."""
    return _now


def _patience() -> float:
    text = os.environ.get(PATIENCE) or str(PATIENT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 10**7:
        raise TriptychError(f"the environment's {PATIENCE} is {text!r}; it is a number of seconds")
    return seconds


def launched() -> bool:
    """Whether a launcher such as torchrun has begun this process as one of several."""
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return several and "RANK" in os.environ and "LOCAL_RANK" in os.environ


def _size() -> int:
    """How many ranks a launcher has begun, this process among them; 1 without any.

    Raises `TriptychError` where the launcher's variables make no sense.
    """
    if not launched():
        return 1
    text = os.environ["WORLD_SIZE"]
    if not all(os.environ[name].isdecimal() for name in ("RANK", "LOCAL_RANK")):
        raise TriptychError(
            "the environment's RANK and LOCAL_RANK are no numbers; a launcher such as torchrun sets them"
        )
    if not text.isdecimal() or int(text) < 1:
        raise TriptychError(
            f"the environment's WORLD_SIZE is {text!r}; a launcher such as torchrun sets it"
        )
    return int(text)


def leave(code: int) -> NoReturn:
    """End this process as one of several: at once, since a backend whose meeting broke off aborts when Python takes it apart."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Within it this process is one of the ranks that a launcher has begun, which meet here; `ALONE` without one.

    Tensors are added by NCCL on CUDA and by Gloo on the CPU. On a machine with GPUs each rank has one of its own by default.
    """
    global _now, _host
    size = _size()
    if size == 1 or _now is not ALONE:
        yield _now
        return
    import torch
    import torch.distributed as dist

    rank, local = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK"))
    ranks = Ranks(rank, size, local, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
    patience, backend = timedelta(seconds=_patience()), "gloo"
    # All ranks of a machine decide alike.
    if ranks.local_size <= torch.cuda.device_count():
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    with ranks._heard():
        dist.init_process_group(backend, timeout=patience)
        # What the hosts tell each other does not go through their GPUs.
        _host = dist.new_group(backend="gloo", timeout=patience)
    _now = ranks
    try:
        yield ranks
        # Not where something went wrong: who waits for the others then may wait for ever.
        ranks.meet()
        dist.destroy_process_group()
    finally:
        _now, _host = ALONE, None
