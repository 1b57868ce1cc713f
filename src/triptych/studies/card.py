"""How many runs one card trains at once, and how long they take: measured, with processes that train in turn.

``python -m triptych.studies.card`` is such a process. It reads a folder, a config and the time as a line of JSON, trains until the first
line of its log, after whatever is compiled and recorded, and says so. Then it trains on for as many seconds as each
further line tells it, and says how many steps they were. While it waits it keeps its memory and takes no time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from triptych import data as data_plane
from triptych.config import Duration
from triptych.environment import cores, device_for, lacks_memory, memory
from triptych.errors import TriptychError, printable
from triptych.experiment import ExperimentConfig
from triptych.studies.forecast import Recorded, left_of, makespan, train_seconds
from triptych.studies.pace import Pace, told, trial
from triptych.studies.process import NO_ROOM
from triptych.studies.stopwatch import Looks, Timer
from triptych.training.loop import fit
from triptych.types import Method, Moment

__all__ = ["Coming", "Crowd", "Forecast", "crowd", "forecast", "how_many", "on_card", "share"]

SECONDS = 2.0
"""How long is trained for one measurement, about; to the next line of the log."""

WORTH = 1.1
"""More runs at once are worth it where they do so many times the work of fewer."""

MOST = 8
"""Processes at most that are begun to measure."""

FREE = 0.1
"""This share of a card's memory is to be left: looks and evaluations take more than steps."""

CONTEXT = 1e9
"""Bytes of the card that a process takes beside its tensors, about: its context, its libraries' kernels and work space."""

HOST = 3e9
"""Bytes of the host's memory that a process with PyTorch and its CUDA libraries takes, about."""

LINE = 100
"""Steps between two lines of the log at most: a measurement begins and ends at one."""

LONG = Duration(1_000_000, "steps")
"""Longer than it is trained here."""


class Crowd(NamedTuple):
    """How many runs train at once, how many times the work of one so many do, and what a step takes alone."""

    jobs: int
    gains: Mapping[int, float]
    paces: Mapping[str, Pace]
    """Of every kind of run."""
    starts: Mapping[str, float] = MappingProxyType({})
    """Seconds from the beginning of a process of each kind to its training, whatever is compiled and recorded included."""

    def gain(self, count: int) -> float:
        """How many times the work of one run ``count`` do at once; between those that were measured on a line.

        Example:
            >>> found = Crowd(4, {1: 1.0, 2: 1.8, 4: 2.4}, {})
            >>> found.gain(2), round(found.gain(3), 6), found.gain(4)
            (1.8, 2.1, 2.4)
        """
        measured = sorted(self.gains)
        return float(np.interp(count, measured, [self.gains[number] for number in measured]))

    def __str__(self) -> str:
        """In words.

        Example:
            >>> print(Crowd(2, {1: 1.0, 2: 1.8, 4: 1.9}, {}))
            2 runs at once on this card (2 do 1.8 times the work of one, 4 do 1.9 times)
            >>> print(Crowd(1, {1: 1.0}, {}))
            1 run at once on this card
        """
        more = [(n, f"{gain:.2g} times") for n, gain in sorted(self.gains.items()) if n > 1]
        found = [
            f"{n} do {f'{gain} the work of one' if i == 0 else gain}"
            for i, (n, gain) in enumerate(more)
        ]
        aside = f" ({', '.join(found)})" if found else ""
        return f"{self.jobs} run{'s' if self.jobs > 1 else ''} at once on this card{aside}"


class Coming(NamedTuple):
    """A run that is still to be done: its folder, its kind, and the seconds of what cannot be timed beforehand."""

    path: Path
    kind: str
    """Runs of one kind have one config but for the seed."""
    config: ExperimentConfig
    recorded: Recorded


class Forecast(NamedTuple):
    """A crowd, and the seconds that each run takes alone."""

    crowd: Crowd
    seconds: Mapping[Path, float]

    def left(self, done: Mapping[Path, float] | None = None) -> float:
        """Seconds to the end of all, of which these shares are done.

        Example:
            >>> a, b = Path("a"), Path("b")
            >>> found = Forecast(Crowd(2, {1: 1.0, 2: 1.5}, {}), {a: 30.0, b: 60.0})
            >>> found.left(), found.left({a: 1.0, b: 0.5})
            (70.0, 30.0)
        """
        shares = done or {}
        left = [seconds * (1 - shares.get(path, 0.0)) for path, seconds in self.seconds.items()]
        return makespan([s for s in left if s > 0], self.crowd.jobs, self.crowd.gain)


def on_card(configs: Iterable[ExperimentConfig]) -> bool:
    """Whether all of them compute on a CUDA card; asking makes no context there."""
    return all(device_for(config.train.device).type == "cuda" for config in configs)


def share(jobs: int, room: int | None = None) -> int:
    """The cores of each of so many runs, of ``room`` or of all.

    Example:
        >>> share(3, room=16), share(4, room=2)
        (5, 1)
    """
    return max(1, (room or cores()) // jobs)


def forecast(
    runs: Sequence[Coming], jobs: int | None, data_dir: str | None, room: int | None = None
) -> Forecast:
    """How long these runs take, begun in this order, ``jobs`` at once or as many as is measured to pay.

    Raises `TriptychError` with the last words of a process that could not train, and KeyboardInterrupt.
    """
    left = {run.path: left_of(run.path) for run in runs}
    train = [run for run in runs if left[run.path].trains]
    kinds = {run.kind: run.config.at(data_dir) for run in train}
    found = crowd(kinds, [run.kind for run in train], jobs, room)
    seconds = {}
    for run in runs:
        rest, recorded = left[run.path], run.recorded
        seconds[run.path] = rest.measures * recorded.measure + rest.draws * recorded.draw
        if rest.trains:
            pace = found.paces[run.kind]
            # What is compiled comes from the compiler's cache then, so that it takes no longer.
            begins = max(recorded.start, found.starts.get(run.kind, 0.0))
            recorded = dataclasses.replace(recorded, start=begins)
            # A training that breaks at once is followed by nothing.
            after = seconds[run.path] if pace.step else 0.0
            seconds[run.path] = train_seconds(run.config.train, rest, pace, recorded) + after
    return Forecast(found, seconds)


def crowd(
    kinds: Mapping[str, ExperimentConfig],
    runs: Sequence[str],
    jobs: int | None = None,
    room: int | None = None,
) -> Crowd:
    """Measure the kinds of runs alone, then the first runs side by side, until more of them do not pay.

    Args:
        kinds: the config of each kind.
        runs: the kind of every run, in the order in which they are begun.
        jobs: how many are to train at once, if somebody says it: only so many are measured then.
        room: cores that may be taken; each run keeps one of them busy.
    """
    if not runs:
        return Crowd(jobs or 1, {1: 1.0}, {})
    most = min(len(runs), jobs or min(room or cores(), MOST))
    order = list(dict.fromkeys(runs))
    for name in order.copy():
        order += [name] * (runs.count(name) - 1)
    count = max(min(len(kinds), MOST), min(most, MOST))
    count = max(1, min(count, int(memory(torch.device("cpu")) // HOST)))
    with ExitStack() as stack:
        every = _begun(order[:count], kinds, stack)
        paces = _alone(every)
        starts = _starts(every)
        warm = [process for process in every if process.trains]

        def together(count: int) -> float:
            return _gain([process for process in warm if process.trains][:count], paces)

        limit = min(most, fitting([process.ready for process in warm]))
        if jobs is None:
            best, gains = how_many(limit, together)
        else:
            best, number = jobs, min(most, len(warm))
            gains = {1: 1.0, number: together(number)} if number > 1 else {1: 1.0}
    # Of those for which there was no room, each by itself.
    for name in [name for name in kinds if name not in paces]:
        with ExitStack() as stack:
            late = _begun([name], kinds, stack)
            paces |= {name: Pace(0.0, Looks(0.0, 0.0, 0.0), 1.0)} | _alone(late)
            starts |= _starts(late)
    return Crowd(best, {n: gain for n, gain in gains.items() if gain > 0}, paces, starts)


def how_many(most: int, together: Callable[[int], float]) -> tuple[int, dict[int, float]]:
    """The number of runs at once, up to ``most``, and the gains that were measured: 2, 4, 8 …, while they pay.

    ``together(count)`` is how many times the work of one so many do, 0 where there is no room for them.

    Example:
        >>> how_many(8, {2: 1.9, 4: 3.0, 8: 3.1}.__getitem__)
        (4, {1: 1.0, 2: 1.9, 4: 3.0, 8: 3.1})
    """
    best, gains = 1, {1: 1.0}
    while best < most:
        count = min(2 * best, most)
        gains[count] = together(count)
        if gains[count] < WORTH * gains[best]:
            break
        best = count
    return best, gains


class Ready(NamedTuple):
    """What a process says when it is warm: its looks, steps an epoch, bytes of the card that it takes, that are free, in all; seconds to its training."""

    looks: Looks
    per_epoch: float
    taken: float = 0.0
    free: float = 0.0
    whole: float = 0.0
    start: float = 0.0


def fitting(ready: Sequence[Ready]) -> int:
    """How many of these, the first ones, leave the card its `FREE` share of memory; all are in it.

    Example:
        >>> looks, giga = Looks(0, 0, 0), 10**9
        >>> fitting([Ready(looks, 1, 20 * giga, free * giga, 80 * giga) for free in (60, 40, 20, 3)])
        3
        >>> fitting([Ready(looks, 1)] * 4)
        4
    """
    free = min((r.free for r in ready), default=0.0)
    for count in range(len(ready), 1, -1):
        if free + sum(r.taken for r in ready[count:]) >= FREE * ready[0].whole:
            return count
    return 1


class Process:
    """A process that trains when it is told to."""

    def __init__(self, kind: str, config: ExperimentConfig, threads: int, stack: ExitStack) -> None:
        self.kind = kind
        place = Path(stack.enter_context(TemporaryDirectory()))
        self.log = place / "log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "triptych.studies.card"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                text=True,
            )
        stack.callback(self._end)
        self._tell(json.dumps([str(place / "run"), config.tables(), time.time()]))
        self.ready = Ready(Looks(0.0, 0.0, 0.0), 1.0)
        self.trains = False
        self.breaks = False
        """Whether its loss was not finite: it trains no more."""

    def warm(self) -> None:
        """Wait until it has begun to train, or has ended."""
        found = self._hear()
        if found is not None:
            looks, *others = found["ready"]
            self.ready = Ready(Looks(*looks), *others)
            self.breaks = found["breaks"]
            self.trains = not self.breaks

    def go(self) -> None:
        """Let it train for some seconds."""
        self._tell(str(SECONDS))

    def step(self) -> float | None:
        """Seconds of a step since then; none where it has ended instead."""
        found = self._hear()
        return None if found is None else float(found["seconds"] / found["steps"])

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            # It has ended; why is heard next.
            pass

    def _hear(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            found: dict[str, Any] = json.loads(line)
            return found
        self.trains = False
        code = self.process.wait()
        if code == 130:
            raise KeyboardInterrupt
        self.breaks = code == 0
        # Killed: the host had no memory left, as a rule.
        if code in (0, NO_ROOM) or code < 0:
            return None
        last = (
            self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            or [f"code {code}"]
        )[-1]
        raise TriptychError(f"the warm-up of {self.kind} ended without times: {last}")

    def _end(self) -> None:
        self.process.kill()
        # Waits too: whatever follows finds its memory free.
        self.process.communicate()


def _begun(
    names: Sequence[str], kinds: Mapping[str, ExperimentConfig], stack: ExitStack
) -> list[Process]:
    """A warm process for each of these kinds; all are begun before any is waited for."""
    every = [Process(name, kinds[name], share(len(names)), stack) for name in names]
    for process in every:
        process.warm()
    return every


def _alone(every: Sequence[Process]) -> dict[str, Pace]:
    """The pace of every kind that has a process, while all others wait."""
    paces: dict[str, Pace] = {}
    for process in every:
        if process.kind in paces or not (process.trains or process.breaks):
            continue
        step: float | None = None
        if process.trains:
            process.go()
            step = process.step()
        if process.breaks:
            step = 0.0
        if step is not None:
            paces[process.kind] = Pace(step, process.ready.looks, process.ready.per_epoch)
    return paces


def _starts(every: Sequence[Process]) -> dict[str, float]:
    """The longest of each kind, all begun at once."""
    starts: dict[str, float] = {}
    for process in every:
        starts[process.kind] = max(starts.get(process.kind, 0.0), process.ready.start)
    return starts


def _gain(chosen: Sequence[Process], paces: Mapping[str, Pace]) -> float:
    """How many times the work of one they do at once, each held against its own kind alone."""
    for process in chosen:
        process.go()
    steps = [(process, process.step()) for process in chosen]
    if any(step is None and not process.breaks for process, step in steps):
        return 0.0
    return sum(paces[process.kind].step / step for process, step in steps if step)


class EnoughError(Exception):
    """Nobody wants more steps."""


class Rounds:
    """Says when the training is warm, and then, for as many seconds as it is told, how many steps were done."""

    def __init__(self, method: Method, timer: Timer, ready: Callable[[], Ready]) -> None:
        self.method, self.timer, self.ready = method, timer, ready
        self.began: tuple[int, float] | None = None
        self.seconds = 0.0

    def __call__(
        self, step: int, total: int, epoch: float, metrics: Mapping[str, float | str]
    ) -> None:
        """What `fit` calls at every line of the log; raises `EnoughError` when nothing more is told."""
        if not any(name.startswith("train/") for name in metrics):
            return
        if self.began is None:
            # The look of a validation, which is not due for long.
            self.method.eval()
            self.timer(Moment(step, total, due=True, landmark=False))
            self.method.train()
            _say(ready=self.ready(), breaks=False)
        else:
            done, seconds = step - self.began[0], self._training() - self.began[1]
            if seconds < self.seconds:
                return
            _say(steps=done, seconds=seconds)
        line = sys.stdin.readline()
        if not line.strip():
            raise EnoughError
        self.seconds = float(line)
        self.began = step, self._training()

    def _training(self) -> float:
        """Seconds on a clock that stands still while landmarks are looked at: their looks are counted by themselves."""
        return time.perf_counter() - self.timer.spent


def _say(**found: Any) -> None:
    print(json.dumps(found), file=sys.__stdout__, flush=True)


def _train(config: ExperimentConfig, path: Path, began: float) -> None:
    """Train as the run will, into a folder that is thrown away, for as long as `Rounds` wants; its process ``began`` then."""
    tried = trial(config, data_plane.load(config.data), path, LONG, LINE)
    timer = tried.timer

    def ready() -> Ready:
        start = time.time() - began - timer.spent
        return Ready(timer.looks(), tried.per_epoch, *_memory(tried.stream.device), start)

    rounds = Rounds(tried.method, timer, ready)
    try:
        fit(*tried[:4], seed=config.seed, observe=timer, display=rounds)
    except EnoughError:
        pass
    except TriptychError:
        # Its loss was not finite: the run will end as soon, and the report is to show it.
        if rounds.began is None:
            _say(ready=ready(), breaks=True)


def _memory(device: torch.device) -> tuple[float, float, float]:
    """Bytes of a card that this process takes, that are free, and that there are."""
    if device.type != "cuda":
        return 0.0, 0.0, 0.0
    free, whole = torch.cuda.mem_get_info(device)
    return torch.cuda.max_memory_reserved(device) + CONTEXT, float(free), float(whole)


def main() -> int:
    """The exit code: 0, 2 for wrong input, `NO_ROOM`, 130 where it was asked to stop."""
    try:
        path, tables, began = json.loads(sys.stdin.readline())
        # A method of one's own may print too: that is not for who listens.
        with redirect_stdout(sys.stderr):
            _train(told(tables), Path(path), began)
    except KeyboardInterrupt:
        return 130
    except TriptychError as error:
        print(printable(str(error)), file=sys.stderr)
        return NO_ROOM if lacks_memory(error) == "cuda" else 2
    except Exception as error:
        if lacks_memory(error) != "cuda":
            raise
        print(printable(str(error)), file=sys.stderr)
        return NO_ROOM
    return 0


if __name__ == "__main__":
    sys.exit(main())
