"""Training by Triptych and by a plain loop in turn, so that both meet the same moments of the machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from card import as_delivered, synchronise
from triptych import Run, experiment
from triptych.config import Duration
from triptych.data import Dataset
from triptych.training.loop import fit
from triptych.types import Method, Moment


class Turns(NamedTuple):
    """The trained method, the seconds of each burst of the plain loop and of ours, and those until our first step was done.

    ``notes`` are what the training says of itself: that it could not be compiled, say.
    """

    method: Method
    plain: list[float]
    ours: list[float]
    first: float
    notes: list[str]


class Ratio(NamedTuple):
    """How many times faster: the median of neighbours, and its quartiles."""

    median: float
    low: float
    high: float


def ratio(plain: list[float], ours: list[float]) -> Ratio:
    """Of neighbours; both in seconds of the same work."""
    found = sorted(p / o for p, o in zip(plain, ours, strict=True))
    quarter = len(found) // 4
    return Ratio(statistics.median(found), found[quarter], found[-1 - quarter])


def in_turn(
    dataset: Dataset,
    config: experiment.ExperimentConfig,
    plain_steps: Iterator[Tensor],
    burst: int,
    plain_burst: int | None = None,
) -> Turns:
    """Train with Triptych's own loop, which takes a burst of plain steps where it would validate.

    The plain loop has PyTorch's own settings meanwhile. A burst of its own may be shorter: a graph
    of a short step is timed over many, and the plain way would take seconds for as many.
    """
    plain: list[float] = []
    ours: list[float] = []
    first: list[float] = []

    def take_plain_steps(moment: Moment) -> dict[str, float]:
        nonlocal began
        # The loop waits for the device before it lets anybody look.
        now = time.perf_counter()
        if moment.step == 1:
            first.append(now - called)
        if moment.due:
            ours.append(now - began)
            with as_delivered():
                started = time.perf_counter()
                for _ in range(plain_burst or burst):
                    next(plain_steps)
                synchronise()
                plain.append(time.perf_counter() - started)
        if moment.due or moment.step == 0:
            began = time.perf_counter()
        return {}

    rhythm = {
        "validate_every": Duration(burst, "steps"),
        "checkpoint_every": Duration(10**6, "steps"),
        "log_every": burst,
    }
    config = replace(config, train=replace(config.train, **rhythm))
    config, method, stream = experiment.prepare(config, dataset)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config.tables())
        began = called = time.perf_counter()
        ended = fit(method, stream, config.train, run, seed=config.seed, observe=take_plain_steps)
        if ended != "done":
            # The loop takes Ctrl-C for a wish to end well; half of the turns are no measurement.
            raise KeyboardInterrupt
        notes = [entry["note"] for entry in run.metrics() if "note" in entry]
    return Turns(method.eval(), plain, ours, first[0], notes)
