"""From a config to a trained and measured run: where data, method, loop and evaluation meet."""

from triptych.experiment.config import SEEDS, ExperimentConfig, default_config
from triptych.experiment.measurement import evaluate, extractor
from triptych.experiment.preparation import prepare
from triptych.experiment.trained import Trained, load_method, open_trained, recorded
from triptych.experiment.training import copied, resume, train

__all__ = [
    "SEEDS",
    "ExperimentConfig",
    "Trained",
    "copied",
    "default_config",
    "evaluate",
    "extractor",
    "load_method",
    "open_trained",
    "prepare",
    "recorded",
    "resume",
    "train",
]
