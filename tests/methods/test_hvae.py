"""The hierarchical VAE: a linear model of two levels against its Gaussian marginal, its terms by hand, its priors."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from triptych.errors import TriptychError
from triptych.methods.hvae import HVAE, HVAEConfig
from triptych.nets.initialise import initialise
from triptych.objectives.elbo import gaussian_log_likelihood, kl_to_standard_normal
from triptych.objectives.importance import WeightSums
from triptych.objectives.priors import mixture_log_density
from triptych.types import Batch, DataSpec

BINARY = DataSpec((1, 4, 4), "binary", mean=(0.2,))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build(spec: DataSpec = BINARY, **options) -> HVAE:
    small = {"upper": 2, "lower": 3, "hidden": (8, 7), "components": 4}
    hvae = HVAE(HVAE.resolve(HVAEConfig(**(small | options)), spec), spec)
    initialise(hvae, 0)
    return hvae


def binary(count: int) -> torch.Tensor:
    return (draw(count, 1, 4, 4) > 0).float()


class Linear(HVAE):
    """One coordinate a level and linear maps, in double precision, whose posterior is the exact one.

    z₂ ~ N(0, 1)     z₁ = a z₂ + c + s ε     x = d₂ z₂ + d₁ z₁ + b + σ ε
    """

    A, C, S, SIGMA = 0.8, -0.3, 0.6, 0.5

    def __init__(self) -> None:
        super().__init__(HVAEConfig(upper=1, lower=1, hidden=(4,)), DataSpec((1, 2, 2), "binary"))
        self.double()
        self.d = draw(4, 2, seed=1).double()  # columns: of z₂ and of z₁
        self.b = draw(4, seed=2).double()
        self.decoder = self._layer(self.d, self.b)
        self.lower_prior = self._layer([[self.A], [0.0]], [self.C, 2 * math.log(self.S)])
        # z = (z₂, z₁) is Gaussian, and so is z given x.
        root = torch.tensor([[1.0, 0.0], [self.A, self.S]], dtype=torch.float64)
        mean = torch.tensor([0.0, self.C], dtype=torch.float64)
        prior = torch.linalg.inv(root @ root.T)
        precision = prior + self.d.T @ self.d / self.SIGMA**2
        covariance = torch.linalg.inv(precision)
        gain = covariance @ self.d.T / self.SIGMA**2
        offset = covariance @ (prior @ mean) - gain @ self.b
        self.upper_encoder = nn.Sequential(
            nn.Flatten(),
            self._layer(
                torch.stack([gain[0], torch.zeros(4, dtype=torch.float64)]),
                [offset[0], covariance[0, 0].log()],
            ),
        )
        # z₁ given z₂ and x has the mean μ₁ + ρ (z₂ − μ₂) and the variance 1/precision₁₁.
        slope = covariance[1, 0] / covariance[0, 0]
        self.features = nn.Flatten()
        self.from_image = self._layer(
            torch.stack([gain[1] - slope * gain[0], torch.zeros(4, dtype=torch.float64)]),
            [offset[1] - slope * offset[0], -precision[1, 1].log()],
        )
        self.from_upper = self._layer([[slope], [0.0]], [0.0, 0.0])
        self.lower_encoder = nn.Identity()
        whole = self.d @ root
        self.marginal = MultivariateNormal(
            self.d @ mean + self.b,
            whole @ whole.T + self.SIGMA**2 * torch.eye(4, dtype=torch.float64),
        )

    @staticmethod
    def _layer(weight, bias) -> nn.Linear:
        weight, bias = (torch.as_tensor(v, dtype=torch.float64) for v in (weight, bias))
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        layer.weight.data, layer.bias.data = weight, bias
        return layer

    def log_likelihood(self, x, z):
        flat = x.flatten(1) if z.ndim == 2 else x.flatten(1).unsqueeze(1)
        log_scale = torch.tensor(math.log(self.SIGMA), dtype=torch.float64)
        return gaussian_log_likelihood(self.decoder(z), log_scale, flat)


@pytest.fixture
def precise(monkeypatch):
    """What a method takes to single precision stays in double."""
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x)


@pytest.fixture
def linear(precise) -> Linear:
    return Linear()


def test_every_weight_of_the_exact_posterior_of_a_linear_model_is_its_gaussian_marginal(linear):
    x = draw(20, 1, 2, 2, seed=3).double()
    exact = linear.marginal.log_prob(x.flatten(1))
    with torch.no_grad():
        found = linear.log_weights(x, linear.posterior(x), draw(20, 9, 2, seed=4).double())
    torch.testing.assert_close(found, exact[:, None].expand(-1, 9), rtol=0, atol=1e-10)


def test_importance_samples_of_another_proposal_find_the_marginal_too(linear):
    x = draw(8, 1, 2, 2, seed=3).double()
    exact = linear.marginal.log_prob(x.flatten(1))
    with torch.no_grad():
        linear.upper_encoder[1].bias += torch.tensor([0.2, 0.5])
        linear.from_image.bias += torch.tensor([-0.1, 0.4])
        log_w = linear.log_weights(x, linear.posterior(x), draw(8, 20_000, 2, seed=4).double())
        sums = WeightSums.of(log_w)
        stderr = (-2 * sums.bias()).sqrt()
        assert stderr.max() < 0.02
        assert ((sums.bound() - exact).abs() < 4 * stderr).all()
        # The ELBO falls short by what is lost, and its closed-form terms agree with the weights in the mean.
        count = 20_000
        many = x.repeat_interleave(count, 0)
        bound = linear.elbo(many, draw(len(many), 2, seed=5).double())["elbo"].view(8, count)
        error = (bound.var(1) / count + log_w.var(1) / count).sqrt()
        assert ((bound.mean(1) - log_w.mean(1)).abs() < 4 * error).all()
        assert (bound.mean(1) < exact).all()


def test_draws_from_the_prior_of_a_linear_model_have_its_moments(linear):
    count = 100_000
    with torch.no_grad():
        z = linear.draw_prior(draw(count, 2).double())
        x = linear.decoder(z)
    variance = linear.A**2 + linear.S**2
    expected = torch.tensor([[1, linear.A], [linear.A, variance]]).double()
    assert (z.mean(0) - torch.tensor([0, linear.C])).abs().max() < 4 * math.sqrt(variance / count)
    torch.testing.assert_close(z.T.cov(), expected, rtol=0, atol=4 * 2 / math.sqrt(count))
    noise = linear.SIGMA**2 * torch.eye(4).double()
    torch.testing.assert_close(
        x.T.cov() + noise, linear.marginal.covariance_matrix, rtol=0.03, atol=0.03
    )


@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp"])
@pytest.mark.parametrize("layers", ["gated", "elu"])
def test_the_terms_are_the_equations_of_the_paper(prior: str, layers: str):
    hvae, x, noise = build(prior=prior, layers=layers), binary(6), draw(6, 5, seed=1)
    q = hvae.posterior(x)
    std = (0.5 * q.log_variance).exp()
    z2 = q.mean + std * noise[:, :2]
    output = hvae.lower_encoder(hvae.from_image(hvae.features(x)) + hvae.from_upper(z2))
    (m1, v1), (mp, vp) = (t.chunk(2, -1) for t in (output, hvae.lower_prior(z2)))
    q1, p1 = Normal(m1, (0.5 * v1).exp()), Normal(mp, (0.5 * vp).exp())
    z1 = m1 + (0.5 * v1).exp() * noise[:, 2:]
    p = torch.sigmoid(hvae.decoder(torch.cat([z2, z1], -1)))
    flat = x.flatten(1)
    reconstruction = (flat * p.log() + (1 - flat) * (1 - p).log()).sum(-1)
    lower = kl_divergence(q1, p1).sum(-1)
    if prior == "standard":
        upper = kl_to_standard_normal(q.mean, q.log_variance).sum(-1)
    else:
        log_q = Normal(q.mean, std).log_prob(z2).sum(-1)
        parts = hvae.mixture() if prior == "mixture" else hvae.posterior(hvae.mixture.images)[:2]
        upper = log_q - mixture_log_density(z2, *parts)
    found = hvae.elbo(x, noise)
    torch.testing.assert_close(found["reconstruction"], reconstruction, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["kl_upper"], upper, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["kl_lower"], lower, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["kl"], upper + lower, rtol=1e-4, atol=1e-5)


def test_beta_free_bits_and_warm_up_weigh_what_is_minimised_and_nothing_that_is_logged():
    x, noise = binary(6), draw(6, 5, seed=1)
    batch = Batch((x,), torch.arange(6))
    plain, free = build(), build(beta=3.0, free_bits=0.1, kl_warmup=0.5)
    terms = plain.elbo(x, noise)
    found = free.losses("elbo", batch, {"z": noise}, torch.tensor(0.25))
    each = plain.kl_per_coordinate(x, noise).mean(0)
    assert (each < 0.1).any()
    assert (each > 0.1).any()
    expected = 3.0 * 0.5 * each.clamp(min=0.1).sum() - terms["reconstruction"]
    torch.testing.assert_close(found.minimise, expected)
    for name, value in terms.items():
        torch.testing.assert_close(found.terms[name], value)


def test_a_mixture_is_one_group_of_free_bits():
    x, noise = binary(6), draw(6, 5, seed=1)
    free = build(prior="mixture", free_bits=50.0)
    found = free.losses("elbo", Batch((x,), torch.arange(6)), {"z": noise}, torch.tensor(0.25))
    expected = 50.0 * 5 - found.terms["reconstruction"]
    torch.testing.assert_close(found.minimise, expected)


def test_the_divergence_of_each_coordinate_sums_to_that_of_all_and_is_none_of_a_mixture():
    x, noise = binary(6), draw(6, 5, seed=1)
    hvae = build()
    each = hvae.kl_per_coordinate(x, noise)
    assert each.shape == (6, 5)
    torch.testing.assert_close(each.sum(-1), hvae.elbo(x, noise)["kl"])
    assert build(prior="vamp").kl_per_coordinate(x, noise) is None


@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp"])
@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_log_weights_of_many_samples_are_those_of_each(prior: str, net: str):
    spec = DataSpec((1, 8, 8), "binary")
    hvae = build(spec, prior=prior, net=net, width=4)
    x, noise = (draw(5, 1, 8, 8) > 0).float(), draw(5, 7, 5, seed=1)
    q = hvae.posterior(x)
    together = hvae.log_weights(x, q, noise)
    for k in range(7):
        alone = hvae.log_weights(x, q, noise[:, k : k + 1])
        torch.testing.assert_close(together[:, k : k + 1], alone, rtol=1e-5, atol=1e-4)


def test_pseudo_inputs_begin_near_the_mean_image_and_stay_images():
    hvae = build(prior="vamp", components=200)
    images = hvae.mixture.images
    assert images.min() >= 0
    assert images.mean().item() == pytest.approx(0.2, abs=0.02)
    assert images.std(0).min() > 0.05
    with torch.no_grad():
        images.add_(draw(200, 1, 4, 4))
    hvae.after_step(torch.tensor(0.0))
    assert (images.min().item(), images.max().item()) == (0, 1)
    images.grad = None
    batch = Batch((binary(6),), torch.arange(6))
    found = hvae.losses("elbo", batch, {"z": draw(6, 5)}, torch.tensor(0.5))
    found.minimise.mean().backward()
    assert images.grad[images == 0].any(), "a pixel at the edge can come back"


def test_a_grey_image_has_no_bernoulli_likelihood():
    with pytest.raises(TriptychError, match="--binarize dynamic"):
        build(DataSpec((1, 4, 4), "grey"), likelihood="bernoulli")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"upper": 0}, "--method.upper"),
        ({"hidden": ()}, "--method.hidden"),
        ({"components": 0}, "--method.components"),
        ({"beta": -1.0}, "--method.beta"),
        ({"free_bits": -0.1}, "--method.free-bits"),
        ({"kl_warmup": 2.0}, "--method.kl-warmup"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options, said):
    with pytest.raises(TriptychError, match=said):
        HVAEConfig(**options)
