"""What Triptych's VAE gains over the plain way, measured as ratios in one run.

    python benchmarks/vae.py --data-dir DIR [steps] [likelihood] [fast] [reference]

Without names it measures all four. Machines are shared and drift, so speeds are taken in turn, a
hundred steps of one and a hundred of the other, and the median of the ratios of neighbours is given.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from plain_vae import PlainVAE, plain_log_likelihood, plain_steps
from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, Dataset, load
from triptych.data.spec import Images
from triptych.evaluation.likelihood.estimates import importance_estimate
from triptych.evaluation.subject import Subject
from triptych.evaluation.suite import EvaluateConfig
from triptych.types import Method
from turns import Turns, in_turn, ratio

BURST = 100
"""Steps of each in turn."""
ROUNDS = 25
"""How often the turn goes round."""
SHORT = 5
"""Epochs of `fast` that are enough for the reference's likelihood."""
EPOCH = 50_000 // 64 + 1
"""Steps of the plain loop's epoch."""


def tensor(images: Images) -> Tensor:
    """Pixels as the plain code wants them: floats N×784."""
    return torch.from_numpy(images.pixels.copy()).flatten(1).float() / 255


def trained(dataset: Dataset, config: experiment.ExperimentConfig) -> Turns:
    """Triptych's VAE in turn with the plain one."""
    plain = plain_steps(PlainVAE(), tensor(dataset.splits["train"]))
    return in_turn(dataset, config, plain, BURST)


def plain_time(bursts: list[float]) -> float:
    """Seconds that the plain loop needs for its 20 epochs, from its bursts."""
    return statistics.median(bursts) / BURST * 20 * EPOCH


def steps(dataset: Dataset, config: experiment.ExperimentConfig) -> None:
    """Steps a second of the reference recipe, beside the plain loop."""
    for name, changes in (
        ("fp32", {"compile": "off"}),
        ("fp32, compiled", {"compile": "on"}),
        ("bf16, compiled", {"compile": "on", "dtype": "bf16"}),
    ):
        length = Duration((ROUNDS + 1) * BURST, "steps")
        train = replace(config.train, duration=length, **changes)
        _, plain, ours, *_ = trained(dataset, replace(config, train=train))
        # The first burst of each is warm-up, and compilation.
        speeds = [BURST / statistics.median(s[1:]) for s in (plain, ours)]
        print(
            f"steps/s, reference recipe, {name}: plain {speeds[0]:.0f}, Triptych {speeds[1]:.0f}, "
            f"median ratio {ratio(plain[1:], ours[1:]).median:.2f} (asked 1.8); "
            f"first {BURST} steps {ours[0]:.1f} s",
            flush=True,
        )


def log_likelihood(dataset: Dataset, method: Method, dtype: torch.dtype) -> float:
    """Mean over the test split at K = 200."""
    subject = Subject(method, dataset, "none", torch.device("cpu"))
    return float(importance_estimate(subject, "test", 200, dtype).sums.bound().double().mean())


def likelihood(dataset: Dataset, config: experiment.ExperimentConfig) -> None:
    """Log-likelihood of the 10,000 test images at K = 200 beside the plain way, on the same weights."""
    length = Duration(2000, "steps")
    method = trained(dataset, replace(config, train=replace(config.train, duration=length))).method
    plain = PlainVAE().take(method)
    test = dataset.splits["test"].pixels
    seconds: dict[str, list[float]] = {"plain": [], "fp32": [], "bf16": []}
    values: dict[str, list[float]] = {"plain": [], "fp32": [], "bf16": []}
    for start in range(0, len(test), 2000):
        piece = Images(test[start : start + 2000], None)
        part = replace(dataset, splits={"test": piece})
        for name in seconds:
            images = tensor(piece)
            started = time.perf_counter()
            if name == "plain":
                value = plain_log_likelihood(plain, images)
            else:
                dtype = torch.bfloat16 if name == "bf16" else torch.float32
                value = log_likelihood(part, method, dtype)
            values[name].append(value)
            seconds[name].append(time.perf_counter() - started)
    for name in ("fp32", "bf16"):
        print(
            f"log-likelihood of 10,000 images at K=200, {name}: plain {sum(seconds['plain']):.1f} s, "
            f"Triptych {sum(seconds[name]):.1f} s, median ratio "
            f"{ratio(seconds['plain'], seconds[name]).median:.2f} "
            f"(asked 3.5)"
        )
    means = {name: statistics.mean(v) for name, v in values.items()}
    print(
        f"  plain {means['plain']:.4f}, fp32 {means['fp32']:.4f}, bf16 {means['bf16']:.4f}; bf16 - "
        f"fp32 on the same noise {means['bf16'] - means['fp32']:+.4f} nat (asked within 0.02)",
        flush=True,
    )


def fast(dataset: Dataset, config: experiment.ExperimentConfig) -> None:
    """How soon the preset ``fast`` reaches the reference's likelihood, and where its full length ends."""
    config = replace(experiment.default_config("vae", "fast"), data=config.data)
    for length in (Duration(SHORT, "epochs"), config.train.duration):
        train = replace(config.train, duration=length)
        method, plain, ours, *_ = trained(dataset, replace(config, train=train))
        value = log_likelihood(dataset, method, torch.float32)
        print(
            f"preset fast, --epochs {length.amount:g}: test log-likelihood {value:.2f} (asked -95.75, at full length -92.5) "
            f"after {sum(ours):.1f} s; plain loop, 20 epochs {plain_time(plain):.0f} s, "
            f"ratio {plain_time(plain) / sum(ours):.1f} (asked 7)",
            flush=True,
        )


def reference(dataset: Dataset, config: experiment.ExperimentConfig) -> None:
    """The reference protocol from nothing, at two seeds."""
    for seed in (0, 1):
        with tempfile.TemporaryDirectory() as folder:
            run = experiment.train(
                replace(config, seed=seed), Path(folder) / "run", dataset=dataset
            )
            found = experiment.evaluate(run.path, EvaluateConfig(samples=200, dtype="fp32"))
        elbo, likelihood = found["valid/elbo"], found["test/log_likelihood"]
        print(
            f"reference, seed {seed}: validation ELBO {elbo.value:.2f} ± {elbo.stderr:.2f} (asked "
            f"-100.5 ± 1.0), test log-likelihood {likelihood.value:.2f} ± {likelihood.stderr:.2f} "
            f"(asked -95.75 ± 0.8)",
            flush=True,
        )


def main() -> None:
    """Measure what is named."""
    parts = {"steps": steps, "likelihood": likelihood, "fast": fast, "reference": reference}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--data-dir", default=None)
    chosen = parser.parse_args()
    config = experiment.default_config("vae", "reference")
    config = replace(config, data=DataConfig("binarized-mnist", chosen.data_dir))
    dataset = load(config.data)
    for name in chosen.parts or parts:
        parts[name](dataset, config)


if __name__ == "__main__":
    main()
