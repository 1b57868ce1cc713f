"""A reproduction that takes seconds: all three panels on 240 of the embedded digits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from triptych.config import merge
from triptych.data import DataConfig, load
from triptych.reproduce.plan import Plan, plan
from triptych.study.plan import Study

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
        "method": {"width": 8, "latent": 4, "critic_steps": 1},
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


def tiny(folder: Path, seed: int = 0, **changes: dict) -> Plan:
    """The demo's plan with networks and durations of next to nothing, and what else is changed of a method."""
    path = folder / "digits.npy"
    if not path.exists():
        digits = load(DataConfig("mnist-5k")).splits["train"].pixels
        np.save(path, digits[:: len(digits) // 240][:240, 0])
    whole = plan("demo", seed=seed)
    common = {"data": {"name": str(path)}, "train": {"batch_size": 16, "log_every": 4}}

    def small(config):
        config = merge(merge(config, SMALL[config.method_name]), common)
        return merge(config, changes.get(config.method_name, {}))

    runs = {name: small(config) for name, config in whole.runs.items()}
    arms = {n: small(whole.study.arms[n]) for n in ("default", "no-stop-gradient")}
    return dataclasses.replace(whole, runs=runs, study=Study(whole.study.config, arms))


@pytest.fixture(autouse=True)
def _no_long_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.reproduce.pace.SECONDS", 0.1)
