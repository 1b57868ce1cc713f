"""The GAN: its switches, its two phases, and that with the loss of Wasserstein it is the WGAN."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from triptych import checkpoint, experiment
from triptych.config import Duration, merge
from triptych.data.spec import Dataset, Images
from triptych.data.stream import Stream
from triptych.errors import TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import default_config
from triptych.methods.gan import GAN, AugmentConfig, GANConfig
from triptych.metrics import DECLARED
from triptych.nets.augment import augment
from triptych.nets.initialise import initialise
from triptych.nets.spectral import Spectral
from triptych.objectives.adversarial import LOSSES, PAIRED, critic_loss, generator_loss
from triptych.reporting.parts.formula import formula
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.types import Batch, DataSpec, Moment, capabilities

TINY = DataSpec((1, 8, 8), "grey")
PAPER = AugmentConfig(colour=1.0, translation=0.125, cutout=0.5)
N = 6


def build(spec: DataSpec = TINY, seed: int = 0, **changes) -> GAN:
    config = {"latent": 3, "width": 2, **changes}
    if config.get("loss") == "wasserstein":
        config = {"penalty": "one-sided", **config}
    method = GAN(GANConfig(**config), spec)
    initialise(method, seed)
    method.after_initialise()
    return method


def noise(method: GAN, phase: str, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    kinds = {"normal": torch.randn, "uniform": torch.rand}
    wanted = next(p for p in method.phases() if p.name == phase).noise
    return {k: kinds[v.kind](N, *v.shape, generator=draw) for k, v in wanted.items()}


def batch(spec: DataSpec = TINY) -> Batch:
    x = torch.rand(N, *spec.shape, generator=torch.Generator().manual_seed(9))
    return Batch((x,), torch.arange(N))


def losses(method: GAN, phase: str):
    return method.losses(phase, batch(), noise(method, phase), torch.tensor(0.0))


class Linear(nn.Module):
    """D(x) = w·x + c."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w, self.c = w, 0.25

    def forward(self, x):
        return (self.w * x).sum((1, 2, 3)) + self.c

    def gradient(self, x):
        return self.w.expand_as(x)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_objectives_of_a_linear_critic_by_hand(kind):
    """With R1 and R2 of ‖w‖² = 16 each, and 10·(4 − 1)² of the penalty."""
    method = build(loss=kind, r1=2.0, r2=0.5, penalty="one-sided")
    critic = method.critic = Linear(torch.full((1, 8, 8), 0.5))
    drawn = noise(method, "critic")
    found = method.losses("critic", batch(), drawn, torch.tensor(0.0))
    with torch.no_grad():
        fake = critic(method.generator(drawn["z"]))
    real = critic(2 * batch().x - 1)
    own = critic_loss(kind, real, fake)
    torch.testing.assert_close(found.minimise, own + 16 + 4 + 90, rtol=1e-4, atol=1e-4)
    expected = {"critic_gap": real - fake, "real_score": real, "fake_score": fake}
    expected |= {"r1": torch.full((N,), 16.0), "r2": torch.full((N,), 16.0)}
    expected |= {"penalty": torch.full((N,), 9.0), "gradient_norm": torch.full((N,), 4.0)}
    if kind != "wasserstein":
        expected["critic_loss"] = own
    assert found.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name], value, rtol=1e-4, atol=1e-4)
    drawn = noise(method, "generator")
    found = method.losses("generator", batch(), drawn, torch.tensor(0.0))
    fake = critic(method.generator(drawn["z"]))
    expected = generator_loss(kind, fake, real)
    torch.testing.assert_close(found.minimise, expected, rtol=1e-4, atol=1e-4)
    assert [*found.terms] == ["generator_loss"]


def test_every_term_is_declared_and_none_of_a_game_has_a_direction():
    method = build(r1=1.0, r2=1.0, penalty="two-sided")
    terms = {*losses(method, "critic").terms, *losses(method, "generator").terms}
    assert terms <= DECLARED.keys()
    assert all(DECLARED[name].better == "" for name in terms)
    assert len({DECLARED[name].title for name in terms}) == len(terms)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_generator_sees_images_only_where_the_loss_is_of_pairs(kind):
    method = build(loss=kind, augment=PAPER)
    critic, generator = method.phases()
    assert critic.images and generator.images == (kind in PAIRED)
    assert set(critic.noise) >= {"z", "real", "fake"}
    assert set(generator.noise) == ({"z", "fake", "real"} if kind in PAIRED else {"z", "fake"})
    assert ("t" in critic.noise) == (kind == "wasserstein")


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "hinge", "spectral": True},
        {"loss": "relativistic", "net": "resnet", "r1": 0.5, "r2": 0.5, "spectral": True},
        {"loss": "least-squares", "penalty": "two-sided", "augment": PAPER},
        {"loss": "non-saturating", "net": "resnet", "penalty": "one-sided", "augment": PAPER},
        {"loss": "wasserstein", "spectral": True, "penalty": "none"},
    ],
)
def test_every_combination_trains_each_network_in_its_own_phase_and_keeps_to_the_contract(changes):
    method = build(**changes)
    for phase in method.phases():
        method.zero_grad()
        first = losses(method, phase.name)
        assert torch.equal(first.minimise, losses(method, phase.name).minimise), "pure"
        assert first.minimise.shape == (N,) and first.minimise.isfinite().all()
        first.minimise.mean().backward()
        for name, parameter in method.get_submodule(phase.name).named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if phase.name == "critic":
            assert all(p.grad is None for p in method.generator.parameters())
        with torch.autocast("cpu", torch.bfloat16):
            rough = losses(method, phase.name)
        for name in first.terms:
            assert rough.terms[name].dtype == torch.float32
            assert rough.terms[name].isfinite().all()
        torch._dynamo.reset()
        captured = torch.compile(method.losses, backend="eager", fullgraph=True, dynamic=False)
        given = phase.name, batch(), noise(method, phase.name), torch.tensor(0.0)
        torch.testing.assert_close(captured(*given).minimise, method.losses(*given).minimise)


def test_images_and_samples_are_altered_by_draws_of_their_own_and_the_penalty_is_taken_there():
    method = build(augment=PAPER, penalty="one-sided", r1=1.0)
    seen = []
    plain, slopes = method.critic.forward, method.critic.gradient
    method.critic.forward = lambda x: seen.append(x) or plain(x)
    method.critic.gradient = lambda x: seen.append(x) or slopes(x)
    drawn = noise(method, "critic")
    method.losses("critic", batch(), drawn, torch.tensor(0.0))
    with torch.no_grad():
        fake = method.generator(drawn["z"])
    strengths = (1.0, 0.125, 0.5)
    real = augment(2 * batch().x - 1, drawn["real"], *strengths)
    fake = augment(fake, drawn["fake"], *strengths)
    scored, sloped = seen
    torch.testing.assert_close(scored, torch.cat([real, fake]), rtol=1e-4, atol=1e-5)
    t = drawn["t"].view(-1, 1, 1, 1)
    points = torch.cat([real, t * real + (1 - t) * fake])
    torch.testing.assert_close(sloped, points, rtol=1e-4, atol=1e-5)


def test_what_it_promises_follows_its_switches():
    """Only a critic that a penalty holds to slopes of 1 is audited for them."""
    assert "LipschitzCritic" not in capabilities(build(spectral=True, r1=1.0))
    assert "HasCritic" in capabilities(build(spectral=True))
    for penalty in ("one-sided", "two-sided"):
        assert build(penalty=penalty).lipschitz == 1.0
        assert "LipschitzCritic" in capabilities(build(penalty=penalty))


@pytest.mark.parametrize("kind", LOSSES)
def test_the_score_has_a_constant_only_where_it_has_an_effect(kind):
    for net in ("dcgan", "resnet"):
        critic = build(loss=kind, net=net).critic
        last = [m for m in critic.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][-1]
        assert (last.bias is None) == (kind in ("wasserstein", "relativistic"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"critic_steps": 0}, r"--method.critic-steps 0"),
        ({"r1": -1.0}, r"--method.r1 -1.0"),
        ({"r2": float("nan")}, r"--method.r2 nan"),
        ({"penalty_weight": -1.0}, r"--method.penalty-weight -1.0"),
        ({"ema": 1.0}, r"--method.ema 1.0"),
        ({"loss": "wasserstein"}, r"--method.loss wasserstein has no end .* --method.penalty"),
        (
            {"loss": "wasserstein", "penalty": "one-sided", "penalty_weight": 0.0},
            r"--method.loss wasserstein has no end .* and a weight",
        ),
    ],
)
def test_what_means_nothing_is_refused(change, said):
    with pytest.raises(TriptychError, match=said):
        replace(GANConfig(), **change)


def test_augmentation_beyond_its_range_is_refused():
    with pytest.raises(TriptychError, match=r"--method.augment.cutout 1.5"):
        AugmentConfig(cutout=1.5)


def read(latex):
    return re.sub(r"\s", "", "".join(ElementTree.fromstring(f"<p>{formula(latex)}</p>").itertext()))


@pytest.mark.parametrize(
    ("changes", "critic", "generator"),
    [
        (
            {},
            "−𝔼logσ(D(x))−𝔼log(1−σ(D(G(z))))",
            "−𝔼logσ(D(G(z)))",
        ),
        ({"loss": "hinge"}, "𝔼max(0,1−D(x))+𝔼max(0,1+D(G(z)))", "−𝔼D(G(z))"),
        (
            {"loss": "least-squares", "spectral": True},
            "12𝔼(D(x)−1)2+12𝔼D(G(z))2,‖W‖=1",
            "12𝔼(D(G(z))−1)2",
        ),
        (
            {"loss": "relativistic", "r1": 0.5, "r2": 1e-5},
            "−𝔼logσ(D(x)−D(G(z)))+0.52𝔼‖∇D(x)‖2+0.000012𝔼‖∇D(G(z))‖2",
            "−𝔼logσ(D(G(z))−D(x))",
        ),
        (
            {"loss": "wasserstein", "penalty": "two-sided", "augment": PAPER},
            "𝔼D(T(G(z)))−𝔼D(T(x))+10𝔼(‖∇D(x^)‖−1)2",
            "−𝔼D(T(G(z)))",
        ),
    ],
)
def test_the_formula_follows_the_config(changes, critic, generator):
    assert read(build(**changes).formula()) == f"minD{critic},minG{generator}"


def test_a_power_iteration_follows_every_update_of_the_critic_and_no_other():
    method = build(spectral=True)
    layers = [layer for layer in method.critic.modules() if isinstance(layer, Spectral)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.normal_()
    before = [layer.left.clone() for layer in layers]
    method.after_update("generator")
    method.after_step(torch.tensor(0.0))
    assert all(torch.equal(layer.left, kept) for layer, kept in zip(layers, before, strict=True))
    method.after_update("critic")
    moved = [not torch.equal(a.left, b) for a, b in zip(layers, before, strict=True)]
    # The last layer has one output: of one number there is one direction.
    assert moved == [True] * (len(layers) - 1) + [False]


IMAGES = Images(np.random.default_rng(0).integers(0, 256, (70, 1, 8, 8), np.uint8), None)


def test_the_monitor_has_an_alarm_and_a_gap(tmp_path):
    method = build(loss="hinge", spectral=True, ema=0.9).eval()
    dataset = Dataset("d", "D", {"train": IMAGES, "valid": IMAGES}, None, "grey", "")
    run = Run.create(tmp_path / "run", {})
    subject = Subject(method, dataset, "none", torch.device("cpu"))
    looks = []
    # An untrained generator makes one grey image: what the alarm is for, where it is so late in a training.
    for step in (500, 600):
        looks.append(Monitor(subject, run)(Moment(step, 1000, due=True, landmark=False)))
        run.log({"step": step, "epoch": step / 10, **looks[-1]})
    assert {"samples/diversity", "valid/critic_gap", "valid/critic_memory"} <= looks[0].keys()
    assert "alarm" not in looks[0]
    assert looks[1]["since"] == 500
    assert "the samples collapsed at step 500" in looks[1]["alarm"]


def trained(folder, name: str, method: dict, steps: int = 12, **train):
    tables = {
        "method": {"latent": 3, "width": 2, **method},
        "data": {"name": "mnist-5k"},
        "train": {
            "duration": f"{steps} steps",
            "batch_size": 8,
            "threads": 1,
            "checkpoint_every": "5 steps",
            **train,
        },
    }
    return experiment.train(merge(default_config(name), tables), folder)


def test_with_the_loss_of_wasserstein_it_is_the_wgan_to_the_bit(tmp_path):
    """The same weights, average, momenta and running statistics after twelve steps: the same game."""
    optimizer = {"lr": 1e-3, "betas": [0.5, 0.9]}
    common = {"critic_steps": 2, "ema": 0.9, "penalty": "one-sided", "penalty_weight": 5.0}
    common |= {"critic_optimizer": optimizer, "generator_optimizer": optimizer}
    ours = trained(tmp_path / "gan", "gan", {**common, "loss": "wasserstein"})
    theirs = trained(tmp_path / "wgan", "wgan", common)
    a, b = (checkpoint.load(run.checkpoint("last"))[0] for run in (ours, theirs))
    same = [name for name in b if not name.startswith("watch")]
    assert len(same) > 40
    assert [name for name in same if not torch.equal(a[name], b[name])] == []
    for term in ("critic_gap", "penalty", "gradient_norm"):
        assert ours.curve(f"train/{term}") == theirs.curve(f"train/{term}")


FULL = {
    "loss": "relativistic",
    "net": "resnet",
    "spectral": True,
    "r1": 0.5,
    "r2": 0.5,
    "ema": 0.9,
    "critic_steps": 2,
    "augment": PAPER,
}


class Stop(BaseException):
    """A kill: nothing is saved, nothing cleaned up."""


def fitted(folder: Path, until: int | None = None, resume: bool = False) -> Run:
    method = build(**FULL)
    run = Run.open(folder) if resume else Run.create(folder, {})
    stream = Stream(IMAGES, 4, 7, torch.device("cpu"))
    settings = TrainConfig(
        duration=Duration(9, "steps"), log_every=7, checkpoint_every=Duration(4, "steps")
    )

    def at(step: int, *_: object) -> None:
        if step == until:
            raise Stop

    fit(method, stream, settings, run, seed=7, display=at, resume=resume)
    return run


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    """The vectors of the power iteration, what is drawn for the augmentation, the average: everything that has a state."""
    whole = fitted(tmp_path / "whole")
    with pytest.raises(Stop):
        fitted(tmp_path / "killed", until=7)
    resumed = fitted(tmp_path / "killed", resume=True)
    state, again = (checkpoint.load(run.checkpoint("last"))[0] for run in (whole, resumed))
    vectors = [name for name in state if name.endswith((".left", ".right"))]
    assert len(vectors) == 2 * 8
    assert state.keys() == again.keys()
    assert [name for name in state if not torch.equal(state[name], again[name])] == []


def test_a_penalty_without_weight_promises_nothing():
    free = build(penalty="one-sided", penalty_weight=0.0)
    assert "LipschitzCritic" not in capabilities(free)
    assert "LipschitzCritic" in capabilities(build(penalty="one-sided"))
    assert free.formula() == build().formula()
