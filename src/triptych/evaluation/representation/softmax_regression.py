"""Multinomial logistic regression for several penalties at once, on the device of the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["TOLERANCE", "SoftmaxRegression", "softmax_regression"]

TOLERANCE = 1e-5
"""Length of the gradient of the mean objective, over weights and intercepts, at which a fit has converged."""

PAIRS = 10
"""Last steps and changes of the gradient that L-BFGS knows the curvature by."""

DECREASE = 1e-4
"""Share of the decrease that the gradient promises, below which a step is halved (Armijo 1966)."""

ROUNDING = 1e-8
"""Of the objective, relative: a step that is worse by no more than that is as good as the one before."""

HALVINGS = 12
"""Of a step; one that is no better then is at the end of what fp32 can tell."""

Pair: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""A step and the change of the gradient by it, S×K×D, and one over their products, S; 0 where that tells nothing."""

ROWS = 2**14
"""Rows that are standardised or turned at once, in the place where they stay."""

PARTS = {"cpu": 2**18, "cuda": 2**27}
"""Scores held at once, rows × penalties × classes: on the CPU they stay in a core's cache."""


class SoftmaxRegression(NamedTuple):
    """Weights S×K×(d+1), the last column the intercepts, for S penalties; and which of these fits converged."""

    weights: Tensor
    converged: tuple[bool, ...]


def softmax_regression(
    x: Tensor,
    y: Tensor,
    classes: int,
    strengths: Sequence[float],
    iterations: int = 500,
    *,
    centre: Tensor | float = 0,
    scale: Tensor | float = 1,
) -> SoftmaxRegression:
    """Least Σ_i −log softmax(W x_i + b)_{y_i} + ‖W‖² / 2C over W and b, for each C, by L-BFGS (Liu and Nocedal 1989).

    For x there stands (x − centre) · scale, which is made here: beside x there is one array of its size, and no other.

    Of two classes, where W has one row more than is needed, ‖w₁ − w₀‖² / 2C is the penalty, as in
    logistic regression with one vector of weights; both are scikit-learn's.

    All C are fitted at once, so that x is read once for them. The variables are the coordinates along the
    principal axes of x, scaled: there Böhning's bound of the Hessian, ½ (I − 11ᵀ/K) ⊗ XᵀX/N + I/CN
    (Böhning 1992), is at most the identity, so that correlated features cost no more steps than others, and a first
    step of length one is downhill. Deterministic: products, sums in a fixed order, no atomics.
    Losses are summed in float64. The host is asked twice a step.

    Args:
        x: N×d features, of mean 0 and like scales by ``centre`` and ``scale``.
        y: their classes, int64, N, in 0 … K−1.
        classes: K ≥ 2.
        strengths: C of each fit.
        iterations: of L-BFGS at most.
        centre: d numbers that are taken off.
        scale: d numbers that what is left is multiplied by.

    Returns:
        Float32 weights, and whether the gradient of the objective / N came to a length of 1e-5 or less.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> found = softmax_regression(x, y, 2, [1.0])
        >>> found.converged, round(float(found.weights[0, 1, 0] - found.weights[0, 0, 0]), 3)
        ((True,), 0.675)
    """
    count = len(x)
    ridge = (2 if classes == 2 else 1) / (
        count * torch.tensor(strengths, dtype=torch.float64, device=x.device)
    )
    rows = torch.ones(count, x.shape[1] + 1, device=x.device)
    features = rows[:, :-1]
    for part, given in zip(torch.split(features, ROWS), torch.split(x, ROWS), strict=True):
        part.copy_((given.float() - centre) * scale)
    variance, axes = torch.linalg.eigh((features.T @ features).double() / count)
    for part in torch.split(features, ROWS):
        part.copy_(part @ axes.float())
    # Of the intercept: variance 1 about zero, and no penalty.
    variance = F.pad(variance.clamp(min=0), (0, 1), value=1)
    penalty = F.pad(ridge[:, None, None].expand(-1, 1, x.shape[1]), (0, 1))
    bound = (variance / 2 + penalty).rsqrt()

    objective = _objective(rows, y, classes, penalty.float())
    found, converged = _minimised(objective, bound.float(), classes, iterations)
    weights = torch.cat([found[:, :, :-1] @ axes.T.float(), found[:, :, -1:]], 2)
    return SoftmaxRegression(weights, tuple(converged.tolist()))


def _objective(
    rows: Tensor, y: Tensor, classes: int, penalty: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Of weights S×K×D the mean objective of each penalty, S in float64, and its gradient S×K×D.

    Scores are S×K×rows: a softmax over a last dimension of ten classes is not vectorised on the CPU.
    """
    count, penalties = len(rows), len(penalty)
    size = int(max(1, PARTS.get(rows.device.type, PARTS["cuda"]) // (penalties * classes)))
    parts = list(zip(torch.split(rows, size), torch.split(y, size), strict=True))
    numbers = torch.arange(classes, device=rows.device)[:, None]

    def value_and_gradient(weights: Tensor) -> tuple[Tensor, Tensor]:
        flat, gradient = weights.flatten(0, 1), torch.zeros_like(weights).flatten(0, 1)
        losses = []
        for x, labels in parts:
            # Made anew each time: of a thousand classes all rows would be larger than the features.
            onehot = (labels == numbers).float()
            scores = (flat @ x.T).view(penalties, classes, -1).log_softmax(1)
            losses.append(_dot(scores, onehot))
            gradient.addmm_(scores.exp_().sub_(onehot).flatten(0, 1), x)
        loss = -torch.stack(losses).sum(0) / count
        pull = penalty * weights
        return loss + _dot(weights, pull) / 2, gradient.view_as(weights) / count + pull

    return value_and_gradient


def _minimised(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    scale: Tensor,
    classes: int,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Weights S×K×D where the gradient vanishes, begun at 0, and for which of the S it does.

    The S problems share their data and nothing else: each has its own curvature and its own length of a step, and
    stands still once it has converged.
    """
    at = torch.zeros(len(scale), classes, scale.shape[2], device=scale.device)
    value, slope = objective(at)
    active = ~_short(slope)
    gradient, pairs = slope * scale, list[Pair]()
    for _ in range(iterations):
        if not active.any():
            break
        direction = _times(active, -_times_inverse_hessian(gradient, pairs))
        promised, length = _dot(gradient, direction), torch.ones_like(value)
        for _ in range(HALVINGS):
            new = at + _times(length, direction) * scale
            new_value, new_slope = objective(new)
            enough = value + DECREASE * length * promised + ROUNDING * value.abs()
            # What is not finite is not better.
            worse = active & ~(new_value <= enough)
            if not worse.any():
                break
            length = torch.where(worse, length / 2, length)
        # No step of those is downhill: it stands still where it is.
        active, length = active & ~worse, torch.where(worse, 0, length)
        stays = worse[:, None, None]
        at, slope = torch.where(stays, at, new), torch.where(stays, slope, new_slope)
        value = torch.where(worse, value, new_value)
        before, gradient = gradient, slope * scale
        step, change = _times(length, direction), gradient - before
        curvature = _dot(step, change)
        rho = torch.where(active & (curvature > 0), 1 / curvature, 0)
        pairs = [*pairs, (step, change, rho)][-PAIRS:]
        active = active & ~_short(slope)
    return at, _short(slope)


def _times_inverse_hessian(gradient: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """The gradient times what L-BFGS takes for the inverse of the Hessian, by two loops (Nocedal 1980)."""
    q, seen = gradient, []
    for step, change, rho in reversed(pairs):
        alpha = rho * _dot(step, q)
        seen.append(alpha)
        q = q - _times(alpha, change)
    if pairs:
        _, change, rho = pairs[-1]
        size = rho * _dot(change, change)
        q = _times(torch.where(size > 0, 1 / size, 1), q)
    for (step, change, rho), alpha in zip(pairs, reversed(seen), strict=True):
        q = q + _times(alpha - rho * _dot(change, q), step)
    return q


def _times(numbers: Tensor, x: Tensor) -> Tensor:
    """Each of S×K×D by its own of S numbers."""
    return numbers.to(x.dtype)[:, None, None] * x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of S×K×D tensors the S inner products, in float64."""
    return (a * b).sum((1, 2), dtype=torch.float64)


def _short(slope: Tensor) -> Tensor:
    return _dot(slope, slope).sqrt() <= TOLERANCE
