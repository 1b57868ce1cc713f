"""SimSiam against the reference's protocol, the identities of its arms, and a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych import checkpoint
from triptych.config import Duration, OptimizerConfig, ViewsConfig
from triptych.data.spec import Dataset, Images
from triptych.data.stream import Stream
from triptych.errors import TriptychError
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.experiment import default_config, prepare
from triptych.methods.simsiam import SimSiam, SimSiamConfig
from triptych.nets.initialise import initialise
from triptych.objectives.similarity import symmetric_loss
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.types import Batch, DataSpec

SPEC = DataSpec((3, 8, 8), "colour", mean=(0.5, 0.4, 0.3), std=(0.3, 0.25, 0.2))
TINY = SimSiamConfig(depth=10, stem="half", width=4, projector=(16, 8), predictor_width=6)
ARMS = {
    "default": TINY,
    "no stop-gradient": replace(TINY, stop_gradient=False),
    "no predictor": replace(TINY, predictor="none"),
    "fixed predictor": replace(TINY, predictor="fixed-random"),
}


def build(config: SimSiamConfig, spec: DataSpec = SPEC, seed: int = 0) -> SimSiam:
    """In doubles, with residuals that are not silent: every parameter has a gradient."""
    method = SimSiam(config, spec)
    initialise(method, seed)
    return method.double().train()


def two_views(count: int = 12, spec: DataSpec = SPEC) -> Batch:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(2, count, *spec.shape, generator=draw, dtype=torch.float64)
    return Batch((x[0], x[1]), torch.arange(count))


def loss(method: SimSiam, batch: Batch) -> Tensor:
    found = method.losses("agreement", batch, {}, torch.tensor(0.0))
    assert found.terms["loss"] is found.minimise
    return found.minimise


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_declared_as_a_cosine_is_that_of_predictions_and_targets(arm: str):
    """`-loss`, which the verdict reads: both cosines of every image, whatever the arm."""
    method, batch = build(ARMS[arm]), two_views()
    z1, z2 = (method.project(method._backbone(x)) for x in batch.views)
    p1, p2 = method.predictor(z1), method.predictor(z2)
    both = torch.cat([F.cosine_similarity(p1, z2), F.cosine_similarity(p2, z1)])
    assert method.cosine == "-loss"
    assert -loss(method, batch).mean().item() == pytest.approx(both.mean().item(), abs=1e-9)


def test_the_reference_preset_is_the_protocol():
    """Sizes and numbers of REFERENCE: stem, heads, SGD at 0.03 × batch / 256, views, batch, length."""
    config = default_config("simsiam", "reference")
    spec = DataSpec((3, 32, 32), "colour")
    with torch.device("meta"):
        method = SimSiam(config.method, spec)
    assert tuple(method.backbone.conv1.weight.shape) == (64, 3, 7, 7)
    assert sum(p.numel() for p in method.backbone.parameters()) == 11_689_512 - 513_000
    heads = [m for head in (method.projector, method.predictor) for m in head.modules()]
    sizes = [(m.in_features, m.out_features) for m in heads if isinstance(m, nn.Linear)]
    assert sizes == [(512, 512), (512, 512), (512, 2048), (2048, 512), (512, 2048)]
    networks, head = (group.optimizer for group in method.phases()[0].groups)
    sgd = OptimizerConfig("sgd", lr=0.12, momentum=0.9, weight_decay=5e-4)
    assert (networks, head) == (replace(sgd, schedule="cosine"), sgd)
    assert (config.train.batch_size, str(config.train.duration)) == (1024, "200 epochs")
    resolved = SimSiam.resolve(config.method, spec).views
    assert (resolved.crop_scale, resolved.flip, resolved.jitter, resolved.grey) == (
        (0.08, 1.0), 0.5, 0.8, 0.2,
    )  # fmt: skip
    changes = (resolved.brightness, resolved.contrast, resolved.saturation, resolved.hue)
    assert changes == (0.4, 0.4, 0.4, 0.1)


def test_without_a_predictor_the_stop_gradient_halves_the_gradient():
    """Both halves of the symmetric loss are then the same function of the same two projections."""
    found = []
    for stop in (True, False):
        method = build(replace(TINY, predictor="none", stop_gradient=stop))
        value = loss(method, two_views()).mean()
        value.backward()
        found.append((value, {n: p.grad for n, p in method.named_parameters()}))
    (stopped, half), (free, whole) = found
    assert torch.equal(stopped, free)
    assert half.keys() == whole.keys()
    for name in half:
        error = (2 * half[name] - whole[name]).norm() / whole[name].norm()
        assert error < 1e-12, name


def test_with_a_predictor_it_does_not_halve():
    """Or the test above would also pass were the predictor ignored."""
    grads = []
    for stop in (True, False):
        method = build(replace(TINY, stop_gradient=stop))
        loss(method, two_views()).mean().backward()
        grads.append(method.backbone.conv1.weight.grad)
    half, whole = grads
    assert (2 * half - whole).norm() > 0.05 * whole.norm()


class Constant(nn.Module):
    """A prediction that does not look: what reaches the networks then comes through the targets."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.value = nn.Parameter(torch.randn(12, 8, generator=draw, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.value


@pytest.mark.parametrize("stop", [True, False])
def test_the_stop_gradient_stops_all_that_goes_through_the_targets(stop: bool):
    method = build(replace(TINY, stop_gradient=stop))
    method.predictor = Constant()
    loss(method, two_views()).mean().backward()
    assert method.predictor.value.grad.any()
    for module in (method.backbone, method.projector):
        for name, parameter in module.named_parameters():
            if stop:
                assert parameter.grad is None, name
            else:
                assert parameter.grad.any(), name


def test_the_gradient_of_a_projection_is_that_of_its_own_prediction_alone():
    """∂L/∂z₁ = −½ ∂cos(h(z₁), z₂)/∂z₁ with z₂ a constant, by a spy on what enters the predictor."""
    method, seen = build(TINY), []
    method.predictor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    value = loss(method, two_views()).sum()
    found = torch.autograd.grad(value, seen)
    fresh = [z.detach().clone().requires_grad_() for z in seen]
    for z, other, gradient in zip(fresh, fresh[::-1], found, strict=True):
        half = -0.5 * F.cosine_similarity(method.predictor(z), other.detach()).sum()
        torch.testing.assert_close(gradient, torch.autograd.grad(half, z)[0], rtol=1e-9, atol=1e-12)
        assert gradient.any()


def test_each_view_is_normalised_by_itself():
    """The loss is that of two separate passes; both views in one batch would give another."""
    method, batch = build(TINY), two_views()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (SPEC.mean, SPEC.std))

    def passed(x: Tensor) -> tuple[Tensor, Tensor]:
        z = method.projector(method.backbone((x - mean) / std))
        return method.predictor(z), z

    found = loss(method, batch)
    (p1, z1), (p2, z2) = (passed(x) for x in batch.views)
    torch.testing.assert_close(found, symmetric_loss(p1, p2, z1, z2), rtol=1e-6, atol=1e-6)
    p, z = (both.chunk(2) for both in passed(torch.cat(batch.views)))
    together = symmetric_loss(*p, *z)
    assert (found - together).abs().max() > 0.05


def test_running_statistics_follow_the_views_one_after_the_other():
    """Of every norm: m ← 0.9 m + 0.1 mean(view), first of view 1, then of view 2."""
    method, batch, seen = build(TINY), two_views(), []
    norms = [m for m in method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    means = {m: [] for m in norms}
    for norm in norms:
        norm.register_forward_pre_hook(
            lambda m, inputs: means[m].append(inputs[0].transpose(0, 1).flatten(1).mean(1))
        )
    method.backbone.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loss(method, batch)
    assert len(norms) == 9 + 3 + 2 + 1, "stem and four blocks, shortcuts, projector, predictor"
    for norm in norms:
        first, second = means[norm]
        torch.testing.assert_close(norm.running_mean, 0.9 * 0.1 * first + 0.1 * second)
        assert norm.num_batches_tracked == 2
    assert [len(x) for x in seen] == [12, 12]


def test_losses_leave_everything_but_running_statistics_as_it_was():
    method, batch = build(TINY), two_views()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    first, again = loss(method, batch), loss(method, batch)
    assert torch.equal(first, again)
    for given, fresh in zip(batch.views, two_views().views, strict=True):
        assert torch.equal(given, fresh)
    changed = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {k for k in before if k.endswith(("mean", "var", "tracked"))}


def test_views_that_are_the_same_agree_without_a_predictor():
    method = build(replace(TINY, predictor="none"))
    x, _ = two_views().views
    found = loss(method, Batch((x, x), torch.arange(12)))
    expected = torch.full((12,), -1.0, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_loss_is_one_value_an_image_between_the_bounds():
    found = loss(build(TINY), two_views())
    assert found.shape == (12,)
    assert found.abs().max() < 1
    assert found.std() > 0.01


def test_arms_of_a_seed_start_from_the_same_weights():
    states = {}
    for name, config in ARMS.items():
        method = SimSiam(config, SPEC)
        torch.manual_seed(len(states))
        initialise(method, 3)
        method.after_initialise()
        states[name] = method.state_dict()
    default = states["default"]
    for name, state in states.items():
        shared = {k for k in default if not k.startswith("predictor.")}
        assert shared <= state.keys()
        assert all(torch.equal(state[k], default[k]) for k in shared), name
    assert states["no stop-gradient"].keys() == default.keys()
    assert torch.equal(
        states["no stop-gradient"]["predictor.0.weight"], default["predictor.0.weight"]
    )
    assert not any(k.startswith("predictor.") for k in states["no predictor"])
    assert not torch.equal(
        states["fixed predictor"]["predictor.0.weight"], default["predictor.0.weight"]
    )


def test_every_block_starts_as_its_shortcut():
    method = SimSiam(TINY, SPEC)
    initialise(method, 0)
    assert method.backbone.layer3[0].bn2.weight.all()
    method.after_initialise()
    for stage in range(1, 5):
        assert not method.backbone.get_submodule(f"layer{stage}")[0].bn2.weight.any()


@pytest.mark.parametrize(
    ("config", "trained"),
    [
        (TINY, ["backbone", "predictor", "projector"]),
        (ARMS["no predictor"], ["backbone", "projector"]),
        (ARMS["fixed predictor"], ["backbone", "projector"]),
    ],
)
def test_what_is_trained(config: SimSiamConfig, trained: list[str]):
    groups = SimSiam(config, SPEC).phases()[0].groups
    assert sorted(name for group in groups for name in group.modules) == trained


@pytest.mark.parametrize(("mirrors", "flip"), [(True, 0.5), (False, 0.0)])
def test_images_are_mirrored_where_a_mirror_image_is_of_its_kind(mirrors: bool, flip: float):
    spec = replace(SPEC, mirrors=mirrors)
    resolved = SimSiam.resolve(TINY, spec)
    assert resolved.views == replace(TINY.views, flip=flip)
    assert SimSiam(TINY, spec).views == resolved.views, "built directly, it is resolved too"
    asked = replace(TINY, views=ViewsConfig(flip=0.3))
    assert SimSiam.resolve(asked, spec).views.flip == 0.3
    assert SimSiam.resolve(resolved, replace(SPEC, mirrors=not mirrors)) == resolved


def test_channels_are_normalised_by_the_training_images(planted):
    levels = planted(shape=(3, 8, 8)).splits["train"].pixels / 255
    config = replace(default_config("simsiam"), method=TINY)
    config = replace(config, train=replace(config.train, threads=1, batch_size=8, device="cpu"))
    resolved, method, _ = prepare(config, planted(shape=(3, 8, 8)))
    assert resolved.method.mean == pytest.approx(levels.mean((0, 2, 3)), abs=1e-6)
    assert resolved.method.std == pytest.approx(levels.std((0, 2, 3)), abs=1e-6)
    x = torch.rand(4, 3, 8, 8)
    normal = torch.stack(
        [(x[:, c] - resolved.method.mean[c]) / resolved.method.std[c] for c in range(3)], 1
    )
    method.eval()
    torch.testing.assert_close(method.encode(x), method.backbone(normal))


def test_what_a_person_gives_wins_over_what_is_measured():
    given = SimSiam.resolve(replace(TINY, mean=(0.1,) * 3, std=(0.2,) * 3), SPEC)
    assert (given.mean, given.std) == ((0.1,) * 3, (0.2,) * 3)
    unmeasured = SimSiam.resolve(TINY, DataSpec((1, 8, 8), "grey"))
    assert (unmeasured.mean, unmeasured.std) == ((0.5,), (0.25,))


def test_features_are_the_backbones_and_projections_the_projectors():
    method = build(TINY).float().eval()
    x = torch.rand(5, 3, 8, 8)
    seen = []
    method.backbone.register_forward_hook(lambda _, __, out: seen.append(out))
    h = method.encode(x)
    assert torch.equal(h, seen[0])
    assert torch.equal(method.project(h), method.projector(h))
    with torch.autocast("cpu", torch.bfloat16):
        rough = method.encode(x)
        assert method.project(rough).dtype == torch.float32
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, h, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0}, r"--method.width 0 is too small"),
        ({"predictor_width": -1}, r"--method.predictor-width -1 is too small"),
        ({"projector": (8, 0)}, r"--method.projector 0 is too small"),
        ({"projector": ()}, r"--method.projector needs one width"),
        ({"std": (0.0,)}, r"--method.std divides"),
    ],
)
def test_sizes_that_are_none_are_refused(change: dict, said: str):
    with pytest.raises(TriptychError, match=said):
        replace(TINY, **change)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_value_for_each_channel(name: str):
    with pytest.raises(TriptychError, match=rf"--method.{name} has 2 values .* 3 channels"):
        SimSiam(replace(TINY, **{name: (0.5, 0.5)}), SPEC)


class Stop(BaseException):
    """A kill: nothing is saved, nothing cleaned up."""


def train(
    folder: Path,
    images: Images,
    config: SimSiamConfig = TINY,
    *,
    until: int | None = None,
    resume: bool = False,
) -> tuple[SimSiam, Run]:
    """Twelve steps in bf16 on planted images, 17 of an epoch in batches of 8, looked at every fourth."""
    spec = DataSpec((3, 8, 8), "colour")
    sgd = OptimizerConfig("sgd", lr=0.05, weight_decay=5e-4, schedule="cosine")
    config = replace(config, optimizer=sgd, predictor_optimizer=replace(sgd, schedule="constant"))
    method = SimSiam(config, spec)
    initialise(method, 7)
    method.after_initialise()
    run = Run.open(folder) if resume else Run.create(folder, {})
    splits = {
        name: Images(images.pixels[part], images.labels[part])
        for name, part in (("train", slice(17)), ("valid", slice(17, 30)), ("test", slice(30, 40)))
    }
    dataset = Dataset("d", "D", splits, ("a", "b"), "colour", "print")
    device = torch.device("cpu")
    stream = Stream(splits["train"], 8, 7, device, "none", "print", method.views)

    def display(step: int, *rest: object) -> None:
        if step == until:
            raise Stop

    settings = TrainConfig(
        duration=Duration(12, "steps"),
        batch_size=8,
        compile="off",
        dtype="bf16",
        log_every=2,
        validate_every=Duration(4, "steps"),
        checkpoint_every=Duration(3, "steps"),
    )
    fit(
        method,
        stream,
        settings,
        run,
        seed=7,
        observe=Monitor(Subject(method, dataset, "none", device), run),
        display=display,
        resume=resume,
    )
    return method, run


@pytest.fixture
def images() -> Images:
    draw = np.random.default_rng(0)
    return Images(draw.integers(0, 256, (40, 3, 8, 8), np.uint8), np.arange(40) % 2)


@pytest.mark.parametrize("config", ARMS.values(), ids=ARMS.keys())
def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, images: Images, config):
    """Networks, momentum, running statistics, both schedules, the views, the best weights and every curve."""
    whole, first = train(tmp_path / "whole", images, config)
    with pytest.raises(Stop):
        train(tmp_path / "killed", images, config, until=8)
    resumed, second = train(tmp_path / "killed", images, config, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for which in ("last", "best"):
        a, b = (checkpoint.load(run.checkpoint(which)) for run in (first, second))
        assert a[0].keys() == b[0].keys()
        assert all(torch.equal(a[0][name], b[0][name]) for name in a[0])
        same = [{k: v for k, v in about.items() if k != "seconds"} for about in (a[1], b[1])]
        assert same[0] == same[1]
    lines = [
        [{k: v for k, v in e.items() if k != "seconds"} for e in run.metrics()]
        for run in (first, second)
    ]
    assert lines[0] == lines[1]
    assert [e["step"] for e in lines[0] if "features/std" in e] == [0, 4, 8, 12]
    assert all("valid/knn_top1" in e for e in lines[0] if "features/std" in e)


@pytest.mark.parametrize("predictor", ["mlp", "fixed-random"])
def test_a_fixed_predictor_is_not_moved_by_training(tmp_path: Path, images: Images, predictor):
    config = replace(TINY, predictor=predictor)
    start = SimSiam(config, DataSpec((3, 8, 8), "colour"))
    initialise(start, 7)
    before = dict(start.named_parameters())
    method, _ = train(tmp_path / "run", images, config)
    moved = {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
    assert "backbone.conv1.weight" in moved
    expected = {n for n in before if n.startswith("predictor.")} if predictor == "mlp" else set()
    assert {n for n in moved if n.startswith("predictor.")} == expected
    if predictor == "fixed-random":
        assert method.predictor[0].weight.std().item() == pytest.approx(0.01, rel=0.2)
