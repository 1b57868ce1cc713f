"""A study of many tiny runs on a local Ray of two nodes of a core each, against the same at home with two jobs.

    python benchmarks/ray_overhead.py [--runs 64] [--turns 1] [--steps 400]

Both are done in turn, so that they meet the same moments of the machine. A run's overhead is what it takes longer on
the cluster; what the cluster itself takes to begin and to end is no part of it. Numbers of both are compared, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from triptych.runs import Run
from triptych.studies.execute import execute
from triptych.studies.plan import Cell, Study, planned
from triptych.studies.where import HERE, Where
from triptych.weights import Weights

# Ray stays on 127.0.0.1 and tells nobody of itself; it reads these when it is imported.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

TARGET = 0.10
"""Of a run's time, at most."""


def study(runs: int, steps: int) -> Study:
    """Two arms over half as many seeds, on the embedded digits."""
    base = {
        "method": {"hidden": [32], "latent": 4},
        "train": {"duration": f"{steps} steps", "device": "cpu", "log_every": 100},
    }
    told = {
        "name": "tiny",
        "method": "vae",
        "seeds": list(range(runs // 2)),
        "metrics": ["valid/elbo"],
        "evaluate": False,
    }
    arms = {"default": {}, "narrow": {"method": {"latent": 2}}}
    return planned({"study": told, "base": base, "arms": arms})


def seconds(plan: Study, folder: Path, on: Where) -> float:
    """Of the whole study."""
    began = time.monotonic()
    # The cluster knows its cores.
    ended = execute(plan, folder, jobs=2 if on == HERE else None, on=on)
    taken = time.monotonic() - began
    if ended.stopped or ended.problems:
        raise SystemExit(f"it did not come to its end: {ended}")
    return taken


def weights(plan: Study, folder: Path) -> dict[Cell, Weights | None]:
    """The last ones of every run, by their digests."""
    return {cell: Run(cell.path(folder)).weights("last") for cell in plan.cells()}


def main() -> None:
    """Print both, and the overhead a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--steps", type=int, default=400)
    told = parser.parse_args()
    from ray.cluster_utils import Cluster

    plan, overheads = study(told.runs, told.steps), []
    head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    there = Where("ray", cluster.address)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        # Neither finds the images decoded, nor files in the machine's cache, by the other's work.
        seconds(study(2, 2), folder / "first", HERE)
        for turn in range(told.turns):
            home = seconds(plan, folder / f"home-{turn}", HERE)
            ray = seconds(plan, folder / f"ray-{turn}", there)
            overheads.append(ray / home - 1)
            a_run = 2 * (ray - home) / told.runs
            print(
                f"{told.runs} runs of {told.steps} steps: at home {home:.1f} s, on Ray {ray:.1f} s; "
                f"a run takes {2 * home / told.runs:.2f} s at home, and {a_run:+.2f} s on Ray, {overheads[-1]:+.1%}",
                flush=True,
            )
            same = weights(plan, folder / f"home-{turn}") == weights(plan, folder / f"ray-{turn}")
            print(f"the weights are {'the same bits' if same else 'NOT THE SAME'}", flush=True)
    cluster.shutdown()
    median = statistics.median(overheads)
    print(f"overhead a run {median:+.1%}; the target is at most {TARGET:.0%}")


if __name__ == "__main__":
    main()
