"""Mixture priors against torch.distributions, by integration, and by what draws from them are like."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from triptych.objectives.priors import (
    draw_mixture,
    draw_prior,
    mixture_log_density,
    prior_log_density,
)

COUNT = 7


def components(
    latent: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(latent)
    mean = 2 * torch.randn(COUNT, latent, generator=draw, dtype=dtype)
    return mean, torch.randn(COUNT, latent, generator=draw, dtype=dtype) - 1


def known(mean: torch.Tensor, log_variance: torch.Tensor) -> MixtureSameFamily:
    parts = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(mean), dtype=mean.dtype)), parts)


def noise(count: int, latent: int) -> torch.Tensor:
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(1))


def test_the_density_is_that_of_torch_distributions():
    given = components(5)
    z = 3 * noise(40, 5).double().view(8, 5, 5)
    expected = known(*given).log_prob(z)
    torch.testing.assert_close(mixture_log_density(z, *given), expected, rtol=1e-12, atol=1e-10)


def test_the_density_integrates_to_one_in_two_dimensions():
    axis = torch.linspace(-14, 14, 1401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = mixture_log_density(grid, *components(2)).exp().view(len(axis), -1)
    whole = torch.trapezoid(torch.trapezoid(density, axis), axis)
    assert whole.item() == pytest.approx(1, abs=1e-9)


def test_single_precision_under_autocast_loses_nothing_that_counts():
    """Narrow components far from 0: squares of 10⁵ that cancel to a few nats."""
    mean = 20 + noise(50, 40).double()
    log_variance = torch.full_like(mean, -6.0)
    z = mean[:30] + math.exp(-3) * noise(30, 40).double()
    exact = known(mean, log_variance).log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        found = mixture_log_density(z.float(), mean.float(), log_variance.float())
    assert found.dtype == torch.float32
    # Rounding z and the means to single precision moves them by 1e-6 of 0.05 deviations each.
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=5e-3)


def test_gradients_are_those_of_torch_distributions():
    given = [t.requires_grad_() for t in (noise(6, 3).double(), *components(3))]
    found = torch.autograd.grad(mixture_log_density(*given).sum(), given)
    expected = torch.autograd.grad(known(*given[1:]).log_prob(given[0]).sum(), given)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_draws_have_the_shares_and_moments_of_the_components():
    """Components so far apart that every draw tells where it is from."""
    mean = 100.0 * torch.arange(COUNT).unsqueeze(1) + torch.tensor([[0.0, 5.0]])
    log_variance = torch.linspace(-2, 1, COUNT).unsqueeze(1).expand(-1, 2)
    count = 210_000
    z = draw_mixture(noise(count, 2), mean, log_variance)
    owner = (z[:, 0] / 100).round().long()
    for c in range(COUNT):
        own = z[owner == c].double()
        share = len(own) / count
        assert abs(share - 1 / COUNT) < 4 * math.sqrt((1 / COUNT) * (1 - 1 / COUNT) / count)
        standard = (own - mean[c]) / (0.5 * log_variance[c]).exp()
        error = 1 / math.sqrt(len(own))
        assert (standard.mean(0).abs() < 4 * error).all()
        assert ((standard.var(0) - 1).abs() < 4 * math.sqrt(2) * error).all()
        assert ((standard**4).mean(0) - 3).abs().max() < 4 * math.sqrt(96) * error
        assert abs(float((standard[:, 0] * standard[:, 1]).mean())) < 4 * error


def test_within_a_component_the_first_coordinate_is_normal_in_its_tails_too():
    # Near enough to 0 that single precision does not round across the levels.
    mean, log_variance = 16.0 * torch.arange(500).unsqueeze(1), torch.zeros(500, 1)
    count = 1_000_000
    z = draw_mixture(noise(count, 1), mean, log_variance).double()
    standard = z[:, 0] - 16 * (z[:, 0] / 16).round()
    for level in (1.0, 2.0, 3.0):
        tail = 0.5 * math.erfc(level / math.sqrt(2))
        for beyond in (standard > level, standard < -level):
            assert abs(beyond.double().mean().item() - tail) < 4 * math.sqrt(tail / count)


@pytest.mark.parametrize("extreme", [0.0, -40.0, 40.0])
def test_any_noise_makes_a_finite_draw(extreme: float):
    given = torch.tensor([[extreme, 0.0]])
    assert draw_mixture(given, *(t.float() for t in components(2))).isfinite().all()


def test_without_components_the_prior_is_standard_normal():
    z = noise(10, 3).double()
    assert draw_prior(z, None) is z
    expected = Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior_log_density(z, None), expected)
