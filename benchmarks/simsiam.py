"""What Triptych's SimSiam gains over the plain way, measured as ratios in one run.

    python benchmarks/simsiam.py [--data-dir DIR] [--rounds 6] [--batch-size 256]

Whole training steps of the reference's network (ResNet-18, ImageNet stem) by the real loop, views included, in turn
with a plain eager loop in fp32 over Pillow transforms in a DataLoader: a few steps of one, a few of the
other. The views alone are measured by `views.py`, nearest neighbours by `knn.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor
from torch.utils.data import DataLoader

from plain_simsiam import plain_updates
from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, load
from turns import in_turn, ratio
from views import Pairs

BURST = 2
"""Steps of each in turn."""

VARIANTS = {"fp32": None, "bf16": 1.6}
"""What is measured, and the ratio that was asked for."""


def for_ever(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader


def main() -> None:
    """Measure every variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    chosen = parser.parse_args()
    cores, size = len(os.sched_getaffinity(0)), chosen.batch_size
    config = experiment.default_config("simsiam", "reference")
    length = Duration((chosen.rounds + 1) * BURST, "steps")
    train = replace(config.train, duration=length, batch_size=size, device="cpu", compile="off")
    config = replace(config, data=DataConfig("cifar10", chosen.data_dir), train=train)
    dataset = load(config.data)
    pairs = Pairs(dataset.splits["train"].pixels)
    loader = DataLoader(pairs, size, shuffle=True, num_workers=cores, drop_last=True)
    for name in chosen.only:
        varied = replace(config, train=replace(config.train, dtype=name))
        turns = in_turn(dataset, varied, plain_updates(for_ever(loader), 0.03), BURST)
        # The first burst of each is warm-up.
        plain, ours = turns.plain[1:], turns.ours[1:]
        gained = ratio(plain, ours)
        speeds = [BURST * size / statistics.median(s) for s in (plain, ours)]
        asked = VARIANTS[name]
        print(
            f"training steps of ResNet-18 with the ImageNet stem, batches of {size}, {name}: "
            f"plain {speeds[0]:.0f} images a second, Triptych {speeds[1]:.0f}, median ratio "
            f"{gained.median:.2f} (quartiles {gained.low:.2f} to "
            f"{gained.high:.2f}" + (f"; asked {asked})" if asked else ")"),
            flush=True,
        )


if __name__ == "__main__":
    main()
