"""A training that several ranks share is the training of one, but for rounding."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triptych import checkpoint
from triptych.runs import Run

PROGRAM = """
import json, os, signal, sys, warnings
import torch
from pathlib import Path
from triptych import data, experiment
from triptych.config import merge
from triptych.errors import TriptychError
from triptych.experiment import default_config
from triptych.ranks import joined
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.types import Batch

warnings.simplefilter("ignore")
plain = torch.Tensor.float


def train(ranks, name, folder, tables, precise=False, stop=-1, poison=-1, resume=False):
    config = merge(default_config(name), tables)
    config, method, stream = experiment.prepare(config, data.load(config.data), ranks)
    losses, sent = method.losses, []
    if precise:
        method.double()

    def exact(phase, batch, noise, progress):
        if not precise:
            return losses(phase, batch, noise, progress)
        batch = Batch(tuple(x.double() for x in batch.views), batch.index)
        # What a method takes to single precision stays as it is.
        torch.Tensor.float = lambda x: x if x.dtype == torch.float64 else plain(x)
        try:
            return losses(phase, batch, {k: z.double() for k, z in noise.items()}, progress.double())
        finally:
            torch.Tensor.float = plain

    def disturbed(phase, batch, noise, progress):
        step = round(float(progress) * 60)
        if step == stop and ranks.rank == ranks.size - 1 and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        found = exact(phase, batch, noise, progress)
        if step == poison and ranks.rank == 1:
            found = found._replace(minimise=found.minimise * float("nan"))
        return found

    method.losses = disturbed
    if ranks.first and not resume:
        Run.create(folder, config.tables())
    ranks.meet()
    try:
        return fit(method, stream, config.train, Run(folder, ranks=ranks), seed=0, resume=resume)
    except TriptychError as error:
        return str(error)


with joined() as ranks:
    print(json.dumps([train(ranks, **job) for job in json.loads(sys.argv[1])]))
"""

THIN = {"depth": 10, "width": 2, "projector": [8]}
SIZES = {
    "vae": {"latent": 3, "hidden": [8]},
    "hvae": {"upper": 2, "lower": 3, "hidden": [8], "prior": "vamp", "components": 4},
    "wgan": {"latent": 4, "width": 2, "critic_steps": 2, "ema": 0.9},
    "gan": {
        **{"net": "resnet", "loss": "relativistic", "spectral": True, "r1": 0.5, "r2": 0.5},
        **{"latent": 4, "width": 2, "critic_steps": 2, "ema": 0.9},
        "augment": {"colour": 1.0, "translation": 0.125, "cutout": 0.5},
    },
    "simsiam": {**THIN, "predictor_width": 4},
    "byol": {**THIN, "predictor_width": 4, "momentum": 0.9},
    "simclr": {**THIN, "optimizer": {"lr": 1e-4}},
    "barlow": THIN,
    "vicreg": THIN,
    "sigreg": {**THIN, "directions": 5, "regulariser_weight": 0.5},
}
FEW = {"duration": "20 steps"}
"""Of a rounding 60 steps make 1e-9 and more where a loss or a network multiplies it, and another loss a thousandth in a few."""
EVEN = {"train": {**FEW, "batch_size": 12}}
"""For losses that compare the images of a batch: 2 and 3 divide it."""
PRECISE = {
    **{name: {"train": FEW} for name in ("gan", "hvae", "byol")},
    **dict.fromkeys(("simclr", "barlow", "vicreg", "sigreg"), EVEN),
}
OPTIONS = {"duration": "60 steps", "batch_size": 11, "log_every": 7, "checkpoint_every": "25 steps"}

SHARED: dict[str, dict[str, Any]] = {
    **{
        f"{name} in double": {"name": name, "precise": True, **PRECISE.get(name, {})}
        for name in SIZES
    },
    "vae in single": {"name": "vae"},
    "wgan in single": {"name": "wgan"},
    # Of a rounding of 1e-16 60 steps make 1e-11: single precision is given fewer.
    "simsiam in single": {"name": "simsiam", "train": {"duration": "15 steps"}},
    # 11 batches of 3,500 images, and 189 that are in none of them; drawn anew each time.
    "epochs": {
        "name": "vae",
        "precise": True,
        "train": {"batch_size": 301},
        "data": {"binarize": "dynamic"},
    },
    # The mean over a batch that they ask for is that of all ranks, of 2 and of 3.
    "free bits": {
        "name": "vae",
        "precise": True,
        "method": {"free_bits": 0.5},
        "train": {"batch_size": 12},
    },
    "local": {"name": "simsiam", "precise": True, "method": {"batch_norm": "local"}},
}


def job(folder: Path, name: str, **options: Any) -> dict[str, Any]:
    tables = {
        "method": SIZES[name] | options.pop("method", {}),
        "data": {"name": "mnist-5k", **options.pop("data", {})},
        "train": {**OPTIONS, **options.pop("train", {})},
    }
    return {"folder": str(folder), "name": name, "tables": tables, **options}


class Trained:
    """Every job on 1, 2 and 3 ranks, each number of them begun once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, ranks: int, name: str) -> Run:
        return Run(self.root / str(ranks) / name)


@pytest.fixture(scope="module")
def trained(start_ranks: Callable, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("shared")
    for ranks in (1, 2, 3):
        jobs = [job(root / str(ranks) / name, **options) for name, options in SHARED.items()]
        for one in start_ranks(ranks, PROGRAM, json.dumps(jobs)).wait(500):
            assert one.stderr == ""
            assert json.loads(one.stdout) == ["done"] * len(jobs)
    return Trained(root)


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


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", [*(f"{name} in double" for name in SIZES), "epochs", "free bits"])
def test_steps_in_double_precision_are_those_of_one_process(trained, name, ranks):
    """Batches of 11 or 301, which neither 2 nor 3 divide, or of 12 where images are compared; what is logged is reduced in single precision."""
    state, log = apart(trained(1, name), trained(ranks, name))
    assert state < 1e-9
    assert log < 1e-6


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("method", "bound"),
    [
        ("vae", 1e-4),
        # A bias before a normalisation has the gradient 0, of whose rounding Adam takes the sign: 60 steps of 1e-4.
        ("wgan", 6e-3),
        ("simsiam", 2e-2),
    ],
)
def test_steps_in_single_precision_are_those_of_one_process(trained, method, bound, ranks):
    name = f"{method} in single"
    state, log = apart(trained(1, name), trained(ranks, name))
    assert state < bound
    assert log < 1e-3


def test_normalising_each_part_by_itself_is_another_training(trained):
    assert apart(trained(1, "local"), trained(1, "simsiam in double"))[0] == 0
    assert apart(trained(1, "local"), trained(2, "local"))[0] > 1e-3


def test_stopped_on_two_and_gone_on_with_on_three(trained, run_ranks, tmp_path):
    run = Run(tmp_path / "run")
    begun = job(run.path, "wgan", precise=True, stop=31)
    # Only the last of them is told.
    for one in run_ranks(2, PROGRAM, json.dumps([begun])):
        assert (json.loads(one.stdout), one.stderr) == (["interrupted"], "")
    reached = run.about("last")
    assert reached["devices"] == 2
    assert 31 <= reached["step"] < 60
    for one in run_ranks(3, PROGRAM, json.dumps([begun | {"stop": -1, "resume": True}])):
        assert (json.loads(one.stdout), one.stderr) == (["done"], "")
    notes = [line["note"] for line in run.metrics() if "note" in line]
    assert len(notes) == 1
    assert f"on 3 devices from step {reached['step']}, before it was 2 devices" in notes[0]
    assert apart(trained(1, "wgan in double"), run)[0] < 1e-9
    assert run.about("last")["devices"] == 3


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_and_is_named(run_ranks, tmp_path):
    poisoned = [job(tmp_path / name, name, poison=12) for name in ("vae", "wgan")]
    for one in run_ranks(3, PROGRAM, json.dumps(poisoned)):
        said = json.loads(one.stdout)
        assert "'objective' of phase 'elbo' was not finite at step 13 on rank 1 of 3" in said[0]
        assert "'objective' of phase 'critic' was not finite at step 13 on rank 1 of 3" in said[1]
