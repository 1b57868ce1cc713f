"""``triptych demo``: the whole way on the embedded digits, from nothing to pictures and numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from triptych.cli.options import parse
from triptych.progress import bars


@dataclass(frozen=True)
class Options:
    """What the demo can be told."""

    root: Path = Path("runs")
    """Where the run folder goes."""
    seed: int = 0
    """Everything random follows from this number."""


def run(words: list[str]) -> int:
    """The verb."""
    options = parse(
        Options(), words, "triptych demo", "A VAE on the embedded digits: train, measure, draw."
    )
    from dataclasses import replace

    from triptych import experiment, methods
    from triptych.cli.display import training_display
    from triptych.cli.evaluate import show

    started = time.perf_counter()
    config = replace(experiment.default_config("vae", "demo"), seed=options.seed)
    print(f"A variational autoencoder on {config.data.name}, {config.train.duration}:")
    with training_display(methods.find("vae").gauge) as display:
        trained = experiment.train(config, root=options.root, display=display)
    if trained.status() != "done":
        print(f"interrupted; go on with: triptych train --resume {trained.path}")
        return 130
    with bars() as progress:
        experiment.evaluate(trained.path, progress=progress)
    show(trained.path)
    print(f"done in {time.perf_counter() - started:.0f} s; look at the figures above")
    return 0
