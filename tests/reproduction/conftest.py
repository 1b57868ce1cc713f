"""A reproduction that takes seconds: all three panels on 240 of the embedded digits, every other row and column."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from triptych.config import merge
from triptych.data import DataConfig, load
from triptych.experiment import ExperimentConfig
from triptych.reproduction import estimate
from triptych.reproduction.plan import Plan, RunPanel, StudyPanel, plan
from triptych.reproduction.reproduce import Outcome, reproduce
from triptych.studies import pace, stopwatch
from triptych.studies.pace import Pace
from triptych.studies.plan import Study
from triptych.studies.stopwatch import Looks

PlanOf: TypeAlias = Callable[..., Plan]

SMALL = {
    "vae": {
        "method": {"hidden": [16], "latent": 3},
        "data": {"binarize": "threshold"},
        "train": {
            "duration": "300 steps",
            "validate_every": "100 steps",
            "checkpoint_every": "50 steps",
        },
    },
    "wgan": {
        "method": {"width": 2, "latent": 3, "critic_steps": 1},
        "train": {
            "duration": "8 steps",
            "validate_every": "4 steps",
            "checkpoint_every": "2 steps",
        },
    },
    "simsiam": {
        "method": {"width": 4, "projector": [16], "predictor_width": 8},
        "train": {
            "duration": "6 steps",
            "validate_every": "3 steps",
            "checkpoint_every": "2 steps",
        },
    },
}


def small(config: ExperimentConfig, folder: Path, **changes: dict) -> ExperimentConfig:
    """A method's config with networks and durations of next to nothing."""
    path = folder / "digits.npy"
    if not path.exists():
        digits = load(DataConfig("mnist-5k")).splits["train"].pixels
        np.save(path, digits[:: len(digits) // 240][:240, 0, ::2, ::2])
    train = {"batch_size": 16, "log_every": 4, "device": "cpu"}
    common = {"data": {"name": str(path)}, "train": train}
    config = merge(merge(config, SMALL[config.method_name]), common)
    return merge(config, changes.get(config.method_name, {}))


def tiny(folder: Path, seed: int = 0, scale: str = "demo", **changes: dict) -> Plan:
    """A scale's plan with networks and durations of next to nothing, and what else is changed of a method."""
    whole = plan(scale, seed=seed)

    def shrunk(panel: RunPanel | StudyPanel) -> RunPanel | StudyPanel:
        if isinstance(panel, RunPanel):
            return panel._replace(config=small(panel.config, folder, **changes))
        arms = dict(list(panel.study.arms.items())[:2])
        arms = {name: small(arm, folder, **changes) for name, arm in arms.items()}
        return panel._replace(study=Study(panel.study.config, arms))

    return dataclasses.replace(whole, panels={n: shrunk(p) for n, p in whole.panels.items()})


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    """``plan_of(place)``: the tiny plan, with its images in that folder."""
    return tiny


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images are."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A reproduction that nobody interrupted."""
    # This file is a program too, which does not find it.
    from fewer import fewer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "SECONDS", 0.1)
        # Whatever else works on the machine, a run is timed once.
        patch.setattr(stopwatch, "BUSY", math.inf)
        fewer(patch.setattr)
        return reproduce(tiny(place), tmp_path_factory.mktemp("whole") / "all")


def planted(arms, jobs, data_dir) -> dict[str, Pace]:
    """Paces of arms, without the processes that time them: those of ``whole`` are timed."""
    return {name: Pace(0.1, Looks(0.0, 0.0, 0.0), 10.0) for name in arms}


@pytest.fixture(autouse=True)
def _short_warm_up(whole: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.1)
    monkeypatch.setattr(stopwatch, "BUSY", math.inf)
    monkeypatch.setattr(estimate, "time_arms", planted)


if __name__ == "__main__":
    # A process of its own, to be killed: conftest.py PLACE FOLDER
    pace.SECONDS, stopwatch.BUSY, estimate.time_arms = 0.1, math.inf, planted
    sys.exit(130 if reproduce(tiny(Path(sys.argv[1])), Path(sys.argv[2])).stopped else 0)
