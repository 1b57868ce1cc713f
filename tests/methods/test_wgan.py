"""The WGAN against the reference's protocol and the exact cases of its game."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from triptych import checkpoint
from triptych.config import Duration, OptimizerConfig
from triptych.data.spec import Dataset, Images
from triptych.data.stream import Stream
from triptych.errors import TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import default_config
from triptych.methods.wgan import WGAN, WGANConfig
from triptych.nets.initialise import initialise
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.types import Batch, DataSpec

COLOUR = DataSpec((3, 32, 32), "colour")
TINY = DataSpec((1, 8, 8), "grey")


def build(config: WGANConfig, spec: DataSpec = TINY, seed: int = 0) -> WGAN:
    method = WGAN(config, spec)
    initialise(method, seed)
    method.after_initialise()
    return method


def test_the_reference_preset_is_the_protocol():
    """Shapes and numbers of REFERENCE: 100-256-128-64-3, 3-64-128-256-1, Adam, λ, n, batch, length."""
    config = default_config("wgan", "reference")
    gan = WGAN(config.method, COLOUR)
    generator = [tuple(p.shape) for n, p in gan.generator.named_parameters() if p.ndim == 4]
    critic = [tuple(p.shape) for n, p in gan.critic.named_parameters() if p.ndim == 4]
    assert generator == [(100, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert critic == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (1, 256, 4, 4)]
    kinds = [type(m).__name__ for m in gan.generator.modules() if not list(m.children())]
    up = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    assert kinds == [*up, *up, *up, "ConvTranspose2d", "Tanh"]
    kinds = [type(m).__name__ for m in gan.critic.modules() if not list(m.children())]
    assert kinds == ["Conv2d", "LeakyReLU"] * 3 + ["Conv2d"]
    assert gan.critic.net[1].negative_slope == 0.2
    assert gan.critic.net[-1].bias is None, "a constant in the score has no effect"
    phases = {phase.name: phase for phase in gan.phases()}
    assert phases["critic"].repeats == 5
    for phase in phases.values():
        assert phase.groups[0].optimizer == OptimizerConfig(lr=1e-4, betas=(0.5, 0.9))
    assert (config.method.penalty, config.method.penalty_weight) == ("one-sided", 10)
    assert (config.train.batch_size, str(config.train.duration)) == (64, "50000 steps")
    assert config.method.ema == 0
    assert config.train.dtype == "fp32"


@pytest.mark.parametrize("size", [28, 32, 64])
def test_depth_follows_the_size(size: int):
    spec = DataSpec((3, size, size), "colour")
    gan = build(WGANConfig(latent=5, width=4), spec).eval()
    z = torch.randn(2, 5)
    assert gan.sample(z).shape == (2, 3, size, size)
    assert gan.critic(gan.scaled(gan.sample(z))).shape == (2,)


def test_images_that_are_too_small_are_refused_in_words():
    with pytest.raises(
        TriptychError, match=r"6×6 cannot be halved so: resize with --image-size, to 8 "
    ):
        WGAN(WGANConfig(), DataSpec((3, 6, 6), "colour"))


class Linear(nn.Module):
    """f(x) = w·x, with its gradient; notes the points that it is asked for."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = w
        self.seen = torch.empty(0)

    def forward(self, x):
        return (self.w * x).sum((1, 2, 3))

    def gradient(self, x):
        self.seen = x
        return self.w.expand_as(x)


def critic_noise(count: int, latent: int, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {"z": torch.randn(count, latent, generator=draw), "t": torch.rand(count, generator=draw)}


def test_the_objective_of_a_linear_critic_by_hand():
    """E f(x) − E f(y) and 10·max(0, ‖w‖ − 1)², on images of [−1, 1]."""
    gan = build(WGANConfig(latent=3, width=2))
    w = torch.full((1, 8, 8), 0.5)  # ‖w‖ = 4
    gan.critic = Linear(w)
    x, noise = torch.rand(6, 1, 8, 8), critic_noise(6, 3)
    found = gan.losses("critic", Batch((x,), torch.arange(6)), noise, torch.tensor(0.0))
    with torch.no_grad():
        fake = gan.generator(noise["z"])
    gap = (w * (2 * x - 1)).sum((1, 2, 3)) - (w * fake).sum((1, 2, 3))
    torch.testing.assert_close(found.terms["critic_gap"], gap, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.terms["gradient_norm"], torch.full((6,), 4.0))
    torch.testing.assert_close(found.terms["penalty"], torch.full((6,), 9.0))
    torch.testing.assert_close(found.minimise, 90 - gap, rtol=1e-4, atol=1e-4)


def test_a_spy_sees_one_t_for_each_example():
    """x̂ − y over x − y is one number an image: not one a pixel, as in a published solution."""
    gan = build(WGANConfig(latent=3, width=2))
    spy = gan.critic = Linear(torch.zeros(1, 8, 8))
    x, noise = torch.rand(6, 1, 8, 8), critic_noise(6, 3)
    gan.losses("critic", Batch((x,), torch.arange(6)), noise, torch.tensor(0.0))
    with torch.no_grad():
        fake = gan.generator(noise["z"])
    share = ((spy.seen - fake) / (2 * x - 1 - fake)).flatten(1)
    torch.testing.assert_close(
        share, noise["t"].unsqueeze(1).expand_as(share), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(("distance", "weight"), [(4.0, 10.0), (2.0, 5.0)])
def test_two_diracs(distance: float, weight: float):
    """All images are one point, all samples another at distance d: the gap must reach d + d²/(2λ).

    The best slope s on the segment maximises d·s − λ(s − 1)², so s = 1 + d/(2λ).
    """
    gan = build(WGANConfig(latent=2, width=8, penalty_weight=weight))
    for layer in gan.generator.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            last = layer
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    level = distance / 8 / 2 + 0.5  # 64 pixels of 2·level − 1
    batch = Batch((torch.full((16, 1, 8, 8), level),), torch.arange(16))
    optimizer = torch.optim.Adam(gan.critic.parameters(), lr=3e-3, betas=(0.5, 0.9))
    gaps = []
    for step in range(600):
        found = gan.losses("critic", batch, critic_noise(16, 2, step), torch.tensor(0.0))
        optimizer.zero_grad()
        found.minimise.mean().backward()
        optimizer.step()
        gaps.append(found.terms["critic_gap"].mean().item())
    expected = distance + distance**2 / (2 * weight)
    assert sum(gaps[-100:]) / 100 == pytest.approx(expected, rel=0.01)


def test_the_generator_phase_needs_no_images_and_descends_minus_its_score():
    gan = build(WGANConfig(latent=3, width=2))
    phase = gan.phases()[1]
    assert not phase.images
    noise = {"z": torch.randn(6, 3)}
    found = gan.losses("generator", Batch((), torch.empty(0)), noise, torch.tensor(0.0))
    score = gan.critic(gan.generator(noise["z"]))
    torch.testing.assert_close(found.minimise, -score, rtol=1e-4, atol=1e-5)


def test_the_average_follows_the_generator_by_its_decay():
    gan = build(WGANConfig(latent=3, width=2, ema=0.5))
    start = {n: p.clone().float() for n, p in gan.generator.state_dict().items()}
    z = torch.randn(4, 3)
    gan.eval()
    assert torch.equal(gan.average(z), gan.generator(z))
    with torch.no_grad():
        for value in gan.generator.state_dict().values():
            value += 1
    # The first decays are (1 + n)/(10 + n), then 0.5: what is left of the start is their product.
    left, decays = 1.0, [0.1, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5, 0.5]
    for decay in decays:
        gan.after_step(torch.tensor(0.0))
        left *= decay
        for name, mean in gan.average.state_dict().items():
            whole = "num_batches" in name
            torch.testing.assert_close(mean.float(), start[name] + (1 if whole else 1 - left))
    assert any("running_var" in name for name in start)
    assert torch.equal(gan.sample(z), (gan.average(z) + 1) / 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"critic_steps": 0}, r"--method.critic-steps 0"),
        ({"penalty_weight": -1.0}, r"--method.penalty-weight -1.0"),
        ({"ema": 1.0}, r"--method.ema 1.0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(change: dict, said: str):
    with pytest.raises(TriptychError, match=said):
        replace(WGANConfig(), **change)


class Stop(BaseException):
    """A kill: nothing is saved, nothing cleaned up."""


def train(folder: Path, images: Images, *, until: int | None = None, resume: bool = False):
    """Twelve steps on planted images, with everything on that has a state: average, momentum, buffers."""
    config = WGANConfig(latent=3, width=2, critic_steps=2, ema=0.9)
    method = build(config)
    run = Run.open(folder) if resume else Run.create(folder, {})
    stream = Stream(images, 4, 7, torch.device("cpu"))
    settings = TrainConfig(
        duration=Duration(12, "steps"), log_every=5, checkpoint_every=Duration(4, "steps")
    )

    def at(step: int, *_: object) -> None:
        if step == until:
            raise Stop

    observe = Monitor(
        Subject(
            method,
            Dataset("d", "D", {"train": images, "valid": images}, None, "grey", ""),
            "none",
            torch.device("cpu"),
        ),
        run,
    )
    fit(method, stream, settings, run, seed=7, observe=observe, display=at, resume=resume)
    return method, run


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    """Both networks, both optimizers, the average, running statistics, samplers, pictures and curves."""
    images = Images(np.random.default_rng(0).integers(0, 256, (70, 1, 8, 8), np.uint8), None)
    whole, first = train(tmp_path / "whole", images)
    with pytest.raises(Stop):
        train(tmp_path / "killed", images, until=10)
    resumed, second = train(tmp_path / "killed", images, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    a, _ = checkpoint.load(first.checkpoint("last"))
    b, _ = checkpoint.load(second.checkpoint("last"))
    assert a.keys() == b.keys()
    assert any(name.startswith("optimizer.generator") for name in a)
    assert all(torch.equal(a[name], b[name]) for name in a)
    best = [checkpoint.load(run.checkpoint("best")) for run in (first, second)]
    assert best[0][1] == best[1][1]
    assert all(torch.equal(value, best[1][0][name]) for name, value in best[0][0].items())
    lines = [
        [{k: v for k, v in e.items() if k != "seconds"} for e in run.metrics()]
        for run in (first, second)
    ]
    assert lines[0] == lines[1]
    assert [e["step"] for e in lines[0] if "samples/diversity" in e] == [0, 1, 2, 5, 8, 10, 12]
    moments = first.moments()
    assert list(moments) == [0, 1, 2, 5, 10, 12]
    assert all((images == second.moments()[step]).all() for step, images in moments.items())
    assert any((moments[1] != moments[12]).flatten())
    assert {"valid/frechet_untrained", "valid/critic_gap", "valid/critic_memory"} < set(lines[0][0])
