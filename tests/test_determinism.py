"""What ends in the same bits, and what only in the same numbers: a test for each line of docs/reliability.md.

Each training here is a process of its own, as a person would begin it. That a stopped or killed run ends in the bits of
one that was not is in `training/test_resume.py` and `methods/`; recorded and eager steps in `training/test_step.py`;
other numbers of devices in `test_devices.py`; runs of a study side by side in `studies/` and `reproduction/`.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych.checkpoint import load
from triptych.runs import Run

PROGRAM = """
import sys
import triptych as tt

folder, data, threads, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
common = dict(
    data=data, seed=seed, steps=6, batch_size=32, threads=threads, compile="off", device="cpu", log_every=2,
    validate_every="3 steps",
)
if seed:
    tt.train("vae", out=f"{folder}/vae", method={"hidden": [32]}, **common)
    sys.exit()
small = dict(depth=10, stem="half", width=4, projector=(16, 16), predictor_width=8)
tt.train("vae", out=f"{folder}/vae", method={"hidden": [32]}, **common)
tt.train("wgan", out=f"{folder}/wgan", method={"width": 4, "latent": 8}, **common)
tt.train("simsiam", out=f"{folder}/simsiam", method=small, **common)
tt.evaluate(f"{folder}/vae", threads=threads, samples=5)
tt.evaluate(f"{folder}/simsiam", threads=threads)
"""
METHODS = "vae", "wgan", "simsiam"


def images(folder: Path) -> Path:
    """A file of 400 images of noise about a level that their class has."""
    random, labels = np.random.default_rng(0), np.arange(400) % 4
    noise = random.integers(0, 100, (400, 16, 16), dtype=np.uint8)
    path = folder / "images.npz"
    np.savez(path, images=noise + (labels * 40).astype(np.uint8)[:, None, None], labels=labels)
    return path


def trained(folder: Path, threads: int = 1, seed: int = 0, **variables: str) -> dict[str, Run]:
    """The three methods, trained and two of them measured by a fresh process, in a folder of its own.

    With another seed than 0 the VAE alone, and not measured.
    """
    here = folder / "here"
    here.mkdir(parents=True)
    words = [sys.executable, "-c", PROGRAM, folder, images(folder), threads, seed]
    environment = {**os.environ, **variables}
    subprocess.run(list(map(str, words)), cwd=here, env=environment, check=True, timeout=300)
    return {name: Run.open(folder / name) for name in METHODS if (folder / name).is_dir()}


def bits(run: Run) -> str:
    """One digest of the last weights and optimizers, to the bit."""
    tensors, _ = load(run.checkpoint("last"))
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().cpu().numpy().tobytes())
    return found.hexdigest()


def told(run: Run) -> list[dict[str, Any]]:
    """The log, but for what a clock says."""
    lines = (json.loads(x) for x in (run.path / "metrics.jsonl").read_text("utf-8").splitlines())
    return [{k: v for k, v in line.items() if not clocked(k)} for line in lines]


def clocked(name: str) -> bool:
    return name.startswith("time") or "second" in name or "per_s" in name


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return trained(tmp_path_factory.mktemp("once"), PYTHONHASHSEED="0")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The same where everything is another that must not matter; the cache is empty, so that the data is decoded anew."""
    return trained(
        tmp_path_factory.mktemp("elsewhere ö"),
        PYTHONHASHSEED="4321",
        TZ="Pacific/Kiritimati",
        LC_ALL="C",
        LANG="tr_TR.UTF-8",
        OMP_NUM_THREADS="2",
        MKL_NUM_THREADS="2",
        COLUMNS="40",
        HOME=str(tmp_path_factory.mktemp("home")),
        TRIPTYCH_CACHE=str(tmp_path_factory.mktemp("cache")),
    )


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return trained(tmp_path_factory.mktemp("two"), threads=2)


@pytest.mark.parametrize("name", METHODS)
def test_another_process_and_surrounding_end_in_the_same_bits(once, elsewhere, name: str):
    assert bits(once[name]) == bits(elsewhere[name])
    assert told(once[name]) == told(elsewhere[name])


@pytest.mark.parametrize("name", ["vae", "simsiam"])
def test_an_evaluation_gives_the_same_values_in_another_process(once, elsewhere, name: str):
    one, other = (
        {key: (found["value"], found["stderr"]) for key, found in runs[name].results().items()}
        for runs in (once, elsewhere)
    )
    assert one == other
    assert any(value is not None for value, _ in one.values())


@pytest.mark.parametrize("name", METHODS)
def test_another_number_of_threads_is_the_same_but_for_rounding_and_is_written_down(
    once, on_two, name: str
):
    """Sums may be split in another way; what a training was done with is in its config and environment.json."""
    for one, two in zip(told(once[name]), told(on_two[name]), strict=True):
        assert {k: v for k, v in one.items() if isinstance(v, float)} == pytest.approx(
            {k: v for k, v in two.items() if isinstance(v, float)}, rel=0.02, abs=1e-3
        )
    for runs, threads in (once, 1), (on_two, 2):
        assert runs[name].config["train"]["threads"] == threads
        assert runs[name].environment()["threads"] == threads


def test_another_seed_is_another_run(once, tmp_path: Path):
    """What the others compare can differ."""
    assert bits(once["vae"]) != bits(trained(tmp_path, seed=1)["vae"])
