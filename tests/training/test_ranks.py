"""A training that several ranks share is the training of one, but for rounding."""

import json
import math
from collections.abc import Callable

import pytest

from triptych import checkpoint
from triptych.runs import Run

PROGRAM = """
import json, os, signal, sys, warnings
import torch
from pathlib import Path
from triptych import data, experiment
from triptych.config import merge
from triptych.experiment import default_config
from triptych.ranks import joined
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.types import Batch

name, folder, tables, precise, stop, resume = sys.argv[1], Path(sys.argv[2]), *map(json.loads, sys.argv[3:])
warnings.simplefilter("ignore")
plain = torch.Tensor.float
with joined() as ranks:
    config = merge(default_config(name), tables)
    dataset = data.load(config.data)
    config, method, stream = experiment.prepare(config, dataset, ranks)
    losses = method.losses
    if precise:
        method.double()

    def exact(phase, batch, noise, progress):
        batch = Batch(tuple(x.double() for x in batch.views), batch.index)
        # What a method takes to single precision stays as it is.
        torch.Tensor.float = lambda x: x if x.dtype == torch.float64 else plain(x)
        try:
            return losses(phase, batch, {k: z.double() for k, z in noise.items()}, progress.double())
        finally:
            torch.Tensor.float = plain

    def told(phase, batch, noise, progress):
        if stop and ranks.rank == ranks.size - 1 and float(progress) * 60 >= stop - 1.5 and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return (exact if precise else losses)(phase, batch, noise, progress)

    sent = []
    method.losses = told
    if ranks.first and not resume:
        Run.create(folder, config.tables())
    ranks.meet()
    print(fit(method, stream, config.train, Run(folder), seed=0, resume=resume))
"""

SIZES = {
    "vae": {"latent": 3, "hidden": [8]},
    "wgan": {"latent": 4, "width": 2, "critic_steps": 2, "ema": 0.9},
    "simsiam": {"depth": 10, "width": 2, "projector": [8], "predictor_width": 4},
}


@pytest.fixture
def trained(run_ranks: Callable, tmp_path) -> Callable[..., Run]:
    def train(
        ranks: int,
        method: str,
        folder: str = "run",
        *,
        precise: bool = False,
        stop: int = 0,
        resume: bool = False,
        **options: object,
    ) -> Run:
        train = {"duration": "60 steps", "batch_size": 11, "log_every": 7, "compile": "off"}
        own = dict(SIZES.get(method, {}))
        own |= options.pop("method", {})
        tables = {
            "method": own,
            "data": {"name": "mnist-5k", **options.pop("data", {})},
            "train": {**train, "checkpoint_every": "25 steps", **options},
        }
        words = [json.dumps(x) for x in (tables, precise, stop, resume)]
        ended = run_ranks(ranks, PROGRAM, method, tmp_path / folder, *words)
        assert [one.stderr for one in ended] == [""] * ranks
        expected = "interrupted" if stop else "done"
        assert [one.stdout.strip() for one in ended] == [expected] * ranks
        return Run(tmp_path / folder)

    return train


def apart(one: Run, other: Run) -> tuple[float, float]:
    """The largest difference in the checkpoints, as a share of its tensor's largest number where that is above 1, and in the logs."""
    a, b = (checkpoint.load(run.checkpoint("last"))[0] for run in (one, other))
    assert a.keys() == b.keys()
    found = [
        float((a[k] - b[k]).abs().max() / max(1, a[k].abs().max()))
        for k in a
        if a[k].is_floating_point()
    ]
    first, second = ([line for line in run.metrics() if "note" not in line] for run in (one, other))
    assert [line["step"] for line in first] == [line["step"] for line in second]
    logged = []
    for x, y in zip(first, second, strict=True):
        assert x.keys() == y.keys()
        logged += [abs(x[k] - y[k]) / max(1, abs(x[k])) for k in x if k.startswith("train/")]
    assert all(map(math.isfinite, [*found, *logged]))
    return max(found), max(logged)


@pytest.mark.parametrize("method", SIZES)
def test_sixty_steps_are_those_of_one_process_in_double_precision(trained, method):
    """Batches of 11, which neither 2 nor 3 divide; what is logged is reduced in single precision."""
    one = trained(1, method, "one", precise=True)
    for ranks in (2, 3):
        state, log = apart(one, trained(ranks, method, f"on {ranks}", precise=True))
        print(method, ranks, state, log)
        assert state < 1e-9
        assert log < 1e-6


@pytest.mark.parametrize("method", SIZES)
def test_sixty_steps_are_those_of_one_process_in_single_precision(trained, method):
    one = trained(1, method, "one")
    state, log = apart(one, trained(2, method, "on 2"))
    print(method, state, log)
    assert state < 1e-3
