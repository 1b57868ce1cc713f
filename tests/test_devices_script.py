"""`benchmarks/devices.py` in miniature: what it counts and how it reads clocks."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from triptych import experiment
from triptych.config import merge
from triptych.types import DataSpec

ROOT = Path(__file__).parents[1]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("devices")


def test_the_later_of_two_ranks_waits_for_nobody(devices):
    """Rank 1 calls a second later; the message then takes half a second, and a quarter more until rank 0 has it."""
    late = {"sums": [(11.0, 11.5, 8)]}
    early = {"sums": [(10.0, 11.75, 8)]}
    assert devices.talk([early, late]) == [
        {"within": 1.75, "waited": 1.0},
        {"within": 0.5, "waited": 0.0},
    ]


def test_a_message_costs_its_latency_and_its_bytes(devices):
    """Planted: 1 ms, and 1 GB/s beyond the first four bytes; rank 1 calls 5 s later, which is not the message's."""
    told = [
        [[(start, 5.0 + 1e-3 + (size - 4) / 1e9)] for size in devices.SIZES] for start in (0.0, 5.0)
    ]
    link = devices.Link.measured(told)
    assert link.latency == pytest.approx(1e-3)
    assert link.bandwidth == pytest.approx(1e9, rel=1e-3)
    assert link.takes(3, 10**8) == pytest.approx(0.103, rel=1e-3)


def test_it_measures_and_counts(devices, tmp_path):
    """A WGAN's generator speaks forwards only where the critic learns, twice here, and both ways where it learns itself."""
    words = "--quick", "--only", "wgan", "--out", tmp_path / "devices.json"
    found = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "devices.py", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("wgan: ")
    one = json.loads((tmp_path / "devices.json").read_text(encoding="utf-8"))["methods"]["wgan"]

    config = merge(experiment.default_config("wgan"), {"method": devices.CASES["wgan"].quick})
    method = config.kind(config.method, DataSpec((1, 28, 28), "grey"))
    layers = [m for m in method.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    statistics = 2 * sum(2 * layer.num_features + 1 for layer in layers)
    critic, generator = (
        sum(p.numel() for p in part.parameters()) for part in (method.critic, method.generator)
    )
    counted = devices.volume(method, 4, 2)
    assert counted == (4 * len(layers) + 3, 16 * statistics, 4 * (2 * critic + generator))
    # With the gradients go objective and terms, and a flag of each rank.
    numbers = 4 * statistics + 2 * (critic + 4 + 2) + generator + 2 + 2
    assert one["messages_a_step"] == 4 * len(layers) + 3
    assert one["bytes_a_step"] == 4 * numbers

    for share in one["share_of_time_by_rank"]:
        assert 0 <= share["waited"] < share["within"] < 1
    assert set(one["steps_a_second"]) == {"one", "two", "apart"}
    assert min(one["steps_a_second"].values()) > 0
    assert one["model"]["step_seconds"] > 1 / one["steps_a_second"]["apart"]
