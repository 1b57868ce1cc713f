"""Triptych: three ways of learning without labels, side by side.

    import triptych as tt

    run = tt.train("vae", preset="demo", seed=1, epochs=5)
    results = tt.evaluate(run)
    tt.report([run], "report.html")

Importing the package is cheap: what needs PyTorch is imported when it is first used.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].endswith(__name__):
    # ``python -m triptych`` in a stranger's folder would take its json.py or torch.py for Python's and PyTorch's.
    del sys.path[: not sys.flags.safe_path]

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.config import Duration, OptimizerConfig
    from triptych.data import DataConfig, Dataset
    from triptych.errors import TriptychError
    from triptych.evaluation.suite import EvaluateConfig
    from triptych.experiment import ExperimentConfig, default_config
    from triptych.methods import trust
    from triptych.reporting.draw import draw
    from triptych.runs import Result, Run, list_runs
    from triptych.training.settings import TrainConfig
    from triptych.types import Batch, DataSpec, Losses, Method, Noise, Phase
    from triptych.verbs.cards import card
    from triptych.verbs.functions import (
        evaluate,
        explore,
        export,
        load,
        load_method,
        report,
        reproduce,
        results,
        resume,
        study,
        train,
        watch,
    )
    from triptych.verbs.outcomes import Results, Study

_HOMES = {
    "triptych.verbs.cards": ("card",),
    "triptych.config": ("Duration", "OptimizerConfig"),
    "triptych.data": ("DataConfig", "Dataset"),
    "triptych.errors": ("TriptychError",),
    "triptych.evaluation.suite": ("EvaluateConfig",),
    "triptych.experiment": ("ExperimentConfig", "default_config"),
    "triptych.methods": ("trust",),
    "triptych.verbs.outcomes": ("Results", "Study"),
    "triptych.reporting.draw": ("draw",),
    "triptych.runs": ("Result", "Run", "list_runs"),
    "triptych.training.settings": ("TrainConfig",),
    "triptych.types": ("Batch", "DataSpec", "Losses", "Method", "Noise", "Phase"),
    "triptych.verbs.functions": (
        "evaluate",
        "explore",
        "export",
        "load",
        "load_method",
        "report",
        "reproduce",
        "results",
        "resume",
        "study",
        "train",
        "watch",
    ),
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
    "Results",
    "Run",
    "Study",
    "TrainConfig",
    "TriptychError",
    "card",
    "default_config",
    "draw",
    "evaluate",
    "explore",
    "export",
    "list_runs",
    "load",
    "load_method",
    "report",
    "reproduce",
    "results",
    "resume",
    "study",
    "train",
    "trust",
    "watch",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'triptych' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
