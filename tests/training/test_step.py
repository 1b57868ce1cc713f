"""Eager, compiled and recorded steps: the same training, and one that goes on where it cannot be done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from triptych import checkpoint, experiment
from triptych.config import Duration, OptimizerConfig, merge
from triptych.data.views import apply, apply_on_device
from triptych.errors import TriptychError
from triptych.runs import Run
from triptych.training.loop import TrainState
from triptych.training.settings import TrainConfig
from triptych.training.step import Step, _elsewhere
from triptych.training.watch import Watch
from triptych.types import Losses

WORDS = ["train", "vae", "--steps", "3", "--binarize", "dynamic", "--log-every", "1"]
OWN = ["--method.hidden", "16", "--method.latent", "4", "--compile"]


def train(folder: Path, compile: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triptych", *WORDS, *OWN, compile]
    return subprocess.run(
        [*command, "--out", str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def elbos(folder: Path) -> list[float]:
    from triptych import Run

    return Run.open(folder).curve("train/elbo")[1]


def test_without_a_compiler_the_training_goes_on_and_says_so_once(tmp_path: Path):
    cache = str(tmp_path / "inductor")
    broken = {"PATH": "/nowhere", "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": cache}
    said = train(tmp_path / "broken", "on", **broken).stderr
    assert said.count("not compiled, going on without") == 1
    train(tmp_path / "eager", "off")
    assert elbos(tmp_path / "broken") == elbos(tmp_path / "eager")


@pytest.mark.needs_compiler("compiled losses are those of the plain ones")
def test_compiled_losses_are_those_of_the_plain_ones(tmp_path: Path):
    said = train(tmp_path / "compiled", "on").stderr
    assert "not compiled" not in said
    train(tmp_path / "eager", "off")
    assert elbos(tmp_path / "compiled") == pytest.approx(elbos(tmp_path / "eager"), rel=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it loads its compiler
def test_a_fault_of_the_method_itself_is_raised(trainer, kinds):
    class Broken(kinds["regression"]):
        def losses(self, phase, batch, noise, progress):
            raise KeyError("mine")

    with pytest.warns(UserWarning, match="not compiled"), pytest.raises(KeyError, match="mine"):
        trainer("run", Broken, train={"compile": "on"})


ADAM = OptimizerConfig(lr=0.05, warmup=0.2, schedule="cosine")
SGD = OptimizerConfig("sgd", lr=0.01, momentum=0.9, weight_decay=0.01)
RECORDED = {"capture": "on"}


def assert_same(first: Run, second: Run) -> None:
    """The same tensors in every checkpoint and the same lines in the log, but for the seconds."""
    for name in ("last", "best"):
        if first.checkpoint(name).exists() or second.checkpoint(name).exists():
            a, b = (checkpoint.load(run.checkpoint(name))[0] for run in (first, second))
            assert a.keys() == b.keys()
            assert [key for key in a if not torch.equal(a[key], b[key])] == []
    logs = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]
        for run in (first, second)
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("capture", ["auto", "off", "on"])
def test_on_a_cpu_views_are_made_the_way_that_is_fast_there(trainer, kinds, capture, tmp_path):
    """Whoever calls the loop without having decided `auto` had views for a card: several times slower."""
    method, stream = (
        trainer.build(kinds["regression"], kinds["regression"].Config()),
        trainer.stream(),
    )
    state = TrainState(method, stream, Run.create(tmp_path / "own", {}))
    config = TrainConfig(capture=capture)
    parts = state.optimizers, state.watches, state.skip
    step = Step(method, stream, config, *parts, seed=3, total=24)
    assert step.views is (apply_on_device if capture == "on" else apply)


@pytest.fixture
def quiet(kinds):
    """The planted methods as the contract asks for them: no `.item()`, nothing counted outside of a tensor."""

    class Game(kinds["game"]):
        def losses(self, phase, batch, noise, progress):
            real = self.critic(batch.x.flatten(1)).squeeze(-1)
            fake = self.critic(self.generator(noise["z"])).squeeze(-1)
            if phase == "critic":
                return Losses(fake - real + 0.1 * (real**2 + fake**2), {"gap": real - fake})
            return Losses(-fake, {"fooled": fake})

        def after_step(self, progress):
            pass

    return {"regression": kinds["regression"], "game": Game}


@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("name", ["regression", "game"])
def test_recorded_steps_are_the_eager_ones_to_the_bit(trainer, quiet, fake_graphs, name, optimizer):
    options = {"optimizer": optimizer, "repeats": 3 if name == "game" else 1}
    _, eager, _ = trainer("eager", quiet[name], **options)
    _, recorded, _ = trainer("recorded", quiet[name], train=RECORDED, **options)
    assert_same(eager, recorded)
    (graph,) = fake_graphs
    assert graph.replays == 24 + 3, "every step of the training, and the rehearsals"


@pytest.mark.parametrize("train", [{}, RECORDED], ids=["eager", "recorded"])
def test_a_method_hears_of_every_update_of_a_phase_once_it_is_done(
    trainer, quiet, fake_graphs, train
):
    """Each repeat, with the weights that it led to; then of the step."""

    class Following(quiet["game"]):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.register_buffer("updates", torch.zeros(2))
            self.register_buffer("apart", torch.zeros(()))
            self.register_buffer("kept", torch.zeros(()))
            self.register_buffer("steps", torch.zeros(()))
            self.register_buffer("each", torch.tensor([3.0, 1.0]))

        def after_update(self, phase):
            self.updates[0 if phase == "critic" else 1] += 1
            if phase == "critic":
                now = self.critic.weight.detach().sum()
                self.apart += (now != self.kept).float()
                self.kept.copy_(now)

        def after_step(self, progress):
            # All updates of the step have been heard of.
            self.steps += (self.updates == self.each * (self.steps + 1)).all()

    method, _, _ = trainer("run", Following, repeats=3, train=train)
    assert method.updates.tolist() == [3 * 24, 24]
    assert method.apart.item() == 3 * 24
    assert method.steps.item() == 24


def test_a_method_that_would_not_be_told_the_progress_is_refused_before_the_first_step(
    trainer, quiet
):
    """As methods were written before: a sentence, and no traceback out of the loop."""

    class Old(quiet["regression"]):
        def after_step(self):
            raise AssertionError

    with pytest.raises(TriptychError, match=r"after_step of Old .* def after_step\(self, progress"):
        trainer("run", Old)


def test_a_recorded_run_that_is_killed_goes_on_to_the_same_bits(trainer, stop, fake_graphs):
    def at(step: int) -> None:
        if step == 13:
            raise stop

    options = {"train": {**RECORDED, "log_every": 7, "checkpoint_every": Duration(3, "steps")}}
    _, whole, _ = trainer("whole", **options)
    with pytest.raises(stop):
        trainer("killed", at=lambda step: at(step - 1), **options)
    _, run, _ = trainer("killed", resume=True, **options)
    assert_same(whole, run)
    assert len(fake_graphs) == 3, "begun anew by the one that went on"


@pytest.mark.parametrize("step", [12, 0])
def test_a_recorded_step_that_is_not_finite_is_named(trainer, fake_graphs, step):
    bad = {"bad_from": step / 24 - 1e-6, "train": {**RECORDED, "log_every": 24}}
    with pytest.raises(TriptychError, match=rf"'fragile' of phase 'fit' .* step {step + 1}\b"):
        trainer("bad", **bad)
    assert fake_graphs[0].replays > 3 + step


@pytest.mark.filterwarnings("ignore:not recorded")
def test_what_asks_the_host_is_not_recorded_and_trains_all_the_same(trainer, kinds, fake_graphs):
    """The planted game reads its progress with `.item()`."""
    _, eager, _ = trainer("eager", kinds["game"])
    _, recorded, _ = trainer("recorded", kinds["game"], train=RECORDED)
    lines = recorded.metrics()
    said = [line["note"] for line in lines if "note" in line]
    assert said == [
        "not recorded as a graph, going on step by step: _local_scalar_dense asks the host"
    ]
    assert not fake_graphs[0].begun, (
        "a recording that breaks off leaves a card's allocator in the midst of it"
    )
    assert [m["train/gap"] for m in lines if "train/gap" in m] == [
        m["train/gap"] for m in eager.metrics()
    ]


def test_what_counts_outside_of_its_tensors_is_not_recorded(trainer, quiet, fake_graphs):
    """A replay would repeat the step at which it was recorded for ever."""

    class Counting(quiet["regression"]):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.register_buffer("average", torch.zeros(()))
            self.done = 0

        def after_step(self, progress):
            self.done += 1
            self.average.lerp_(self.net.weight.detach().abs().mean(), 1 / self.done)

    with pytest.warns(UserWarning, match=r"counts outside of its tensors \('done'\)"):
        _, run, _ = trainer("recorded", Counting, train=RECORDED)
    assert fake_graphs[0].replays == 0
    assert run.status() == "interrupted", "no one says DONE here"
    assert run.metrics()[-1]["step"] == 24


def test_a_buffer_of_any_name_is_put_back(trainer, quiet, fake_graphs):
    """The loop's own counter was kept under a name that a method may give to one of its own."""

    class Counting(quiet["regression"]):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.register_buffer("step", torch.zeros(()))
            self.register_buffer("skip", torch.zeros(()))

        def after_step(self, progress):
            self.step += 1
            self.skip += 2

    method, _, _ = trainer("recorded", Counting, train=RECORDED)
    assert (float(method.step), float(method.skip)) == (24, 48)
    assert fake_graphs[0].replays == 24 + 3


def test_ways_too_short_to_be_told_from_rounding_lead_to_the_same_place():
    """At the end of a cosine schedule a weight moves by its last bit or not at all."""
    start = {"w": torch.ones(1000), "ema": torch.zeros(())}
    moved = torch.nextafter(start["w"], torch.tensor(2.0))
    even = torch.arange(1000) % 2 == 0
    one = {"w": torch.where(even, moved, start["w"]), "ema": torch.tensor(1e-9)}
    other = {**one, "w": moved}
    assert _elsewhere(start, one, other) is None
    assert _elsewhere(start, one, {**one, "w": start["w"] + 1e-4}) == "w"
    assert _elsewhere(start, one, {**one, "ema": torch.tensor(2e-9)}) == "ema"


def test_a_warm_up_from_a_rate_of_nothing_hides_no_such_count(trainer, quiet, fake_graphs):
    """In a list, which nobody looks into. At the first step no weight moves, so that an average of them cannot go astray."""

    class Averaging(quiet["regression"]):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.register_buffer("average", torch.zeros(2))
            self.done = [0]

        def after_initialise(self):
            self.average.copy_(self.net.weight.detach().sum(1))

        def after_step(self, progress):
            self.done[0] += 1
            self.average.lerp_(self.net.weight.detach().sum(1), 1 / self.done[0])

    warming = OptimizerConfig(lr=0.05, warmup=0.5)
    with pytest.warns(UserWarning, match=r"replayed, it leads elsewhere \('average'\)"):
        trainer("recorded", Averaging, optimizer=warming, train=RECORDED)


@pytest.mark.filterwarnings("ignore:not ", "ignore::DeprecationWarning")
@pytest.mark.parametrize("train", [{"capture": "on"}, {"compile": "on"}])
def test_a_rehearsal_does_not_count_for_a_method(trainer, quiet, fake_graphs, train):
    """What it keeps in Python numbers is put back with its tensors."""
    seen: list[int] = []

    class Warming(quiet["regression"]):
        done = 0

        def after_step(self, progress):
            self.done += 1
            seen.append(self.done)

    trainer("run", Warming, train=train)
    assert seen[-24:] == list(range(1, 25))


def test_dropped_recordings_leave_the_training_as_it_would_have_been(trainer, quiet, fake_graphs):
    """What was tried and dropped has changed no weight, no moment and no sum."""

    class Asking(quiet["regression"]):
        def losses(self, phase, batch, noise, progress):
            float(self.net.weight.detach().sum())
            return super().losses(phase, batch, noise, progress)

    _, eager, _ = trainer("eager", Asking)
    with pytest.warns(UserWarning, match="not recorded as a graph"):
        _, run, _ = trainer("recorded", Asking, train=RECORDED)
    tensors = [checkpoint.load(r.checkpoint("last"))[0] for r in (eager, run)]
    assert all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("capture", ["off", "on"])
def test_compiled_operation_by_operation_a_step_is_the_eager_one_to_the_bit(
    trainer, quiet, fake_graphs, monkeypatch, capture
):
    """The compiler's own kernels sum in another order; traced and run as they are, nothing may differ."""
    made = []

    def traced(function, dynamic):
        made.append(function)
        return compile(function, backend="aot_eager", dynamic=dynamic)

    compile = torch.compile
    _, eager, _ = trainer("eager", quiet["game"], repeats=2)
    monkeypatch.setattr(torch, "compile", traced)
    train = {"compile": "on", "capture": capture}
    _, compiled, _ = trainer("compiled", quiet["game"], repeats=2, train=train)
    assert_same(eager, compiled)
    assert len(made) == 2 + (capture == "on"), "a function for each phase, and the views"


THIN = {"depth": 10, "width": 4, "stem": "half", "projector": [16, 16]}
METHODS = {
    "vae": {
        "method": {"hidden": [16], "latent": 4, "optimizer": {"warmup": 0.3}},
        "data": {"binarize": "dynamic"},
    },
    "wgan": {"method": {"width": 4, "latent": 5, "critic_steps": 2, "ema": 0.9}},
    "gan": {
        "method": {
            "net": "resnet", "loss": "relativistic", "spectral": True, "r1": 0.5, "r2": 0.5, "width": 4,
            "latent": 5, "ema": 0.9, "augment": {"colour": 1.0, "translation": 0.125, "cutout": 0.5},
        }
    },
    "simsiam": {"method": {**THIN, "predictor_width": 8}},
    "byol": {"method": {**THIN, "predictor_width": 8, "momentum": 0.9}},
    "simclr": {"method": THIN},
    "sigreg": {"method": {**THIN, "directions": 5}},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:this cpu has no bf16")
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_recorded_training_of_every_method_is_the_eager_one(
    tmp_path, fake_graphs, monkeypatch, name, dtype
):
    """Real digits, real looks, and of the WGAN an epoch that ends within a step (109 batches of 32)."""
    from triptych.experiment import preparation

    train = {
        "duration": "60 steps",
        "batch_size": 32,
        "validate_every": "25 steps",
        "checkpoint_every": "20 steps",
        "log_every": 7,
        "compile": "off",
        "dtype": dtype,
        "threads": 1,
    }
    config = merge(experiment.default_config(name), {"seed": 3, "train": train, **METHODS[name]})
    # The same way of making views: on a device there is no other.
    monkeypatch.setattr("triptych.training.step.apply", on_device)
    eager = experiment.train(config, tmp_path / "eager")
    resolved = preparation._resolved

    def recorded(*given):
        found = resolved(*given)
        return merge(found, {"train": {"capture": "on"}})

    monkeypatch.setattr(preparation, "_resolved", recorded)
    other = experiment.train(config, tmp_path / "recorded")
    assert_same(eager, other)
    assert fake_graphs[0].replays == 60 + 3


def on_device(pixels, parameters):
    return apply_on_device(pixels, parameters)


def test_recording_needs_a_device_that_can(tmp_path):
    config = merge(experiment.default_config("vae"), {"train": {"capture": "on", "device": "cpu"}})
    with pytest.raises(
        TriptychError, match="--capture on records a CUDA graph, and the device is cpu"
    ):
        experiment.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_has_no_deterministic_form_is_said(trainer, quiet, tmp_path):
    """As PyTorch warns of it, by name, forwards or backwards."""
    import warnings as python_warnings

    class Pooling(quiet["regression"]):
        def losses(self, phase, batch, noise, progress):
            python_warnings.warn(
                "max_pool2d_with_indices_backward_cuda does not have a deterministic implementation, but you set …",
                stacklevel=1,
            )
            return super().losses(phase, batch, noise, progress)

    method, stream = trainer.build(Pooling, Pooling.Config()), trainer.stream()
    state = TrainState(method, stream, Run.create(tmp_path / "own", {}))
    step = Step(
        method,
        stream,
        TrainConfig(capture="off"),
        state.optimizers,
        state.watches,
        state.skip,
        seed=3,
        total=24,
    )
    before = method.net.weight.detach().clone()
    step.ahead.before(0)
    (said,) = step._unordered(0, (step._kept(), step._counted()))
    assert said.startswith(
        "PyTorch has no deterministic form of max_pool2d_with_indices_backward_cuda on"
    )
    assert torch.equal(method.net.weight, before)


def test_a_checkpoint_of_before_goes_on_with_the_rows_that_it_kept(tmp_path):
    """It had a row of every update since the last line of the log."""
    watch = Watch("fit", torch.zeros(()))
    rows = torch.tensor([[1.0, 10.0], [2.0, 20.0]])
    watch.load({"watch.fit": rows}, ["objective", "error"], tmp_path)
    watch.see(torch.tensor([3.0, 60.0]), torch.zeros(()), watch.names, torch.tensor(2))
    assert watch.read() == {"error": 30.0}
