"""The whole way; interrupted, killed and gone on with to the same results; a failure that does not hide."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from triptych import checkpoint, presets
from triptych.cli.main import main
from triptych.cli.panels import Milestones
from triptych.reproduction.record import RECORD, Record
from triptych.reproduction.reproduce import Outcome, reproduce
from triptych.runs import Run
from triptych.studies.execute import Ended
from triptych.studies.worker import train

RUNS = ("vae", "wgan")
STUDY = "simsiam-ablation"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(Run(run).checkpoint("last"))[0]


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_the_whole_way_ends_in_one_page(whole: Outcome):
    folder = whole.folder
    assert (whole.stopped, whole.idle, whole.failures) == (False, False, {})
    assert [Run(folder / name).status() for name in RUNS] == ["done", "done"]
    assert "test/log_likelihood" in Run(folder / "vae").results()
    assert "test/frechet" in Run(folder / "wgan").results()
    assert (folder / "wgan/figures/filmstrip.png").exists()
    page = whole.page.read_text()
    for words in ("A likelihood", "A game", "A study: simsiam-ablation-demo", "An agreement"):
        assert words in page
    for name in RUNS:
        assert (folder / name / "playable.json").exists()
    assert (folder / "report-files" / "tables" / "1-vae.csv").exists()
    assert (folder / STUDY / "study.md").read_text().startswith("# simsiam-ablation-demo")


def test_every_part_has_its_estimate_and_its_time(whole: Outcome):
    record = json.loads((whole.folder / RECORD).read_text())
    (call,) = record["calls"]
    assert record["done"]
    steps = [f"{name}/{part}" for name in RUNS for part in ("train", "measure", "draw")]
    assert list(call["parts"]) == [*steps, STUDY, "report"]
    assert call["slowed"] >= 1
    for part in call["parts"].values():
        assert part["predicted"] > 0
        assert part["actual"] > 0


def test_called_again_it_does_nothing_and_says_so(whole: Outcome, place, plan_of):
    before = {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*")}
    again = reproduce(plan_of(place), whole.folder)
    assert again == Outcome(whole.folder, False, True, {}, {})
    assert {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*")} == before


def start(place: Path, folder: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("conftest.py")
    return subprocess.Popen([sys.executable, str(script), str(place), str(folder)])


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.005)


def test_killed_and_stopped_it_ends_in_the_same(whole: Outcome, place, plan_of, tmp_path):
    folder = tmp_path / "killed"
    killed = start(place, folder)
    until(Run(folder / "vae").checkpoint("last").exists)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (folder / "vae/DONE").exists()
    assert not (folder / "wgan").exists()

    stopped = start(place, folder)
    until((folder / "wgan/config.toml").exists)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(120) == 130
    assert same_weights(folder / "vae", whole.folder / "vae")
    assert Run(folder / "vae").results() == Run(whole.folder / "vae").results()
    assert not (folder / "wgan/DONE").exists()

    given = plan_of(place)
    train(folder / "wgan", given.runs["wgan"].config)
    assert same_weights(folder / "wgan", whole.folder / "wgan")
    # Measured like the other one's, which need not take its time again.
    shutil.rmtree(folder / "wgan")
    shutil.copytree(whole.folder / "wgan", folder / "wgan")
    before = {p: p.stat().st_mtime_ns for name in RUNS for p in (folder / name).rglob("*")}
    ended = reproduce(given, folder)
    assert set(ended.parts) == {STUDY, "report"}, "what was done is not done again"
    assert {p: p.stat().st_mtime_ns for p in before if p.suffix in (".json", "")} == {
        p: before[p] for p in before if p.suffix in (".json", "")
    }
    assert (folder / STUDY / "study.json").read_bytes() == (
        whole.folder / STUDY / "study.json"
    ).read_bytes()
    calls = json.loads((folder / RECORD).read_text())["calls"]
    assert [call["parts"].get("vae/train", {}).get("actual") is None for call in calls] == [
        True,
        False,
        True,
    ]


def test_a_failure_is_on_the_page_and_in_the_outcome(
    whole: Outcome, place, plan_of, tmp_path, capsys
):
    broken = {"method": {"optimizer": {"name": "sgd", "lr": 1e20}}}
    given, folder = plan_of(place, vae=broken), tmp_path / "broken"
    folder.mkdir()
    Record(given, folder).begin({}, 0.0)
    for name in ("wgan", STUDY):
        shutil.copytree(whole.folder / name, folder / name)
    ended = reproduce(given, folder, show=Milestones())
    assert list(ended.failures) == ["vae"]
    assert "not finite at step" in ended.failures["vae"]
    page = ended.page.read_text()
    assert "not finite at step" in page
    assert "A game" in page
    said = capsys.readouterr().err
    assert "vae: failed; the term " in said
    assert reproduce(given, folder).failures == ended.failures, "nor is it forgotten"


def test_the_command_ends_with_the_page_and_with_a_failures_exit_code(
    whole: Outcome, place, plan_of, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("triptych.reproduction.plan.plan", lambda *_, **__: plan_of(place))
    assert main(["demo", "--out", str(whole.folder)]) == 0
    said, aside = capsys.readouterr()
    assert "timing" not in aside
    assert "everything was done already" in said
    assert said.endswith(f"report    {whole.page}    open it in a browser\n")
    folder = tmp_path / "failed"
    shutil.copytree(whole.folder, folder)
    Run(folder / "wgan").finish("FAILED", "the term 'penalty' was not finite")
    assert main(["demo", "--out", str(folder)]) == 1
    assert "wgan has failed: " in capsys.readouterr().err


def test_a_page_that_was_deleted_is_written_again_and_nothing_else_done(
    whole: Outcome, place, plan_of, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("triptych.reproduction.plan.plan", lambda *_, **__: plan_of(place))
    folder = tmp_path / "all"
    shutil.copytree(whole.folder, folder)
    (folder / "report.html").unlink()
    before = {p: p.stat().st_mtime_ns for name in RUNS for p in (folder / name).rglob("*")}
    assert main(["demo", "--out", str(folder)]) == 0
    said, aside = capsys.readouterr()
    assert "done already" not in said
    assert "timing" not in aside
    assert (folder / "report.html").read_bytes() == whole.page.read_bytes()
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert list(json.loads((folder / RECORD).read_text())["calls"][-1]["parts"]) == ["report"]


@pytest.mark.parametrize("state", ["waiting", "training"])
def test_a_milestone_is_said_once(state, capsys, tmp_path, place, plan_of):
    from triptych.reproduction.board import Board

    record = Record(plan_of(place), tmp_path)
    record.begin({"vae/train": 61.0}, 0.0)
    board = Board(record, Milestones())
    for share in (0.0, 0.5):
        board.say("vae", state=state, share=share)
    said = capsys.readouterr().err
    assert said == {"waiting": "", "training": "vae: training; 0:01:01 left\n"}[state]


FOURTH = """
[panels.narrow]
method = "vae"
preset = "fast"
evaluate = { samples = 7 }
"""


def test_a_fourth_panel_is_one_entry(whole: Outcome, place, plan_of, tmp_path):
    """Trained, measured, drawn, on the page and in the record, and nothing else is done again."""
    scale, folder = tmp_path / "four.toml", tmp_path / "four"
    scale.write_text(presets.scale_file("demo").read_text() + FOURTH)
    given = plan_of(place, scale=str(scale))
    folder.mkdir()
    Record(given, folder).begin({}, 0.0)
    for name in (*RUNS, STUDY):
        shutil.copytree(whole.folder / name, folder / name)
    ended = reproduce(given, folder)
    assert (ended.stopped, ended.failures) == (False, {})
    parts = [f"narrow/{part}" for part in ("train", "measure", "draw")]
    assert list(ended.parts) == [*parts, "report"]
    assert all(part["predicted"] > 0 for part in ended.parts.values())
    run = Run(folder / "narrow")
    assert run.results()["test/log_likelihood"]["protocol"]["K"] == 7
    assert (run.path / "playable.json").exists()
    assert (folder / "report-files" / "tables" / "5-narrow.csv").exists()
    page = ended.page.read_text()
    assert "four scale" in page
    assert len(page) > len(whole.page.read_text())
    assert reproduce(given, folder).idle


@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_cores_are_taken_than_were_given(place, plan_of, tmp_path, monkeypatch, threads):
    given = dataclasses.replace(plan_of(place), threads=threads)
    seen = {}

    def trained(path, config, data_dir, display):
        seen["train"] = config.train.threads
        Run.create(path, config.tables()).finish("DONE", "")

    def measured(path, config, data_dir):
        seen["measure"] = config.threads

    def executed(study, folder, *, jobs, data_dir, show):
        seen["study"] = jobs
        return Ended(True, {})

    for name, stub in {"train": trained, "measure": measured, "execute": executed}.items():
        monkeypatch.setattr(f"triptych.reproduction.reproduce.{name}", stub)
    monkeypatch.setattr("triptych.reproduction.reproduce.draw", lambda *_: None)
    monkeypatch.setattr("triptych.reproduction.reproduce.write_playable", lambda *_: None)
    assert reproduce(given, tmp_path / "out").stopped
    assert seen == {"train": threads, "measure": threads, "study": threads}
    assert torch.get_num_threads() == threads
