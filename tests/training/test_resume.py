"""A run that was stopped in any way and resumed ends in the bits of the run that never was."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from triptych import checkpoint, experiment
from triptych.config import Duration, OptimizerConfig, merge
from triptych.errors import TriptychError
from triptych.runs import Run
from triptych.types import Selection

OPTIMIZERS = {
    "adam": OptimizerConfig(lr=0.05, warmup=0.2, schedule="cosine"),
    "momentum": OptimizerConfig("sgd", lr=0.01, momentum=0.9, weight_decay=0.01),
    "plain": OptimizerConfig("sgd", lr=0.01, momentum=0.0),
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def timeless(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]


def sha256(path: Path) -> str:
    """Of every tensor in a checkpoint; the file itself also holds the seconds."""
    tensors, _ = checkpoint.load(path)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()


def assert_same(first: Run, second: Run) -> None:
    assert sha256(first.checkpoint("last")) == sha256(second.checkpoint("last"))
    assert timeless(first) == timeless(second)


def throw(kind: type[BaseException], when: int):
    def at(step: int) -> None:
        if step == when:
            raise kind

    return at


@optimizers
@pytest.mark.parametrize("name", ["regression", "game"])
@pytest.mark.parametrize("when", [6, 23])
def test_a_run_killed_at_any_step_resumes_to_the_same_bits(
    trainer, kinds, stop, name, optimizer, when
):
    options = {"optimizer": optimizer, "repeats": 3 if name == "game" else 1}
    _, whole, _ = trainer("whole", kinds[name], **options)
    with pytest.raises(stop):
        trainer("killed", kinds[name], at=throw(stop, when), **options)
    _, run, _ = trainer("killed", kinds[name], resume=True, **options)
    assert_same(whole, run)


@optimizers
def test_a_run_killed_twice_between_log_points_logs_the_same_means(trainer, stop, optimizer):
    options = {
        "optimizer": optimizer,
        "train": {"log_every": 7, "checkpoint_every": Duration(3, "steps")},
    }
    _, whole, _ = trainer("whole", **options)
    assert [line["step"] for line in whole.metrics()] == [7, 14, 21, 24]
    with pytest.raises(stop):
        trainer("killed", at=throw(stop, 7), **options)
    with pytest.raises(stop):
        trainer("killed", resume=True, at=throw(stop, 21), **options)
    _, run, _ = trainer("killed", resume=True, **options)
    assert_same(whole, run)


@pytest.mark.parametrize("kind", ["adam", "momentum"])
def test_the_optimizer_state_is_what_makes_it_the_same(trainer, stop, kind):
    """With the optimizer's tensors spoiled in the checkpoint the end must differ, or it was never used."""
    options = {"optimizer": OPTIMIZERS[kind]}
    whole, _, _ = trainer("whole", **options)
    with pytest.raises(stop):
        trainer("killed", at=throw(stop, 13), **options)
    path = trainer.folder / "killed/checkpoints/last.safetensors"
    tensors, about = checkpoint.load(path)
    moments = [k for k in tensors if k.endswith((".exp_avg", ".momentum_buffer"))]
    assert len(moments) == 2, "one for the weight, one for the bias"
    for name in moments:
        tensors[name].add_(0.1)
    checkpoint.save(path, tensors, about)
    spoiled, _, _ = trainer("killed", resume=True, **options)
    assert not torch.equal(whole.net.weight, spoiled.net.weight)


def test_a_checkpoint_without_its_optimizer_state_is_refused(trainer, stop):
    """Going on with fresh moments would look like a resume and not be one."""
    with pytest.raises(stop):
        trainer("killed", at=throw(stop, 13))
    path = trainer.folder / "killed/checkpoints/last.safetensors"
    tensors, about = checkpoint.load(path)
    weights = {k: v for k, v in tensors.items() if not k.startswith("optimizer.")}
    checkpoint.save(path, weights, about)
    with pytest.raises(TriptychError, match=str(path)):
        trainer("killed", resume=True)


def test_the_best_weights_are_chosen_over_the_whole_run(trainer, kinds, stop):
    """The best comes before the kill: a resumed run must remember how good it was."""

    class Selected(kinds["regression"]):
        selection = Selection("valid/score", "higher")

    def score(method, moment) -> dict[str, float]:
        """Highest where the first weight is nearest to its value after ten steps."""
        return {"valid/score": -abs(method.net.weight[0, 0].item() - target)}

    target = trainer("ten", kinds["regression"], steps=10)[0].net.weight[0, 0].item()
    options = {"observe": score, "train": {"validate_every": Duration(5, "steps")}}
    _, whole, _ = trainer("whole", Selected, **options)
    with pytest.raises(stop):
        trainer("killed", Selected, at=throw(stop, 17), **options)
    _, run, _ = trainer("killed", Selected, resume=True, **options)
    for found in (whole, run):
        tensors, about = checkpoint.load(found.checkpoint("best"))
        chosen = about["chosen"]
        assert (about["step"], about["data"]) == (10, "planted-0")
        assert (chosen["metric"], chosen["value"]) == ("valid/score", 0.0)
        assert tensors["weights.net.weight"][0, 0].item() == target
    assert_same(whole, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_saves_a_complete_checkpoint(trainer, number):
    _, whole, ended = trainer("whole")
    assert ended == "done"

    def at(step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    _, run, ended = trainer("stopped", at=at)
    assert signal.getsignal(number) is before
    assert ended == "interrupted"
    assert run.status() == "interrupted"
    step = checkpoint.load(run.checkpoint("last"))[1]["step"]
    assert step == 8, "the step after the one during which the signal came"
    assert [line["step"] for line in run.metrics()] == list(range(1, 9))
    _, run, ended = trainer("stopped", resume=True)
    assert ended == "done"
    assert_same(whole, run)


def test_a_second_signal_stops_at_once(trainer):
    def at(step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer("stopped", at=at)


def test_a_signal_at_the_last_step_is_the_end(trainer):
    def at(step: int) -> None:
        if step == 23:
            os.kill(os.getpid(), signal.SIGINT)

    assert trainer("stopped", at=at)[2] == "done"


def test_other_data_under_the_same_name_is_refused(trainer, stop, planted):
    with pytest.raises(stop):
        trainer("killed", at=throw(stop, 13))
    trainer.dataset = planted(train=43, seed=1)
    with pytest.raises(TriptychError, match="other data"):
        trainer("killed", resume=True)


CONFIG = {
    "seed": 5,
    "method": {"latent": 4, "hidden": [32], "net": "mlp"},
    "data": {"name": "mnist-5k", "binarize": "dynamic"},
    "train": {
        "duration": "200 steps",
        "compile": "off",
        "device": "cpu",
        "threads": 1,
        "log_every": 3,
        "validate_every": "50 steps",
        "checkpoint_every": "2 steps",
    },
}
PROGRAM = """
import sys
from pathlib import Path
from triptych import experiment
from triptych.config import merge
if sys.argv[1] == "train":
    experiment.train(merge(experiment.default_config("vae"), {config}), Path(sys.argv[2]))
else:
    experiment.resume(Path(sys.argv[2]))
""".replace("{config}", repr(CONFIG))


def kill_after(arguments: list[str], run: Path, step: int) -> int:
    """Start a training, kill it without warning some moment after ``step``; the step that it had saved."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True
    )
    last = run / "checkpoints/last.safetensors"
    deadline = time.monotonic() + 60
    try:
        while not last.exists() or max((m["step"] for m in Run(run).metrics()), default=0) < step:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(int.from_bytes(os.urandom(1), "big") / 256 * 0.05)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "it must not have ended by itself"
    return checkpoint.load(last)[1]["step"]


def test_a_process_killed_without_warning_resumes_to_the_same_bits(tmp_path):
    """A real process, real digits, saving at every second step, killed twice at moments nobody chose."""
    whole = experiment.train(merge(experiment.default_config("vae"), CONFIG), tmp_path / "whole")
    killed = tmp_path / "killed"
    first = kill_after(["train", str(killed)], killed, 10)
    assert Run.open(killed).status() == "interrupted"
    second = kill_after(["resume", str(killed)], killed, first + 10)
    assert first < second < 200
    run = experiment.resume(killed)
    assert run.status() == "done"
    assert_same(whole, run)
    best = [checkpoint.load(r.checkpoint("best")) for r in (whole, run)]
    assert best[0][1] == best[1][1]
    assert sha256(whole.checkpoint("best")) == sha256(run.checkpoint("best"))
