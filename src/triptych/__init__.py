"""Triptych: three ways of learning without labels, side by side.

    from triptych import experiment

    config = experiment.default_config("vae", "demo")
    run = experiment.train(config)
    results = experiment.evaluate(run.path)

Importing the package is cheap: what needs PyTorch is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.config import Duration, OptimizerConfig
    from triptych.data import DataConfig, Dataset, load
    from triptych.errors import TriptychError
    from triptych.evaluation.suite import EvaluateConfig
    from triptych.experiment import ExperimentConfig
    from triptych.reporting.draw import draw
    from triptych.runs import Result, Run, list_runs
    from triptych.training.settings import TrainConfig
    from triptych.types import Batch, DataSpec, Losses, Method, Noise, Phase

_HOMES = {
    "triptych.config": ("Duration", "OptimizerConfig"),
    "triptych.data": ("DataConfig", "Dataset", "load"),
    "triptych.errors": ("TriptychError",),
    "triptych.evaluation.suite": ("EvaluateConfig",),
    "triptych.experiment": ("ExperimentConfig",),
    "triptych.reporting.draw": ("draw",),
    "triptych.runs": ("Result", "Run", "list_runs"),
    "triptych.training.settings": ("TrainConfig",),
    "triptych.types": ("Batch", "DataSpec", "Losses", "Method", "Noise", "Phase"),
}

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "DataConfig",
    "DataSpec",
    "Dataset",
    "Duration",
    "EvaluateConfig",
    "ExperimentConfig",
    "Losses",
    "Method",
    "Noise",
    "OptimizerConfig",
    "Phase",
    "Result",
    "Run",
    "TrainConfig",
    "TriptychError",
    "draw",
    "list_runs",
    "load",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'triptych' has no attribute '{name}'")
