"""The terms of the ELBO against naive float64 versions, other implementations and exact values."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal, kl_divergence

from triptych.objectives.elbo import (
    bernoulli_log_likelihood,
    discretized_gaussian_log_likelihood,
    discretized_logistic_log_likelihood,
    elbo,
    free_bits,
    gaussian_log_likelihood,
    kl_diagonal_gaussians,
    kl_monte_carlo,
    kl_to_standard_normal,
    standard_normal_log_density,
)

LEVELS = torch.arange(256, dtype=torch.float64) / 255
DISCRETIZED = {
    "logistic": (discretized_logistic_log_likelihood, torch.sigmoid),
    "gaussian": (discretized_gaussian_log_likelihood, torch.special.ndtr),
}
discretized = pytest.mark.parametrize(
    ("likelihood", "cdf"), DISCRETIZED.values(), ids=DISCRETIZED.keys()
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_bernoulli_is_the_sum_of_log_probabilities():
    logits, x = 3 * draw(50, 20), (draw(50, 20, seed=1) > 0).double()
    p = 1 / (1 + torch.exp(-logits))
    naive = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, x), naive, rtol=1e-12, atol=0)
    other = Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, x), other, rtol=1e-12, atol=0)


def test_bernoulli_of_grey_levels_is_the_expected_log_probability():
    logits, x = draw(5, 7), torch.rand(5, 7, dtype=torch.float64)
    naive = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, x), naive)


@pytest.mark.parametrize(
    ("logit", "pixel", "expected"),
    [(800.0, 1.0, 0.0), (800.0, 0.0, -800.0), (-800.0, 1.0, -800.0), (-800.0, 0.0, 0.0)],
)
def test_bernoulli_is_exact_at_extreme_logits(logit: float, pixel: float, expected: float):
    logits = torch.tensor([[logit]], requires_grad=True)
    value = bernoulli_log_likelihood(logits, torch.tensor([[pixel]]))
    value.sum().backward()
    assert value.item() == expected
    assert logits.grad.item() == pixel - float(logit > 0)


def test_bernoulli_gradient_is_pixel_minus_probability():
    logits, x = (30 * draw(9, 6)).requires_grad_(), (draw(9, 6, seed=1) > 0).double()
    bernoulli_log_likelihood(logits, x).sum().backward()
    torch.testing.assert_close(logits.grad, x - torch.sigmoid(logits.detach()))


def test_bernoulli_of_many_decodings_is_the_loop_over_them():
    logits, x = 5 * draw(4, 3, 11), (draw(4, 11, seed=1) > 0).double()
    loop = torch.stack([bernoulli_log_likelihood(logits[:, k], x) for k in range(3)], 1)
    torch.testing.assert_close(bernoulli_log_likelihood(logits, x), loop, rtol=1e-13, atol=0)


@pytest.mark.parametrize("many", [False, True])
def test_bernoulli_stays_in_fp32_under_autocast(many: bool):
    """A product in bf16 loses half a nat of an image of hundreds; only the networks may be in bf16."""
    logits, x = (3 * draw(8, 784) - 3).float(), (draw(8, 784, seed=1) > 1).float()
    logits = logits.unsqueeze(1) if many else logits
    exact = bernoulli_log_likelihood(logits, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = bernoulli_log_likelihood(logits, x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-3)


def test_gaussian_density_is_that_of_torch_distributions():
    mean, log_scale, x = draw(6, 5), draw(5, seed=1), draw(6, 5, seed=2)
    expected = Normal(mean, log_scale.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(mean, log_scale, x), expected)
    assert (gaussian_log_likelihood(x, torch.full((5,), -5.0), x) > 0).all(), "a density"


def test_standard_normal_density_is_that_of_torch_distributions():
    z = 3 * draw(6, 5)
    expected = Normal(torch.zeros(5).double(), torch.ones(5).double()).log_prob(z).sum(-1)
    torch.testing.assert_close(standard_normal_log_density(z), expected)


@discretized
@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("mean", [-0.5, 0.0, 1 / 255, 0.1, 0.5, 0.7301, 1.0, 1.5])
def test_the_256_probabilities_sum_to_one(likelihood, cdf, mean: float, scale: float):
    log_scale = torch.tensor([math.log(scale)], dtype=torch.float64)
    logs = likelihood(torch.tensor([mean], dtype=torch.float64), log_scale, LEVELS[:, None])
    assert (logs <= 0).all()
    assert abs(torch.logsumexp(logs, 0).item()) < 1e-11


@discretized
@pytest.mark.parametrize("scale", [0.003, 0.03, 0.3, 3.0])
def test_discretized_is_the_difference_of_cdfs_where_that_is_accurate(likelihood, cdf, scale):
    means = torch.tensor([-0.3, 0.0, 0.2, 0.513, 1.0, 1.2], dtype=torch.float64)[:, None]
    upper, lower = (
        cdf((LEVELS + 0.5 / 255 - means) / scale),
        cdf((LEVELS - 0.5 / 255 - means) / scale),
    )
    lower[:, 0], upper[:, -1] = 0, 1
    p = upper - lower
    log_scale = torch.tensor([math.log(scale)], dtype=torch.float64)
    found = likelihood(means[..., None], log_scale, LEVELS[:, None])
    accurate = p > 1e-5
    assert accurate.sum() >= 20
    torch.testing.assert_close(found[accurate], p[accurate].log(), rtol=1e-9, atol=1e-9)


@discretized
def test_discretized_is_the_integral_of_its_density_far_in_the_tails(likelihood, cdf):
    """Twenty points of Gauss and Legendre in each level, summed in logarithms, so nothing cancels."""
    import numpy as np

    mean, scale, level = 0.1, 0.02, torch.tensor([3, 120, 200, 250]) / 255.0
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(20))
    t = (level.double()[:, None] + nodes / 510 - mean) / scale
    if likelihood is discretized_gaussian_log_likelihood:
        density = -0.5 * t.square() - 0.5 * math.log(2 * math.pi)
    else:
        density = -t - 2 * F.softplus(-t)
    expected = torch.logsumexp(density + (weights / 510 / scale).log(), -1)
    assert expected[-1] < -40, "the point of this test is where a difference of cdfs is zero"
    found = likelihood(
        torch.tensor([mean]).double(),
        torch.tensor([math.log(scale)]).double(),
        level.double()[:, None],
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@discretized
def test_discretized_takes_a_scale_for_each_channel_and_sums_the_pixels(likelihood, cdf):
    x = LEVELS[torch.randint(256, (4, 6), generator=torch.Generator().manual_seed(0))]
    mean, log_scale = torch.sigmoid(draw(4, 3, 6)), draw(6, seed=1) - 2
    loop = torch.zeros(4, 3, dtype=torch.float64)
    for d in range(6):
        loop += likelihood(mean[..., d : d + 1], log_scale[d : d + 1], x[:, None, d : d + 1])
    torch.testing.assert_close(likelihood(mean, log_scale, x[:, None]), loop)


@discretized
@pytest.mark.parametrize("scale", [1e-6, 1e-5, 1e-4, 1e-3, 0.1, 10.0])
def test_discretized_is_finite_in_single_precision_at_any_mean(likelihood, cdf, scale: float):
    """A learned scale has no floor: nothing may break where the data drive it down."""
    mean = torch.linspace(-0.5, 1.5, 41)[:, None].clone().requires_grad_()
    log_scale = torch.tensor([math.log(scale)], requires_grad=True)
    values = likelihood(mean[..., None], log_scale, LEVELS.float()[:, None])
    values.sum().backward()
    assert values.isfinite().all()
    assert (values <= 0).all()
    assert mean.grad.isfinite().all()
    assert log_scale.grad.isfinite().all()


@discretized
@pytest.mark.parametrize("scale", [1e-4, 1e-3, 0.01, 0.1, 1.0])
def test_single_precision_gradients_of_discretized_are_those_of_double(likelihood, cdf, scale):
    gradients = []
    for dtype in (torch.float32, torch.float64):
        mean = torch.linspace(-0.2, 1.2, 29, dtype=dtype)[:, None, None].clone().requires_grad_()
        log_scale = torch.tensor([math.log(scale)], dtype=dtype)
        x = LEVELS.to(dtype)[::15, None]
        likelihood(mean, log_scale, x).sum().backward()
        gradients.append(mean.grad.double().flatten())
    # Of the largest gradient: where mean and level nearly agree the true one is near zero.
    error = (gradients[0] - gradients[1]).abs() / gradients[1].abs().max()
    assert error.max() < 0.02


def test_kl_to_the_prior_is_that_of_torch_distributions_for_each_coordinate():
    mean, log_variance = 2 * draw(7, 5), draw(7, 5, seed=1)
    q = Normal(mean, (0.5 * log_variance).exp())
    p = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), kl_divergence(q, p))


def test_kl_of_two_gaussians_is_that_of_torch_distributions_for_each_coordinate():
    mean, log_variance, other, other_log_variance = (draw(7, 5, seed=s) for s in range(4))
    expected = kl_divergence(
        Normal(mean, (0.5 * log_variance).exp()), Normal(other, (0.5 * other_log_variance).exp())
    )
    found = kl_diagonal_gaussians(mean, log_variance, other, other_log_variance)
    torch.testing.assert_close(found, expected)


def test_kl_of_equal_gaussians_is_zero():
    zero = torch.zeros(3, 4)
    assert torch.equal(kl_to_standard_normal(zero, zero), zero)
    mean, log_variance = draw(3, 4).float(), draw(3, 4, seed=1).float()
    assert torch.equal(kl_diagonal_gaussians(mean, log_variance, mean, log_variance), zero)


def test_monte_carlo_kl_agrees_with_the_analytic_one():
    count, d = 200_000, 4
    mean, log_variance = draw(d), draw(d, seed=1)
    q = Normal(mean, (0.5 * log_variance).exp())
    z = q.loc + q.scale * draw(count, d, seed=2)
    found = kl_monte_carlo(q.log_prob(z).sum(-1), standard_normal_log_density(z))
    expected, stderr = kl_to_standard_normal(mean, log_variance).sum(), found.std() / count**0.5
    assert stderr < 0.01 * expected
    assert abs(found.mean() - expected) < 4 * stderr


def test_monte_carlo_kl_of_two_gaussians_agrees_with_the_analytic_one():
    count, d = 200_000, 4
    mean, log_variance, other, other_log_variance = (0.7 * draw(d, seed=s) for s in range(4))
    q = Normal(mean, (0.5 * log_variance).exp())
    p = Normal(other, (0.5 * other_log_variance).exp())
    z = q.loc + q.scale * draw(count, d, seed=5)
    found = kl_monte_carlo(q.log_prob(z).sum(-1), p.log_prob(z).sum(-1))
    expected = kl_diagonal_gaussians(mean, log_variance, other, other_log_variance).sum()
    stderr = found.std() / count**0.5
    assert stderr < 0.01 * expected
    assert abs(found.mean() - expected) < 4 * stderr


def test_elbo_is_reconstruction_minus_divergence():
    assert elbo(torch.tensor([-70.0]), torch.tensor([25.0])).tolist() == [-95.0]


def test_free_bits_by_hand():
    """Equation 15 of Kingma et al. 2016: the mean over the batch, then the maximum, then the sum over groups."""
    kl = torch.tensor([[0.1, 2.0, 0.7], [0.3, 4.0, 0.1]], dtype=torch.float64, requires_grad=True)
    found = free_bits(kl, 0.5)
    assert found.item() == pytest.approx(0.5 + 3.0 + 0.5)
    (gradient,) = torch.autograd.grad(found, kl)
    # A group below its bits on average gets none, though one of its images is above them.
    assert gradient.tolist() == [[0, 0.5, 0], [0, 0.5, 0]]
    assert free_bits(kl, torch.tensor([0.0, 5.0, 0.0])).item() == pytest.approx(0.2 + 5 + 0.4)
