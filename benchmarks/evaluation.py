"""Seconds of a look and of an evaluation of a run, of two source trees in turns; and of the logistic probe alone.

    python benchmarks/evaluation.py turns RUN --data-dir DIR --before TREE/src [--rounds 3] [--threads 2] [--look]
    python benchmarks/evaluation.py probe [--images 45000] [--features 128] [--classes 10] [--rounds 3]

Of ``turns`` each is measured in a process of its own, on a copy of the run: the same one before, with the sources of
TREE, and now. Machines are shared and drift, so the median of the ratios of neighbours is given, and the processor's
own time beside the clock's. What differs between the results is printed. ``probe`` fits the same
features, of a low effective rank as those of a network, by scikit-learn and by Triptych, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

ONE = """
import json, resource, shutil, sys, time
from pathlib import Path
from triptych.evaluation.suite import EvaluateConfig
from triptych.evaluation.monitor import Monitor
from triptych.experiment.measurement import evaluate
from triptych.experiment.trained import open_trained
from triptych.environment import at_most
from triptych.types import Moment

run, folder, data, threads, look = sys.argv[1:]
shutil.copytree(run, folder)

def spent():
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)

with at_most(int(threads)):
    if look == "True":
        trained = open_trained(folder, data_dir=data)
        monitor = Monitor(trained.subject, trained.run)
        trained.subject.__dict__["weights"] = ""  # As in a training: nothing is remembered.
        moment = Moment(1000, 10000, due=True, landmark=False)
        monitor(moment)
        clock, processor = time.perf_counter(), spent()
        found = monitor(moment)
    else:
        clock, processor = time.perf_counter(), spent()
        config = EvaluateConfig(threads=int(threads))
        found = {k: v.value for k, v in evaluate(folder, config, data_dir=data).items()}
    print(json.dumps([time.perf_counter() - clock, spent() - processor, found]))
"""


def measured(source: Path, args: argparse.Namespace) -> tuple[float, float, dict[str, Any]]:
    """Seconds of the clock and of the processor, and what was found, with the sources of one tree."""
    with tempfile.TemporaryDirectory() as folder:
        given = (args.run, f"{folder}/run", args.data_dir, args.threads, args.look)
        done = subprocess.run(
            [sys.executable, "-c", ONE, *map(str, given)],
            env=os.environ | {"PYTHONPATH": str(source.resolve())},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    clock, processor, found = json.loads(done.stdout.splitlines()[-1])
    return clock, processor, found


def turns(args: argparse.Namespace) -> None:
    """Print every turn, the ratios, and what differs."""
    now = Path(__file__).parents[1] / "src"
    ratios: list[tuple[float, float]] = []
    for _ in range(args.rounds):
        before, after = (measured(source, args) for source in (args.before, now))
        ratios.append((before[0] / after[0], before[1] / after[1]))
        print(
            f"before {before[0]:.2f} s (processor {before[1]:.2f}), "
            f"now {after[0]:.2f} s (processor {after[1]:.2f}): {ratios[-1][0]:.2f} x",
            flush=True,
        )
    clock, processor = (statistics.median(values) for values in zip(*ratios, strict=True))
    print(f"median of the ratios: {clock:.2f} x by the clock, {processor:.2f} x by the processor")
    for name in sorted(before[2].keys() | after[2].keys()):
        if (was := before[2].get(name)) != (is_now := after[2].get(name)):
            print(f"{name}: {was} before, {is_now} now")


def probe(args: argparse.Namespace) -> None:
    """The logistic probe's four penalties, scikit-learn's from one to the next as it was used before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    from triptych.environment import at_most
    from triptych.evaluation.representation.probe import STRENGTHS
    from triptych.evaluation.representation.softmax_regression import softmax_regression

    warnings.simplefilter("ignore", ConvergenceWarning)
    draw = torch.Generator().manual_seed(0)
    spread = torch.randn(10, args.features, generator=draw)
    centres = torch.randn(args.classes, 10, generator=draw)
    y = torch.randint(0, args.classes, (args.images,), generator=draw)
    x = (centres[y] + 2 * torch.randn(args.images, 10, generator=draw)) @ spread
    x = x + 0.3 * torch.randn(x.shape, generator=draw)
    x = (x - x.mean(0)) / x.std(0)
    ratios = []
    with at_most(1):
        for _ in range(args.rounds):
            begin = time.perf_counter()
            model = LogisticRegression(max_iter=500, warm_start=True)
            for strength in STRENGTHS:
                model.set_params(C=strength).fit(x.numpy(), y.numpy())
            middle = time.perf_counter()
            fitted = softmax_regression(x, y, args.classes, STRENGTHS)
            end = time.perf_counter()
            ratios.append((middle - begin) / (end - middle))
            print(
                f"scikit-learn {middle - begin:.2f} s, ours {end - middle:.2f} s "
                f"(converged {fitted.converged}): {ratios[-1]:.2f} x",
                flush=True,
            )
    print(f"median of the ratios: {statistics.median(ratios):.2f} x")


def main() -> None:
    """Read the arguments and measure one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)
    two = kinds.add_parser("turns")
    two.add_argument("run", type=Path)
    two.add_argument("--data-dir", required=True)
    two.add_argument("--before", type=Path, required=True)
    two.add_argument("--rounds", type=int, default=3)
    two.add_argument("--threads", type=int, default=2)
    two.add_argument("--look", action="store_true")
    two.set_defaults(measure=turns)
    one = kinds.add_parser("probe")
    one.add_argument("--images", type=int, default=45_000)
    one.add_argument("--features", type=int, default=128)
    one.add_argument("--classes", type=int, default=10)
    one.add_argument("--rounds", type=int, default=3)
    one.set_defaults(measure=probe)
    args = parser.parse_args()
    args.measure(args)


if __name__ == "__main__":
    main()
