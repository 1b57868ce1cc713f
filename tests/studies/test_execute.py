"""Runs side by side: stopped or killed at any moment, the study ends in the same numbers; a failure is an outcome."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from triptych.cli.main import main
from triptych.runs import Run
from triptych.studies.compare import write
from triptych.studies.execute import Ended, check, default_jobs, execute, unfinished
from triptych.studies.plan import Cell, Study, load, open_folder
from triptych.studies.watch import Row, watch
from triptych.studies.where import Where
from triptych.studies.worker import work

FILE = """
[study]
method = "vae"
seeds = [0]
metrics = ["valid/elbo", "test/log_likelihood", "train/elbo"]
curves = ["train/elbo"]

[base]
method.hidden = [8]
method.latent = 3
data.name = "mine.npy"
train.duration = "1200 steps"
train.batch_size = 8
train.log_every = 50
train.validate_every = "1000 steps"
train.checkpoint_every = "200 steps"

[arms.default]
[arms.narrow]
method.latent = 1
[arms.broken]
method.optimizer.lr = 1e30
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squares: Callable[[], None]) -> Path:
    monkeypatch.chdir(tmp_path)
    squares()
    Path("mine.toml").write_text(FILE)
    return tmp_path


def test_a_check_says_nothing_of_the_cpu_that_stands_in_for_another_processor(
    here: Path, monkeypatch: pytest.MonkeyPatch
):
    """An arm in bf16, checked on a CPU that emulates it, for a card of this machine and for a cluster."""
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    study = load(Path("mine.toml"), ["train.dtype=bf16"])
    cells = [Cell("default", 0)]
    for kind in ("ray", "slurm"):
        check(study, cells, on=Where(kind))
    with pytest.warns(UserWarning, match="this cpu has no bf16"):
        check(study, cells)
    monkeypatch.setattr("triptych.studies.execute.device_for", lambda wanted: torch.device("cuda"))
    check(study, cells)


def start() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "triptych", "study", "mine.toml", "--jobs", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def steps(arm: str) -> int:
    metrics = Run(Path("studies/mine") / arm / "seed-0").metrics()
    return int(metrics[-1]["step"]) if metrics else 0


def test_killed_and_stopped_it_ends_in_the_numbers_of_one_that_never_was(here: Path, finish, until):
    study, folder = load(Path("mine.toml")), Path("studies/mine")
    open_folder(Path("whole"), study)
    finish(Path("whole"), study)
    expected = write(study, Path("whole"))

    killed = start()
    until(lambda: steps("default") > 0)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=180)
    first = Run(folder / "default" / "seed-0")
    until(lambda: first.status() == "interrupted")
    assert first.checkpoint("last").exists(), "its worker saw that it was alone, saved and ended"
    reached = steps("default")
    assert 0 < reached < 1200

    stopped = start()
    until(lambda: steps("default") > reached or (first.path / "DONE").exists())
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=180)
    assert stopped.returncode == 130, said
    assert "go on with: triptych study mine.toml --jobs 1" in said
    assert len(unfinished(study, folder)) >= 2

    finish(folder, study)
    assert main(["study", "mine.toml"]) == 0
    assert json.loads((folder / "study.json").read_text()) == expected
    assert expected["metrics"]["test/log_likelihood"]["arms"]["default"]["n"] == 1
    assert expected["arms"]["broken"]["runs"]["0"]["state"] == "failed"
    drawn = sorted(p.name for p in (folder / "figures").glob("*.png"))
    assert drawn == ["study-curves.png", "study-differences.png"]
    assert "- broken, seed 0: failed: the term " in (folder / "study.md").read_text()


@pytest.fixture
def quick(here: Path) -> Study:
    """The same with nothing to wait for: two steps, and no evaluation."""
    text = FILE.replace("1200 steps", "2 steps").replace("curves", "evaluate = false\ncurves")
    Path("quick.toml").write_text(text)
    study = load(Path("quick.toml"))
    open_folder(Path("quick"), study)
    return study


def test_a_failure_is_an_outcome_and_no_outcome_is_made_twice(quick: Study):
    folder = Path("quick")
    for arm in ("default", "narrow"):
        work_done(folder, Cell(arm, 0))
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/*/*")}
    looks: list[list[Row]] = []
    for _ in range(2):
        ended = execute(quick, folder, show=lambda rows, left: looks.append(rows))
        assert ended == Ended(False, {})
        assert [row.state for row in looks[-1]] == ["done", "done", "failed"]
        assert "not finite" in looks[-1][-1].reason
    assert [row.state for row in looks[0]] == ["done", "done", "training"]
    assert {p: p.stat().st_mtime_ns for p in before} == before


def work_done(folder: Path, cell: Cell) -> None:
    work(folder, cell)
    assert Run(cell.path(folder)).status() == "done"


def test_measuring_that_was_cut_off_is_done_again(quick: Study):
    """Trained, and some results are there: but not all, or the mark would be."""
    folder, cell = Path("quick"), Cell("default", 0)
    work_done(folder, cell)
    text = Path("quick/study.toml").read_text().replace("evaluate = false", "evaluate = true")
    Path("quick.toml").write_text(text)
    study = load(Path("quick.toml"))
    assert cell in unfinished(study, folder)
    assert [row.state for row in watch(study, folder, [cell.path(folder)], {})] == [
        *("measuring", "waiting", "waiting"),
    ]
    open_folder(folder, study)
    work(folder, cell)
    assert cell not in unfinished(study, folder)
    result = Run(cell.path(folder)).results()["test/log_likelihood"]
    assert result["protocol"]["checkpoint"] == "best"


def test_a_run_folder_that_was_only_begun_is_made_anew(quick: Study):
    cell = Cell("default", 0)
    (cell.path(Path("quick")) / "checkpoints").mkdir(parents=True)
    work_done(Path("quick"), cell)


def test_a_worker_without_an_outcome_leaves_its_last_words(quick: Study):
    for arm in ("default", "narrow"):
        work_done(Path("quick"), Cell(arm, 0))
    os.remove("mine.npy")
    ended = execute(quick, Path("quick"))
    assert not ended.stopped
    assert list(ended.problems) == [Cell("broken", 0)]
    assert "mine.npy" in ended.problems[Cell("broken", 0)]


def test_runs_on_a_cpu_have_a_thread_each_and_the_jobs_fit_the_cores(quick: Study):
    work_done(Path("quick"), Cell("default", 0))
    assert Run(Path("quick/default/seed-0")).config["train"]["threads"] == 1
    cores = len(os.sched_getaffinity(0))
    assert default_jobs(quick) == cores
    wide = load(Path("quick.toml"), [f"train.threads={cores}"])
    assert default_jobs(wide) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study"], "name a study file"),
        (["study", "nothing.toml"], "there is no study file 'nothing.toml'"),
        (["study", "mine.toml", "--jobs", "0"], "--jobs 0 is too small"),
        (["study", "mine.toml", "--set", "train.batch_size=70"], "arm 'default': a batch of 70"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(here: Path, capsys, words, said):
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not Path("studies").exists()
