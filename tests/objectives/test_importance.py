"""Importance-weighted estimators against naive float64 versions, their limits and Jensen's inequality."""

import itertools
import math

import numpy as np
import pytest
import torch

from triptych.objectives.elbo import standard_normal_log_density
from triptych.objectives.importance import (
    NestedBounds,
    WeightSums,
    doubly_reparameterised,
    importance_bound,
    log_density_of_draws,
    log_mean_exp,
    nested_blocks,
)

BLOCKS = (1, 5, 50, 200, 1000)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_curve(log_w: torch.Tensor, blocks: tuple[int, ...]) -> torch.Tensor:
    """L_k image by image and block by block."""
    rows = []
    for row in log_w:
        values = []
        for k in blocks:
            cuts = [row[i : i + k] for i in range(0, len(row), k)]
            values.append(
                sum((c - row.max()).exp().mean().log() + row.max() for c in cuts) / len(cuts)
            )
        rows.append(torch.stack(values))
    return torch.stack(rows)


def test_log_mean_exp_is_the_log_of_the_mean():
    x = draw(4, 9)
    torch.testing.assert_close(log_mean_exp(x), x.exp().mean(-1).log())
    torch.testing.assert_close(log_mean_exp(x, 0), x.exp().mean(0).log())
    torch.testing.assert_close(importance_bound(x), x.exp().mean(-1).log())


@pytest.mark.parametrize("shift", [-1e5, -1000.0, 1000.0])
def test_log_mean_exp_neither_overflows_nor_underflows(shift: float):
    x = torch.tensor([shift, shift], dtype=torch.float64)
    assert log_mean_exp(x).item() == pytest.approx(shift, rel=1e-15)
    with_zero_weight = torch.tensor([0.0, -math.inf], dtype=torch.float64)
    assert log_mean_exp(with_zero_weight).item() == pytest.approx(-math.log(2))


@pytest.mark.parametrize("chunk", [1, 7, 20, 60])
def test_weight_sums_are_the_naive_sums(chunk: int):
    log_w = draw(5, 60)
    w = log_w.exp()
    sums = WeightSums.of(log_w[:, :chunk])
    for start in range(chunk, 60, chunk):
        sums = sums.add(WeightSums.of(log_w[:, start : start + chunk]))
    ess = w.sum(-1) ** 2 / (w**2).sum(-1)
    assert sums.count == 60
    torch.testing.assert_close(sums.log_sum.exp(), w.sum(-1))
    torch.testing.assert_close(sums.log_sum_squares.exp(), (w**2).sum(-1))
    torch.testing.assert_close(sums.bound(), w.mean(-1).log())
    torch.testing.assert_close(sums.effective_sample_size(), ess)
    torch.testing.assert_close(sums.bias(), -0.5 * (1 / ess - 1 / 60))


def test_bias_is_the_delta_method_in_its_usual_form():
    """−Var(w) / (2 K E[w]²), with the moments of the sample."""
    w = draw(3, 80).exp()
    expected = -w.var(-1, correction=0) / (2 * 80 * w.mean(-1) ** 2)
    torch.testing.assert_close(WeightSums.of(w.log()).bias(), expected)


def test_effective_sample_size_of_equal_weights_is_all_of_them():
    sums = WeightSums.of(torch.full((2, 200), -95.5, dtype=torch.float64))
    torch.testing.assert_close(sums.effective_sample_size(), torch.full((2,), 200.0).double())
    assert sums.bias().abs().max() < 1e-12


def test_effective_sample_size_of_one_dominant_weight_is_one():
    log_w = torch.full((1, 200), -2000.0, dtype=torch.float64)
    log_w[0, 17] = -100
    sums = WeightSums.of(log_w)
    assert sums.effective_sample_size().item() == pytest.approx(1, abs=1e-12)
    assert sums.bias().item() == pytest.approx(-0.5 * (1 - 1 / 200))
    assert sums.bound().item() == pytest.approx(-100 - math.log(200))


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bias_is_never_positive_and_ess_never_leaves_its_range(spread: float, dtype: torch.dtype):
    sums = WeightSums.of((-95 + spread * draw(500, 50)).to(dtype))
    ess = sums.effective_sample_size()
    rounding = 100 * torch.finfo(dtype).eps
    assert (sums.bias() <= rounding).all()
    assert (ess >= 1 - 20 * rounding).all()
    assert (ess <= 50 * (1 + 20 * rounding)).all()


def test_weights_of_large_images_keep_their_effective_sample_size_in_single_precision():
    """Thousands of nats below zero, as in colour: the sums of squares must not drown in rounding."""
    log_w = draw(20, 200)
    exact = WeightSums.of(log_w).effective_sample_size()
    single = WeightSums.of((log_w - 3000).float())
    torch.testing.assert_close(single.effective_sample_size().double(), exact, rtol=0.01, atol=0)


@pytest.mark.parametrize("chunk", [1, 5, 25, 50, 200, 1000])
def test_nested_bounds_are_the_naive_loop_whatever_the_chunk(chunk: int):
    blocks = (1, 5, 50, 200, 1000) if chunk != 25 else (1, 5, 25, 50, 1000)
    log_w = 3 * draw(3, 2000) - 95
    bounds = NestedBounds(blocks)
    for start in range(0, 2000, chunk):
        bounds.add(log_w[:, start : start + chunk])
    torch.testing.assert_close(bounds.curve(), naive_curve(log_w, blocks), rtol=1e-12, atol=0)


def heavy(kind: str, count: int) -> torch.Tensor:
    normal = draw(count, 1000, seed=3)
    if kind == "cauchy":
        return 20 * normal / draw(count, 1000, seed=4)
    if kind == "one sample carries all":
        normal[:, 617] += 500
    if kind == "falling":
        normal = -torch.arange(1000.0).double().expand(count, 1000)
    if kind == "rising":
        normal = torch.arange(1000.0).double().expand(count, 1000)
    return normal


@pytest.mark.parametrize(
    "kind", ["normal", "cauchy", "one sample carries all", "falling", "rising"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_curve_never_falls_for_any_example(kind: str, dtype: torch.dtype):
    log_w = heavy(kind, 200).to(dtype)
    bounds = NestedBounds(BLOCKS)
    for start in range(0, 1000, 200):
        bounds.add(log_w[:, start : start + 200])
    rise = bounds.curve().diff(dim=-1)
    rounding = 4 * torch.finfo(dtype).eps * log_w.abs().amax(-1, keepdim=True).clamp(min=1)
    assert (rise >= -rounding).all()
    if kind != "normal":
        assert rise.max() > 1, "these weights are far from equal, so the curve must rise somewhere"


def test_nested_blocks_divide_one_another_and_keep_what_fits():
    for k in range(1, 2500):
        blocks = nested_blocks(k)
        assert set(blocks) == {1, k} | {w for w in BLOCKS if w < k and k % w == 0}
        assert list(blocks) == sorted(blocks)
        assert all(b % a == 0 for a, b in itertools.pairwise(blocks))


def test_nested_blocks_of_other_wishes():
    assert nested_blocks(24, (1, 2, 3, 12)) == (1, 3, 12, 24), (
        "2 does not divide 3: the larger stays"
    )


class Toy:
    """z ~ N(0, 1), x|z ~ N(θ z, 1), q(z) = N(m, exp(v)): one latent, so that expectations over K = 2 samples are sums.

    Gauss-Hermite nodes in both samples' noise, with their weights: exact for what is smooth.
    """

    def __init__(self) -> None:
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        weights = weights / weights.sum()
        e = torch.from_numpy(nodes)
        self.noise = torch.cartesian_prod(e, e).unsqueeze(-1)  # N×K×1
        w = torch.from_numpy(weights)
        self.weights = (w[:, None] * w).flatten()
        self.m, self.v, self.theta = (
            torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.4, -0.7, 1.3)
        )
        self.x = 0.9

    def log_weights(self, doubly: bool) -> torch.Tensor:
        z = self.m + (0.5 * self.v).exp() * self.noise
        tag: torch.Tensor | float = 0.0
        if doubly:
            z, tag = doubly_reparameterised(z)
            log_q = log_density_of_draws(z, self.noise, self.v.expand(len(z), 1))
        else:
            log_q = standard_normal_log_density(self.noise) - 0.5 * self.v
        p = standard_normal_log_density(z) + standard_normal_log_density(self.x - self.theta * z)
        return p - log_q + tag

    def gradients(self, doubly: bool) -> tuple[torch.Tensor, ...]:
        bound = (self.weights * importance_bound(self.log_weights(doubly))).sum()
        return torch.autograd.grad(bound, (self.m, self.v, self.theta))


def test_the_doubly_reparameterised_gradient_is_that_of_the_bound():
    """Its expectation over the noise, by quadrature in double precision, is the derivative of L_2 by finite differences."""
    toy, found = Toy(), Toy().gradients(doubly=True)
    step = 1e-5
    for name, gradient in zip(("m", "v", "theta"), found, strict=True):
        values = []
        for sign in (1, -1):
            moved = Toy()
            setattr(moved, name, (getattr(toy, name) + sign * step).detach())
            with torch.no_grad():
                values.append((moved.weights * importance_bound(moved.log_weights(False))).sum())
        assert gradient.item() == pytest.approx(
            ((values[0] - values[1]) / (2 * step)).item(), abs=1e-8
        )
    torch.testing.assert_close(found, toy.gradients(doubly=False), rtol=0, atol=1e-10)


def test_doubly_reparameterised_log_weights_have_the_values_and_the_model_the_gradient_of_plain_ones():
    toy = Toy()
    torch.testing.assert_close(toy.log_weights(True), toy.log_weights(False), rtol=0, atol=1e-12)
    for row in (0, 1234, 5000):
        of_model = [
            torch.autograd.grad(importance_bound(toy.log_weights(d))[row], (toy.theta, toy.m))
            for d in (True, False)
        ]
        torch.testing.assert_close(of_model[0][0], of_model[1][0], rtol=1e-10, atol=1e-12)
        assert abs(of_model[0][1] - of_model[1][1]) > 1e-3, "the encoder's is another estimate"


def test_the_doubly_reparameterised_gradient_is_the_formula_of_the_paper_whatever_is_behind_it():
    """Σ w̄² ∂log w/∂z ∂z/∂φ (equation 8), also where the bound is weighed on its way to the loss."""
    toy = Toy()
    z = (toy.m + (0.5 * toy.v).exp() * toy.noise).detach().requires_grad_()
    log_q = -0.5 * ((z - toy.m) ** 2 / toy.v.exp()).sum(-1) - 0.5 * toy.v
    p = standard_normal_log_density(z) + standard_normal_log_density(toy.x - toy.theta * z)
    log_w = p - log_q.add(-0.5 * math.log(2 * math.pi))
    (slope,) = torch.autograd.grad(log_w.sum(), z)
    share = log_w.softmax(-1)
    expected = (0.37 * (share**2 * slope[..., 0]).sum(-1)).sum()
    bound = (0.37 * importance_bound(toy.log_weights(True))).sum()
    (found,) = torch.autograd.grad(bound, toy.m)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-9)


def test_the_bound_of_two_samples_lies_between_elbo_and_likelihood_of_a_linear_gaussian_model():
    toy = Toy()
    with torch.no_grad():
        log_w = toy.log_weights(False)
        elbo, two = ((toy.weights * b).sum().item() for b in (log_w[:, 0], importance_bound(log_w)))
        variance, q = 1 + toy.theta.item() ** 2, math.exp(toy.v.item())
        exact = -0.5 * (math.log(2 * math.pi * variance) + toy.x**2 / variance)
        # KL to the exact posterior N(θx/(1+θ²), 1/(1+θ²)).
        mean = toy.theta.item() * toy.x / variance
        kl = 0.5 * (variance * (q + (toy.m.item() - mean) ** 2) - 1 - math.log(q * variance))
        assert elbo == pytest.approx(exact - kl, abs=1e-9)
        assert elbo < two < exact
        # With the exact posterior every bound is the likelihood.
        toy.m, toy.v = torch.tensor([mean, -math.log(variance)], dtype=torch.float64)
        found = importance_bound(toy.log_weights(False))
        torch.testing.assert_close(found, torch.full_like(found, exact), rtol=0, atol=1e-10)
