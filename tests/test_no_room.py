"""A machine that refuses: no room for a file. It says which, keeps what was there, and is no outcome of the work."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import checkpoint, experiment
from triptych.cli import main as command_line
from triptych.config import merge
from triptych.data import DataConfig, load
from triptych.data.places import cache_root
from triptych.errors import MachineError, NoMemoryError, TriptychError, refused
from triptych.evaluation.representation import projection
from triptych.experiment import preparation, training
from triptych.files import append, write
from triptych.locks import HeldError, locked
from triptych.ranks import Ranks
from triptych.runs import Result, Run
from triptych.studies.guard import alone, held
from triptych.studies.worker import settled


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse what does not fit into a file of so many bytes, as a full disk does, whoever writes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def small(folder: Path, **tables: object) -> experiment.ExperimentConfig:
    rng, data = np.random.default_rng(0), folder / "images.npy"
    np.save(data, rng.integers(0, 255, (60, 16, 16), dtype=np.uint8))
    train = {"duration": "6 steps", "batch_size": 8, "device": "cpu", "threads": 1, "log_every": 1}
    given = {
        "method": {"hidden": [8], "latent": 3, "likelihood": "logistic"},
        "data": {"name": str(data)},
        "train": {**train, "checkpoint_every": "2 steps", "validate_every": "6 steps", **tables},
    }
    return merge(experiment.default_config("vae"), given)


def without_clock(run: Run) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]


def test_a_line_that_does_not_fit_leaves_none_of_itself(tmp_path: Path):
    log = tmp_path / "metrics.jsonl"
    append(log, "first\n")
    with files_up_to(10), pytest.raises(MachineError, match=rf"cannot write '{log}': .*make room"):
        append(log, "the second one\n")
    assert log.read_text() == "first\n"
    append(log, "second\n")
    assert log.read_text() == "first\nsecond\n"


def test_a_file_that_does_not_fit_leaves_the_one_before(tmp_path: Path):
    write(tmp_path / "a.json", "{}")
    with files_up_to(10), pytest.raises(MachineError, match=r"cannot write '.*/a\.json': "):
        write(tmp_path / "a.json", "[" + "1," * 20 + "1]")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "{}")]


def test_images_that_do_not_fit_into_the_cache_are_a_sentence(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (90, 16, 16), np.uint8))
    config = DataConfig(str(tmp_path / "x.npy"))
    with files_up_to(10_000), pytest.raises(MachineError, match=r"'.*train\.npy': .*make room"):
        load(config)
    assert list((cache_root() / "decoded").glob(".tmp-*")) == []
    assert len(load(config).splits["train"]) > 0


@pytest.mark.parametrize("log", [None, "tensorboard"])
def test_a_training_that_finds_no_room_is_gone_on_with(tmp_path: Path, log: str | None):
    whole = experiment.train(small(tmp_path), tmp_path / "whole")
    assert whole.checkpoint("last").stat().st_size > 20_000
    with files_up_to(20_000), pytest.raises(MachineError, match=r"last\.safetensors"):
        experiment.train(small(tmp_path, log=log), tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.status() == "interrupted"
    assert not settled(run.path, evaluate=False), "a full disk is no outcome"
    assert [p.name for p in (run.path / "checkpoints").iterdir() if "last" in p.name] == []
    experiment.resume(run.path)
    assert run.status() == "done" and without_clock(run) == without_clock(whole)
    assert run.weights("last") == whole.weights("last")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (refused("write", Path("a"), OSError(28, "full")), MachineError),
        (OSError(5, "I/O"), OSError),
        (MemoryError(), MachineError),
    ],
)
def test_what_the_machine_refuses_is_no_failure_of_the_run(
    tmp_path: Path, monkeypatch, error, raised
):
    def fit(*_, **__):
        raise error

    monkeypatch.setattr(training, "fit", fit)
    with pytest.raises(raised):
        experiment.train(small(tmp_path), tmp_path / "run")
    assert Run(tmp_path / "run").status() == "interrupted"


@pytest.mark.parametrize("where", ["build", "fit"])
def test_a_card_without_room_is_a_sentence_and_no_failure(tmp_path: Path, monkeypatch, where):
    def large(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(preparation if where == "build" else training, where, large)
    with pytest.raises(
        NoMemoryError, match=r"not enough memory on the GPU .* smaller --batch-size"
    ):
        experiment.train(small(tmp_path), tmp_path / "run")
    assert Run(tmp_path / "run").status() in ("interrupted", "missing")


def test_what_lacks_memory_anywhere_is_said_in_a_sentence(monkeypatch, capsys):
    def large(words: list[str]) -> int:
        raise MemoryError("Unable to allocate 3.00 GiB for an array")

    monkeypatch.setattr(command_line, "_dispatch", large)
    assert command_line.main(["runs"]) == 2
    said = "triptych: there is not enough memory for this; take fewer or smaller images"
    assert capsys.readouterr().err.startswith(said)


def test_what_a_killed_process_left_goes_wherever_it_lies(tmp_path: Path):
    """A reproduction was killed while it drew a run that was measured: nothing opened that run again."""
    figures = tmp_path / "panel" / "arm" / "seed-0" / "figures"
    figures.mkdir(parents=True)
    code = (
        "import os, sys; from pathlib import Path; from triptych.files import staged\n"
        "with staged(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os._exit(0)"
    )
    for folder in (tmp_path, figures.parent, figures):
        subprocess.run([sys.executable, "-c", code, str(folder / "a.png")], check=True)
    (figures / ".mine").write_text("nobody's but the owner's")
    assert len([p for p in tmp_path.rglob(".a.png.triptych-*")]) == 3
    with alone(tmp_path):
        assert not [p for p in tmp_path.rglob(".a.png.triptych-*")]
    assert (figures / ".mine").exists()


def test_what_the_first_rank_is_refused_all_are(tmp_path: Path):
    ranks = Ranks(1, 2, 1, 2)
    for error in (OSError(28, "full"), MachineError("no room in 'a'")):
        assert type(ranks._said(ranks._failure(error))) is MachineError
    assert type(ranks._said(ranks._failure(TriptychError("no such option")))) is TriptychError


def test_maps_are_made_here_where_a_process_cannot_be_asked(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    x = np.random.default_rng(0).normal(size=(40, 3))
    found = projection.maps(x, 1.0, 5.0)
    monkeypatch.setattr(projection.np, "savez", full)
    with projection.maps_aside(x, 1.0, 5.0) as wait:
        np.testing.assert_array_equal(wait()["tsne"], found["tsne"])


def test_one_that_ended_meanwhile_is_not_trained_again(tmp_path: Path, monkeypatch):
    """Two resumes ask for its status; one of them has done it before the other holds it."""
    run = experiment.train(small(tmp_path), tmp_path / "run")
    (run.path / "DONE").rename(run.path / "later")
    before, prepare = without_clock(run), training.prepare

    def slow(*given, **how):
        (run.path / "later").rename(run.path / "DONE")
        return prepare(*given, **how)

    monkeypatch.setattr(training, "prepare", slow)
    with pytest.raises(TriptychError, match="is done already: trained for 6 steps"):
        experiment.resume(run.path)
    assert run.status() == "done" and without_clock(run) == before


RECORD = """
import sys
from triptych.runs import Result, Run
run = Run(sys.argv[1])
for number in range(40):
    run.record({f"{sys.argv[2]}/{number}": Result(float(number), 0.1, 5, {"fingerprint": "a"})})
"""


def test_no_evaluation_loses_what_another_recorded_meanwhile(tmp_path: Path):
    run = Run.create(tmp_path / "run", {})
    words = [
        [sys.executable, "-c", RECORD, str(run.path), name] for name in ("one", "other", "more")
    ]
    for process in [subprocess.Popen(each) for each in words]:
        assert process.wait() == 0
    kept = json.loads((run.path / "results.json").read_text())
    assert {(n, r["value"]) for n, r in kept.items()} == {
        (f"{name}/{i}", float(i)) for name in ("one", "other", "more") for i in range(40)
    }


def of_run(folder: Path) -> None:
    with Run(folder).lock():
        pass


def of_results(folder: Path) -> None:
    Run(folder).record({"a": Result(1.0, 0.1, 5, {})})


def of_study(folder: Path) -> None:
    with alone(folder):
        pass


def of_numbered(folder: Path) -> None:
    Run.create_numbered(folder, "a", {})


@pytest.mark.parametrize("take", [of_run, of_results, of_study, of_numbered])
@pytest.mark.parametrize("kind", [Path.symlink_to, Path.hardlink_to], ids=["symbolic", "hard"])
def test_a_lock_that_is_a_link_empties_no_file(
    tmp_path: Path, monkeypatch, take: Callable[[Path], None], kind: Callable[[Path, Path], None]
):
    """As the lowest allowed filelock opens it: it follows a link, and empties what it finds."""
    monkeypatch.setattr(os, "O_NOFOLLOW", 0)
    precious, folder = tmp_path / "precious", Run.create(tmp_path / "run", {}).path
    precious.write_text("mine")
    for name in (".lock", ".results.lock"):
        kind(folder / name, precious)
    with pytest.raises(TriptychError, match=r"lock' is a link; delete it first"):
        take(folder)
    assert precious.read_text() == "mine"
    assert Run(folder).status() == "interrupted" and not held(folder)
    assert precious.read_text() == "mine"


def test_a_lock_is_held_once_and_let_go(tmp_path: Path):
    path = tmp_path / ".lock"
    with (
        locked(path),
        pytest.raises(HeldError, match="wait for it"),
        locked(path, "wait for it", wait=0),
    ):
        pass
    with locked(path, wait=0):
        assert path.stat().st_size == 0


def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    said = rf"cannot lock '{tmp_path}/file/\.lock': Not a directory"
    with pytest.raises(MachineError, match=said), locked(tmp_path / "file" / ".lock"):
        pass


@pytest.mark.parametrize(("make", "said"), [(Path.mkdir, "a folder"), (os.mkfifo, "no file")])
def test_a_lock_that_is_no_file_is_a_sentence(tmp_path: Path, make, said: str):
    make(tmp_path / ".lock")
    with (
        pytest.raises(TriptychError, match=f"is {said}; delete it first"),
        locked(tmp_path / ".lock"),
    ):
        pass


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path):
    import torch

    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {"weights.a": torch.ones(3)}, {"step": 1})
    with files_up_to(1000), pytest.raises(MachineError, match=rf"the checkpoint '{path}'"):
        checkpoint.save(path, {"weights.a": torch.ones(3000)}, {"step": 2})
    tensors, about = checkpoint.load(path)
    assert about["step"] == 1 and tensors["weights.a"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
