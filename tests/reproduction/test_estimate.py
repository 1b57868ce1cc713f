"""The estimate's arithmetic, with paces that are given, and the time left."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from triptych.config import Duration, merge
from triptych.experiment import default_config
from triptych.reproduction import board, estimate
from triptych.reproduction.board import Board, Panel, remaining
from triptych.reproduction.plan import Plan, plan
from triptych.reproduction.record import Record
from triptych.runs import Run
from triptych.studies.forecast import (
    Left,
    Recorded,
    makespan,
    measure_seconds,
    train_seconds,
)
from triptych.studies.pace import Pace, time_arms, time_steps
from triptych.studies.plan import Cell
from triptych.studies.stopwatch import Looks

CONFIG = dataclasses.replace(
    default_config("wgan"),
    train=dataclasses.replace(
        default_config("wgan").train,
        duration=Duration(25, "steps"),
        validate_every=Duration(10, "steps"),
    ),
)
OWN = Path(__file__).parents[1] / "evaluation" / "own" / "follower.py"
"""A method of one's own."""

PACE = Pace(step=2.0, looks=Looks(100.0, 30.0, 7.0), per_epoch=10.0)
RECORD = Recorded(step=1.0, start=4.0, measure=50.0, draw=3.0)


def test_a_training_is_its_start_its_steps_and_its_looks():
    # Twice as slow as recorded; looks at 10, 20 and the end; landmarks at 1, 2 and 5 beside these.
    whole = train_seconds(CONFIG.train, Left(True, 0, True, True), PACE, RECORD)
    assert whole == 2 * 4 + 25 * 2 + 100 + 3 * 30 + 3 * 7
    rest = train_seconds(CONFIG.train, Left(True, 15, True, True), PACE, RECORD)
    assert rest == 2 * 4 + 10 * 2 + 2 * 30
    assert train_seconds(CONFIG.train, Left(False, 0, True, True), PACE, RECORD) == 0


def test_measuring_takes_longer_as_the_steps_do():
    assert measure_seconds(Left(True, 0, True, True), PACE, RECORD) == 100
    assert measure_seconds(Left(False, 0, False, True), PACE, RECORD) == 0


def test_runs_are_begun_in_their_order_by_whoever_is_free():
    assert makespan([5, 1, 1, 1, 1], 2) == 5
    assert makespan([1, 1, 5], 2) == 6
    assert makespan([2, 3], 1) == 5
    assert makespan([], 2) == 0


STUDY = "simsiam-ablation"
ARM = "simsiam"
"""What a run of the study trains."""


def recorded_of(given: Plan) -> dict[str, Recorded]:
    """By method."""
    found = {panel.config.method_name: panel.recorded for panel in given.runs.values()}
    return found | {ARM: given.studies[STUDY].recorded}


def planted(monkeypatch: pytest.MonkeyPatch, step: dict[str, float]) -> None:
    """Paces without looks, of an epoch of one step, on a CPU."""
    monkeypatch.setattr(Plan, "on_card", property(lambda self: False))

    def pace(name: str) -> Pace:
        return Pace(step[name], Looks(0.0, 0.0, 0.0), 1.0)

    monkeypatch.setattr(estimate, "time_run", lambda config: pace(config.method_name))
    monkeypatch.setattr(
        estimate, "time_arms", lambda arms, jobs, data_dir: {n: pace(ARM) for n in arms}
    )
    monkeypatch.setattr(estimate, "default_jobs", lambda study, room: 2)


def test_every_part_that_is_left_has_its_seconds(tmp_path, monkeypatch):
    demo = plan("demo")
    recorded = recorded_of(demo)
    # This machine is twice as slow in everything.
    planted(monkeypatch, {name: 2 * r.step for name, r in recorded.items()})
    length = {n: p.config.train.duration.steps(1) for n, p in demo.runs.items()}
    found = estimate.estimate(demo, tmp_path).parts
    arm = recorded[ARM]
    steps = demo.studies[STUDY].study.arms["default"].train.duration.steps(1)
    expected = {STUDY: 2 * 2 * (arm.start + steps * arm.step + arm.measure)}
    for name in ("vae", "wgan"):
        was = recorded[name]
        expected |= {
            f"{name}/train": 2 * (was.start + length[name] * was.step),
            f"{name}/measure": 2 * was.measure,
            f"{name}/draw": 2 * was.draw,
        }
    expected["report"] = 2 * demo.report
    assert found == pytest.approx(expected)


def test_what_is_done_is_not_counted(tmp_path, monkeypatch):
    demo = plan("demo")
    recorded = recorded_of(demo)
    planted(monkeypatch, {name: r.step for name, r in recorded.items()})
    for name, marks in {"vae": ("DONE", "MEASURED", "playable.json"), "wgan": ("DONE",)}.items():
        run = Run.create(tmp_path / name, {})
        for mark in marks:
            run.write(mark, "")
    done = Run.create(Cell("default", 0).path(tmp_path / STUDY), {})
    done.finish("FAILED", "the loss was not finite")
    whole = estimate.estimate(demo, tmp_path / "nothing").parts
    found = estimate.estimate(demo, tmp_path).parts
    assert set(found) == {"wgan/measure", "wgan/draw", STUDY, "report"}
    assert found["wgan/measure"] == pytest.approx(whole["wgan/measure"])
    # Three runs by two at once take as long as four.
    assert found[STUDY] == pytest.approx(whole[STUDY])


def test_what_cannot_be_timed_is_slower_as_all_that_was_timed_is(tmp_path, monkeypatch):
    demo = plan("demo")
    recorded = recorded_of(demo)
    planted(monkeypatch, {name: 2 * r.step for name, r in recorded.items()})
    for name in demo.runs:
        run = Run.create(tmp_path / name, {})
        for mark in ("DONE", "MEASURED"):
            run.write(mark, "")
    found = estimate.estimate(demo, tmp_path).parts
    assert found["vae/draw"] == pytest.approx(2 * recorded["vae"].draw)
    assert found["wgan/draw"] == pytest.approx(2 * recorded["wgan"].draw)
    assert found["report"] == pytest.approx(2 * demo.report)


def test_what_was_slowed_is_said_beside_the_seconds_of_free_cores(tmp_path, monkeypatch):
    demo = plan("demo")
    planted(monkeypatch, {name: r.step for name, r in recorded_of(demo).items()})
    free = estimate.estimate(demo, tmp_path)
    assert free.slowed == 1
    alone = estimate.time_run
    monkeypatch.setattr(estimate, "time_run", lambda config: alone(config)._replace(slowed=4.0))
    found = estimate.estimate(demo, tmp_path)
    assert found.parts == free.parts
    # Two runs, and four arms in peace.
    assert found.slowed == 2


@pytest.mark.parametrize(("room", "begun"), [(12, 3), (2, 2)])
def test_as_many_runs_are_timed_at_once_as_will_train(tmp_path, monkeypatch, room, begun):
    demo = plan("demo")
    planted(monkeypatch, {name: r.step for name, r in recorded_of(demo).items()})
    seen = []

    def timed(arms, jobs, data_dir):
        seen.append(jobs)
        return dict.fromkeys(arms, Pace(1.0, Looks(0.0, 0.0, 0.0), 1.0))

    monkeypatch.setattr(estimate, "time_arms", timed)
    monkeypatch.setattr(estimate, "default_jobs", lambda study, cores: room)
    Run.create(Cell("default", 0).path(tmp_path / STUDY), {}).finish("FAILED", "not finite")
    estimate.estimate(demo, tmp_path)
    assert seen == [begun]


def test_a_warm_up_trains_as_the_run_will(place, plan_of):
    given = plan_of(place)
    trained = time_steps(given.runs["wgan"].config, seconds=0.05)
    assert trained.step > 0
    assert trained.looks.first > 0
    assert trained.looks.landmark > 0, "a picture is kept at every landmark"
    vae = time_steps(given.runs["vae"].config, seconds=0.05)
    assert vae.looks.landmark < vae.looks.due, "an ELBO is not measured at a landmark"
    assert vae.per_epoch == trained.per_epoch
    known = Looks(1.0, 2.0, 3.0)
    assert time_steps(given.runs["vae"].config, known, seconds=0.05).looks == known


def test_arms_of_a_method_of_ones_own_are_timed_in_processes_of_their_own(place, plan_of, tmp_path):
    """The file was named in this process, and that is enough for them."""
    shutil.copy(OWN, tmp_path / "mine.py")
    images = plan_of(place).runs["vae"].config.data
    config = dataclasses.replace(default_config(str(tmp_path / "mine.py")), data=images)
    config = merge(config, {"data": {"binarize": "none"}, "train": {"batch_size": 16}})
    (timed,) = time_arms({"only": config}, 1).values()
    assert timed.step > 0


def test_a_training_that_breaks_at_once_takes_no_time(place, plan_of):
    broken = {"method": {"optimizer": {"name": "sgd", "lr": 1e20}}}
    config = plan_of(place, vae=broken).runs["vae"].config
    pace = time_steps(config, seconds=0.05)
    left = Left(True, 0, True, True)
    assert train_seconds(config.train, left, pace._replace(looks=Looks(0, 0, 0)), RECORD) == 0
    assert measure_seconds(left, pace, RECORD) == 0


def test_the_time_left_is_the_estimate_until_a_part_has_a_pace_of_its_own():
    assert remaining(100.0, 30.0, None) == 70
    assert remaining(100.0, 130.0, None) == 0
    assert remaining(100.0, 30.0, 0.05) == 95
    assert remaining(100.0, 30.0, 0.25) == 90


def test_the_board_adds_what_is_not_begun(tmp_path, monkeypatch):
    record = Record(plan("demo"), tmp_path)
    record.begin({"vae/train": 40.0, "vae/measure": 10.0, "report": 5.0}, 3.0)
    seen: list[tuple[Panel, float]] = []
    watched = Board(record, lambda now: seen.append((now.panels["vae"], now.left())))
    now = [1000.0]
    monkeypatch.setattr(board.time, "monotonic", lambda: now[0])
    with watched.part("vae/train"):
        now[0] += 6
        # Gone on with from its half: what was left is what the estimate is of.
        watched.trained("vae", 0.5, {})
        watched.trained("vae", 0.75, {"valid/elbo": -120.04, "train/kl": 9.0})
    assert seen == [
        (Panel("vae", share=0.5), 40.0 + 15.0),
        (Panel("vae", share=0.75, latest="ELBO −120.04"), 6.0 + 15.0),
    ]
    # 6 seconds instead of 40: the rest is expected to be as much faster.
    assert watched.left() == pytest.approx(15.0 * 6 / 40)
