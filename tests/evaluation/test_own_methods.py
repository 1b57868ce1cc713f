"""Methods that compare views and are somebody's own: what is said of them is theirs."""

import sys
from pathlib import Path

import pytest

from triptych import methods
from triptych.config import merge
from triptych.experiment import default_config, train
from triptych.runs import Run

OWN = Path(__file__).with_name("own")
STEPS = {"byol": 300, "simclr": 120}


@pytest.fixture(scope="module", params=["byol", "simclr"])
def trained(request, tmp_path_factory):
    """A few seconds of training on the embedded digits, looked at before and after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "__path__", [*methods.__path__, str(OWN)])
        config = merge(
            default_config(request.param),
            {
                "data": {"name": "mnist-5k"},
                "train": {
                    "duration": f"{STEPS[request.param]} steps",
                    "batch_size": 64,
                    "log_every": STEPS[request.param],
                    "validate_every": f"{STEPS[request.param]} steps",
                    "threads": 1,
                    "device": "cpu",
                },
            },
        )
        yield train(config, tmp_path_factory.mktemp("own") / request.param)
    sys.modules.pop(f"triptych.methods.{request.param}", None)


def test_features_that_know_far_more_than_untrained_ones_are_not_said_to_have_learned_nothing(
    trained: Run,
):
    first, *_, last = [line for line in trained.metrics() if "verdict" in line]
    assert last["valid/knn_top1"] > first["valid/knn_top1"] + 0.1
    (loss,) = {line["train/loss"] for line in trained.metrics() if "train/loss" in line}
    assert loss > 0, "read as −cos it would say that predictions flee their targets"
    assert last["verdict"] == "healthy"
    assert not trained.alarms()
