"""What a card does with Triptych, in one call: the same bits, milliseconds a step, a look, an evaluation.

    python benchmarks/gpu.py DATA [--out FOLDER] [--methods …] [--miniature]

DATA is a mirror of the named data sets, as ``--data-dir`` takes it. For every method: whether two trainings, and one
that was stopped and resumed, end in the same bits; the milliseconds of a step of its reference preset in fp32 and bf16; the
seconds of one look and of an evaluation after a short training. A table at the end, and the same as gpu.json in FOLDER. With ``--miniature`` it does
everything with the smallest presets on the embedded digits, wherever it runs: a test of itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from triptych import Run, experiment, methods
from triptych.config import Duration
from triptych.data import Dataset, load
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.training.loop import fit
from triptych.types import Moment

SUBSTITUTES = {"svhn": "svhn-10k"}
"""What stands for a named data set that the mirror does not have."""

BITS, STOPPED = 20, 15
"""Steps of the trainings whose bits are compared, and the step, at which nobody looks, after which one of them is stopped."""

WARM, TIMED = 20, 200
"""Steps before the clock starts, and those that it times."""

LEARNED = 200
"""Steps before an evaluation is timed."""


def facts() -> dict[str, str]:
    """The machine, in the words of what runs on it."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": f"{len(os.sched_getaffinity(0))}",
    }
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {
            "device": about.name,
            "memory": f"{about.total_memory / 2**30:.0f} GiB",
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "TF32 in convolutions": str(torch.backends.cudnn.allow_tf32),
            "TF32 in products": str(torch.backends.cuda.matmul.allow_tf32),
        }
    return found


def configured(method: str, data: Path, miniature: bool) -> ExperimentConfig:
    """The reference preset of a method on what the mirror has, or the demo's."""
    config = experiment.default_config(method, "demo" if miniature else "reference")
    if not miniature:
        name = config.data.name
        other = data / SUBSTITUTES.get(name, name)
        found = str(other) if name in SUBSTITUTES and other.is_dir() else name
        config = replace(config, data=replace(config.data, name=found, dir=str(data)))
    return replace(config, train=replace(config.train, compile="off"))


def lasting(config: ExperimentConfig, steps: int, **changes: Any) -> ExperimentConfig:
    """The same for so many steps, looked at only at their end."""
    length = Duration(steps, "steps")
    train = replace(config.train, duration=length, validate_every=length, checkpoint_every=length)
    return replace(config, train=replace(train, **changes))


def bits(config: ExperimentConfig, dataset: Dataset, folder: Path) -> dict[str, bool]:
    """Whether two trainings, and one that was stopped and resumed, end with the same weights."""
    config = lasting(config, BITS, log_every=5)

    def digest(run: Run) -> str:
        weights = run.weights("last")
        assert weights is not None
        return weights.digest

    def stop(step: int, total: int, epoch: float, metrics: object) -> None:
        if step == STOPPED:
            os.kill(os.getpid(), signal.SIGINT)

    once, again = (experiment.train(config, folder / n, dataset=dataset) for n in ("once", "again"))
    stopped = experiment.train(config, folder / "stopped", dataset=dataset, display=stop)
    assert stopped.status() == "interrupted", stopped.status()
    resumed = experiment.resume(folder / "stopped")
    return {"twice": digest(once) == digest(again), "resumed": digest(once) == digest(resumed)}


def milliseconds(config: ExperimentConfig, dataset: Dataset, steps: int) -> float:
    """A step of the real loop with its batches, without looks."""
    config = lasting(config, WARM + steps, log_every=WARM)
    config, method, stream = experiment.prepare(config, dataset)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config.tables())
        fit(method, stream, config.train, run, seed=config.seed)
        # The loop waits for the device before it writes down the time.
        seconds = {e["step"]: e["seconds"] for e in run.metrics()}
    return 1000 * (seconds[WARM + steps] - seconds[WARM]) / steps


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, the device's part included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def looking(config: ExperimentConfig, dataset: Dataset, folder: Path) -> dict[str, float]:
    """Seconds of one look and of an evaluation, after a short training."""
    run = experiment.train(
        lasting(config, LEARNED if torch.cuda.is_available() else BITS),
        folder / "learned",
        dataset=dataset,
    )
    trained = experiment.open_trained(run.path)
    subject = Subject(trained.subject.method, dataset, config.data.binarize, trained.subject.device)
    monitor = Monitor(subject, run)
    moment = Moment(LEARNED, LEARNED, due=True, landmark=True)
    monitor(moment)
    return {
        "look": seconds(lambda: monitor(moment)),
        "evaluate": seconds(lambda: experiment.evaluate(run.path, EvaluateConfig(samples=200))),
    }


def measured(name: str, data: Path, miniature: bool) -> dict[str, Any]:
    """Everything of one method."""
    config = configured(name, data, miniature)
    dataset = load(config.data)
    found: dict[str, Any] = {"data": dataset.title, "batch": config.train.batch_size}
    steps = 2 if miniature else TIMED
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found |= bits(config, dataset, folder)
        for dtype in ("fp32",) if miniature else ("fp32", "bf16"):
            varied = replace(config, train=replace(config.train, dtype=dtype))
            found[f"{dtype} step, ms"] = round(milliseconds(varied, dataset, steps), 3)
        found |= {key: round(value, 2) for key, value in looking(config, dataset, folder).items()}
    return found


def table(found: dict[str, Any]) -> str:
    """Markdown, a row a method."""
    rows = found["methods"]
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [["method", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(str(row.get(key, "")) for key in columns)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure every method and write it down after each, so that nothing is lost where time ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=Path())
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--methods", nargs="*", default=methods.names())
    parser.add_argument("--miniature", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, Any] = {"machine": facts(), "methods": {}}
    for name in chosen.methods:
        began = time.perf_counter()
        try:
            found["methods"][name] = measured(name, chosen.data, chosen.miniature)
        except Exception as error:  # the others are still to be measured
            found["methods"][name] = {"failed": f"{type(error).__name__}: {error}"}
        found["methods"][name]["seconds in all"] = round(time.perf_counter() - began, 1)
        print(name, json.dumps(found["methods"][name]), flush=True)
        (chosen.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(f"{key}: {value}" for key, value in found["machine"].items()))
    print(table(found))


if __name__ == "__main__":
    main()
