"""Attacks at length: ``python torture [NAME …] [--seconds S | --count N] [--seed K] [--keep FOLDER]``.

A line of figures for each attack, and what was lost, a line each, before it; exit code 1 where anything was. A line of
what there is so far goes to the other output every minute, and Ctrl-C or SIGTERM ends the attack with its figures.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from types import FrameType

from attack import Figures
from forked import end_all

ATTACKS = ("kills", "full", "hostile", "together", "folders", "pages")
"""Modules beside this one, each with an `attack.Attack` of its own as ``attack``."""

TOLD_EVERY = 60.0
"""Seconds between two lines of what there is so far."""

STOPPED = threading.Event()
"""Whether the end was asked for: where the signal came within a hook of a fork, Python has dropped what it raised."""


def carry_out(
    name: str, seed: int, seconds: float, count: int | None, keep: Path | None
) -> Figures:
    """One attack, for so long or so many blows, in a folder that goes again unless it is to be kept."""
    attack = import_module(name).attack
    figures, began = Figures(name, seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"triptych-{name}-", dir=keep))
    told = began
    try:
        for blow in attack(folder, random.Random(seed)):
            figures.add(blow)
            if blow.lost:
                print(f"{name}: LOST {figures.lost[-1]}", flush=True)
            figures.seconds = time.monotonic() - began
            if STOPPED.is_set():
                raise KeyboardInterrupt
            over = figures.seconds >= seconds if count is None else figures.kinds.total() >= count
            if over:
                break
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                print(figures, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        figures.stopped = True
    finally:
        figures.seconds = time.monotonic() - began
        end_all()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return figures


def stop(number: int, frame: FrameType | None) -> None:
    """End the attack, once: what takes its disks and processes away is not to be ended itself."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    STOPPED.set()
    raise KeyboardInterrupt


def main() -> int:
    """The exit code: 0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=600.0, help="for each attack")
    parser.add_argument("--count", type=int, help="blows of each attack, instead of seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep what was attacked in this folder")
    told = parser.parse_args()
    if unknown := set(told.names) - set(ATTACKS):
        parser.error(f"there is no attack {', '.join(sorted(unknown))}")
    if told.keep:
        told.keep.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    lost = 0
    for name in told.names or ATTACKS:
        figures = carry_out(name, told.seed, told.seconds, told.count, told.keep)
        lost += len(figures.lost)
        print(figures, flush=True)
        if figures.stopped:
            break
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
