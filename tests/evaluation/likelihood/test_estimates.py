"""Likelihood estimates of a model whose log p(x) is known in closed form.

The linear Gaussian model x = W z + b + σ ε has p(x) = N(b, W Wᵀ + σ² I). With
orthogonal columns in W its exact posterior is a diagonal Gaussian, so that it
can itself be the proposal.
"""

import dataclasses
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.likelihood import estimates as likelihood
from triptych.evaluation.subject import BLOCK, Subject
from triptych.intervals import EFFECTIVE
from triptych.objectives import elbo as objective
from triptych.objectives.importance import NestedBounds, WeightSums
from triptych.types import DataSpec, DiagonalGaussian, Method

CPU = torch.device("cpu")
SIGMA = 0.4
D, LATENT = 16, 3


@dataclass(frozen=True)
class Proposal:
    """How the proposal differs from the exact posterior: mean by ``shift`` deviations, variance by a factor."""

    shift: float = 0.0
    widen: float = 1.0
    bf16_error: float = 0.0


class LinearGaussian(Method):
    """Everything in float64; ``posterior`` is exact unless the config makes it worse."""

    Config = Proposal
    gauge = "elbo"
    latent = LATENT
    likelihood = "Gaussian"

    def __init__(self, config: Proposal = Proposal()) -> None:
        super().__init__(config, DataSpec((1, 4, 4), "grey"))
        draw = torch.Generator().manual_seed(7)
        q, _ = torch.linalg.qr(torch.randn(D, LATENT, generator=draw, dtype=torch.float64))
        self.register_buffer("w", q * torch.tensor([1.5, 0.7, 0.2], dtype=torch.float64))
        self.register_buffer("b", torch.full((D,), 0.5, dtype=torch.float64))

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def log_p(self, x):
        covariance = self.w @ self.w.T + SIGMA**2 * torch.eye(D, dtype=torch.float64)
        return MultivariateNormal(self.b, covariance).log_prob(x.flatten(1).double())

    def exact(self, x):
        precision = 1 + self.w.square().sum(0) / SIGMA**2
        mean = (x.flatten(1).double() - self.b) @ self.w / SIGMA**2 / precision
        return DiagonalGaussian(mean, -precision.log().expand_as(mean))

    def posterior(self, x):
        q = self.exact(x)
        mean = q.mean + self.config.shift * (0.5 * q.log_variance).exp()
        return DiagonalGaussian(mean, q.log_variance + math.log(self.config.widen))

    def elbo(self, x, noise):
        q = self.posterior(x)
        z = q.sample(noise.double())
        log_scale = torch.tensor(math.log(SIGMA), dtype=torch.float64)
        mean = z @ self.w.T + self.b
        reconstruction = objective.gaussian_log_likelihood(mean, log_scale, x.flatten(1).double())
        kl = objective.kl_to_standard_normal(q.mean, q.log_variance).sum(-1)
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    def log_weights(self, x, q, noise):
        noise = noise.double()
        z = q.sample(noise)
        log_scale = torch.tensor(math.log(SIGMA), dtype=torch.float64)
        mean = z @ self.w.T + self.b  # in float64, which autocast leaves alone
        given = objective.gaussian_log_likelihood(
            mean, log_scale, x.flatten(1).double().unsqueeze(1)
        )
        prior = objective.standard_normal_log_density(z)
        log_q = objective.standard_normal_log_density(noise)
        log_q = log_q - 0.5 * q.log_variance.sum(-1, keepdim=True)
        planted = self.config.bf16_error if torch.is_autocast_enabled("cpu") else 0.0
        return prior + given - log_q + planted


def kl_to_exact(model, x):
    return objective.kl_diagonal_gaussians(*model.posterior(x), *model.exact(x)).sum(-1)


def dataset(count: int, odd: int = 0) -> Dataset:
    """``count`` random images; the last ``odd`` are white, far less likely than the others."""
    pixels = np.random.default_rng(0).integers(90, 166, (count, 1, 4, 4)).astype(np.uint8)
    if odd:
        pixels[-odd:] = 255
    split = Images(pixels, None)
    splits = {"train": split, "valid": split, "test": split}
    return Dataset("planted", "Planted", splits, None, "grey", "")


def subject(count: int = 40, odd: int = 0, **proposal: float) -> Subject:
    return Subject(LinearGaussian(Proposal(**proposal)).eval(), dataset(count, odd), "none", CPU)


def images(subject: Subject) -> torch.Tensor:
    return torch.from_numpy(subject.dataset.splits["test"].pixels).float() / 255


def log_p(subject: Subject) -> torch.Tensor:
    return subject.method.log_p(images(subject))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_exact_posterior_makes_every_weight_the_likelihood():
    exact = subject()
    x, truth = images(exact), log_p(exact)
    log_w = exact.method.log_weights(x, exact.method.posterior(x), noise(40, 50, LATENT))
    assert (log_w - truth[:, None]).abs().max() < 1e-10


@pytest.mark.parametrize("samples", [1, 7, 50, 200, 300, 1000])
def test_the_exact_posterior_gives_the_likelihood_from_any_number_of_samples(samples: int):
    exact = subject(odd=3)
    found = likelihood.importance_estimate(exact, "test", samples)
    assert (found.sums.bound() - log_p(exact)).abs().max() < 1e-10
    assert (found.curve - log_p(exact)[:, None]).abs().max() < 1e-10
    assert found.blocks[0] == 1
    assert found.blocks[-1] == {300: 400}.get(samples, samples), "whole blocks of 200"
    ess = found.sums.effective_sample_size()
    torch.testing.assert_close(ess, torch.full_like(ess, min(samples, 200)))


def test_a_worse_proposal_lands_below_by_its_predicted_bias():
    worse = subject(400, shift=0.5, widen=1.3)
    found = likelihood.importance_estimate(worse, "test", 200)
    error = found.sums.bound() - log_p(worse)
    bias, spread = found.sums.bias().mean(), error.std() / math.sqrt(400)
    assert error.std() > 0.01, "the proposal must be worse, or this shows nothing"
    assert abs(error.mean() - bias) < 4 * spread
    # −2·bias is the delta method's variance of the error: it must be the spread that is seen.
    assert error.std().item() == pytest.approx((-2 * bias).sqrt().item(), rel=0.2)


def test_the_predicted_bias_is_the_bias():
    """Many repeats of few samples: the mean error is −½ cv²/K, with cv² in closed form."""
    repeats, k = 5_000, 40
    model = LinearGaussian(Proposal(shift=0.3, widen=1.4))
    x = images(subject(1)).expand(repeats, -1, -1, -1)
    sums = WeightSums.of(model.log_weights(x, model.posterior(x), noise(repeats, k, LATENT)))
    error = sums.bound() - model.log_p(x)
    # The mean weight is p(x) exactly in expectation, so subtracting it takes away noise alone.
    error = error - torch.expm1(error)
    # E_q[w²]/p(x)² = ∏ ∫ p²/q: two normals of variance 1 and v, their means a apart, for each coordinate.
    v, a = 1.4, 0.3
    moment = (v / math.sqrt(2 * v - 1) * math.exp(a**2 / (2 * v - 1))) ** LATENT
    leading = -(moment - 1) / (2 * k)
    assert abs(leading) > 40 * float(error.std()) / math.sqrt(repeats)
    assert float(error.mean()) == pytest.approx(leading, rel=0.1)
    assert float(sums.bias().mean()) == pytest.approx(leading, rel=0.1)


def test_elbo_is_the_likelihood_minus_the_divergence_from_the_posterior():
    """Exactly: the integrand is quadratic and W's columns orthogonal, so noise ±1 integrates it."""
    worse = subject(shift=0.6, widen=1.7)
    x, model = images(worse), worse.method
    both = [model.elbo(x, s * torch.ones(40, LATENT))["elbo"] for s in (1, -1)]
    expected = log_p(worse) - kl_to_exact(model, x)
    assert (sum(both) / 2 - expected).abs().max() < 1e-10


def test_the_measured_elbo_is_the_likelihood_minus_the_divergence_from_the_posterior():
    worse = subject(2000, shift=0.6, widen=1.7)
    found = likelihood.elbo(worse, "test")
    expected = log_p(worse) - kl_to_exact(worse.method, images(worse))
    # What is left is the noise of one sample an image, with its own spread.
    noise_only = likelihood._elbo_terms(worse, "test")["elbo"] - expected
    error = found["test/elbo"].value - float(expected.mean())
    assert abs(error) < 4 * float(noise_only.std()) / math.sqrt(2000)
    parts = found["test/reconstruction"].value - found["test/kl"].value
    assert found["test/elbo"].value == pytest.approx(parts, abs=1e-9)


def test_the_first_200_of_1000_samples_are_the_200_of_a_shorter_run():
    worse = subject(shift=0.5, widen=1.3)
    long, short = (likelihood.importance_estimate(worse, "test", k) for k in (1000, 200))
    assert long.sums.count == short.sums.count == 200
    assert torch.equal(long.sums.bound(), short.sums.bound())
    assert torch.equal(long.sums.effective_sample_size(), short.sums.effective_sample_size())
    assert not torch.equal(long.curve[:, 0], short.curve[:, 0]), "the curve uses all of them"


def test_the_curve_rises_from_elbo_to_likelihood_for_every_image():
    worse = subject(200, shift=1.0, widen=1.5)
    found = likelihood.importance_estimate(worse, "test", 1000)
    assert found.blocks == (1, 5, 50, 200, 1000)
    assert (found.curve.diff(dim=1) >= -1e-12).all()
    elbo = log_p(worse) - kl_to_exact(worse.method, images(worse))
    means = found.curve.mean(0)
    assert float(means[0]) == pytest.approx(float(elbo.mean()), abs=0.02)
    assert float(means[-1]) == pytest.approx(float(log_p(worse).mean()), abs=0.02)
    assert means[-1] - means[0] > 0.5


def test_every_image_counts_whatever_the_size_of_the_last_block():
    """The last images are the unlikely ones: dropping or repeating any of them moves the mean by nats."""
    count = 2 * BLOCK + 37
    exact = subject(count, odd=37)
    truth = log_p(exact)
    assert truth[:-37].mean() - truth.mean() > 0.3
    found = likelihood.log_likelihood(exact, "test", 5, torch.float32)["test/log_likelihood"]
    assert found.n == count
    assert found.value == pytest.approx(float(truth.mean()), abs=1e-10)
    assert found.stderr == pytest.approx(float(np.std(truth.numpy(), ddof=1)) / math.sqrt(count))
    bound = likelihood.elbo(exact, "test")["test/elbo"]
    assert bound.n == count
    gap = kl_to_exact(exact.method, images(exact))
    assert bound.value == pytest.approx(float((truth - gap).mean()), abs=0.2)


def test_the_order_of_the_images_is_kept():
    exact = subject(2 * BLOCK + 37, odd=37)
    found = likelihood.importance_estimate(exact, "test", 5)
    assert (found.curve[:, -1] - log_p(exact)).abs().max() < 1e-10


@pytest.mark.parametrize("threads", [1, 3])
def test_the_estimate_does_not_depend_on_the_threads(threads: int):
    worse = subject(4 * BLOCK + 1, shift=0.5, widen=1.3)
    torch.set_num_threads(2)
    expected = likelihood.importance_estimate(worse, "test", 10)
    torch.set_num_threads(threads)
    found = likelihood.importance_estimate(worse, "test", 10)
    assert torch.get_num_threads() == threads
    torch.testing.assert_close(found.curve, expected.curve, rtol=0, atol=1e-9)


def test_bits_are_nats_by_dimensions_and_log_2():
    found = likelihood.log_likelihood(subject(), "test", 5, torch.float32)
    nats, bits = found["test/log_likelihood"], found["test/bits_per_dimension"]
    assert bits.value == pytest.approx(-nats.value / 16 / math.log(2))
    assert bits.stderr == pytest.approx(nats.stderr / 16 / math.log(2))


def test_results_describe_their_sampler():
    worse = subject(shift=0.5, widen=1.3)
    found = likelihood.log_likelihood(worse, "test", 1000, torch.float32)
    estimate = likelihood.importance_estimate(worse, "test", 1000)
    ess = estimate.sums.effective_sample_size().numpy()
    quantiles = found["test/effective_sample_size"].value
    assert quantiles["median"] == pytest.approx(np.quantile(ess, 0.5))
    assert quantiles["5% quantile"] == pytest.approx(np.quantile(ess, 0.05))
    assert found["test/importance_bias"].value == pytest.approx(float(estimate.sums.bias().mean()))
    assert quantiles["5% quantile"] >= EFFECTIVE
    curve = found["test/log_likelihood_curve"].value
    assert curve["k"] == [1, 5, 50, 200, 1000]
    assert curve["value"] == pytest.approx(estimate.curve.mean(0).tolist())
    spread = (estimate.curve.std(0) / math.sqrt(len(estimate.curve))).tolist()
    assert curve["stderr"] == pytest.approx(spread)
    assert found["test/log_likelihood"].protocol["K"] == 200


SHIFTED = [(shift, 1.0) for shift in (0.0, 0.3, 0.6, 0.9, 1.2, 1.8, 2.5, 4.0)]
WIDER = [(0.0, widen) for widen in (1.2, 2.0, 4.0, 16.0)]
NARROWER = [(0.0, narrow) for narrow in (0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.02)]
BOTH = [(0.8, 1.5), (0.5, 0.6), (1.5, 0.3)]


@pytest.mark.parametrize(("shift", "widen"), [*SHIFTED, *WIDER, *NARROWER, *BOTH])
@pytest.mark.parametrize("samples", [20, 50, 200])
def test_a_bias_that_is_given_is_the_gap_to_the_exact_likelihood(shift, widen, samples: int):
    """Within a factor of two, or 0.02 nat; where it would not be, it is left out with the reason."""
    worse = subject(600, shift=shift, widen=widen)
    found = likelihood.log_likelihood(worse, "test", samples, torch.float32)
    gap = found["test/log_likelihood"].value - float(log_p(worse).mean())
    bias = found["test/importance_bias"]
    if bias.value is not None:
        assert abs(gap - bias.value) <= 0.02 or 0.5 <= gap / bias.value <= 2
    else:
        low = found["test/effective_sample_size"].value["5% quantile"]
        assert low < EFFECTIVE
        assert f"only {low:.1f} of the {samples} samples count, or fewer" in bias.note


def test_a_bias_is_left_out_where_the_delta_method_knows_nothing_of_it():
    """As it was seen: with an effective sample size of 1.2 it said −0.36 where the gap is many nats."""
    worse = subject(100, shift=4.0, widen=0.2)
    found = likelihood.log_likelihood(worse, "test", 1000, torch.float32)
    gap = float(log_p(worse).mean()) - found["test/log_likelihood"].value
    curve = found["test/log_likelihood_curve"].value["value"]
    assert found["test/effective_sample_size"].value["median"] < 3 and gap > 10
    bias = found["test/importance_bias"]
    assert bias.value is None and "is not known" in bias.note
    rise = curve[-1] - curve[-2]
    assert gap > rise
    assert f"by {rise:.2f} nat at least, by which 1,000 samples raise it" in bias.note


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_a_bias_is_given_where_the_sampler_is_good(shift: float):
    found = likelihood.log_likelihood(subject(200, shift=shift / 2), "test", 200, torch.float32)
    assert found["test/importance_bias"].value is not None


@pytest.mark.parametrize(
    ("error", "used"), [(0.015, "bf16"), (-0.015, "bf16"), (0.03, "fp32"), (-0.03, "fp32")]
)
def test_bf16_is_used_only_where_it_is_within_a_fiftieth_of_a_nat(error: float, used: str):
    planted = subject(bf16_error=error)
    assert likelihood.bf16_error(planted, "test") == pytest.approx((error, 0), abs=1e-9)
    found = likelihood.log_likelihood(planted, "test", 200, torch.bfloat16)["test/log_likelihood"]
    expected = float(log_p(planted).mean()) + (error if used == "bf16" else 0)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert f"{error:+.4f}" in found.note
    assert ("fp32 was used" in found.note) == (used == "fp32")


def test_the_validation_metrics_are_the_means():
    worse = subject(odd=3, shift=0.5)
    found = likelihood.validation_elbo(worse)
    full = likelihood.elbo(worse, "valid")
    assert found == {name: result.value for name, result in full.items()}
    assert found["valid/elbo"] == pytest.approx(found["valid/reconstruction"] - found["valid/kl"])


def test_two_measurements_are_the_same_number():
    worse = subject(shift=0.5)
    torch.manual_seed(1)
    first = likelihood.log_likelihood(worse, "test", 200, torch.float32)
    torch.manual_seed(2)
    assert first == likelihood.log_likelihood(worse, "test", 200, torch.float32)


def test_a_split_of_one_image_has_no_standard_error_and_says_so():
    """Own folders of fewer than twenty images have such a test split; NaN is not JSON."""
    one = subject(1)
    found = likelihood.elbo(one, "test") | likelihood.log_likelihood(one, "test", 5, torch.float32)
    result = found["test/log_likelihood"]
    assert result.value == pytest.approx(float(log_p(one)[0]))
    assert result.stderr is None
    assert result.note
    json.dumps({k: dataclasses.asdict(v) for k, v in found.items()}, allow_nan=False)


@pytest.mark.parametrize("samples", [0, -3])
def test_a_number_of_samples_that_is_none_is_refused(samples: int):
    with pytest.raises(TriptychError, match=str(samples)):
        likelihood.importance_estimate(subject(), "test", samples)


def test_streaming_is_the_same_as_all_at_once():
    """The bounds from chunks as the sampler yields them, against all weights side by side."""
    model, x = LinearGaussian(Proposal(shift=0.5)), images(subject(6))
    log_w = model.log_weights(x, model.posterior(x), noise(6, 1000, LATENT))
    whole, parts = NestedBounds((1, 5, 50, 200, 1000)), NestedBounds((1, 5, 50, 200, 1000))
    whole.add(log_w)
    for part in log_w.split(200, 1):
        parts.add(part)
    torch.testing.assert_close(whole.curve(), parts.curve(), rtol=0, atol=1e-12)


def test_one_image_does_not_show_that_bf16_is_near_enough():
    """One difference has no error, so that nothing says how far the next may be."""
    made = subject(bf16_error=0.0)
    one = made.dataset.splits | {"test": Images(made.dataset.splits["test"].pixels[:1], None)}
    one_left = dataclasses.replace(made.dataset, splits=one)
    made = dataclasses.replace(made, dataset=one_left)
    assert likelihood.bf16_error(made, "test")[1] is None
    result = likelihood.log_likelihood(made, "test", 5, torch.bfloat16)["test/log_likelihood"]
    assert result.note.startswith("bf16 differs from fp32 by +0.0000 nat on 1 image; fp32 was used")
