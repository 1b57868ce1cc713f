"""How fast a machine trains, where other programs take its cores meanwhile; real trainings with waits planted in their steps."""

import dataclasses
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from triptych.config import merge
from triptych.environment import cores
from triptych.experiment import ExperimentConfig, default_config
from triptych.studies import pace
from triptych.studies.pace import Pace, time_run, time_steps
from triptych.studies.stopwatch import Looks, Mark, seconds_per_step
from triptych.training.step import Step

WAIT = 0.05
"""Seconds after each step for which its core is gone; the step itself takes a small part of them."""


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    """A small network on a few images, on one thread."""
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    np.save(tmp_path / "mine.npy", images)
    changes = {
        "data": {"name": str(tmp_path / "mine.npy")},
        "method": {"hidden": [8], "latent": 2},
        "train": {"batch_size": 16, "threads": 1, "device": "cpu"},
    }
    return merge(default_config("vae"), changes)


def test_a_slow_window_is_not_the_machines_pace():
    """One of seven windows of ten steps took ten times as long, whether the thread worked meanwhile or waited."""
    for worked in (1.0, 0.1):
        marks = [Mark(10, 5.0, 5.0)]
        for number in range(7):
            long = 10.0 if number == 3 else 1.0
            own = long * (worked if number == 3 else 1.0)
            _, clock, before = marks[-1]
            marks.append(Mark(20 + 10 * number, clock + long, before + own))
        step, _ = seconds_per_step(marks)
        assert step == pytest.approx(0.1)


def test_steps_that_wait_for_others_are_timed_without_them(config, monkeypatch):
    whole = Step.__call__

    def slow(self: Step, step: int) -> None:
        whole(self, step)
        time.sleep(WAIT)

    monkeypatch.setattr(Step, "__call__", slow)
    busy = time_steps(config, seconds=1.0)
    assert busy.step < WAIT / 2, "the thread's own time, not the clock's"
    # All steps took the wait and their own time, by the clock.
    assert busy.slowed * busy.step > WAIT
    assert busy.slowed > 2


def test_looks_are_of_free_cores_too(config, monkeypatch):
    """Half of the time of everything was others'."""
    marks = iter([(0.1, 1.0), (0.1, 2.0)])
    monkeypatch.setattr(pace, "seconds_per_step", lambda made: next(marks))
    real = pace.Timer.looks
    seen = []

    def looks(self) -> Looks:
        seen.append(real(self))
        return seen[-1]

    monkeypatch.setattr(pace.Timer, "looks", looks)
    found = time_steps(config, seconds=0.4)
    assert seen[0].due > 0
    assert found == Pace(0.1, Looks(*(s / 2 for s in seen[0])), found.per_epoch, 2.0)


def test_a_run_that_was_disturbed_is_timed_again_with_threads_that_sleep(config, monkeypatch):
    """They burn no time of their own while they wait for one that another program keeps from its core."""
    begun = []
    real = subprocess.Popen

    def popen(*args, env, **options):
        begun.append(env)
        return real(*args, env=env, **options)

    monkeypatch.setattr(pace.subprocess, "Popen", popen)
    monkeypatch.setattr(pace, "SECONDS", 0.1)
    looks = Looks(1.0, 2.0, 3.0)
    monkeypatch.setattr(pace, "time_steps", lambda config: Pace(9.0, looks, 5.0, slowed=4.0))
    every = dataclasses.replace(config, train=dataclasses.replace(config.train, threads=0))
    found = time_run(every)
    (env,) = begun
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert env["OMP_NUM_THREADS"] == str(cores())
    assert 0 < found.step < 9, "what the process found"
    monkeypatch.setattr(pace, "time_steps", lambda config: Pace(9.0, looks, 5.0))
    assert time_run(every) == Pace(9.0, looks, 5.0)
    assert len(begun) == 1, "nothing disturbed it"
