"""A snapshot reads each file once, and nothing of it outlives the page it was made for."""

import numpy as np
import pytest

from triptych import records
from triptych.errors import DamagedError
from triptych.reporting.page.page import compose
from triptych.reporting.snapshot import Snapshot
from triptych.runs import Result, Run


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run.create(tmp_path / "r", {"method": {"name": "mine"}, "data": {"name": "x"}})
    for step in (1, 2):
        run.log({"step": step, "epoch": float(step), "train/loss": 1.0 / step, "features/std": 0.9})
    run.record({"test/knn_top1": Result(0.5, 0.1, 10, {})})
    run.save_arrays("samples", images=np.zeros((64, 1, 6, 6), np.uint8))
    return run


def test_it_gives_what_the_run_gives(run):
    then = Snapshot(run.path)
    assert (then.config, then.metrics(), then.results()) == (
        run.config,
        run.metrics(),
        run.results(),
    )
    assert then.curve("train/loss") == run.curve("train/loss")
    assert np.array_equal(then.arrays("samples")["images"], run.arrays("samples")["images"])
    assert then.arrays("none") is None
    assert then.method() == run.method()


def test_the_log_of_a_run_is_read_once_a_page_and_again_for_the_next(run, monkeypatch):
    read, metrics = [], records.metrics
    monkeypatch.setattr(records, "metrics", lambda path: read.append(path) or metrics(path))
    compose([run.path])
    assert read == [run.path / "metrics.jsonl"]
    run.log({"step": 3, "epoch": 3.0, "train/loss": 0.125})
    assert "0.125" in compose([run.path]).html
    assert len(read) == 2


def test_what_is_broken_is_broken_each_time_it_is_asked_for(run):
    (run.path / "metrics.jsonl").write_text("[]\n{}\n")
    then = Snapshot(run.path)
    for _ in range(2):
        with pytest.raises(DamagedError):
            then.metrics()
