"""Training by Triptych and by a plain loop in turn, so that both meet the same moments of the machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from triptych import Run, experiment
from triptych.config import Duration
from triptych.data import Dataset
from triptych.training.loop import fit
from triptych.types import Method, Moment


def in_turn(
    dataset: Dataset,
    config: experiment.ExperimentConfig,
    plain_steps: Iterator[float],
    burst: int,
) -> tuple[Method, list[float], list[float]]:
    """Train with Triptych's own loop, which takes a burst of plain steps where it would validate.

    Returns the trained method, and the seconds of each burst of the plain loop and of ours.
    """
    plain: list[float] = []

    def take_plain_steps(moment: Moment) -> dict[str, float]:
        if moment.due:
            started = time.perf_counter()
            for _ in range(burst):
                next(plain_steps)
            plain.append(time.perf_counter() - started)
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
        fit(method, stream, config.train, run, seed=config.seed, observe=take_plain_steps)
        seconds = [e["seconds"] for e in run.metrics() if f"train/{method.gauge}" in e]
    return method.eval(), plain, [seconds[0], *(b - a for a, b in pairwise(seconds))]
