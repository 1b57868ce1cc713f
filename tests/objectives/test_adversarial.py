"""The losses of games against their formulas written out, and their optima where these have a closed form."""

import math

import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from triptych.nets.dcgan import Critic
from triptych.nets.initialise import initialise
from triptych.objectives.adversarial import (
    LOSSES,
    PAIRED,
    critic_loss,
    generator_loss,
    squared_norm,
)
from triptych.objectives.wasserstein import input_gradient

SCORES = torch.tensor([[0.3, -2.0, 5.0], [-0.7, 4.0, 1.0]], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


NAIVE = {
    "non-saturating": (
        lambda a, b: -math.log(sigmoid(a)) - math.log(1 - sigmoid(b)),
        lambda a, b: -math.log(sigmoid(b)),
    ),
    "hinge": (lambda a, b: max(0, 1 - a) + max(0, 1 + b), lambda a, b: -b),
    "least-squares": (lambda a, b: ((a - 1) ** 2 + b**2) / 2, lambda a, b: (b - 1) ** 2 / 2),
    "relativistic": (
        lambda a, b: -math.log(sigmoid(a - b)),
        lambda a, b: -math.log(sigmoid(b - a)),
    ),
    "wasserstein": (lambda a, b: b - a, lambda a, b: -b),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_is_its_formula_example_by_example(kind):
    real, fake = SCORES
    critic, generator = NAIVE[kind]
    pairs = list(zip(real.tolist(), fake.tolist(), strict=True))
    told = critic_loss(kind, real, fake).tolist()
    assert told == pytest.approx([critic(a, b) for a, b in pairs], rel=1e-12)
    made = generator_loss(kind, fake, real if kind in PAIRED else None).tolist()
    assert made == pytest.approx([generator(a, b) for a, b in pairs], rel=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
def test_scores_far_away_have_finite_losses_and_slopes(kind):
    """Written as logarithms of a sigmoid they would be infinite."""
    scores = torch.tensor([[-300.0, 300.0], [300.0, -300.0]], requires_grad=True)
    loss = critic_loss(kind, *scores) + generator_loss(kind, scores[1], scores[0])
    loss.sum().backward()
    assert loss.isfinite().all()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("kind", LOSSES)
def test_a_generator_wants_a_higher_score_where_the_critic_wants_a_lower_one(kind):
    fake = torch.tensor([0.5, 0.4], requires_grad=True)
    real = torch.tensor([0.3, 0.2])
    (up,) = torch.autograd.grad(generator_loss(kind, fake, real).sum(), fake)
    (down,) = torch.autograd.grad(critic_loss(kind, real, fake).sum(), fake)
    assert (up < 0).all() and (down > 0).all()


def best(loss, count: int = 1) -> torch.Tensor:
    """Where a convex function of a few numbers is least, by Newton's method of its own kind."""
    at = torch.full((count,), 0.1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [at],
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure():
        search.zero_grad()
        value = loss(at)
        value.backward()
        return value

    search.step(closure)
    return at.detach()


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.8, 0.2), (0.1, 0.9)])
def test_where_images_and_samples_share_a_point_the_best_score_is_that_of_their_densities(p, q):
    """Log p/q of the non-saturating loss, p/(p + q) of least squares, the sign of p − q of the hinge."""

    def expected(kind):
        zero = torch.zeros(1, dtype=torch.float64)

        def loss(at):
            real = critic_loss(kind, at, zero) - critic_loss(kind, zero, zero)
            fake = critic_loss(kind, zero, at)
            return (p * real + q * fake).sum()

        return loss

    assert best(expected("non-saturating")).item() == pytest.approx(math.log(p / q), abs=1e-6)
    assert best(expected("least-squares")).item() == pytest.approx(p / (p + q), abs=1e-9)
    # Piecewise linear: least at a corner, or between both where they are equally frequent.
    levels = torch.linspace(-3, 3, 601, dtype=torch.float64)
    values = torch.stack([expected("hinge")(level.view(1)) for level in levels])
    least = levels[values <= values.min() + 1e-12]
    if p == q:
        assert (least.min(), least.max()) == (pytest.approx(-1), pytest.approx(1))
    else:
        assert least.tolist() == pytest.approx([math.copysign(1, p - q)])


@pytest.mark.parametrize(("distance", "weight"), [(1.0, 0.5), (4.0, 2.0)])
def test_two_diracs_and_a_linear_critic_with_r1(distance, weight):
    """All images at d/2, all samples at −d/2, D(x) = ψx + c and γ/2 ψ²: ψ has a closed form, or is the root of an equation.

    Hinge: min(d/γ, 2/d). Least squares: d/(d² + 2γ), c = ½. Non-saturating: d σ(−ψd/2) = γψ. Relativistic: d σ(−ψd) = γψ.
    """
    half = distance / 2

    def loss(kind):
        def penalised(at):
            slope, level = at[0], at[1]
            told = critic_loss(kind, slope * half + level, -slope * half + level)
            return told + weight / 2 * squared_norm(slope.view(1, 1)).sum()

        return penalised

    smooth, level = best(loss("least-squares"), 2)
    assert smooth.item() == pytest.approx(distance / (distance**2 + 2 * weight), rel=1e-9)
    assert level.item() == pytest.approx(0.5, rel=1e-9)
    for kind, reach in (("non-saturating", half), ("relativistic", distance)):
        root = brentq(
            lambda s, r=reach: distance * sigmoid(-s * r) - weight * s, 0, distance / weight
        )
        assert best(loss(kind), 2)[0].item() == pytest.approx(root, rel=1e-6)
    slopes = torch.linspace(0, 4, 400_001, dtype=torch.float64)
    told = critic_loss("hinge", slopes * half, -slopes * half)
    found = slopes[(told + weight / 2 * squared_norm(slopes[:, None])).argmin()]
    assert found.item() == pytest.approx(min(distance / weight, 2 / distance), abs=1e-5)


def test_the_penalty_of_a_linear_critic_is_its_squared_norm_anywhere():
    w = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    found = squared_norm(input_gradient(lambda x: (x * w).sum((1, 2, 3)), x))
    torch.testing.assert_close(found, w.square().sum().expand(5), rtol=1e-12, atol=0)


def test_squares_of_a_bf16_gradient_are_summed_in_fp32():
    found = squared_norm(torch.full((1, 3072), 1 / 64, dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(3072 / 4096, rel=1e-6)


def test_gradients_of_the_penalty_agree_with_finite_differences():
    """Smooth activations, so that the second derivatives are really there."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    points = torch.randn(4, 6, dtype=torch.float64)
    names, values = zip(*net.named_parameters(), strict=True)

    def penalty(*values):
        def critic(x):
            return torch.func.functional_call(net, dict(zip(names, values, strict=True)), x)

        return squared_norm(input_gradient(critic, points)).mean()

    assert torch.autograd.gradcheck(penalty, values, eps=1e-6, atol=1e-8, rtol=1e-5)


@pytest.mark.parametrize("spectral", [False, True])
def test_gradients_of_the_penalty_of_a_written_out_critic_agree_with_finite_differences(spectral):
    """Of leaky ReLUs, away from their kinks; with spectral normalisation through σ(W) too."""
    net = Critic((1, 8, 8), 2, offset=True, spectral=spectral)
    initialise(net, 0)
    net.double()
    points = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    squared_norm(net.gradient(points)).mean().backward()
    checked = 0
    for parameter in net.parameters():
        if parameter.ndim < 4:
            continue
        for place in (0, parameter.numel() // 2, parameter.numel() - 1):
            sides = []
            for eps in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.view(-1)[place] += eps
                    sides.append(squared_norm(net.gradient(points)).mean().item())
                    parameter.view(-1)[place] -= eps
            difference = (sides[0] - sides[1]) / 2e-6
            found = parameter.grad.view(-1)[place].item()
            assert found == pytest.approx(difference, rel=1e-4, abs=1e-9)
            checked += found != 0
    assert checked == 6
