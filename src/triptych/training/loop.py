"""The training loop: one function, its phases visible."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from triptych import checkpoint
from triptych.data.stream import Stream
from triptych.environment import deterministic, tf32
from triptych.errors import TriptychError
from triptych.nets.joint import normalise_jointly
from triptych.ranks import Ranks
from triptych.runs import Run
from triptych.training.optim import PhaseOptimizer
from triptych.training.settings import TrainConfig
from triptych.training.step import Step, images_per_step
from triptych.training.watch import Watch
from triptych.types import Method, Moment

__all__ = ["Display", "fit", "is_landmark"]

PROMPT = 0.5
"""Seconds, about, after which several ranks ask each other whether somebody wants to stop."""


class Display(Protocol):
    """Whatever shows a person how far the training is."""

    def __call__(
        self, step: int, total: int, epoch: float, metrics: Mapping[str, float | str]
    ) -> None:
        """Called at every log point and every observation, with the steps done and to do."""
        ...


def is_landmark(step: int) -> bool:
    """Whether a step is 0, or 1, 2 or 5 times a power of ten.

    Example:
        >>> [step for step in range(101) if is_landmark(step)]
        [0, 1, 2, 5, 10, 20, 50, 100]
    """
    return step == 0 or (str(step)[0] in "125" and not str(step)[1:].strip("0"))


def fit(
    method: Method,
    stream: Stream,
    config: TrainConfig,
    run: Run,
    *,
    seed: int,
    observe: Callable[[Moment], Mapping[str, float | str]] | None = None,
    display: Display | None = None,
    resume: bool = False,
) -> Literal["done", "interrupted"]:
    """Train ``method`` on ``stream`` into ``run``, from the start or from the last checkpoint.

    Every random number follows from (seed, step), so a run that was killed and
    resumed ends in the same bits. Ctrl-C ends the step, saves and returns ``interrupted``.
    ``observe`` is called with the method in ``eval()`` at every `Moment`, before the
    first step too; what it gives is logged, and decides which weights are the best: those
    before any training are what the others are held against, and no candidate.

    Where the stream is shared by several ranks each of them runs this loop: every step is that of the whole batch,
    all look, and the first one writes and shows.

    Raises `TriptychError` when a loss is not finite; the last checkpoint is then the last good one.
    """
    ranks = stream.ranks
    with ExitStack() as stack:
        wish = Wish(ranks, stack.enter_context(_interruptible()))
        stack.enter_context(_flags_kept(method))
        stack.enter_context(tf32(config.tf32))
        stack.enter_context(deterministic(stream.device))
        if ranks.size > 1 and method.normalises_jointly:
            normalise_jointly(method, ranks)
        state = TrainState(method, stream, run)
        if resume:
            state.load()
        phases = method.phases()
        steps_per_epoch = stream.batches_per_epoch / images_per_step(phases)
        total = config.duration.steps(steps_per_epoch)
        if state.step > total:
            raise TriptychError(
                f"the checkpoint '{run.checkpoint('last')}' is of step {state.step:,}, and this training ends with "
                f"step {total:,}: it is of another one; take the run's own, or train anew"
            )
        validate_every = config.validate_every.steps(steps_per_epoch)
        checkpoint_every = config.checkpoint_every.steps(steps_per_epoch)
        advance = Step(
            method,
            stream,
            config,
            state.optimizers,
            state.watches,
            state.skip,
            seed=seed,
            total=total,
        )
        stack.callback(advance.close)

        def where() -> dict[str, float]:
            return {
                "step": state.step,
                "epoch": round(state.step / steps_per_epoch, 4),
                "seconds": round(state.seconds, 3),
            }

        def look(moment: Moment) -> None:
            if observe is None or not (moment.due or moment.landmark):
                return
            state.average()
            method.eval()
            found = observe(moment)
            method.train()
            if found:
                run.log({**where(), **found})
                state.select(found)
                if display:
                    display(moment.step, total, where()["epoch"], found)

        if state.step == 0:
            look(Moment(0, total, due=False, landmark=True))
        method.train()
        started = time.perf_counter() - state.seconds
        for note in [*state.notes, *advance.begin(state.step)]:
            run.log({**where(), "note": note})
            if ranks.first:
                warnings.warn(note, stacklevel=2)
        for step in range(state.step, total):
            advance(step)

            state.step = step + 1
            stop = wish(state.step)
            last = state.step == total
            logs = state.step % config.log_every == 0 or last
            due = state.step % validate_every == 0 or last
            moment = Moment(state.step, total, due, landmark=is_landmark(state.step) or last)
            saves = state.step % checkpoint_every == 0 or last or stop
            if not (logs or due or moment.landmark or saves):
                continue

            # Checking waits for the device, so that its work is in the time.
            state.check()
            state.seconds = time.perf_counter() - started
            if logs:
                metrics = state.read()
                run.log(where() | metrics)
                wish.pace(state.seconds / state.step)
                if display:
                    display(state.step, total, where()["epoch"], metrics)
            look(moment)
            if saves:
                state.save()
            started = time.perf_counter() - state.seconds
            if stop and not last:
                return "interrupted"
        return "done"


class TrainState:
    """Everything that a checkpoint holds: weights, optimizers, counters, and what is not yet logged."""

    def __init__(self, method: Method, stream: Stream, run: Run) -> None:
        self.method = method
        self.stream = stream
        self.run = run
        self.ranks = stream.ranks
        self.config = run.config
        self.notes: list[str] = []
        self.skip = torch.zeros((), device=stream.device)
        phases = method.phases()
        self.optimizers = {p.name: PhaseOptimizer(method, p, self.skip) for p in phases}
        self.watches = {p.name: Watch(p.name, self.skip, self.ranks.size) for p in phases}
        self.step = 0
        self.seconds = 0.0
        self.best: float | None = None
        self.untrained: float | None = None

    def read(self) -> dict[str, float]:
        """The mean of every term since the last log point, as ``train/<term>``."""
        return {
            f"train/{name}": value
            for watch in self.watches.values()
            for name, value in watch.read().items()
        }

    def check(self) -> None:
        """Stop the run if a loss or a weight is not finite; all ranks find the same."""
        # What has to be asked is asked at once: a device that is asked tensor by tensor is waited for as often.
        floats = {k: v for k, v in self.method.state_dict().items() if v.is_floating_point()}
        finite = [value.isfinite().all() for value in floats.values()]
        skip, *good = torch.stack([self.skip > 0, *finite]).tolist()
        if skip:
            bad = next((*found, w.phase) for w in self.watches.values() if (found := w.bad()))
            step, term, culprits, phase = bad
            at = f"step {step}"
            if self.ranks.size > 1:
                at += f" on rank {', '.join(map(str, culprits))} of {self.ranks.size}"
            raise TriptychError(
                f"the term '{term}' of phase '{phase}' was not finite at {at}; "
                f"lower the learning rate (an option of --method), and find the last good state, "
                f"if one was saved, in '{self.run.checkpoint('last')}'"
            )
        # A gradient can break the weights while the loss was still finite.
        for name, ok in zip(floats, good, strict=True):
            if not ok:
                raise TriptychError(
                    f"the weights '{name}' were not finite at step {self.step}; "
                    "lower the learning rate (an option of --method)"
                )

    def average(self) -> None:
        """Give all ranks the mean of what each of them has of its own: running statistics of its part of the batches."""
        if self.ranks.size == 1 or self.method.normalises_jointly:
            return
        own = [b for b in self.method.buffers() if b.is_floating_point()]
        if not own:
            return
        flat = torch.cat([b.reshape(-1) for b in own])
        self.ranks.add_(flat)
        parts = torch.split(flat / self.ranks.size, [b.numel() for b in own])
        for buffer, mean in zip(own, parts, strict=True):
            buffer.copy_(mean.view(buffer.shape))

    def select(self, metrics: Mapping[str, float | str]) -> None:
        """Keep the weights as ``best`` if the method's selection metric says so."""
        selection = self.method.selection
        if selection is None or selection.metric not in metrics:
            return
        value = float(metrics[selection.metric])
        if not math.isfinite(value):
            return
        if self.step == 0:
            self.untrained = value
        elif selection.improves(value, self.best):
            self.best = value
            chosen = {**selection._asdict(), "value": value, "untrained": self.untrained}
            about = {**self._origin(), "chosen": chosen}
            if self.ranks.first:
                checkpoint.save(self.run.checkpoint("best"), self._weights(), about)

    def save(self) -> None:
        """Write the complete state as ``last``, once, if all ranks have the same weights."""
        self.average()
        if self.ranks.size > 1:
            # What adds in another order somewhere, or draws by itself, is seen here.
            self.ranks.same("the digest of the weights", checkpoint.weights_digest(self._weights()))
        if not self.ranks.first:
            return
        tensors = self._weights()
        for optimizer in self.optimizers.values():
            tensors |= optimizer.state()
        for watch in self.watches.values():
            tensors |= watch.state()
        about = {
            **self._origin(),
            "seconds": self.seconds,
            "best": self.best,
            "untrained": self.untrained,
            "terms": {name: watch.names for name, watch in self.watches.items()},
        }
        checkpoint.save(self.run.checkpoint("last"), tensors, about)

    def load(self) -> None:
        """Take back what `save` wrote, on any number of ranks: each gets all of it."""
        run = self.run
        path = run.checkpoint("last")
        tensors, about = self.ranks.by_first(lambda: checkpoint.load(path))
        checkpoint.load_weights(self.method, tensors, path)
        if about.get("data") != self.stream.fingerprint:
            raise TriptychError(
                f"the checkpoint '{path}' was made with other data than is read now; "
                "point --data-dir to the data that the run began with"
            )
        for optimizer in self.optimizers.values():
            optimizer.load(tensors, path)
        for name, watch in self.watches.items():
            watch.load(tensors, about.get("terms", {}).get(name, ()), path)
        if not {"step", "seconds", "best", "untrained"} <= about.keys():
            raise TriptychError(f"the checkpoint '{path}' is of weights alone; take the last one")
        self.step, self.seconds = about["step"], about["seconds"]
        self.best, self.untrained = about["best"], about["untrained"]
        before = about.get("devices", 1)
        if before != self.ranks.size:
            self.notes.append(
                f"goes on on {_devices(self.ranks.size)} from step {self.step}, before it was {_devices(before)}: "
                "the same training, but for rounding"
            )
        if run.about("best").get("step", 0) > self.step:
            # Chosen after the state that goes on was saved: on another device that may never come again,
            # and where the bits are the same the looks that follow choose it once more.
            self.ranks.by_first(run.checkpoint("best").unlink)
            self.best = None
        run.rewind(self.step)

    def _origin(self) -> dict[str, Any]:
        """Where weights come from: how far, on what data, and what builds and repeats them."""
        return {
            "step": self.step,
            "data": self.stream.fingerprint,
            "spec": dataclasses.asdict(self.method.spec),
            "config": self.config,
            "devices": self.ranks.size,
        }

    def _weights(self) -> dict[str, Tensor]:
        return {f"{checkpoint.WEIGHTS}{k}": v for k, v in self.method.state_dict().items()}


def _devices(count: int) -> str:
    return f"{count} device{'s' * (count != 1)}"


class Wish:
    """Whether somebody wants to stop: one process knows it by itself, several agree on a step at which all of them do."""

    def __init__(self, ranks: Ranks, told: Callable[[], bool]) -> None:
        self.ranks, self.told, self.every = ranks, told, 1

    def __call__(self, step: int) -> bool:
        """Whether to stop after so many steps."""
        return step % self.every == 0 and self.ranks.any(self.told())

    def pace(self, seconds: float) -> None:
        """Ask each other less often where a step takes fewer ``seconds``: asking is a message."""
        if self.ranks.size > 1:
            self.every = max(1, round(self.ranks.of_first(PROMPT / max(seconds, 1e-6))))


@contextmanager
def _flags_kept(method: Method) -> Iterator[None]:
    """Leave every parameter as trainable as it was found."""
    before = [(p, p.requires_grad) for p in method.parameters()]
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop; a second one stops at once."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    kinds = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {kind: signal.signal(kind, note) for kind in kinds}
    except ValueError:
        # Only the main thread may set handlers; elsewhere the caller's stay in force.
        before = {}
    try:
        yield lambda: bool(seen)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
