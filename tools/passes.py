"""What one evaluation costs: images encoded and drawn, files opened, seconds.

    python tools/passes.py RUN [--threads N]

It evaluates a copy of the run, so the run stays as it is, and counts how many images of each split its methods
encoded, how many images they decoded or sampled, and how often config, log, data and checkpoints were opened. An
image of a split that is encoded for a picture, or as one of two views, counts as "other".
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILES = ("config.toml", "environment.json", "metrics.jsonl", "results.json")
"""Files of a run folder whose openings are counted; checkpoints are counted where they are loaded."""

PASSES = ("encode", "posterior", "decode", "sample")
"""Functions of a method that map a batch; each call counts as many images as its batch has rows."""


def wrapped(owner: Any, name: str, before: Callable[..., None]) -> None:
    """Let ``before`` see the arguments of every call of ``owner.name``."""
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*args: Any, **fields: Any) -> Any:
        before(*args, **fields)
        return inner(*args, **fields)

    setattr(owner, name, outer)


def count_passes(method: type, subject: type, found: Counter[str]) -> None:
    """Count the images of each split that go through a method, known by the block or part that they came in."""

    def marked(inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def outer(self: Any, split: str, *places: int) -> Any:
            images = inner(self, split, *places)
            images.split_counted = split
            return images

        return outer

    for name in ("block", "part"):
        setattr(subject, name, marked(getattr(subject, name)))
    for name in (name for name in PASSES if hasattr(method, name)):

        def before(self: Any, x: Any, *rest: Any, name: str = name) -> None:
            whose = getattr(x, "split_counted", "other")
            found[f"{name} {whose}" if name in PASSES[:2] else name] += len(x)

        wrapped(method, name, before)


def count_openings(run: Path, found: Counter[str]) -> None:
    """Count how often files of the run are opened for reading, and data and checkpoints loaded."""
    from triptych import checkpoint, data

    def opened(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and not str(args[1] or "r").startswith("w"):
            path = Path(args[0])
            if path.parent == run and path.name in FILES:
                found[path.name] += 1

    sys.addaudithook(opened)
    wrapped(checkpoint, "load", lambda *_, **__: found.update(["checkpoints"]))
    wrapped(data, "load", lambda *_, **__: found.update(["data"]))


def main() -> None:
    """Evaluate a copy and print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data-dir")
    parser.add_argument("--keep", type=Path, metavar="COPY", help="leave the evaluated copy there")
    asked = parser.parse_args()
    # Before torch is imported: it reads this once.
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    import triptych
    from triptych import experiment, methods
    from triptych.runs import Run

    # The rooms had other names once; the figures of then are to be had with this script.
    room = "evaluation" if "triptych.evaluation.suite" in sys.modules else "evaluate"
    subject = importlib.import_module(f"triptych.{room}.subject").Subject
    passes: Counter[str] = Counter()
    openings: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = (asked.keep or Path(folder) / asked.run.name).resolve()
        shutil.copytree(asked.run, copy)
        method = methods.find(str(Run.open(copy).config["method"]["name"]))
        count_passes(method, subject, passes)
        count_openings(copy, openings)
        wall, processor = time.perf_counter(), time.process_time()
        experiment.evaluate(copy, data_dir=asked.data_dir)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{asked.run}, by {triptych.__path__[0]}")
    for title, counts in (("images", passes), ("opened", openings)):
        print(f"{title}  " + ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items())))
    print(f"seconds {wall:.1f} on {asked.threads} threads, {processor:.1f} of processors")


if __name__ == "__main__":
    main()
