"""The game's parts against exact cases, finite differences and the two classic mistakes."""

import pytest
import torch
from torch import nn

from triptych.objectives.wasserstein import (
    gradient_norm,
    input_gradient,
    interpolates,
    lipschitz_penalty,
)


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_exact_whatever_the_data(scale: float):
    """f(x) = w·x has slope ‖w‖ everywhere: LP is max(0, ‖w‖ − 1)², GP (‖w‖ − 1)²."""
    w = scale * torch.randn(3, 8, 8, dtype=torch.float64) / 192**0.5
    points = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    norm = gradient_norm(input_gradient(lambda x: (w * x).sum((1, 2, 3)), points))
    expected = (w.square().sum().sqrt() - 1).expand(5)
    torch.testing.assert_close(
        lipschitz_penalty(norm, "one-sided"), expected.clamp(min=0) ** 2, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        lipschitz_penalty(norm, "two-sided"), expected**2, rtol=1e-12, atol=0
    )


def test_points_lie_on_the_segment_with_one_t_for_each_example():
    x, y = torch.randn(2, 4, 3, 5, 5, dtype=torch.float64)
    t = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    share = (interpolates(x, y, t) - y) / (x - y)
    expected = t.view(4, 1, 1, 1).expand_as(share)
    torch.testing.assert_close(share, expected, rtol=1e-9, atol=1e-9)


def test_the_norm_is_over_all_pixels_of_an_example_and_of_no_other():
    gradient = torch.arange(2 * 3 * 4 * 4, dtype=torch.float64).view(2, 3, 4, 4)
    expected = [sum(v**2 for v in part.flatten().tolist()) ** 0.5 for part in gradient]
    assert gradient_norm(gradient).tolist() == pytest.approx(expected, rel=1e-14)


def test_a_bf16_gradient_is_summed_in_fp32():
    """In bf16 a sum stops growing once its terms are below its last bit."""
    gradient = torch.full((1, 3072), 1 / 64, dtype=torch.bfloat16)
    found = gradient_norm(gradient)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx((3072 / 4096) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("kind", ["one-sided", "two-sided"])
def test_a_zero_gradient_is_safe(kind: str):
    """A critic that starts at zero must get a gradient that is zero, not 0/0."""
    weight = torch.zeros(4, requires_grad=True)
    norm = gradient_norm(input_gradient(lambda x: x @ weight, torch.randn(2, 4)))
    lipschitz_penalty(norm, kind).mean().backward()
    assert weight.grad.tolist() == [0.0] * 4


@pytest.mark.parametrize("kind", ["one-sided", "two-sided"])
def test_penalty_gradients_agree_with_finite_differences(kind: str):
    """Smooth activations, so that the second derivatives are really there."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=1.5)
    points = torch.randn(4, 6, dtype=torch.float64)
    names, values = zip(*net.named_parameters(), strict=True)

    def penalty(*values):
        def critic(x):
            return torch.func.functional_call(net, dict(zip(names, values, strict=True)), x)

        norm = gradient_norm(input_gradient(critic, points))
        assert (norm > 1).any()
        return lipschitz_penalty(norm, kind).mean()

    assert torch.autograd.gradcheck(penalty, values, eps=1e-6, atol=1e-7, rtol=1e-5)


def test_the_input_gradient_agrees_with_finite_differences_and_leaves_the_points_alone():
    points = torch.randn(3, 4, dtype=torch.float64)
    kept = points.clone()
    found = input_gradient(lambda x: (x**3).sum(1), points)
    eps = 1e-6
    for i in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = eps
        slope = (((points + step) ** 3).sum(1) - ((points - step) ** 3).sum(1)) / (2 * eps)
        torch.testing.assert_close(found[:, i], slope, rtol=1e-6, atol=1e-6)
    assert torch.equal(points, kept)
    assert not points.requires_grad


def test_the_gradient_of_an_example_never_mixes_in_another():
    """Against the Jacobian in float64, of a critic with a hidden layer."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(48, 7), nn.Tanh(), nn.Linear(7, 1)).double()
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: critic(x).flatten(), x)
    wanted = jacobian[range(6), range(6)].square().sum((1, 2, 3)).sqrt()
    found = gradient_norm(input_gradient(lambda x: critic(x).flatten(), x))
    torch.testing.assert_close(found, wanted)
