"""The event files of TensorBoard hold what metrics.jsonl holds, whatever happened to the training."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from triptych import experiment
from triptych.config import merge
from triptych.data.spec import Dataset
from triptych.errors import TriptychError
from triptych.runs import Run
from triptych.training import events
from triptych.training.events import Followed

SMALL = {
    "method": {"hidden": [4], "latent": 2},
    "train": {
        "duration": "12 steps",
        "batch_size": 8,
        "log_every": 2,
        "checkpoint_every": "4 steps",
        "compile": "off",
        "threads": 1,
    },
}


def config(**train: Any) -> experiment.ExperimentConfig:
    return merge(experiment.default_config("vae"), {**SMALL, "train": {**SMALL["train"], **train}})


def read(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of the one event file that there is."""
    (path,) = (run.path / events.FOLDER).glob("events.out.tfevents.*")
    found = EventAccumulator(str(path))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(run: Run) -> dict[str, list[tuple[int, Any]]]:
    """The same of metrics.jsonl, in the single precision of TensorBoard."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for line in run.metrics():
        for name, value in line.items():
            if "/" in name:
                found.setdefault(name, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_events_are_the_lines_of_the_log(planted: Callable[..., Dataset], tmp_path: Path):
    run = experiment.train(config(log="tensorboard"), tmp_path / "run", dataset=planted())
    found = read(run)
    assert found == logged(run)
    assert [step for step, _ in found["train/elbo"]] == [2, 4, 6, 8, 10, 12]
    assert "valid/elbo" in found
    assert run.config["train"]["log"] == "tensorboard"


def test_without_it_a_run_is_as_ever(planted: Callable[..., Dataset], tmp_path: Path):
    run = experiment.train(config(), tmp_path / "run", dataset=planted())
    assert not (run.path / events.FOLDER).exists()
    assert "log" not in run.config["train"]
    with_events = experiment.train(config(log="tensorboard"), tmp_path / "b", dataset=planted())
    weights = [r.weights("last").digest for r in (run, with_events)]
    assert weights[0] == weights[1]


def test_a_run_that_was_killed_and_goes_on_has_no_step_twice(
    planted: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The kill comes after lines that the last checkpoint does not know of."""

    class Killed(BaseException):
        pass

    def display(step: int, *rest: Any) -> None:
        if step == 10:
            raise Killed

    monkeypatch.setattr("triptych.data.load", lambda *a, **k: planted())
    with pytest.raises(Killed):
        experiment.train(config(log="tensorboard"), tmp_path / "run", display=display)
    run = Run.open(tmp_path / "run")
    before = read(run)
    assert before["train/elbo"][-1][0] == 10
    assert run.about("last")["step"] == 8
    experiment.resume(run.path)
    found = read(run)
    assert found == logged(run)
    assert [step for step, _ in found["train/elbo"]] == [2, 4, 6, 8, 10, 12]


def test_words_are_kept_as_texts(tmp_path: Path):
    made = Run.create(tmp_path / "run", {})
    with Followed(made.path) as run:
        run.log({"step": 3, "seconds": 2.5, "features/std": 0.1, "alarm": "it collapses"})
    (path,) = (run.path / events.FOLDER).glob("events.out.tfevents.*")
    found = EventAccumulator(str(path))
    found.Reload()
    (text,) = found.Tensors("alarm/text_summary")
    assert (text.step, text.tensor_proto.string_val[0]) == (3, b"it collapses")
    (scalar,) = found.Scalars("features/std")
    assert scalar.wall_time == pytest.approx((run.path / "config.toml").stat().st_mtime + 2.5)


def test_without_the_package_nothing_is_begun(
    planted: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else real(name)
    )
    with pytest.raises(TriptychError, match=r"pip install 'triptych\[tensorboard\]'"):
        experiment.train(config(log="tensorboard"), tmp_path / "run", dataset=planted())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_deleted_behind_a_link(tmp_path: Path):
    (tmp_path / "other").mkdir()
    kept = tmp_path / "other" / "events.out.tfevents.1"
    kept.write_bytes(b"mine")
    run = Followed(Run.create(tmp_path / "run", {}).path)
    (run.path / events.FOLDER).symlink_to(tmp_path / "other")
    with pytest.raises(TriptychError, match="is a link; delete it first"):
        run.rewind(-1)
    assert kept.read_bytes() == b"mine"
