"""Linear classifiers on frozen features: how much of the classes a hyperplane can read from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.labels import judged, left_out
from triptych.evaluation.representation.softmax_regression import softmax_regression
from triptych.evaluation.statistics import proportion
from triptych.evaluation.subject import Subject, generator
from triptych.runs import Result

__all__ = ["Probe", "logistic_probe", "probe", "probes", "sgd_probe"]

EPOCHS, BATCH, MOMENTUM = 50, 256, 0.9

RATES = (0.1, 1.0, 10.0, 100.0)
"""Learning rates tried, over mean ‖(h, 1)‖²: most of that is often the mean, and what differs far less."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse penalties C tried, from the strongest penalty on; all are fitted at once."""

ITERATIONS = 500
"""Of L-BFGS at most; a fit that has not converged by then says so in its note."""

TOGETHER = 64
"""Batches whose features are taken out at once, and put into an order or scored: all of them would be there once more."""

FEWEST = 10
"""Judged validation images below which the setting is chosen on training images: of so few most settings tie."""

TENTH = 10

Labels = npt.NDArray[np.int64]


class Probe(NamedTuple):
    """Classes predicted of the queries, by the setting that was chosen, and what to know of the fit."""

    predicted: Labels
    chosen: float
    note: str = ""


class Fold(NamedTuple):
    """Features N×d and their N classes."""

    x: Tensor
    labels: Labels


def sgd_probe(train: Fold, choice: Fold, queries: Tensor) -> Probe:
    """Softmax regression by SGD, the linear evaluation of Chen & He 2021 (arXiv 2011.10566, section 4).

    50 epochs of batches of 256, momentum 0.9, cosine to 0, no weight decay, on features as they are.
    All learning rates are trained at once on the same batches; that with the most right on
    ``choice`` is taken (of equals, the lowest). Deterministic: the order of batches has its own seed.

    Args:
        train: to fit.
        choice: to choose the learning rate with.
        queries: M×d features.

    Returns:
        M classes and the learning rate.

    Example:
        >>> fold = Fold(torch.tensor([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]))
        >>> sgd_probe(fold, fold, torch.tensor([[-3.0], [3.0]])).predicted.tolist()
        [0, 1]
    """
    names, places = _classes(train.labels)
    x, y = train.x, torch.from_numpy(places).to(train.x.device)
    # Made beforehand: what is kept of each part would lie between what the next ones could take again.
    squares = x.new_empty(len(x))
    for part, found in zip(*(torch.split(t, TOGETHER * BATCH) for t in (x, squares)), strict=True):
        torch.sum(_with_one(part).square(), 1, out=found)
    rates = torch.tensor(RATES, device=x.device) / squares.mean()
    weights = _trained(x, y, len(names), rates).view(len(RATES), len(names), -1)

    def predict(features: Tensor) -> Labels:
        return names[_likeliest(features, weights)]

    right = (predict(choice.x) == choice.labels[:, None]).sum(0)
    best = int(right.argmax())
    return Probe(predict(queries)[:, best], float(rates[best]))


def logistic_probe(train: Fold, choice: Fold, queries: Tensor) -> Probe:
    """Multinomial logistic regression, min ½‖W‖² − C Σ log softmax(W x + b)_y, on standardised features.

    Where the gradient of `softmax_regression` vanishes, which is where scikit-learn's does. Each feature has its
    mean taken off and is divided by its deviation in ``train``; the C of `STRENGTHS` with the most right on
    ``choice`` is taken (of equals, the smallest). Deterministic.

    Args:
        train: to fit.
        choice: to choose C with.
        queries: M×d features.

    Returns:
        M classes and C; the note says so where the fit had not converged.

    Example:
        >>> fold = Fold(torch.tensor([[-1.0], [-2.0], [1.0], [2.0]]), np.array([0, 0, 1, 1]))
        >>> logistic_probe(fold, fold, torch.tensor([[-3.0], [3.0]])).predicted.tolist()
        [0, 1]
    """
    names, places = _classes(train.labels)
    # Not every accelerator has float64.
    device = torch.device("cpu") if train.x.device.type == "mps" else train.x.device
    x = train.x.to(device).float()
    deviation, mean = torch.std_mean(x, 0)
    # A feature that never varies has nothing to say; its rounding is not to be blown up.
    scale = torch.where(deviation > 1e-6 * mean.abs(), 1 / deviation, 0)
    y = torch.from_numpy(places).to(device)
    fitted = softmax_regression(x, y, len(names), STRENGTHS, ITERATIONS, centre=mean, scale=scale)

    def predict(features: Tensor) -> Labels:
        return names[_likeliest(features.to(device), fitted.weights, mean, scale)]

    right = (predict(choice.x) == choice.labels[:, None]).sum(0)
    best = int(right.argmax())
    note = "" if fitted.converged[best] else f"not converged within {ITERATIONS} iterations"
    return Probe(predict(queries)[:, best], STRENGTHS[best], note)


SGD: Mapping[str, str] = {
    "classifier": f"softmax regression, SGD, {EPOCHS} epochs, batch {BATCH}, "
    f"momentum {MOMENTUM}, cosine, no weight decay",
    "standardised": "no",
    "rates": f"{', '.join(map(str, RATES))} / mean squared norm",
}
LOGISTIC: Mapping[str, str] = {
    "classifier": "multinomial logistic regression, L2, L-BFGS",
    "standardised": "by training images",
    "strengths": f"C of {', '.join(map(str, STRENGTHS))}",
}
"""What a protocol says of each of the two."""


def probe(subject: Subject, split: str) -> dict[str, Result]:
    """``<split>/linear_top1`` and ``<split>/logistic_top1``: `sgd_probe` and `logistic_probe` of the encoder.

    Images are not augmented. Rate and C are chosen on the ``valid`` split, or where fewer than 10 of its
    images can be judged (or it is the one measured) on every tenth training image, which is then not
    trained on unless its class has no other. Both are left out with the reason where labels do not
    allow them.
    """
    return {name: value for fit in probes(subject, split) for name, value in fit().items()}


def probes(subject: Subject, split: str) -> list[Callable[[], dict[str, Result]]]:
    """What `probe` does, a fit at a time."""
    names = f"{split}/linear_top1", f"{split}/logistic_top1"
    who = judged(subject.dataset, split)
    if isinstance(who, str):
        why = who
        return [lambda: left_out(subject, split, names, why)]
    train, choice, chosen_on = _folds(subject, split)
    queries, labels, seen = _rows(subject.features(split), who.rows), who.labels, who.note

    def result(
        name: str, fit: Callable[..., Probe], what: str, fields: Mapping[str, str]
    ) -> dict[str, Result]:
        fitted = fit(train, choice, queries)
        protocol = subject.protocol(
            split,
            features="encoder output",
            train=f"train ({len(train.x)})",
            augmentation="none",
            chosen_on=chosen_on,
            **fields,
            unit="share right",
        )
        share = float((fitted.predicted == labels).mean())
        notes = filter(None, (f"{what} {fitted.chosen:.3g}", fitted.note, seen))
        return {name: proportion(share, len(labels), protocol, "; ".join(notes))}

    return [
        partial(result, names[0], sgd_probe, "learning rate", SGD),
        partial(result, names[1], logistic_probe, "C", LOGISTIC),
    ]


def _with_one(x: Tensor) -> Tensor:
    """Features in float32, and a last one that is 1 everywhere, whose weight is the intercept."""
    return F.pad(x.float(), (0, 1), value=1)


def _likeliest(
    features: Tensor, weights: Tensor, mean: Tensor | float = 0, scale: Tensor | float = 1
) -> Labels:
    """The place of the class with the largest score of each of N rows (x − mean) · scale, N×S for weights S×K×(d+1)."""
    found = []
    for part in torch.split(features, TOGETHER * BATCH):
        scores = _with_one((part.float() - mean) * scale) @ weights.flatten(0, 1).T
        found.append(scores.view(len(part), *weights.shape[:2]).argmax(-1))
    places: Labels = torch.cat(found).cpu().numpy()
    return places


def _trained(x: Tensor, y: Tensor, classes: int, rates: Tensor) -> Tensor:
    """Weights (rates·classes)×(d+1), a block of rows for each learning rate.

    Some batches are put into their order at once, and a step is five operations, of which none asks the host: there
    are thousands of steps, and each is small.
    """
    weights = torch.zeros(len(rates) * classes, x.shape[1] + 1, device=x.device)
    velocity = torch.zeros_like(weights)
    numbers = torch.arange(classes, device=x.device)[:, None]
    batch = min(BATCH, len(x))
    each = len(x) // batch
    steps, draw = EPOCHS * each, generator(torch.device("cpu"), "probe")
    fall = 0.5 * (1 + torch.cos(math.pi * torch.arange(steps, dtype=torch.float64) / steps))
    size = rates.repeat_interleave(classes)[:, None]
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=draw)[: each * batch].to(x.device)
        falls = fall[epoch * each : (epoch + 1) * each].float().to(x.device)
        step_sizes = iter(falls[:, None, None] * size)
        for rows in torch.split(order, TOGETHER * batch):
            truth = (y[rows] == numbers).float()
            of_batch = torch.split(_with_one(x[rows]), batch), torch.split(truth, batch, dim=1)
            for inputs, onehot in zip(*of_batch, strict=True):
                # The gradient of the cross-entropy with respect to the logits is p − onehot(y).
                p = (weights @ inputs.T).view(len(rates), classes, batch).softmax(1).sub_(onehot)
                velocity.addmm_(p.flatten(0, 1), inputs, beta=MOMENTUM, alpha=1 / batch)
                weights.addcmul_(velocity, next(step_sizes), value=-1)
    return weights


def _folds(subject: Subject, split: str) -> tuple[Fold, Fold, str]:
    """What is fitted, what the setting is chosen with, and the name of the latter."""
    x, y = subject.features("train"), subject.dataset.splits["train"].labels
    assert y is not None
    valid = judged(subject.dataset, "valid")
    if split != "valid" and not isinstance(valid, str) and len(valid.rows) >= FEWEST:
        choice = Fold(_rows(subject.features("valid"), valid.rows), valid.labels)
        return Fold(x, y), choice, f"valid ({len(choice.x)})"
    held = np.arange(len(y)) % TENTH == 0
    held &= np.isin(y, y[~held])
    if not held.any():
        return Fold(x, y), Fold(x, y), f"train itself ({len(y)})"
    kept, apart = (np.flatnonzero(rows) for rows in (~held, held))
    choice = Fold(_rows(x, apart), y[apart])
    return Fold(_rows(x, kept), y[kept]), choice, f"every tenth of train ({len(choice.x)})"


def _rows(x: Tensor, rows: Labels) -> Tensor:
    return x[torch.from_numpy(rows).to(x.device)]


def _classes(labels: Labels) -> tuple[Labels, Labels]:
    """The classes that occur, and the place among them of each label."""
    names, places = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise TriptychError("a linear probe needs training images of two classes or more")
    return names, places
