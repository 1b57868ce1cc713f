"""`benchmarks/gpu.py` in miniature, so that it is known to work on the day a card is there."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd import DeviceType

ROOT = Path(__file__).parents[1]
METHODS = "vae", "wgan", "simsiam"


def call(script: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    # One thread: what is tried is the script, not the machine.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), "--miniature", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("gpu")
    words = ["--whole", "--out", folder / "out", "--work", folder / "work"]
    done = call(ROOT / "benchmarks" / "gpu.py", *words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((folder / "out" / "gpu.json").read_text(encoding="utf-8")), done.stdout


def row(measured: Any, what: str) -> dict[str, Any]:
    rows = [row for part in measured[0]["parts"].values() for row in part["rows"]]
    (found,) = (row for row in rows if row["what"] == what)
    return found


def test_every_part_has_rows_and_none_has_failed(measured):
    found, _ = measured
    kinds = ["bits", "steps", "launches", "looks", "compiled", "compiled bits", "without TF32"]
    wanted = {f"{kind}/{method}/demo" for kind in kinds for method in METHODS}
    wanted |= {"data", "plain with views/simsiam/demo", "batches/simsiam/demo", "cifar-stem"}
    assert wanted | {"report"} <= set(found["parts"])
    assert {name: part for name, part in found["parts"].items() if not part["rows"]} == {}
    told = {n: part for n, part in found["parts"].items() if {"failed", "left_out"} & set(part)}
    assert told == {}
    assert found["ended"] > found["began"]
    assert found["machine"]["torch"] == torch.__version__


def test_what_was_measured_is_a_number_above_zero(measured):
    for name, part in measured[0]["parts"].items():
        for one in part["rows"]:
            assert one["value"] > 0 or "same_bits" in one, (name, one)


@pytest.mark.parametrize("method", METHODS)
def test_the_bits_are_the_same(measured, method: str):
    for what in (
        "captured twice",
        "captured, stopped and resumed",
        "eager against captured",
        "compiled and captured twice",
    ):
        found = row(measured, f"{method}/demo: {what}")
        assert found["same_bits"] is True
        assert found["value"] == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_step_stands_beside_the_plain_one_and_the_step_alone(measured, method: str):
    precision = "fp32" if method == "vae" else "bf16"
    alone = row(measured, f"{method}/demo, {precision}: the step alone, recorded")
    for mode in ("eager", "captured"):
        found = row(measured, f"{method}/demo, {precision}, {mode}")
        low, high = found["plain_quartiles"]
        assert 0 < low <= found["plain"] <= high
        assert found["floor"] == pytest.approx(alone["value"] / found["value"])
        assert found["first_step_seconds"] > 0
        counted = row(measured, f"{method}/demo, {precision}, {mode}: kernels a step")
        assert counted["value"] >= counted["host_calls"] > 10
        assert counted["busy_ms_of_longer_window"] > 0
        # Where the machine is shared, the difference of two windows can be noise: then it is not told.
        busy, idle = counted["busy_ms"], counted["idle"]
        assert (busy is None and idle is None) or (busy > 0 and 0 <= idle < 1)


def test_work_that_noise_has_turned_around_is_not_told(rooms):
    difference = rooms["gpu_steps"].difference
    assert difference(3_000.0, 9_000.0, 4) == 1.5
    assert difference(9_000.0, 3_000.0, 4) is None
    assert difference(3_000.0, 3_000.0, 4) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a card calls of CUDA are counted")
@pytest.mark.parametrize(
    ("what", "optimizer", "count"),
    [
        ("vae/demo, fp32", "Adam", 1),
        ("wgan/demo, bf16", "Adam", 6),
        ("simsiam/demo, bf16", "SGD", 2),
    ],
)
def test_launches_are_those_of_one_step(measured, what: str, optimizer: str, count: int):
    # A step of the WGAN is five updates of the critic and one of the generator; SimSiam has two optimizers.
    calls = row(measured, f"{what}, eager: kernels a step")["calls"]
    assert calls[f"Optimizer.step#{optimizer}.step"] == count


def test_what_no_cpu_can_do_is_said_to_be_done_otherwise(measured):
    if torch.cuda.is_available():
        assert not any(
            "in its place" in one.get("note", "")
            for part in measured[0]["parts"].values()
            for one in part["rows"]
        )
    else:
        said = "eager in its place: capture needs a CUDA device"
        assert row(measured, "vae/demo, fp32, captured")["note"] == said
        assert row(measured, "vae/demo, fp32, eager")["note"] == ""


def test_the_report_stops_with_the_numbers_that_are_there(measured):
    assert "not whole" in row(measured, "the reference report")["note"]
    reached = row(measured, "report: vae")
    assert reached["note"].startswith("interrupted")
    assert set(row(measured, "the reference report")["parts"]) >= {"vae/train", "report"}


def test_the_table_has_every_row(measured):
    found, text = measured
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [one["what"] for part in found["parts"].values() for one in part["rows"]]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == rows


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch):
    """The script's modules, which import each other as a folder of scripts does."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return {
        name: importlib.import_module(name)
        for name in ("card", "gpu_bench", "gpu_steps", "turns", "gpu")
    }


def event(name: str, start: float, end: float, there: bool = True, note: bool = False) -> Any:
    return SimpleNamespace(
        name=name,
        device_type=DeviceType.CUDA if there else DeviceType.CPU,
        time_range=SimpleNamespace(start=start, end=end),
        is_user_annotation=note,
        cpu_parent=None,
    )


def test_kernels_calls_and_busy_time_are_counted_from_a_profile(rooms, monkeypatch):
    card = rooms["card"]
    monkeypatch.setattr(card, "CUDA", True)
    events = [
        event("void at::native::{lambda(float)#1}", 10, 20),
        event("ampere_gemm", 15, 30),
        event("Memcpy HtoD (Pinned -> Device)", 40, 42),
        event("triton_fused", 18, 19),
        event("Optimizer.step#Adam.step", 0, 100, note=True),
        event("cudaLaunchKernel", 0, 5, there=False),
        event("cudaLaunchKernel", 5, 6, there=False),
        event("cudaGraphLaunch", 6, 7, there=False),
        event("cudaMemcpyAsync", 7, 8, there=False),
        event("cuLaunchKernelEx", 8, 9, there=False),
        event("cudaDeviceSynchronize", 9, 50, there=False),
        event("aten::add", 0, 9, there=False),
    ]
    found = card.launches(SimpleNamespace(events=lambda: events))
    assert found.kernels == 3
    assert found.busy == 20 + 2
    assert found.calls == {
        **{"cudaLaunchKernel": 2, "cudaGraphLaunch": 1},
        **{"cudaMemcpyAsync": 1, "cuLaunchKernelEx": 1},
    }


def test_a_plain_loop_has_pytorchs_own_settings_within_a_training(rooms):
    dnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def flags() -> tuple[bool, ...]:
        ordered = torch.are_deterministic_algorithms_enabled()
        return dnn.allow_tf32, matmul.allow_tf32, dnn.deterministic, ordered

    card = rooms["card"]
    with card.settings(convolutions=False, products=True):
        dnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        before = flags()
        assert before == (False, True, True, True)
        with card.as_delivered():
            assert flags() == (True, False, False, False)
        assert flags() == before


def test_goals_stand_beside_what_was_reached(rooms):
    step = rooms["gpu_bench"].row("a step", 0.1, "ms", "vae/reference, fp32", plain=38.0)
    assert step["goal"] == "≤ 0.2 ms, ≥ 19 × plain"
    assert (step["reached"], step["times_reached"]) == (2.0, 2.0)
    knn = "simsiam/cifar-stem, 200 epochs: kNN"
    assert rooms["gpu_bench"].row("kNN", 0.4, "of all", knn)["reached"] == 0.5
    cells = rooms["gpu"].cells(step)
    assert cells[:2] == ["a step", "0.1 ms"]
    assert "2.00 of the × asked" in cells[-1]


def test_ratios_are_those_of_neighbours(rooms):
    found = rooms["turns"].ratio([2.0, 8.0, 30.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert found == (3.0, 2.0, 4.0)


PARTS = """
import os, time, warnings

def parts(bench):
    def after():
        yield from good()
        bench.deadline = time.time() + 1

    return {"good": good, "wrong": wrong, "dies": dies, "after": after, "slow": slow, "late": good}

def good():
    warnings.warn("worth a word")
    yield {"what": "one", "value": 1.0, "unit": "ms"}

def wrong():
    yield {"what": "begun", "value": 2.0, "unit": "ms"}
    raise ValueError("so it is")

def dies():
    os.abort()
    yield

def slow():
    yield {"what": "begun slowly", "value": 3.0, "unit": "ms"}
    time.sleep(600)
"""


def test_a_part_that_fails_dies_or_takes_too_long_costs_only_itself(tmp_path: Path):
    for name in ("gpu.py", "gpu_bench.py", "card.py"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path)
    (tmp_path / "gpu_parts.py").write_text(PARTS, encoding="utf-8")
    words = ["--out", tmp_path / "out", "--work", tmp_path / "work"]
    done = call(tmp_path / "gpu.py", *words)
    assert done.returncode == 1
    parts = json.loads((tmp_path / "out" / "gpu.json").read_text(encoding="utf-8"))["parts"]
    assert [len(part["rows"]) for part in parts.values()] == [1, 1, 0, 1, 1, 0]
    assert parts["good"]["warnings"] == ["worth a word"]
    assert parts["wrong"]["failed"] == "ValueError: so it is"
    assert parts["dies"]["failed"] == "the process ended, or hung, in this part"
    assert "failed" not in parts["after"]
    assert parts["slow"]["left_out"] == parts["late"]["left_out"] == "no time was left"
    told = done.stdout.split("Not measured:")[1].split("Warned of")[0]
    assert [line.split(":")[0] for line in told.splitlines() if line] == [
        *("- wrong", "- dies", "- slow", "- late")
    ]


def test_ctrl_c_ends_with_what_is_there(tmp_path: Path):
    for name in ("gpu.py", "gpu_bench.py", "card.py"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path)
    (tmp_path / "gpu_parts.py").write_text(PARTS, encoding="utf-8")
    path = tmp_path / "out" / "gpu-slow-late.json"
    words = ["--only", "slow", "late", "--out", tmp_path / "out", "--work", tmp_path / "work"]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "gpu.py"), "--miniature", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    while not path.is_file() or "begun slowly" not in path.read_text(encoding="utf-8"):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "| begun slowly | 3 ms |" in told
    assert "- slow: FAILED: stopped by Ctrl-C\n- late: not begun" in told
