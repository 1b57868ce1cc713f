"""Warm-ups of a study's arms, as many processes at once as its runs will be: ``python -m triptych.reproduce.warm``.

A process reads seconds and configs, as a line of JSON, and writes the paces that it found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from triptych.errors import TriptychError
from triptych.experiment import ExperimentConfig
from triptych.reproduce import pace
from triptych.reproduce.pace import Looks, Pace, warm_up
from triptych.study.worker import threads

__all__ = ["warm_side_by_side"]


def warm_side_by_side(
    arms: Mapping[str, ExperimentConfig], jobs: int, data_dir: str | None = None
) -> dict[str, Pace]:
    """The pace of every arm while ``jobs`` of them train at once.

    Raises `TriptychError` with the last words of a process that gave none.
    """
    shares = [list(arms)[first::jobs] for first in range(min(jobs, len(arms)))]
    found: dict[str, Pace] = {}
    with ExitStack() as stack:
        # All are started before any is waited for.
        begun = [(names, _start([arms[n] for n in names], data_dir, stack)) for names in shares]
        for names, process in begun:
            said, complaint = process.communicate()
            if process.returncode == 130:
                raise KeyboardInterrupt
            if process.returncode:
                last = (complaint.strip().splitlines() or [f"code {process.returncode}"])[-1]
                raise TriptychError(
                    f"the warm-up of {', '.join(names)} ended without times: {last}"
                )
            found |= zip(names, map(_pace, json.loads(said)), strict=True)
    return {name: found[name] for name in arms}


def _start(
    configs: list[ExperimentConfig], data_dir: str | None, stack: ExitStack
) -> subprocess.Popen[str]:
    counts = [threads(config.train) for config in configs]
    tables = [_here(c, n, data_dir).tables() for c, n in zip(configs, counts, strict=True)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "triptych.reproduce.warm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | ({"OMP_NUM_THREADS": str(max(counts))} if all(counts) else {}),
        text=True,
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    # A line: all of them must begin before any is waited for, which ends their input.
    process.stdin.write(json.dumps([pace.SECONDS, tables]) + "\n")
    process.stdin.flush()
    return process


def _here(config: ExperimentConfig, count: int, data_dir: str | None) -> ExperimentConfig:
    """As its worker will train it."""
    data = config.data if data_dir is None else dataclasses.replace(config.data, dir=data_dir)
    train = dataclasses.replace(config.train, threads=count)
    return dataclasses.replace(config, data=data, train=train)


def _pace(values: list[Any]) -> Pace:
    step, looks, per_epoch = values
    return Pace(step, Looks(*looks), per_epoch)


def main() -> int:
    """The exit code: 0, 2 for wrong input, 130 where it was asked to stop."""
    paces: list[Pace] = []
    try:
        seconds, configs = json.loads(sys.stdin.readline())
        for tables in configs:
            # Arms differ in their objective; what is looked at is the same.
            looks = paces[0].looks if paces else None
            paces.append(warm_up(ExperimentConfig.from_tables(tables), looks, seconds))
    except KeyboardInterrupt:
        return 130
    except TriptychError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(paces))
    return 0


if __name__ == "__main__":
    sys.exit(main())
