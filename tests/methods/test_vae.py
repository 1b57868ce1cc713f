"""The VAE: the reference's network, its numbers written out, and log p(x) by quadrature."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from triptych.errors import TriptychError
from triptych.methods.vae import VAE, VAEConfig
from triptych.nets.initialise import initialise
from triptych.objectives.importance import WeightSums
from triptych.types import Batch, DataSpec, DiagonalGaussian

MNIST = DataSpec((1, 28, 28), "binary")


def build(config: VAEConfig, spec: DataSpec, seed: int = 0) -> VAE:
    vae = VAE(VAE.resolve(config, spec), spec)
    initialise(vae, seed)
    return vae


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def losses(vae: VAE, x: torch.Tensor, noise: torch.Tensor, progress: float = 0.5):
    batch = Batch((x,), torch.arange(len(x)))
    return vae.losses("elbo", batch, {"z": noise}, torch.tensor(progress))


def test_the_reference_network_has_the_reference_number_of_parameters():
    vae = build(VAEConfig(), MNIST)
    encoder = (784 * 300 + 300) + (300 * 300 + 300) + (300 * 200 + 200)
    decoder = (100 * 300 + 300) + (300 * 300 + 300) + (300 * 784 + 784)
    assert sum(p.numel() for p in vae.encoder.parameters()) == encoder == 386_000
    assert sum(p.numel() for p in vae.decoder.parameters()) == decoder == 356_584
    assert sum(p.numel() for p in vae.parameters()) == encoder + decoder
    kinds = {type(m).__name__ for m in vae.modules() if not list(m.children())}
    assert kinds == {"Flatten", "Linear", "ELU"}


def test_decode_is_the_sigmoid_of_the_logits_minus_five():
    vae, z = build(VAEConfig(logit_offset=-5.0), MNIST), draw(3, 100)
    expected = 1 / (1 + torch.exp(-(vae.decoder(z) - 5)))
    torch.testing.assert_close(vae.decode(z), expected.reshape(3, 1, 28, 28))


def test_the_losses_are_the_equations_of_the_paper():
    vae = build(VAEConfig(latent=3, hidden=(8,), logit_offset=-5.0), DataSpec((1, 4, 4), "binary"))
    x, noise = (draw(6, 1, 4, 4) > 0).float(), draw(6, 3, seed=1)
    mean, log_variance = vae.encoder(x).chunk(2, -1)
    sigma = log_variance.exp().sqrt()
    p = torch.sigmoid(vae.decoder(mean + sigma * noise) - 5)
    flat = x.flatten(1)
    reconstruction = (flat * p.log() + (1 - flat) * (1 - p).log()).sum(-1)
    kl = -0.5 * (1 + (sigma**2).log() - mean**2 - sigma**2).sum(-1)  # appendix B of the paper
    found = losses(vae, x, noise)
    torch.testing.assert_close(found.terms["reconstruction"], reconstruction)
    torch.testing.assert_close(found.terms["kl"], kl)
    torch.testing.assert_close(found.terms["elbo"], reconstruction - kl)
    torch.testing.assert_close(found.minimise, kl - reconstruction)


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.0), (0.1, 0.25), (0.2, 0.5), (0.4, 1.0), (0.9, 1.0)]
)
def test_warm_up_weighs_the_divergence_and_leaves_the_logged_elbo_alone(progress, weight):
    config = VAEConfig(latent=3, hidden=(8,), kl_warmup=0.4)
    vae = build(config, DataSpec((1, 4, 4), "binary"))
    found = losses(vae, (draw(6, 1, 4, 4) > 0).float(), draw(6, 3, seed=1), progress)
    terms = found.terms
    torch.testing.assert_close(found.minimise, weight * terms["kl"] - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


def test_monte_carlo_divergence_agrees_with_the_analytic_one():
    spec, count = DataSpec((1, 4, 4), "binary"), 100_000
    x = (draw(1, 1, 4, 4) > 0).float()
    analytic, sampled = (
        build(VAEConfig(latent=3, hidden=(8,), kl=kind), spec)
        for kind in ("analytic", "monte-carlo")
    )
    with torch.no_grad():
        expected = losses(analytic, x, draw(1, 3)).terms["kl"].item()
        kl = losses(sampled, x.expand(count, -1, -1, -1), draw(count, 3)).terms["kl"].double()
    stderr = kl.std().item() / math.sqrt(count)
    assert stderr < 0.02 * expected
    assert abs(kl.mean().item() - expected) < 4 * stderr


def test_validation_uses_the_analytic_divergence_whatever_training_uses():
    spec = DataSpec((1, 4, 4), "binary")
    x, noise = (draw(6, 1, 4, 4) > 0).float(), draw(6, 3, seed=1)
    kinds = ("analytic", "monte-carlo")
    found = [build(VAEConfig(latent=3, kl=k), spec).elbo(x, noise)["kl"] for k in kinds]
    assert torch.equal(*found)


def every_image() -> torch.Tensor:
    """All 16 binary images of 2×2 pixels."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).reshape(16, 1, 2, 2)


def test_log_weights_find_the_log_likelihood_that_quadrature_finds():
    """One latent coordinate: log p(x) = log ∫ N(z; 0, 1) p(x|z) dz on a fine grid."""
    spec = DataSpec((1, 2, 2), "binary")
    vae = build(VAEConfig(latent=1, hidden=(16,)), spec)
    with torch.no_grad():
        vae.decoder[-1].weight.mul_(8)  # so that z matters
        x, z = every_image(), torch.linspace(-9, 9, 4001)
        p, flat = vae.decode(z[:, None]).flatten(1).double(), x.flatten(1).double()
        given_z = torch.stack([(p * i + (1 - p) * (1 - i)).prod(-1) for i in flat])
        prior = torch.exp(-0.5 * z.double() ** 2) / math.sqrt(2 * math.pi)
        exact = torch.trapezoid(given_z * prior, z.double())
        assert exact.sum().item() == pytest.approx(1, abs=1e-6), "a distribution over images"
        assert exact.max() > 2 * exact.min(), "the images must not all be alike"

        log_w = vae.log_weights(x, vae.posterior(x), draw(16, 20_000, 1)).double()
        sums = WeightSums.of(log_w)
        error = sums.bound() - exact.log()
        stderr = (-2 * sums.bias()).sqrt()
        assert stderr.max() < 0.05
        assert (error.abs() < 4 * stderr).all()
        bound = vae.elbo(x.repeat_interleave(5000, 0), draw(80_000, 1, seed=2))["elbo"]
        assert (bound.double().reshape(16, 5000).mean(1) < exact.log()).all()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "logistic"])
def test_log_weights_of_many_samples_are_those_of_each(likelihood: str):
    spec = DataSpec((1, 4, 4), "binary" if likelihood == "bernoulli" else "grey")
    vae = build(VAEConfig(latent=3, hidden=(8,), likelihood=likelihood), spec)
    x, noise = (draw(5, 1, 4, 4) > 0).float(), draw(5, 7, 3, seed=1)
    q = vae.posterior(x)
    together = vae.log_weights(x, q, noise)
    for k in range(7):
        alone = vae.log_weights(x, q, noise[:, k : k + 1])
        torch.testing.assert_close(together[:, k : k + 1], alone, rtol=1e-5, atol=1e-4)


def test_the_posterior_that_comes_in_is_the_one_that_is_used():
    vae = build(VAEConfig(latent=3, hidden=(8,)), DataSpec((1, 4, 4), "binary"))
    x, noise = (draw(5, 1, 4, 4) > 0).float(), draw(5, 2, 3, seed=1)
    q = DiagonalGaussian(draw(5, 3, seed=2), draw(5, 3, seed=3))
    z = q.mean[:, None] + (0.5 * q.log_variance[:, None]).exp() * noise
    normal = torch.distributions.Normal
    prior = normal(0.0, 1.0).log_prob(z).sum(-1)
    log_q = normal(q.mean[:, None], (0.5 * q.log_variance[:, None]).exp()).log_prob(z).sum(-1)
    likelihood = torch.stack([vae.log_likelihood(x, z[:, k]) for k in range(2)], 1)
    torch.testing.assert_close(vae.log_weights(x, q, noise), prior + likelihood - log_q)


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_a_colour_image_has_a_scale_for_each_channel_in_the_right_place(net: str):
    """The gradient of one channel's scale comes from that channel's pixels alone."""
    spec = DataSpec((3, 8, 8), "colour")
    vae = build(VAEConfig(latent=2, net=net, width=4, hidden=(8,)), spec)
    assert vae.scale.log_scale.tolist() == pytest.approx([math.log(0.1)] * 3)
    z = draw(1, 2)
    x = (vae.decode(z).detach() * 255).round() / 255  # as likely as can be: every scale should fall
    x[:, 1] = 1 - x[:, 1].round()  # all wrong in the second channel: its scale should rise
    vae.log_likelihood(x, z).sum().backward()
    falls = (vae.scale.log_scale.grad < 0).tolist()
    assert falls == [True, False, True]


def test_auto_chooses_by_the_data():
    chosen = {
        spec: (VAE.resolve(VAEConfig(), spec).net, VAE.resolve(VAEConfig(), spec).likelihood)
        for spec in (
            MNIST,
            DataSpec((1, 28, 28), "grey"),
            DataSpec((3, 32, 32), "colour"),
            DataSpec((1, 64, 64), "binary"),
        )
    }
    assert list(chosen.values()) == [
        ("mlp", "bernoulli"),
        ("mlp", "logistic"),
        ("conv", "logistic"),
        ("conv", "bernoulli"),
    ]


def test_a_bernoulli_likelihood_of_grey_levels_is_refused():
    with pytest.raises(TriptychError, match="--binarize dynamic"):
        build(VAEConfig(likelihood="bernoulli"), DataSpec((1, 28, 28), "grey"))


TINY = DataSpec((1, 4, 4), "binary")


def tiny(**options) -> VAE:
    return build(VAEConfig(**({"latent": 3, "hidden": (8,), "components": 4} | options)), TINY)


def test_beta_weighs_the_divergence_and_leaves_the_logged_elbo_alone():
    x, noise = (draw(6, 1, 4, 4) > 0).float(), draw(6, 3, seed=1)
    found = losses(tiny(beta=4.0, kl_warmup=0.4), x, noise, 0.2)
    terms = found.terms
    torch.testing.assert_close(found.minimise, 2.0 * terms["kl"] - terms["reconstruction"])
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])


@pytest.mark.parametrize("options", [{}, {"kl": "monte-carlo"}, {"prior": "mixture"}])
def test_free_bits_hold_each_coordinate_or_all_of_what_does_not_factorise(options):
    x, noise = (draw(6, 1, 4, 4) > 0).float(), draw(6, 3, seed=1)
    plain, free = tiny(**options), tiny(free_bits=0.05, **options)
    q = plain.posterior(x)
    kl = losses(plain, x, noise).terms["kl"]
    expected = kl.mean().clamp(min=0.15)
    if not options:
        variance = q.log_variance.exp()
        each = (0.5 * (q.mean**2 + variance - q.log_variance - 1)).mean(0)
        assert (each < 0.05).any()
        expected = each.clamp(min=0.05).sum()
    found = losses(free, x, noise)
    torch.testing.assert_close(found.minimise, expected - found.terms["reconstruction"])
    torch.testing.assert_close(found.terms["kl"], kl)
    assert free.gathers
    assert not plain.gathers


def weighted(gradient: str, samples: int = 4, **options) -> tuple[VAE, torch.Tensor, torch.Tensor]:
    vae = tiny(samples=samples, gradient=gradient, **options)
    return vae, (draw(6, 1, 4, 4) > 0).float(), draw(6, samples, 3, seed=1)


@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp"])
@pytest.mark.parametrize("gradient", ["standard", "doubly-reparameterised"])
def test_the_importance_weighted_bound_is_the_naive_loop(prior: str, gradient: str):
    vae, x, noise = weighted(gradient, prior=prior)
    found = losses(vae, x, noise)
    log_w = vae.log_weights(x, vae.posterior(x), noise)
    naive = torch.stack([torch.stack([w.exp() for w in row]).mean().log() for row in log_w])
    torch.testing.assert_close(found.minimise, -naive)
    torch.testing.assert_close(found.terms["importance_bound"], naive)
    torch.testing.assert_close(found.terms["elbo"], log_w.mean(1))
    assert vae.selection.metric == "valid/importance_bound"
    assert vae.phases()[0].noise["z"].shape == (4, 3)


def test_warm_up_and_beta_temper_the_weights_and_not_what_is_logged():
    vae, x, noise = weighted("standard", kl_warmup=0.5, beta=2.0)
    plain = losses(weighted("standard")[0], x, noise).terms
    found = losses(vae, x, noise, 0.125)
    q = vae.posterior(x)
    likelihood = vae.log_likelihood(x, q.sample(noise))
    ratio = vae.log_weights(x, q, noise) - likelihood
    expected = (likelihood + 0.5 * ratio).logsumexp(1) - math.log(4)
    torch.testing.assert_close(found.minimise, -expected)
    for name, value in plain.items():
        torch.testing.assert_close(found.terms[name], value)


@pytest.mark.parametrize("prior", ["standard", "vamp"])
def test_the_doubly_reparameterised_gradient_leaves_that_of_the_model_alone(prior: str):
    found = {}
    for gradient in ("standard", "doubly-reparameterised"):
        vae, x, noise = weighted(gradient, prior=prior)
        losses(vae, x, noise).minimise.mean().backward()
        found[gradient] = {name: p.grad for name, p in vae.named_parameters()}
    one, other = found.values()
    for name in one:
        same = torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-7)
        assert same == (not name.startswith("encoder")), name


@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp"])
@pytest.mark.parametrize("options", [{}, {"beta": 0.25}, {"beta": 2.0, "kl_warmup": 0.8}])
def test_the_doubly_reparameterised_gradient_of_the_network_agrees_in_the_mean(prior, options):
    """Noise on a grid with its Gauss-Hermite weights: the expectation over two samples of one latent is a sum.

    Without hidden layers all is smooth, and the sum is as good as exact.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    e, w = torch.from_numpy(nodes).float(), torch.from_numpy(weights / weights.sum()).float()
    noise, weight = torch.cartesian_prod(e, e).unsqueeze(-1), (w[:, None] * w).flatten()
    x = (draw(1, 1, 4, 4) > 0).float().expand(len(noise), -1, -1, -1)
    found = []
    for gradient in ("standard", "doubly-reparameterised"):
        config = VAEConfig(latent=1, hidden=(), samples=2, gradient=gradient, prior=prior)
        vae = build(replace(config, components=3, **options), TINY)
        (weight * losses(vae, x, noise).minimise).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in vae.encoder.parameters()]))
    assert found[0].abs().max() > 0.01
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("warmup", [0.0, 0.9])
def test_losses_with_importance_weights_can_be_captured_as_one_graph(warmup: float):
    vae, x, noise = weighted("doubly-reparameterised", prior="vamp", kl_warmup=warmup)
    torch._dynamo.reset()
    captured = torch.compile(vae.losses, backend="eager", fullgraph=True, dynamic=False)
    batch, progress = Batch((x,), torch.arange(6)), torch.tensor(0.5)
    found = captured("elbo", batch, {"z": noise}, progress).minimise
    found.mean().backward()
    traced = {name: p.grad.clone() for name, p in vae.named_parameters()}
    vae.zero_grad()
    losses(vae, x, noise).minimise.mean().backward()
    for name, p in vae.named_parameters():
        torch.testing.assert_close(traced[name], p.grad, msg=name)


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_draws_from_a_mixture_prior_are_distributed_as_its_density_says(prior: str):
    """Log p(z) averaged over draws is minus the entropy, which quadrature in two dimensions knows."""
    vae = build(VAEConfig(latent=2, hidden=(8,), prior=prior, components=3), TINY)
    with torch.no_grad():
        axis = torch.linspace(-12, 12, 601)
        density = vae._log_prior(torch.cartesian_prod(axis, axis)).double()
        area = (axis[1] - axis[0]).item() ** 2
        assert density.exp().sum().item() * area == pytest.approx(1, abs=1e-5)
        expected = (density.exp() * density).sum().item() * area
        found = vae._log_prior(vae.draw_prior(draw(40_000, 2))).double()
    assert abs(found.mean().item() - expected) < 4 * found.std().item() / 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 0}, "--method.samples"),
        ({"components": 0}, "--method.components"),
        ({"beta": -1.0}, "--method.beta"),
        ({"free_bits": -1.0}, "--method.free-bits"),
        ({"free_bits": 1.0, "samples": 2}, "--method.free-bits is for the ELBO"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options, said):
    with pytest.raises(TriptychError, match=said):
        VAEConfig(**options)
