"""The curated API: what `import triptych` promises, and that it costs nothing until it is used."""

from __future__ import annotations

import inspect

import triptych

PROMISED = {
    "Batch", "DataConfig", "DataSpec", "Dataset", "Duration", "EvaluateConfig",
    "ExperimentConfig", "Losses", "Method", "Noise", "OptimizerConfig", "Phase", "Result", "Run",
    "TrainConfig", "TriptychError", "draw", "list_runs", "load",
}  # fmt: skip


def test_the_names_are_those_that_are_promised():
    assert set(triptych.__all__) == PROMISED
    assert list(triptych.__all__) == sorted(triptych.__all__)


def test_the_verbs_are_those_of_the_command_line():
    from triptych import experiment

    for verb in ("default_config", "train", "resume", "evaluate", "load_method"):
        assert verb in experiment.__all__
        assert inspect.getdoc(getattr(experiment, verb)), verb


def test_every_name_is_there_and_explained():
    for name in triptych.__all__:
        thing = getattr(triptych, name)
        assert inspect.getdoc(thing), name
        assert thing.__module__.startswith("triptych."), name
