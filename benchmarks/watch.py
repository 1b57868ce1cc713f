"""What a core is taken by the page that watches: its own process, while runs log and one open page asks as a browser does.

    .venv/bin/python benchmarks/watch.py --runs 8 --lines 1200 --seconds 240

Every run has so many lines at the beginning and logs five more a second, each fifth time a validation. It says what the
first answer took, in seconds of a core, and what share of one all after it took. Linux alone: it reads `/proc`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from triptych.live.beside import Page
from triptych.runs import Run

ASKS = 2.0
"""Seconds after an answer at which a page asks again, as `live.js` has it."""

OFTEN = 0.2
"""Seconds between two lines of a run."""

NUMBERS = ("elbo", "reconstruction", "kl")


def core(process: int) -> float:
    """Seconds of a core that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(run: Run, step: int, draws: np.random.Generator) -> None:
    """The line of a step, and each fifth time that of a validation."""
    for split in ("train", "valid")[: 1 + (step % 5 == 0)]:
        values = {f"{split}/{n}": float(draws.normal(100 + 500 / step)) for n in NUMBERS}
        run.log({"step": step, "epoch": step / 100, "seconds": OFTEN * step, **values})


def main() -> None:
    """Measure, and say what was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=8)
    options.add_argument("--lines", type=int, default=1200)
    options.add_argument("--seconds", type=float, default=240.0)
    told = options.parse_args()
    draws = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as root:
        config = {"method": {"name": "vae"}, "train": {"duration": "100 epochs"}}
        runs = [Run.create(Path(root) / f"run-{n}", config) for n in range(told.runs)]
        for step in range(1, told.lines + 1):
            for run in runs:
                write(run, step, draws)
        with Page([root]) as page:
            measure(page, runs, told.lines, told.seconds, draws)


def measure(
    page: Page, runs: list[Run], step: int, seconds: float, draws: np.random.Generator
) -> None:
    """Ask as an open page does while the runs log."""
    process = page._process.pid
    begun = core(process)
    with urllib.request.urlopen(f"{page.address}state") as answer:
        version = json.loads(answer.read())["version"]
    first, start = core(process), time.monotonic()
    asks, answers, now = start + ASKS, 0, start
    while now < start + seconds:
        step += 1
        for run in runs:
            write(run, step, draws)
        if now >= asks:
            with urllib.request.urlopen(f"{page.address}state?since={version}") as answer:
                if answer.status == 200:
                    version, answers = json.loads(answer.read())["version"], answers + 1
            asks = time.monotonic() + ASKS
        time.sleep(OFTEN)
        now = time.monotonic()
    share = (core(process) - first) / (now - start)
    print(f"{len(runs)} runs: the first answer {first - begun:.2f} s of a core, then {share:.2%}")
    print(f"{answers} answers with news in {now - start:.0f} s")


if __name__ == "__main__":
    main()
