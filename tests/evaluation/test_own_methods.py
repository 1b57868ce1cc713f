"""Methods that compare views and are somebody's own: what is said of them is theirs."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from triptych.config import merge
from triptych.experiment import default_config, train
from triptych.runs import Run

FOLLOWER = Path(__file__).with_name("own") / "follower.py"
STEPS = {"follower": 300, "uniform": 120}


@pytest.fixture(scope="module", params=STEPS)
def trained(request, documented: Mapping[str, Path], tmp_path_factory):
    """A few seconds of training on the embedded digits, looked at before and after."""
    steps = STEPS[request.param]
    config = merge(
        default_config({"follower": FOLLOWER, **documented}[request.param]),
        {
            "data": {"name": "mnist-5k"},
            "train": {
                "duration": f"{steps} steps",
                "batch_size": 64,
                "log_every": steps,
                "validate_every": f"{steps} steps",
                "threads": 1,
                "device": "cpu",
            },
        },
    )
    return train(config, tmp_path_factory.mktemp("own") / request.param)


def test_features_that_know_far_more_than_untrained_ones_are_not_said_to_have_learned_nothing(
    trained: Run,
):
    first, *_, last = [line for line in trained.metrics() if "verdict" in line]
    assert last["valid/knn_top1"] > first["valid/knn_top1"] + 0.1
    (loss,) = {line["train/loss"] for line in trained.metrics() if "train/loss" in line}
    assert not -1 <= loss <= 0, "read as −cos it would say that predictions flee their targets"
    assert last["verdict"] == "healthy"
    assert not trained.alarms()
