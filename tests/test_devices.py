"""One command on several devices: begun, stopped, broken off and gone on with."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import triptych as tt
from triptych.errors import TriptychError
from triptych.methods.wgan import WGAN
from triptych.runs import Run

TRAIN = [
    "train",
    "vae",
    "--method.hidden",
    "8",
    "--batch-size",
    "10",
    "--checkpoint-every",
    "10 steps",
]
TRAIN += ["--log-every", "10", "--steps", "3000", "--devices", "2", "--compile", "off"]


def pid_of(rank: int, run: Path) -> int:
    """The process of a rank of a run, of all that there are."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = b"triptych.experiment.rank" in words and str(run).encode() in words
        if ours and b"-c" not in words.split(b"\0") and f"RANK={rank}".encode() in variables:
            return int(process.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.fixture
def begun(tmp_path: Path):
    """``begun(**environment)``: a training on two devices that has saved something, and its run."""
    processes = []

    def begin(**environment: str) -> tuple[subprocess.Popen[str], Run]:
        run = Run(tmp_path / "run")
        process = subprocess.Popen(
            [sys.executable, "-m", "triptych", *TRAIN, "--out", str(run.path)],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        deadline = time.monotonic() + 90
        while not run.checkpoint("last").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, run

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def no_rank_is_left(run: Run) -> None:
    deadline = time.monotonic() + 20
    for rank in (0, 1):
        while there(rank, run.path):
            assert time.monotonic() < deadline, f"rank {rank} goes on"
            time.sleep(0.2)


def there(rank: int, run: Path) -> bool:
    try:
        pid_of(rank, run)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("rank", [0, 1])
def test_the_death_of_a_rank_ends_all_with_a_sentence_and_a_checkpoint(begun, rank):
    process, run = begun()
    os.kill(pid_of(rank, run.path), signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    last = said.strip().splitlines()[-1]
    step = run.about("last")["step"]
    assert (
        f"rank {rank} was ended by signal 9; step {step} is saved, go on with: triptych train --resume"
        in last
    )
    assert "Traceback" not in said
    assert run.status() == "interrupted"
    no_rank_is_left(run)


def test_a_rank_that_is_not_heard_of_is_not_waited_for_without_end(begun):
    process, run = begun(TRIPTYCH_PATIENCE="4")
    silent = pid_of(1, run.path)
    os.kill(silent, signal.SIGSTOP)
    began = time.monotonic()
    _, said = process.communicate(timeout=90)
    assert process.returncode == 2
    assert time.monotonic() - began < 60
    assert f"step {run.about('last')['step']} is saved" in said
    no_rank_is_left(run)


def test_who_stops_it_finds_everything_saved(begun):
    process, run = begun()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "everything is saved" in said
    reached = run.about("last")
    assert reached["step"] < 3000
    assert max(line["step"] for line in run.metrics()) <= reached["step"]
    no_rank_is_left(run)


def test_the_death_of_who_began_it_stops_the_ranks_at_a_checkpoint(begun):
    process, run = begun()
    process.kill()
    no_rank_is_left(run)
    assert run.status() == "interrupted"
    with pytest.warns(UserWarning, match="goes on on 1 device from step"):
        ended = tt.resume(run, devices=1, progress=False)
    assert ended.status() == "done"
    assert max(line["step"] for line in ended.metrics()) == 3000


def test_numbers_are_those_of_one_device(tmp_path, run_ranks: Callable):
    options = {"steps": 30, "method": {"hidden": [8]}, "batch_size": 11, "progress": False}
    one = tt.train("vae", out=tmp_path / "one", **options)
    two = tt.train("vae", out=tmp_path / "two", devices=2, **options)
    assert two.status() == "done"
    assert two.config["train"]["devices"] == 2
    words = ["-m", "triptych", "train", "vae", "--steps", "30", "--method.hidden", "8"]
    words += ["--batch-size", "11", "--out", str(tmp_path / "begun elsewhere")]
    first, second = run_ranks(2, words)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "trained for 30 steps" in first.stdout
    assert (second.stdout, second.stderr) == ("", "")
    last = [run.metrics()[-1] for run in (one, two, Run(tmp_path / "begun elsewhere"))]
    for name, value in last[0].items():
        if name != "seconds":
            assert [line[name] for line in last[1:]] == pytest.approx([value] * 2, rel=1e-5)
    here = tt.evaluate(one, samples=10, progress=False)
    there = tt.evaluate(one, samples=10, devices=2, progress=False)
    assert here.keys() == there.keys()
    assert there["test/elbo"].value == pytest.approx(here["test/elbo"].value, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"devices": 0}, "--devices 0"),
        ({"devices": 3, "batch_size": 2}, "3 devices cannot share batches of 2"),
        (
            {"devices": 2, "batch_size": 3, "method": {"batch_norm": "local", "width": 2}},
            "3, of which each needs 2",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_begun(tmp_path, options, said):
    with pytest.raises(TriptychError, match=said):
        tt.train("wgan", data="mnist-5k", steps=2, out=tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()


LOOK = """
import sys
import triptych as tt
from triptych.ranks import Ranks

done, plain = [0], Ranks.shared


def counted(ranks, things, work):
    start, stop = ranks.part(len(things))
    done[0] += stop - start
    return plain(ranks, things, work)


Ranks.shared = counted
tt.train(
    "wgan", data="mnist-5k", steps=2, batch_size=10, method={"width": 2}, out=sys.argv[1], progress=False
)
print(done[0])
"""


def test_looks_in_a_training_are_shared(tmp_path, run_ranks: Callable):
    (one,) = run_ranks(1, LOOK, tmp_path / "one")
    two = run_ranks(2, LOOK, tmp_path / "two")
    assert [(r.returncode, r.stderr) for r in (one, *two)] == [(0, "")] * 3
    parts = [int(rank.stdout) for rank in two]
    assert sum(parts) == int(one.stdout)
    assert min(parts) > 0


MEASURE = """
import platform, sys
import triptych as tt
from triptych import environment

environment.has_bf16, platform.machine = lambda device: False, lambda: "x86_64"
tt.evaluate(sys.argv[1], samples=2, dtype="bf16", progress=False)
"""


def test_of_ranks_that_a_launcher_began_the_first_says_what_is_emulated(
    tmp_path, trained, run_ranks: Callable
):
    copy = shutil.copytree(trained.path, tmp_path / "run")
    first, second = run_ranks(2, MEASURE, copy)
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr.count("this cpu has no bf16 products of its own") == 1
    assert second.stderr == ""


@pytest.mark.parametrize(
    ("gathers", "said"), [(None, "does not say whether"), (True, "11 of them do not divide evenly")]
)
def test_a_loss_that_compares_images_is_not_taken_apart(tmp_path, monkeypatch, gathers, said):
    monkeypatch.setattr(WGAN, "gathers", gathers)
    options = {"data": "mnist-5k", "steps": 2, "batch_size": 11, "progress": False}
    with pytest.raises(TriptychError, match=said):
        tt.train("wgan", devices=2, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_an_arm_of_a_study_may_have_several_devices(tmp_path):
    """Its run takes the cores of all of them, and comes to the numbers of the other."""
    arms = {"one": {}, "two": {"train": {"devices": 2}}}
    changes = ["train.duration='20 steps'", "train.batch_size=11", "method.hidden=[8]"]
    told = {"method": "vae", "metrics": ["valid/elbo"], "control": "one", "evaluate": False}
    found = tt.study(arms, tmp_path / "study", seeds=[0], changes=changes, progress=False, **told)
    assert not found.problems
    one, two = (Run(found.path / arm / "seed-0") for arm in arms)
    assert (one.status(), two.status()) == ("done", "done")
    assert (one.about("last")["devices"], two.about("last")["devices"]) == (1, 2)
    first, second = (run.metrics()[-1]["valid/elbo"] for run in (one, two))
    assert second == pytest.approx(first, rel=1e-5)
