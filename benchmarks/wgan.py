"""What Triptych's WGAN gains over the plain way, measured as ratios in one run.

    python benchmarks/wgan.py --data FOLDER [--width 64] [--rounds 12]

One update of the generator with its five of the critic, by the real loop with logging and batches,
in turn with a plain eager loop: a few updates of one, a few of the other. The median of the ratios
of neighbours is given, since machines are shared and drift. On a GPU add `--device cuda`.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

import torch

from plain_wgan import plain_updates
from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, Dataset, load
from turns import in_turn, ratio

BURST = 4
"""Updates of each in turn."""

VARIANTS = {
    "fp32": ({"compile": "off", "dtype": "fp32"}, 1.1),
    "fp32, compiled": ({"compile": "on", "dtype": "fp32"}, None),
    "bf16": ({"compile": "off", "dtype": "bf16"}, 1.9),
    "bf16, compiled": ({"compile": "on", "dtype": "bf16"}, None),
}
"""What is measured, and the ratio that was asked for."""


def bursts(
    dataset: Dataset, config: experiment.ExperimentConfig, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each burst of the plain loop, and of Triptych's own."""
    pixels = torch.from_numpy(dataset.splits["train"].pixels.copy()).float() / 127.5 - 1
    plain_loop = plain_updates(config.method.width, pixels.to(config.train.device))
    length = Duration((rounds + 1) * BURST, "steps")
    config = replace(config, train=replace(config.train, duration=length))
    turns = in_turn(dataset, config, plain_loop, BURST)
    # The first burst of each is warm-up, and compilation.
    return turns.plain[1:], turns.ours[1:]


def main() -> None:
    """Measure every variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a data set of 32×32 colour images")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    chosen = parser.parse_args()
    config = experiment.default_config("wgan", "reference")
    config = replace(
        config,
        data=DataConfig(chosen.data, chosen.data_dir),
        method=replace(config.method, width=chosen.width),
        train=replace(config.train, device=chosen.device),
    )
    dataset = load(config.data)
    for name in chosen.only:
        changes, asked = VARIANTS[name]
        varied = replace(config, train=replace(config.train, **changes))
        plain, ours = bursts(dataset, varied, chosen.rounds)
        gained = ratio(plain, ours)
        speeds = [statistics.median(s) / BURST for s in (plain, ours)]
        print(
            f"one update with its 5 of the critic, width {chosen.width}, {name}: "
            f"plain {speeds[0]:.3f} s, Triptych {speeds[1]:.3f} s, median ratio "
            f"{gained.median:.2f} (quartiles {gained.low:.2f} to "
            f"{gained.high:.2f}" + (f"; asked {asked})" if asked else ")"),
            flush=True,
        )


if __name__ == "__main__":
    main()
