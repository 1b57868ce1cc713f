"""Looks and evaluations that several processes share: the figures of one process, and everything done once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import triptych
from triptych.runs import Run

COUNTS = {"train": 703, "valid": 101, "test": 157}
"""Of no split is the number divided by the number of ranks, or of its blocks."""

METHODS = {
    "vae": ({"hidden": [16], "latent": 2}, {"binarize": "dynamic"}),
    "hvae": (
        {"upper": 2, "lower": 2, "hidden": [16], "prior": "vamp", "components": 5},
        {"binarize": "dynamic"},
    ),
    "wgan": ({"width": 4, "latent": 2, "critic_steps": 1}, {}),
    "simsiam": (
        {"depth": 10, "width": 4, "stem": "cifar", "projector": [16], "predictor_width": 8},
        {},
    ),
}

PROGRAM = """
import json, os, sys
rank = int(os.environ["RANK"])
# On machines of their own: no cache, and but for the first no run folder.
os.environ["TRIPTYCH_CACHE"] = os.path.join(sys.argv[1], f"cache-{rank}")
import torch
from pathlib import Path
from triptych import experiment
from triptych.errors import TriptychError
from triptych.evaluation.latent_space import directions, pullback
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.representation import probe
from triptych.evaluation.suite import EvaluateConfig
from triptych.evaluation.subject import Subject
from triptych.evaluation.samples import classes, classifier
from triptych.experiment.trained import open_trained
from triptych.ranks import joined
from triptych.runs import Run
from triptych.types import Moment

# Enough to be shared, and no more.
classifier.STEPS, classes.SAMPLES, probe.EPOCHS = (60, 60), 1500, 5
directions.RANDOM, pullback.LATENTS = 30, 20
said = {}
seen = {}

def counted(method):
    # Images, latents and rows of log-weights that the method is asked for.
    for name in ("encode", "elbo", "sample", "log_weights"):
        asked = getattr(method, name, None)
        if asked is not None:
            def count(x, *rest, asked=asked, name=name):
                seen[name] = seen.get(name, 0) + len(x)
                return asked(x, *rest)
            setattr(method, name, count)
    return method

with joined() as ranks:
    for name in sys.argv[2:]:
        path = Path(sys.argv[1], name) if rank == 0 else Path("/nowhere", name)
        trained = open_trained(path, device="cpu")
        subject = trained.subject
        counted(subject.method)
        run = Run(trained.run.path, ranks=ranks)
        monitor = Monitor(subject, run)
        looks = []
        for step in (0, 300, 301):
            looks.append(monitor(Moment(step, 500, due=True, landmark=step == 0)))
            run.log({"step": step, **looks[-1]})
        said[name] = {"looks": looks, "seen": ranks.gathered(dict(seen))}
        seen.clear()
    for name in sys.argv[2:]:
        path = Path(sys.argv[1], name) if rank == 0 else Path("/nowhere", name)
        config = EvaluateConfig(device="cpu", samples=40, dtype="fp32", threads=1)
        found = experiment.evaluate(path, config)
        said[name]["found"] = {k: [v.value, v.stderr, v.n, dict(v.protocol), v.note] for k, v in found.items()}
    if ranks.size > 1:
        def broken(x):
            raise ZeroDivisionError("by nought")
        images = subject.examples("train", 703)
        if rank == 0:
            subject.method.encode = broken
        try:
            subject.encoded(images)
        except TriptychError as error:
            said["failure"] = str(error)
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    """A small run of each method on images of a person's own, not evaluated yet."""
    folder, draw = tmp_path_factory.mktemp("shared"), np.random.default_rng(0)
    arrays = {}
    for split, count in COUNTS.items():
        labels = draw.integers(0, 3, count)
        noise = draw.integers(0, 60, (count, 8, 8))
        images = noise + 60 * labels[:, None, None] * (np.arange(8) < 4)
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels}
    np.savez(folder / "own.npz", **arrays)
    for name, (method, options) in METHODS.items():
        triptych.train(
            name,
            data=folder / "own.npz",
            method=method,
            out=folder / name,
            steps=4,
            batch_size=50,
            threads=1,
            device="cpu",
            **options,
        )
    return folder


@pytest.fixture(scope="module")
def measured(
    runs: Path, tmp_path_factory: pytest.TempPathFactory, run_ranks: Callable[..., list]
) -> Callable[[int], list[dict]]:
    """What each of so many ranks says of all three runs, and the folder that the first wrote into."""
    kept: dict[int, list[dict]] = {}

    def measure(size: int) -> list[dict]:
        if size not in kept:
            folder = shutil.copytree(runs, tmp_path_factory.mktemp("ranks") / str(size))
            ended = run_ranks(size, PROGRAM, folder, *METHODS, timeout=400, TRIPTYCH_PATIENCE="300")
            assert [(e.returncode, e.stderr) for e in ended] == [(0, "")] * size
            kept[size] = [json.loads(e.stdout) for e in ended]
            for name in METHODS:
                run = Run(folder / name)
                kept[size][0][name]["written"] = {
                    "log": len(run.metrics()),
                    "results": run.results(),
                    "left out": sorted(run.left_out()),
                    "arrays": sorted(p.name for p in (run.path / "samples").glob("*.npz")),
                    "moments": list(run.moments()),
                }
        return kept[size]

    return measure


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_every_rank_has_the_figures_of_one_process_to_the_bit(measured, name, size):
    (alone,) = measured(1)
    for said in measured(size):
        assert said[name]["looks"] == alone[name]["looks"]
        assert said[name]["found"] == alone[name]["found"]
    assert len(alone[name]["found"]) > 15
    assert all(any("valid/" in key for key in look) for look in alone[name]["looks"])


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_of_the_looks_nothing_is_asked_for_twice(measured, name, size):
    """All ranks together ask the method for as many images as one process, and more than one rank does."""
    alone, shared = measured(1), measured(size)
    asked: dict[str, int] = {}
    for seen in shared[0][name]["seen"]:
        for what, count in seen.items():
            asked[what] = asked.get(what, 0) + count
    assert asked == alone[0][name]["seen"][0]
    # 101 validation images are one block, and one rank's.
    assert sum(map(bool, shared[0][name]["seen"])) == (1 if name in ("vae", "hvae") else 2)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", METHODS)
def test_the_folder_of_the_first_rank_has_everything_once(measured, name, size):
    """The others have none, and would have written into /nowhere."""
    alone, shared = measured(1)[0][name]["written"], measured(size)[0][name]["written"]
    assert shared == alone
    assert set(alone["results"]) <= set(measured(size)[0][name]["found"])
    assert alone["arrays"]
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize("size", [2, 3])
def test_what_fails_on_one_rank_is_an_error_of_all(measured, size):
    expected = f"rank 0 of {size} failed by ZeroDivisionError: by nought"
    assert [said["failure"] for said in measured(size)] == [expected] * size
