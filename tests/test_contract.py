"""What every method must keep to. A new file in methods/ is tested here without an edit; in their place files that
``TRIPTYCH_METHODS`` names, with the system's separator of paths between them."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych import methods
from triptych.data.spec import Dataset, Images
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.nets.initialise import initialise
from triptych.nets.resnet import _Conv
from triptych.runs import Run
from triptych.types import (
    Batch,
    DataSpec,
    Decodes,
    Encodes,
    HasLikelihood,
    Losses,
    Method,
    Moment,
    Phase,
    Reconstructs,
)

N = 6
SPECS = {
    "binary": DataSpec((1, 28, 28), "binary"),
    "grey": DataSpec((1, 28, 28), "grey"),
    "colour": DataSpec((3, 32, 32), "colour"),
}

OWN = [name for name in os.environ.get("TRIPTYCH_METHODS", "").split(os.pathsep) if name]

pytestmark = [
    pytest.mark.parametrize("name", OWN or methods.names()),
    pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys()),
]


def build(name: str, spec: DataSpec, seed: int = 0) -> Method:
    kind = methods.find(name)
    method = kind(kind.resolve(kind.Config(), spec), spec)
    initialise(method, seed)
    return method.train()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(spec: DataSpec, count: int = N, seed: int = 0) -> Tensor:
    levels = torch.randint(256, (count, *spec.shape), generator=generator(seed)).float() / 255
    return levels.round() if spec.values == "binary" else levels


def batch(spec: DataSpec, count: int = N) -> Batch:
    """Two looks at each image: a method that wants one takes the first."""
    return Batch((images(spec, count), images(spec, count, seed=1)), torch.arange(count))


def noise(phase: Phase, seed: int = 0, count: int = N) -> dict[str, Tensor]:
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return {
        key: draw[wanted.kind](
            wanted.shape if wanted.shared else (count, *wanted.shape), generator=generator(seed + i)
        )
        for i, (key, wanted) in enumerate(phase.noise.items())
    }


def losses(method: Method, phase: Phase, batch: Batch, noise: Mapping[str, Tensor]) -> Losses:
    return method.losses(phase.name, batch, noise, torch.tensor(0.25))


def assert_equal(a: Losses, b: Losses) -> None:
    assert torch.equal(a.minimise, b.minimise)
    assert a.terms.keys() == b.terms.keys()
    for key in a.terms:
        assert torch.equal(a.terms[key], b.terms[key]), key


def test_losses_are_pure(name: str, spec: DataSpec):
    method = build(name, spec)
    for phase in method.phases():
        given, drawn = batch(spec), noise(phase)
        before = torch.get_rng_state()
        first = losses(method, phase, given, drawn)
        assert torch.equal(torch.get_rng_state(), before), "random numbers come from noise alone"
        assert_equal(first, losses(method, phase, given, drawn))
        fresh = batch(spec)
        assert all(torch.equal(a, b) for a, b in zip(given.views, fresh.views, strict=True))
        assert torch.equal(given.index, fresh.index)
        assert all(torch.equal(drawn[k], v) for k, v in noise(phase).items())


class Recording(dict):
    """Notes which of its keys are read."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.read.add(key)
        return super().__getitem__(key)


def test_all_noise_that_is_declared_is_used_and_no_other(name: str, spec: DataSpec):
    method = build(name, spec)
    for phase in method.phases():
        drawn = Recording(noise(phase))
        losses(method, phase, batch(spec), drawn)
        assert drawn.read == set(phase.noise)


def test_terms_are_vectors_over_examples_or_scalars_and_finite(name: str, spec: DataSpec):
    method = build(name, spec)
    shown = set()
    for phase in method.phases():
        found = losses(method, phase, batch(spec), noise(phase))
        shown |= set(found.terms)
        for key, value in {"minimise": found.minimise, **found.terms}.items():
            assert value.shape in [(), (N,)], key
            assert value.dtype == torch.float32, key
            assert value.isfinite().all(), key
    assert method.gauge in shown


def test_every_parameter_is_trained_by_one_group_or_frozen_on_purpose(name: str, spec: DataSpec):
    method = build(name, spec)
    owners = Counter(
        id(parameter)
        for phase in method.phases()
        for group in phase.groups
        for module in group.modules
        for parameter in method.get_submodule(module).parameters()
    )
    for key, parameter in method.named_parameters():
        expected = 1 if parameter.requires_grad else 0
        assert owners[id(parameter)] == expected, key


def test_every_trained_parameter_gets_a_gradient_from_its_own_phase(name: str, spec: DataSpec):
    """From initial weights, or from larger ones: within the margin of a hinge, what moves all scores alike moves no loss."""
    still: set[str] = set()
    for scale in (1.0, 10.0):
        method = build(name, spec)
        for parameter in method.parameters():
            parameter.data *= scale
        found = gradients(method, spec)
        assert all(g is not None for g in found.values())
        assert scale > 1 or all(g.isfinite().all() for g in found.values())
        here = {key for key, g in found.items() if not g.any()}
        still = here if scale == 1 else still & here
    assert still == set()


def gradients(method: Method, spec: DataSpec) -> dict[str, Tensor]:
    """Of each parameter, from the phase that trains it."""
    found = {}
    for phase in method.phases():
        method.zero_grad()
        losses(method, phase, batch(spec), noise(phase)).minimise.mean().backward()
        for group in phase.groups:
            for module in group.modules:
                for key, parameter in method.get_submodule(module).named_parameters():
                    found[f"{module}.{key}"] = parameter.grad
    return found


def test_initial_weights_follow_from_the_seed(name: str, spec: DataSpec):
    torch.manual_seed(1)
    first = build(name, spec).state_dict()
    torch.manual_seed(2)
    again, other = build(name, spec).state_dict(), build(name, spec, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    for owner in build(name, spec).modules():
        if next(owner.parameters(recurse=False), None) is not None:
            assert callable(owner.reset_parameters)


def test_losses_can_be_captured_as_one_graph(name: str, spec: DataSpec):
    """No ``.item()``, no branch on a tensor's value: ``fullgraph`` raises where there is one."""
    method = build(name, spec)
    torch._dynamo.reset()
    captured = torch.compile(method.losses, backend="eager", fullgraph=True, dynamic=False)
    for phase in method.phases():
        given, drawn = batch(spec), noise(phase)
        found = captured(phase.name, given, drawn, torch.tensor(0.25))
        assert_equal(found, losses(method, phase, given, drawn))


def test_no_convolution_whose_gradient_ends_the_process(name: str, spec: DataSpec):
    """That of residual networks is mended."""
    strided = [
        key
        for key, module in build(name, spec).named_modules()
        if isinstance(module, torch.nn.Conv2d)
        and not isinstance(module, _Conv)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
    ]
    assert strided == [], (
        "on CPUs without AVX-512 PyTorch's gradient of a 1×1 convolution with a stride may write where it must not and "
        "end the process; one without a stride on x[:, :, ::2, ::2] is the same"
    )


def test_losses_in_bf16_are_near_those_in_fp32(name: str, spec: DataSpec):
    """Only the networks are in bf16: what is summed over pixels must not lose its low bits.

    Batch normalisation over images that are much alike makes much of a rounding: of such a network the means over
    four times as many are compared.
    """
    method = build(name, spec)
    normalises = method.smallest_batch > 1
    reduced, count = (Tensor.mean, 4 * N) if normalises else (Tensor.clone, N)
    for phase in method.phases():
        given, drawn = batch(spec, count), noise(phase, count=count)
        exact = losses(method, phase, given, drawn)
        with torch.autocast("cpu", torch.bfloat16):
            rough = losses(method, phase, given, drawn)
        for key, value in exact.terms.items():
            assert rough.terms[key].dtype == torch.float32, key
            torch.testing.assert_close(
                reduced(rough.terms[key]), reduced(value), rtol=0.005, atol=0.05, msg=key
            )


def test_the_selection_metric_is_one_that_monitoring_gives(
    name: str, spec: DataSpec, tmp_path: Path
):
    method = build(name, spec).eval()
    pixels = (images(spec, 64) * 255).round().to(torch.uint8).numpy()
    split = Images(pixels, np.arange(64) % 2)
    dataset = Dataset("d", "D", {"train": split, "valid": split}, None, spec.values, "")
    run = Run.create(tmp_path / "run", {})
    found = Monitor(Subject(method, dataset, "none", torch.device("cpu")), run)(
        Moment(1, 2, due=True, landmark=True)
    )
    if method.selection is not None:
        assert method.selection.metric in found


def test_what_it_decodes_is_an_image_and_depends_on_its_own_latent_alone(name: str, spec: DataSpec):
    method = build(name, spec).eval()
    if not isinstance(method, Decodes):
        return
    z = torch.randn(N, method.latent, generator=generator(0))
    found = method.decode(z)
    assert found.shape == (N, *spec.shape)
    assert 0 <= found.min() < found.max() <= 1
    for i in range(N):
        torch.testing.assert_close(method.decode(z[i : i + 1])[0], found[i], rtol=1e-4, atol=1e-5)


def test_features_of_an_image_depend_on_that_image_alone(name: str, spec: DataSpec):
    method, x = build(name, spec).eval(), images(spec)
    if not isinstance(method, Encodes):
        return
    found = method.encode(x)
    assert len(found) == N
    assert found.ndim == 2
    for i in range(N):
        torch.testing.assert_close(method.encode(x[i : i + 1])[0], found[i], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[0], found[1])


def test_reconstructions_are_images(name: str, spec: DataSpec):
    method, x = build(name, spec).eval(), images(spec)
    if not isinstance(method, Reconstructs):
        return
    found = method.reconstruct(x)
    assert found.shape == x.shape
    assert 0 <= found.min() < found.max() <= 1


def test_log_weights_average_to_the_elbo(name: str, spec: DataSpec):
    """E_q[log p(x, z) − log q(z|x)] is the ELBO: two ways through the method to one number."""
    method, x = build(name, spec).eval(), images(spec, 2)
    if not isinstance(method, HasLikelihood):
        return
    count = 400
    with torch.no_grad():
        drawn = torch.randn(2, count, method.latent, generator=generator(0))
        log_w = method.log_weights(x, method.posterior(x), drawn).double()
        many = x.repeat_interleave(count, 0)
        bound = method.elbo(many, torch.randn(2 * count, method.latent, generator=generator(1)))
    assert log_w.shape == (2, count)
    single = bound["elbo"].double().reshape(2, count)
    error = (log_w.mean(1) - single.mean(1)).abs()
    stderr = (log_w.var(1) / count + single.var(1) / count).sqrt()
    assert (error < 4 * stderr + 1e-3).all()
    torch.testing.assert_close(bound["elbo"], bound["reconstruction"] - bound["kl"])
