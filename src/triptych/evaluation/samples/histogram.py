"""Which classes a model draws too often or too seldom, as a classifier with known errors sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from triptych.errors import TriptychError

__all__ = [
    "ALPHA",
    "DRAWS",
    "MISSING",
    "Array",
    "HistogramTest",
    "could_be_missing",
    "draws_for",
    "histogram_test",
    "marks",
    "nearest_null",
    "unmix",
    "verdict",
]

Array = npt.NDArray[Any]

DRAWS = 1999
"""Bootstrap draws of few classes; with one more, ALPHA over ten classes of them is a whole number."""

CELLS = 1_000_000
"""Numbers of redrawn confusion matrices held at once."""

ALPHA = 0.05
"""Chance that any class at all is flagged where every class has its share."""

SHIFTS = (-1.0, 0.0, 1.0)
"""Standard errors by which a class's share of the samples is moved before the null is fitted: the largest p holds."""

BISECTIONS = 64
"""Halvings of the range of a multiplier."""

MISSING = 0.1
"""Un-mixed share over training share below which an under-represented class is called missing."""

LISTED = 6
"""Classes that a verdict names in one list."""


@dataclass(frozen=True)
class HistogramTest:
    """What `histogram_test` finds: K values each, shares in [0, 1], and one p for all classes.

    ``predicted`` is n/N and ``expected`` πĈ; ``stderr`` is that of their
    difference and ``z`` the difference in it; ``adjusted`` are p-values of single
    classes, adjusted for there being K; ``p`` is that of the whole histogram, the
    least of them; ``critical`` is the |z| beyond which each class is flagged.
    """

    predicted: Array
    expected: Array
    stderr: Array
    z: Array
    adjusted: Array
    p: float
    critical: Array

    @property
    def flagged(self) -> Array:
        """Which classes differ: adjusted p at most ALPHA."""
        return self.adjusted <= ALPHA


def draws_for(classes: int) -> int:
    """Draws enough for ALPHA over so many classes to be told from less."""
    return max(DRAWS, round(2 * classes / ALPHA) - 1)


def histogram_test(
    counts: Array,
    training: Array,
    confusion: Array,
    random: np.random.Generator,
    draws: int | None = None,
) -> HistogramTest:
    """Test that predicted counts follow π·C, C itself being known from few test images or many.

    Of class k the test knows binomial counts only: n_k of N samples are predicted to be of it, and
    c_ik of the m_i test images of class i. The null is q_k = Σ_i π_i C_ik, and |z_k| (`_difference`) is held
    against its distribution where the null is true. To take Ĉ for that truth is wrong: with five images a
    class, Ĉ_ik = 0 says little, and the alarm is false more often than not. The truth that is taken instead
    is the likeliest *of those that obey the null* (`nearest_null`): whatever confusion could explain the samples is
    given its chance. Three such truths are tried, for n_k and for n_k one standard error lower and higher, and
    the largest p holds: alone, the first would raise false alarms of 8 % in the worst case found.

    Single-step Bonferroni over classes, of which two are one comparison: ALPHA bounds the chance of flagging any.
    ``tests/evaluation/samples/test_histogram.py`` measures that chance, from five test images a class on.

    Args:
        counts: images predicted to be of each class, …×K counts.
        training: images of each class in the training data, K counts or shares.
        confusion: test images by true class (rows) and prediction, …×K×K counts.
        random: where the bootstrap's numbers come from.
        draws: of the bootstrap; without a number, enough for so many classes.

    Raises:
        TriptychError: a class of the training data is not in the classifier's test.
    """
    counts, confusion = np.asarray(counts), np.asarray(confusion)
    training = np.asarray(training) / np.sum(training)
    images = confusion.sum(-1)
    _check_every_class(images, training)
    total, hits = counts.sum(-1)[..., None, None], np.swapaxes(confusion, -1, -2)
    given = counts[..., None], total, training, hits[..., None], images[..., None, :, None]
    raw, critical = _calibrated(*given, random, draws or draws_for(counts.shape[-1]))
    expected, stderr, z = (found[..., 0] for found in _difference(*given))
    adjusted = np.minimum(raw * _comparisons(counts.shape[-1]), 1)
    predicted = counts / total[..., 0]
    return HistogramTest(predicted, expected, stderr, z, adjusted, adjusted.min(-1), critical)


def _check_every_class(images: Array, training: Array) -> None:
    unseen = np.argwhere((images == 0) & (training > 0))
    if len(unseen):
        raise TriptychError(
            f"the classifier's test has no image of class number {unseen[0][-1]}, so nothing is known "
            "of how that class is recognised; evaluate on a split that has every class"
        )


def _comparisons(classes: int) -> int:
    """Of two classes one has too many where the other has too few."""
    return 1 if classes == 2 else classes


def _difference(
    counts: Array, total: Array, weights: Array, hits: Array, images: Array
) -> tuple[Array, Array, Array]:
    """πĈ, the standard error of n/N − πĈ and their ratio z; of each class, after any leading axes.

        se_k² = q_k(1−q_k)/N + Σ_i π_i² C̃_ik(1−C̃_ik)/m_i,   q = πĈ,   m_i test images of class i

    C̃ has one image more in each row, spread evenly: a class that the classifier
    never named in its test is not known to be one that it never names.

    Args:
        counts: …×K×D, of ``total`` samples; D draws.
        total: …×1×1.
        weights: the shares π, K.
        hits: test images of each class i predicted to be of class k, …×K×K×D, k before i.
        images: test images of each class, …×1×K×1.
    """
    tested, even = np.maximum(images[..., 0], 1.0), 1 / hits.shape[-2]

    def over_classes(values: Array, each: Array) -> Array:
        found: Array = np.einsum("...id,...i->...d", values, each)
        return found

    expected = over_classes(hits, weights / tested)
    smooth = (hits + even) * (tested[..., None] + 1 - even - hits)
    errors = over_classes(smooth, weights**2 / (tested * (tested + 1) ** 2))
    stderr = np.sqrt(expected * (1 - expected) / total + errors)
    return expected, stderr, (counts / total - expected) / stderr


def _calibrated(
    counts: Array,
    total: Array,
    weights: Array,
    hits: Array,
    images: Array,
    random: np.random.Generator,
    draws: int,
) -> tuple[Array, Array]:
    """Of each class the p-value of |z| and its critical value, the largest over the truths that are tried.

    The arguments are as for `_difference`, of one draw.
    """
    found = np.abs(_difference(counts, total, weights, hits, images)[2])
    place = max(1, int(ALPHA / _comparisons(counts.shape[-2]) * (draws + 1) + 1e-9))
    share = (counts + 0.5) / (total + 1)
    step = np.sqrt(total * share * (1 - share))
    worst, critical = np.zeros(found.shape[:-1]), np.zeros(found.shape[:-1])
    for shift in SHIFTS:
        moved = np.clip(counts + shift * step, 0, total)
        rates, null_share = nearest_null(
            moved[..., 0], total[..., 0], weights, hits[..., 0], images[..., 0]
        )
        drawn = []
        for part in np.array_split(np.arange(draws), -(-draws * rates.size // CELLS)):
            # The draws last: one binomial after the other of the same parameters is twice as fast.
            again = random.binomial(images, rates[..., None], (*rates.shape, len(part)))
            count = random.binomial(total, null_share[..., None], (*found.shape[:-1], len(part)))
            drawn.append(np.abs(_difference(count, total, weights, again, images)[2]))
        null = np.concatenate(drawn, -1)
        # A tie counts against the alarm, whichever way rounding went.
        p = (1 + (null >= found * (1 - 1e-9)).sum(-1)) / (draws + 1)
        worst = np.maximum(worst, p)
        edge = np.partition(null, draws - place, axis=-1)[..., draws - place]
        critical = np.maximum(critical, edge)
    if counts.shape[-2] == 2:
        # The two are one comparison, drawn twice.
        worst[...], critical[...] = (v.max(-1, keepdims=True) for v in (worst, critical))
    return worst, critical


def nearest_null(
    counts: Array, total: Array, weights: Array, hits: Array, images: Array
) -> tuple[Array, Array]:
    """The likeliest rates c_i and share q with Σ_i π_i c_i = q, of binomial hits_i of images_i and count of total.

    The multiplier λ of the constraint gives each rate alone, as the root in [0, 1] of

        hits_i/c_i − (images_i − hits_i)/(1 − c_i) = λ π_i,    count/q − (total − count)/(1 − q) = −λ

    and Σ π_i c_i falls with λ while q rises: the λ where they meet is found by bisection.

    Args:
        counts: …×K.
        total: …×1.
        weights: the shares π, K.
        hits: …×K×K, the last axis over the true classes i.
        images: …×1×K.

    Returns:
        Rates …×K×K and shares …×K.

    Example:
        >>> rates, share = nearest_null(np.array([50]), np.array([100]), np.ones(1), np.array([[10]]), np.array([[100]]))
        >>> rates.round(4).tolist(), share.round(4).tolist()
        ([[0.3]], [0.3])
    """
    reach = 1e3 * (total + images.sum(-1)) / weights[weights > 0].min()
    high = np.arcsinh(np.broadcast_to(reach, counts.shape).astype(float))
    low = -high
    rates = share = np.zeros(0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        slope = np.sinh(middle)
        rates = _rate(hits, images, slope[..., None] * weights)
        share = _rate(counts, total, -slope)
        above = (weights * rates).sum(-1) > share
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return rates, share


def _rate(hits: Array, images: Array, slope: Array) -> Array:
    """The root c in [0, 1] of hits/c − (images − hits)/(1 − c) = slope, without cancellation."""
    middle = images + slope
    root = np.sqrt(np.maximum(middle**2 - 4 * slope * hits, 0))
    positive = middle >= 0
    below = np.where(positive, middle + root, 2 * slope)
    above = np.where(positive, 2 * hits, middle - root)
    return np.clip(np.divide(above, below, out=np.zeros(below.shape), where=below != 0), 0, 1)


def could_be_missing(
    counts: Array, training: Array, confusion: Array, random: np.random.Generator
) -> Array:
    """Classes of which the samples could have none at all, and `histogram_test` would not flag it.

    Each class is taken out in turn: the counts would then be those that the other classes' confusions give.
    """
    confusion, samples, classes = np.asarray(confusion), int(np.sum(counts)), len(training)
    training = np.asarray(training) / np.sum(training)
    images, hits = confusion.sum(-1), confusion.T
    others = (hits / np.maximum(images, 1)) * (training * (1 - np.eye(classes)))
    rest = np.maximum(1 - training, np.finfo(float).tiny)
    left = np.round(samples * np.minimum(others.sum(-1) / rest, 1)).astype(np.int64)
    total = np.full((1, 1), samples)
    given = left[:, None], total, training, hits[..., None], images[None, :, None]
    p, _ = _calibrated(*given, random, draws_for(classes))
    gone: Array = (p * _comparisons(classes) > ALPHA) & (training > 0)
    return gone


def unmix(counts: Array, confusion: Array, tolerance: float = 1e-12) -> Array:
    """The shares w ≥ 0, Σw = 1, that maximise Σ_k n_k log (wĈ)_k: what the classifier was shown.

    Expectation maximisation for the weights of a mixture of known components; it
    stays on the simplex, and ends when the log-likelihood an image can rise by no
    more than ``tolerance`` nats. Equal shares where no prediction is one that was
    ever made in the classifier's test.
    """
    confusion = np.asarray(confusion)
    channel = confusion / np.maximum(confusion.sum(-1, keepdims=True), 1)
    # Predictions that no class explains say nothing about the shares.
    counts = np.where(channel.sum(0) > 0, counts, 0)
    shares = np.full(len(counts), 1 / len(counts))
    if not counts.any():
        return shares
    found = counts / counts.sum()
    for _ in range(10_000):
        mixed = shares @ channel
        rise = channel @ np.divide(found, mixed, out=np.zeros_like(found), where=mixed > 0)
        shares = shares * rise
        if rise.max() <= 1 + tolerance:
            break
    return shares


def marks(test: HistogramTest, training: Array, shares: Array) -> list[str]:
    """``over``, ``under``, ``missing`` or nothing for each class; ``shares`` are the un-mixed ones.

    A class is missing if it is under-represented and its un-mixed share is below a
    tenth of its training share.
    """
    gone = shares < MISSING * np.asarray(training) / np.sum(training)
    signs = np.where(test.z > 0, "over", np.where(gone, "missing", "under"))
    return [str(sign) if flag else "" for sign, flag in zip(signs, test.flagged, strict=True)]


def verdict(
    classes: tuple[str, ...],
    test: HistogramTest,
    marked: list[str],
    unseen: Array,
    judging: Array,
) -> str:
    """The finding in words, in each list the class first whose share is off by the largest factor.

    ``unseen`` are the classes that could be missing unnoticed, ``judging`` the test images of each class: where no
    class is flagged, what that is worth is said.
    """
    words = {"over": "over-represented", "under": "under-represented", "missing": "missing"}
    least = np.finfo(float).tiny
    seen, due = (np.log(np.maximum(v, least)) for v in (test.predicted, test.expected))
    order = np.argsort(-np.abs(seen - due), kind="stable")
    said = [
        f"{_listed([classes[k] for k in order if marked[k] == mark])} {word}"
        for mark, word in words.items()
        if mark in marked
    ]
    if said:
        return ", ".join(said)
    blind = [name for name, hidden in zip(classes, unseen, strict=True) if hidden]
    if len(blind) == len(classes):
        low, high = (f"{int(count):,}" for count in (judging.min(), judging.max()))
        few = low if low == high else f"{low} to {high}"
        return (
            f"nothing can be said of the classes: {few} test images of each judge the classifier, "
            "with which not even a missing class would be noticed"
        )
    nothing = (
        f"no class differs from the training shares by more than the errors (p = {test.p:.2g})"
    )
    if not blind:
        return nothing
    return f"{nothing}; were {_listed(blind, 'or')} missing, it could go unnoticed"


def _listed(names: list[str], last: str = "and") -> str:
    if len(names) > LISTED:
        names = [*names[: LISTED - 1], f"{len(names) - LISTED + 1} others"]
    return f" {last} ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
