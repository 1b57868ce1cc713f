"""A reproduction on what is declared a card: all runs in processes beside each other, to the numbers of one in turn."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from triptych.cli.panels import Milestones
from triptych.errors import TriptychError
from triptych.reproduction import estimate
from triptych.reproduction.board import of_study
from triptych.reproduction.plan import RUNS, Plan, plan
from triptych.reproduction.record import RECORD, Record
from triptych.reproduction.reproduce import Outcome, reproduce
from triptych.runs import Run
from triptych.studies import card
from triptych.studies.card import Coming, Crowd, Forecast
from triptych.studies.execute import Ended
from triptych.studies.forecast import left_of
from triptych.studies.pace import Pace
from triptych.studies.plan import Cell
from triptych.studies.stopwatch import Looks
from triptych.studies.watch import Row

STUDY = "simsiam-ablation"


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process takes the CPU for a card; those that it begins do not."""
    monkeypatch.setattr(Plan, "on_card", property(lambda self: True))


def test_the_runs_of_all_panels_are_begun_in_their_order(monkeypatch, tmp_path: Path):
    demo = plan("demo", jobs=3, threads=5)
    asked = []

    def forecast(
        runs: list[Coming], jobs: int | None, data_dir: str | None, room: int | None
    ) -> Forecast:
        asked.append((jobs, room))
        kinds = {run.kind: Pace(0.5, Looks(0.0, 0.0, 0.0), 1.0) for run in runs}
        return Forecast(Crowd(3, {1: 1.0, 3: 2.0}, kinds), {run.path: 10.0 for run in runs})

    monkeypatch.setattr(estimate, "forecast", forecast)
    Run.create(tmp_path / "vae", {}).finish("FAILED", "the loss was not finite")
    parts, steps, slowed, found = estimate.estimate(demo, tmp_path)
    assert slowed == 1, "a card is timed by its own clock"
    assert asked == [(3, 5)]
    arms = list(demo.studies[STUDY].study.arms)
    cells = [tmp_path / STUDY / arm / "seed-0" for arm in arms]
    assert found is not None
    assert list(found.seconds) == [tmp_path / "wgan", *cells]
    # Five of 10 seconds: three at once for 15 s, then two.
    assert parts == pytest.approx({RUNS: 15 + 20 / (1.5), "report": demo.report})
    assert list(steps) == ["wgan", *(f"{STUDY}/{arm}" for arm in arms)]
    assert "vae" not in steps


def test_a_study_whose_last_run_is_stuck_has_ended():
    def row(state: str) -> Row:
        return Row(Cell("default", 0), state, "", 1.0, 1.0, {}, False)

    assert of_study("s", [row("done"), row("failed"), row("stuck")]).state == "done"
    assert of_study("s", [row("done"), row("put back")]).state == "training"


def test_no_number_of_runs_below_one_is_taken():
    with pytest.raises(TriptychError, match="--jobs 0 is too small; give 1 or more"):
        plan("demo", jobs=0)


def test_on_a_cpu_a_study_has_as_many_as_are_said(monkeypatch, tmp_path, place, plan_of):
    seen = []
    monkeypatch.setattr(Plan, "on_card", property(lambda self: False))
    monkeypatch.setattr(
        "triptych.reproduction.reproduce.execute",
        lambda study, folder, *, jobs, data_dir, show: seen.append(jobs) or Ended(True, {}),
    )
    given = plan_of(place)
    only = {STUDY: given.panels[STUDY]}
    assert reproduce(dataclasses.replace(given, panels=only, jobs=7), tmp_path / "out").stopped
    assert seen == [7]


def test_side_by_side_it_ends_in_the_same_page(
    whole: Outcome, place, plan_of, tmp_path, monkeypatch, capsys
):
    """The WGAN is done, whose evaluation takes long; a VAE and the study's two arms are trained, three at once."""
    monkeypatch.setattr(card, "SECONDS", 0.1)
    folder = tmp_path / "card"
    shutil.copytree(whole.folder / "wgan", folder / "wgan")
    given, heard = plan_of(place), []
    Record(given, folder).begin({}, 0.0)
    ended = reproduce(
        dataclasses.replace(given, jobs=3, threads=1),
        folder,
        show=Milestones(),
        say=lambda seconds, crowd, slowed: heard.append((seconds, crowd)),
    )
    assert (ended.stopped, ended.failures) == (False, {})
    ((seconds, crowd),) = heard
    assert seconds > 0
    assert crowd.jobs == 3
    assert set(ended.parts) == {RUNS, "report"}
    assert all(p["predicted"] > 0 and p["actual"] > 0 for p in ended.parts.values())
    call = json.loads((folder / RECORD).read_text())["calls"][-1]
    assert call["side_by_side"]["jobs"] == 3
    vae = Run(folder / "vae")
    assert vae.status() == "done"
    assert not any(left_of(vae.path))
    assert vae.results().keys() == Run(whole.folder / "vae").results().keys()
    study = (STUDY, "study.json")
    assert (folder.joinpath(*study)).read_bytes() == whole.folder.joinpath(*study).read_bytes()
    assert "An agreement" in ended.page.read_text()
    said = capsys.readouterr().err
    for milestone in ("vae: training", "vae: done", f"{STUDY}: done"):
        assert milestone in said
    assert reproduce(given, folder).idle
