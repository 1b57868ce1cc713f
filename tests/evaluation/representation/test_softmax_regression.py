"""Multinomial logistic regression against scikit-learn's, and by its own gradient in double precision."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from triptych.environment import at_most
from triptych.evaluation.representation import softmax_regression as module
from triptych.evaluation.representation.softmax_regression import TOLERANCE, softmax_regression


@pytest.fixture(autouse=True)
def one_thread():
    """Several wait for each other in scikit-learn's small products."""
    with at_most(1):
        yield


STRENGTHS = (1e-4, 1e-2, 1e-1, 1.0)


def clouds(count: int, classes: int, d: int, seed: int, apart: float = 1.0):
    """Gaussian clouds about centres that are the same for every seed."""
    centres = apart * np.random.default_rng(0).normal(size=(classes, d))
    draw = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), draw.integers(0, classes, count - classes)]
    return centres[labels] + draw.normal(size=(count, d)), labels


def overlapping(count: int, seed: int):
    return clouds(count, 5, 12, seed)


def separable(count: int, seed: int):
    return clouds(count, 4, 8, seed, apart=20)


def collinear(count: int, seed: int):
    """Forty features that lie in three dimensions, but for a thousandth."""
    x, labels = clouds(count, 4, 3, seed)
    spread = np.random.default_rng(1).normal(size=(3, 40))
    return x @ spread + 1e-3 * np.random.default_rng(seed).normal(size=(len(x), 40)), labels


def constant(count: int, seed: int):
    """Features that never vary are zeros once they are standardised."""
    x, labels = clouds(count, 3, 6, seed)
    x[:, ::2] = 0
    return x, labels


def lonely(count: int, seed: int):
    """One class has one image."""
    x, labels = clouds(count, 4, 6, seed)
    return x, np.where(np.arange(count) == 3, 3, labels % 3)


def two(count: int, seed: int):
    return clouds(count, 2, 10, seed, apart=0.5)


def hundred(count: int, seed: int):
    return clouds(count, 100, 20, seed)


DATA = [overlapping, separable, collinear, constant, lonely, two, hundred]


def standardised(x: np.ndarray, like: np.ndarray) -> torch.Tensor:
    deviation = like.std(0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    return torch.from_numpy((x - like.mean(0)) * scale).float()


def gradient(weights: torch.Tensor, x: torch.Tensor, labels: np.ndarray, strength: float) -> float:
    """Length of the gradient of scikit-learn's objective over the number of images, by autograd."""
    w = weights.double().requires_grad_()
    scores = F.pad(x.double(), (0, 1), value=1) @ w.T
    square = w[:, :-1].square().sum()
    if len(w) == 2:
        square = (w[1, :-1] - w[0, :-1]).square().sum()
    loss = F.cross_entropy(scores, torch.from_numpy(labels)) + square / (2 * strength * len(x))
    loss.backward()
    return float(w.grad.norm())


@pytest.mark.parametrize("make", DATA)
def test_the_optimum_is_scikit_learns(make):
    train, labels = make(1500, 0)
    asked, truth = make(30_000, 1)
    x, queries = standardised(train, train), standardised(asked, train)
    classes = labels.max() + 1
    found = softmax_regression(x, torch.from_numpy(labels), classes, STRENGTHS)
    assert found.converged == (True,) * len(STRENGTHS)
    for weights, strength in zip(found.weights, STRENGTHS, strict=True):
        # Of two classes one vector stands for both, w₁ − w₀, of which each of ours is half: a gradient as long.
        assert gradient(weights, x, labels, strength) < 1.5 * TOLERANCE
        model = LogisticRegression(C=strength, tol=1e-7, max_iter=20_000)
        model.fit(x.double().numpy(), labels)
        expected = model.predict(queries.double().numpy())
        predicted = (F.pad(queries, (0, 1), value=1) @ weights.T).argmax(1).numpy()
        assert abs((predicted == truth).mean() - (expected == truth).mean()) <= 1e-4
        assert (predicted == expected).mean() > 0.999


def test_each_penalty_is_fitted_as_if_it_were_alone_and_again_to_the_same_bits():
    x, labels = overlapping(2000, 0)
    given = standardised(x, x), torch.from_numpy(labels), 5
    together, again = (softmax_regression(*given, STRENGTHS) for _ in range(2))
    assert torch.equal(together.weights, again.weights)
    for place, strength in enumerate(STRENGTHS):
        alone = softmax_regression(*given, [strength]).weights[0]
        assert torch.allclose(together.weights[place], alone, atol=2e-3)


def test_parts_that_do_not_fit_the_cache_change_nothing(monkeypatch: pytest.MonkeyPatch):
    x, labels = overlapping(2000, 0)
    given = standardised(x, x), torch.from_numpy(labels), 5, STRENGTHS
    whole = softmax_regression(*given).weights
    monkeypatch.setattr(module, "PARTS", {"cpu": 20 * 900, "cuda": 0})
    assert torch.allclose(softmax_regression(*given).weights, whole, atol=2e-3)


def test_correlated_features_take_few_steps(monkeypatch: pytest.MonkeyPatch):
    """Scaled along the principal axes; scikit-learn's takes hundreds here."""
    calls, inner = [0], module._objective

    def counted(*given):
        objective = inner(*given)

        def count(weights):
            calls[0] += 1
            return objective(weights)

        return count

    monkeypatch.setattr(module, "_objective", counted)
    x, labels = collinear(2000, 0)
    softmax_regression(standardised(x, x), torch.from_numpy(labels), 4, STRENGTHS[:3])
    assert calls[0] < 60


def test_a_fit_that_was_stopped_says_so():
    x, labels = overlapping(2000, 0)
    found = softmax_regression(standardised(x, x), torch.from_numpy(labels), 5, (1e-4, 10.0), 12)
    assert found.converged == (True, False)
