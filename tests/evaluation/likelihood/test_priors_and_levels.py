"""Methods with a prior of their own, with more than one level, or with a proposal that is no Gaussian."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych.data.spec import Dataset, Images
from triptych.evaluation.latent_space.interpolation import end_points
from triptych.evaluation.likelihood import estimates
from triptych.evaluation.likelihood.posterior import active_units, traversal
from triptych.evaluation.samples.prior import from_prior, prior_latents, prior_samples
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.methods.hvae import HVAE, HVAEConfig
from triptych.methods.vae import VAE, VAEConfig
from triptych.nets.initialise import initialise
from triptych.objectives.importance import importance_bound
from triptych.types import DataSpec, Method

COUNT = BLOCK + 30
SPEC = DataSpec((1, 4, 4), "binary", mean=(0.3,))
CPU = torch.device("cpu")


def subject(method: Method) -> Subject:
    pixels = (np.random.default_rng(0).random((COUNT, 1, 4, 4)) < 0.3).astype(np.uint8) * 255
    splits = {name: Images(pixels, None) for name in ("train", "valid", "test")}
    return Subject(method.eval(), Dataset("d", "D", splits, None, "binary", ""), "none", CPU)


def vae(**options) -> VAE:
    method = VAE(VAEConfig(**({"latent": 3, "hidden": (8,), "components": 4} | options)), SPEC)
    initialise(method, 0)
    return method


def hvae(**options) -> HVAE:
    small = {"upper": 2, "lower": 3, "hidden": (8,), "components": 4}
    method = HVAE(HVAEConfig(**(small | options)), SPEC)
    initialise(method, 0)
    return method


class Codes(NamedTuple):
    """A proposal that no `DiagonalGaussian` is."""

    codes: Tensor


class Uniform(Method):
    """z = code + noise / 2 by a name of its own, without a code that anybody may ask for."""

    gauge = "elbo"
    latent = 2
    likelihood = "none"

    def __init__(self) -> None:
        super().__init__(None, SPEC)

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def posterior(self, x):
        return Codes(x.flatten(1)[:, :2])

    def elbo(self, x, noise):
        return {"elbo": noise.sum(-1)}

    def log_weights(self, x, q, noise):
        assert isinstance(q, Codes)
        assert len(q.codes) == len(x)
        return (q.codes.unsqueeze(1) + 0.5 * noise).sum(-1)

    def decode(self, z):
        return torch.sigmoid(z.sum(-1)).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


@pytest.mark.parametrize("build", [vae, hvae])
@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_everything_that_draws_latents_draws_them_from_the_prior(build, prior: str):
    made = subject(build(prior=prior))
    method = made.method
    noise = prior_latents(subject(build()), 40)
    if build is hvae:
        # Of a method with levels a standard prior makes latents of noise as well.
        assert not torch.equal(noise, prior_latents(subject(vae(latent=5)), 40))
        noise = prior_latents(subject(vae(latent=5)), 40)
    with torch.inference_mode():
        expected = method.draw_prior(noise)
        assert torch.equal(prior_latents(made, 40), expected)
        assert torch.equal(from_prior(method, noise), expected)
        assert torch.equal(end_points(made, 20).flatten(0, 1), expected)
        torch.testing.assert_close(prior_samples(made, 40), method.decode(expected))
    assert not torch.allclose(expected, noise)


def test_without_a_prior_of_its_own_latents_are_the_noise():
    noise = torch.randn(5, 2)
    assert from_prior(Uniform(), noise) is noise
    assert torch.equal(from_prior(vae(), noise[:, :2]), noise)


@pytest.mark.parametrize(
    ("method", "estimator", "prior"),
    [
        (vae(), "ELBO, analytic KL, 1 sample", None),
        (vae(kl="monte-carlo"), "ELBO, analytic KL, 1 sample", None),
        (vae(prior="mixture"), "ELBO, Monte-Carlo KL, 1 sample", "mixture of 4 Gaussians"),
        (vae(prior="vamp"), "ELBO, Monte-Carlo KL, 1 sample", "VampPrior of 4 pseudo-inputs"),
        (hvae(), "ELBO, levelwise analytic KL, 1 sample", "N(0, I) on the upper level"),
        (
            hvae(prior="vamp"),
            "ELBO, Monte-Carlo upper and analytic lower KL, 1 sample",
            "VampPrior of 4 pseudo-inputs on the upper level",
        ),
    ],
)
def test_a_protocol_says_which_divergence_and_which_prior(method, estimator, prior):
    made = subject(method)
    found = estimates.elbo(made, "test")
    levels = ("kl_upper", "kl_lower") if isinstance(method, HVAE) else ()
    assert set(found) == {f"test/{n}" for n in ("elbo", "reconstruction", "kl", *levels)}
    for result in found.values():
        assert result.protocol["estimator"] == estimator
        assert result.protocol.get("prior") == prior
    of_weights = estimates.log_likelihood(made, "test", 5, torch.float32)["test/log_likelihood"]
    assert of_weights.protocol.get("prior") == prior
    assert of_weights.protocol["estimator"] == "importance sampling, q(z|x) as proposal"


@pytest.mark.parametrize("prior", ["standard", "mixture", "vamp"])
def test_the_importance_estimate_of_two_levels_is_all_at_once(prior: str):
    """Blocks, chunks of samples and rows of the proposal change nothing."""
    made, samples = subject(hvae(prior=prior)), 400
    found = estimates.importance_estimate(made, "test", samples)
    method = made.method
    for number, start in enumerate((0, BLOCK)):
        with torch.inference_mode():
            x = made.block("test", number)
            chunks = []
            for chunk in range(2):
                draw = generator(CPU, "importance", "test", number, chunk)
                noise = [
                    torch.randn(len(part), 200, 5, generator=draw) for part in torch.split(x, 15)
                ]
                chunks.append(method.log_weights(x, method.posterior(x), torch.cat(noise)))
        curve = found.curve[start : start + len(x)]
        bound = importance_bound(torch.cat(chunks, 1))
        torch.testing.assert_close(curve[:, -1], bound, rtol=1e-5, atol=1e-4)
        head = found.sums.bound()[start : start + len(x)]
        torch.testing.assert_close(head, importance_bound(chunks[0]), rtol=1e-5, atol=1e-4)


def test_validation_watches_the_bound_that_a_method_is_trained_on():
    made = subject(vae(samples=6))
    found = estimates.validation_elbo(made)
    values = []
    for number in range(2):
        with torch.inference_mode():
            x = made.block("valid", number)
            draw = generator(CPU, "importance", "bound", "valid", number, 0)
            noise = torch.randn(len(x), 6, 3, generator=draw)
            log_w = made.method.log_weights(x, made.method.posterior(x), noise)
        values.append(importance_bound(log_w))
    expected = torch.cat(values).double().mean().item()
    assert found["valid/importance_bound"] == pytest.approx(expected, abs=1e-5)
    assert found["valid/importance_bound"] > found["valid/elbo"]
    assert "valid/importance_bound" not in estimates.validation_elbo(subject(vae()))


def test_the_divergence_of_each_coordinate_of_two_levels_sums_to_that_of_all():
    made = subject(hvae())
    found = active_units(made, "test")
    each = found["latent/kl_per_dimension"]
    total = estimates.elbo(made, "test")["test/kl"]
    assert len(each.value) == 5
    assert sum(each.value) == pytest.approx(total.value, abs=1e-4)
    active = found["latent/active_units"]
    assert each.n == active.n == COUNT
    assert active.protocol["estimator"] == "Var over images of the code of x"
    assert each.protocol["prior"] == "N(0, I) on the upper level"


@pytest.mark.parametrize("build", [vae, hvae])
def test_the_divergence_of_each_coordinate_from_a_mixture_is_left_out_and_said(build):
    found = active_units(subject(build(prior="mixture")), "test")
    left = found["latent/kl_per_dimension"]
    assert left.value is None
    assert "mixture of 4 Gaussians" in left.note
    assert "does not factorise" in left.note
    assert found["latent/active_units"].value is not None


def test_what_a_method_does_not_tell_is_left_out_with_a_reason():
    made = subject(Uniform())
    found = active_units(made, "test")
    assert [r.value for r in found.values()] == [None, None]
    assert "no diagonal Gaussian" in found["latent/kl_per_dimension"].note
    assert "nor a code" in found["latent/active_units"].note
    assert traversal(made, "test") == {}
    # Its likelihood is measured by the proposal that it understands: E exp N(c, 1/2) is known.
    bound = estimates.log_likelihood(made, "test", 1000, torch.float32)["test/log_likelihood"]
    code = made.part("test", 0, COUNT).flatten(1)[:, :2].sum(-1).mean().item()
    assert bound.value == pytest.approx(code + 0.25, abs=0.05)


def test_a_traversal_reaches_as_far_as_the_prior_and_goes_by_spread():
    method = vae(prior="mixture")
    with torch.no_grad():
        method.mixture.mean.copy_(torch.tensor([[5.0, 0, 0], [5, 0, 10], [5, 1, -10], [5, 1, 0]]))
        method.mixture.log_variance.fill_(-4)
        method.encoder[-1].weight[:3] *= torch.tensor([[1.0], [50.0], [9.0]])
    seen = []
    decode = method.decode
    method.decode = lambda z: (seen.append(z), decode(z))[1]
    made = subject(method)
    found = traversal(made, "test", coordinates=2, steps=3, reach=2.0)
    assert found["coordinates"].tolist() == [1, 2]
    means = active_means(made)
    torch.testing.assert_close(found["spread"], means.std(0, correction=0)[[1, 2]])
    assert found["values"].tolist() == [-2, 0, 2]
    (z,) = seen
    variance = math.exp(-4) + np.array([0.25, 50.0])
    moved = z.view(2, 3, 3)[torch.arange(2), :, torch.tensor([1, 2])]
    expected = np.array([[0.5], [0.0]]) + np.sqrt(variance)[:, None] * np.array([-2, 0, 2])
    np.testing.assert_allclose(moved.numpy(), expected, atol=0.5)
    others = z.view(2, 3, 3)[0, :, [0, 2]]
    assert torch.equal(others, others[:1].expand(3, -1)), "the other coordinates stay"


def test_a_lower_level_is_moved_within_its_own_prior_that_is_not_standard_normal():
    """z₁ ~ N(7, e⁻⁴) whatever z₂ is: deviations of the prior are e⁻² wide about 7."""
    method = hvae()
    with torch.no_grad():
        last = method.lower_prior[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([7.0] * 3 + [-4.0] * 3))
    seen = []
    decode = method.decode
    method.decode = lambda z: (seen.append(z), decode(z))[1]
    found = traversal(subject(method), "test", coordinates=5, steps=3, reach=2.0)
    moved = seen[0].view(5, 3, 5)[torch.arange(5), :, found["coordinates"]]
    for coordinate, values in zip(found["coordinates"], moved, strict=True):
        centre, deviation = (0.0, 1.0) if coordinate < 2 else (7.0, math.exp(-2))
        expected = centre + deviation * torch.tensor([-2.0, 0.0, 2.0])
        torch.testing.assert_close(values, expected, rtol=0, atol=0.08 * deviation)


def active_means(made: Subject) -> Tensor:
    with torch.inference_mode():
        return made.method.encode(made.part("test", 0, COUNT)).double()
