"""BYOL's loss and gradients by hand, and its target against the closed form of a moving average."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from triptych.errors import TriptychError
from triptych.methods.byol import BYOLConfig


def unit(z):
    return z / z.norm(dim=1, keepdim=True)


def test_the_loss_is_the_squared_distance_of_unit_vectors(built, losses, two_looks):
    """‖q̄(z₁) − z̄′₂‖² and the other way round (equation 2), with a target that is another network."""
    method = built("byol", predictor_width=6)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in method.target.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.2)
    found = losses(method)
    z1, z2 = (method.project(method._backbone(x)) for x in two_looks.views)
    t1, t2 = (method.target(method._scaled(x)) for x in two_looks.views)
    pairs = ((method.predictor(z1), t2), (method.predictor(z2), t1))
    distance = sum((unit(p) - unit(t)).square().sum(1) for p, t in pairs)
    torch.testing.assert_close(found.minimise, distance, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.terms["cosine"], 1 - distance / 4, rtol=1e-10, atol=1e-12)


def test_the_target_begins_as_the_network_and_learns_nothing(built, losses):
    method = built("byol", predictor_width=6)
    own = {**method.backbone.state_dict(prefix="backbone."), **method.projector.state_dict(prefix="projector.")}  # fmt: skip
    begun = {k: v for k, v in method.target.state_dict().items() if "bn" not in k}
    assert begun and all(torch.equal(value, own[name]) for name, value in begun.items())
    losses(method).minimise.mean().backward()
    assert all(p.grad is None and not p.requires_grad for p in method.target.parameters())
    for module in (method.backbone, method.projector, method.predictor):
        assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_after_n_steps_the_target_is_the_closed_form_of_the_average(built):
    """ξ_n = Π τ_k ξ_0 + Σ_k (1 − τ_k) Π_{j>k} τ_j θ_k, τ_k = 1 − (1 − τ₀)(cos(πk/K) + 1)/2, every θ_k another."""
    method, total, base = built("byol", predictor_width=6, momentum=0.9), 7, 0.9
    draw = torch.Generator().manual_seed(3)
    name = "projector.0.weight"
    start = method.target.get_parameter(name).clone()
    taus, thetas = [], []
    for step in range(total):
        with torch.no_grad():
            for parameter in method.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape, generator=draw))
        thetas.append(method.projector[0].weight.detach().clone())
        taus.append(1 - (1 - base) * (math.cos(math.pi * step / total) + 1) / 2)
        method.after_step(torch.tensor(step / total))
    expected = math.prod(taus) * start
    for k, theta in enumerate(thetas):
        expected = expected + (1 - taus[k]) * math.prod(taus[k + 1 :]) * theta
    torch.testing.assert_close(
        method.target.get_parameter(name).data, expected, rtol=1e-6, atol=1e-7
    )
    assert taus[0] == pytest.approx(0.9)
    assert taus == sorted(taus)


def test_at_the_end_it_stands_still(built):
    method = built("byol", predictor_width=6, momentum=0.0)
    before = method.target[1][0].weight.clone()
    with torch.no_grad():
        method.projector[0].weight.add_(1)
    method.after_step(torch.tensor(1.0))
    torch.testing.assert_close(method.target[1][0].weight.data, before.data, rtol=0, atol=1e-12)
    method.after_step(torch.tensor(0.0))
    torch.testing.assert_close(method.target[1][0].weight.data, method.projector[0].weight.data)


def test_a_target_that_forgets_at_once_is_the_network_with_its_gradient_stopped(built, losses):
    """An average with τ = 0 and `copy` have the same loss and the same gradients."""
    found = {}
    for target in ("average", "copy", "none"):
        method = built("byol", predictor_width=6, target=target, momentum=0.0)
        method.after_step(torch.tensor(0.0))
        value = losses(method).minimise.mean()
        value.backward()
        found[target] = value.item(), method.backbone.conv1.weight.grad.clone()
        assert any(name.startswith("target.") for name in method.state_dict()) == (
            target == "average"
        )
    assert found["copy"][0] == pytest.approx(found["average"][0], rel=1e-12)
    torch.testing.assert_close(found["copy"][1], found["average"][1], rtol=1e-9, atol=1e-12)
    assert found["none"][0] == pytest.approx(found["copy"][0], rel=1e-12)
    assert (found["none"][1] - found["copy"][1]).norm() > 0.05 * found["copy"][1].norm()


def test_without_a_predictor_the_projections_themselves_are_held_against_the_targets(
    built, losses, two_looks
):
    method = built("byol", predictor="none", target="none")
    z1, z2 = (method.project(method._backbone(x)) for x in two_looks.views)
    expected = 2 * (unit(z1) - unit(z2)).square().sum(1)
    torch.testing.assert_close(losses(method).minimise, expected, rtol=1e-10, atol=1e-12)
    assert [group.modules for group in method.phases()[0].groups] == [("backbone", "projector")]


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(momentum: float):
    with pytest.raises(TriptychError, match=r"--method.momentum .* give 0.996"):
        replace(BYOLConfig(), momentum=momentum)
