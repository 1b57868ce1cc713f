"""Warm-ups of a study's arms, as many processes at once as its runs will be: ``python -m triptych.reproduction.warm``.

A process reads seconds and configs, as a line of JSON, and writes the paces that it found.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Any

from triptych.errors import TriptychError, printable
from triptych.experiment import ExperimentConfig
from triptych.reproduction import pace
from triptych.reproduction.pace import Looks, Pace, warm_up
from triptych.studies.worker import threads

__all__ = ["warm_side_by_side"]


def warm_side_by_side(
    arms: Mapping[str, ExperimentConfig], jobs: int, data_dir: str | None = None
) -> dict[str, Pace]:
    """The pace of every arm while ``jobs`` runs train at once; where these are more, arms are repeated.

    Raises `TriptychError` with the last words of a process that gave none.
    """
    found: dict[str, list[Pace]] = {name: [] for name in arms}
    with ExitStack() as stack:
        # All are started before any is waited for.
        begun = [
            (names, _start([arms[n] for n in names], data_dir, stack))
            for names in shares(list(arms), jobs)
        ]
        for names, process in begun:
            said, complaint = process.communicate()
            if process.returncode == 130:
                raise KeyboardInterrupt
            if process.returncode:
                last = (complaint.strip().splitlines() or [f"code {process.returncode}"])[-1]
                raise TriptychError(
                    f"the warm-up of {', '.join(names)} ended without times: {last}"
                )
            for name, values in zip(names, json.loads(said), strict=True):
                found[name].append(_pace(values))
    return {name: mean(paces) for name, paces in found.items()}


def shares(names: Sequence[str], jobs: int) -> list[list[str]]:
    """What each of ``jobs`` processes times: every arm by one at least.

    Example:
        >>> shares(["a", "b", "c"], 2), shares(["a", "b"], 5)
        ([['a', 'c'], ['b']], [['a'], ['b'], ['a'], ['b'], ['a']])
    """
    return [list(names[number % len(names) :: jobs]) for number in range(jobs)]


def mean(paces: Sequence[Pace]) -> Pace:
    """Of one arm that several processes timed.

    Example:
        >>> mean([Pace(1.0, Looks(0.0, 2.0, 4.0), 9.0), Pace(3.0, Looks(0.0, 4.0, 4.0), 9.0)])
        Pace(step=2.0, looks=Looks(first=0.0, due=3.0, landmark=4.0), per_epoch=9.0)
    """
    looks = Looks(*(fmean(column) for column in zip(*(p.looks for p in paces), strict=True)))
    return Pace(fmean(p.step for p in paces), looks, paces[0].per_epoch)


def _start(
    configs: list[ExperimentConfig], data_dir: str | None, stack: ExitStack
) -> subprocess.Popen[str]:
    counts = [threads(config.train) for config in configs]
    tables = [_here(c, n, data_dir).tables() for c, n in zip(configs, counts, strict=True)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "triptych.reproduction.warm"],
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
        print(printable(str(error)), file=sys.stderr)
        return 2
    print(json.dumps(paces))
    return 0


if __name__ == "__main__":
    sys.exit(main())
