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
    "histogram_test",
    "marks",
    "unmix",
    "verdict",
]

Array = npt.NDArray[Any]

DRAWS = 1999
"""Bootstrap draws; with one more, the share ALPHA of them is a whole number, so the level is exact."""

CELLS = 1_000_000
"""Numbers of redrawn confusion matrices held at once."""

ALPHA = 0.05
"""Chance that any class at all is flagged where every class has its share."""

MISSING = 0.1
"""Un-mixed share over training share below which an under-represented class is called missing."""

LISTED = 6
"""Classes that a verdict names in one list."""


@dataclass(frozen=True)
class HistogramTest:
    """What `histogram_test` finds: K values each, shares in [0, 1], and two numbers for all classes.

    ``predicted`` is n/N and ``expected`` πĈ; ``stderr`` is that of their
    difference and ``z`` the difference in it; ``adjusted`` are p-values of single
    classes, adjusted for there being K; ``p`` is that of the whole histogram, the
    least of them; ``critical`` is the |z| beyond which a class is flagged.
    """

    predicted: Array
    expected: Array
    stderr: Array
    z: Array
    adjusted: Array
    p: float
    critical: float

    @property
    def flagged(self) -> Array:
        """Which classes differ: adjusted p at most ALPHA."""
        return self.adjusted <= ALPHA


def _differences(counts: Array, training: Array, confusion: Array) -> tuple[Array, Array, Array]:
    """πĈ, the standard error of n/N − πĈ and their ratio z; any leading axes.

        se_k² = q_k(1−q_k)/N + Σ_i π_i² C̃_ik(1−C̃_ik)/m_i,   q = πĈ,   m_i test images of class i

    C̃ has one image more in each row, spread evenly: a class that the classifier
    never named in its test is not known to be one that it never names.
    """
    images = np.maximum(confusion.sum(-1, keepdims=True), 1)
    drawn, classes = counts.sum(-1, keepdims=True), confusion.shape[-1]
    expected = np.einsum("i,...ik->...k", training, confusion / images)
    smooth = (confusion + 1 / classes) / (images + 1)
    errors = np.einsum("i,...ik->...k", training**2, smooth * (1 - smooth) / images)
    stderr = np.sqrt(expected * (1 - expected) / drawn + errors)
    return expected, stderr, (counts / drawn - expected) / stderr


def histogram_test(
    counts: Array,
    training: Array,
    confusion: Array,
    random: np.random.Generator,
    draws: int = DRAWS,
) -> HistogramTest:
    """Test that predicted counts follow π·C, C itself being known from a test only (max-T bootstrap).

    Under the null n ~ Multinomial(N, πC). Each draw of the parametric bootstrap
    takes Ĉ for the truth, measures a confusion C* anew and counts n* from πĈ;
    max_k |z*_k| over the draws calibrates every |z_k|, so that ALPHA is the chance
    of flagging any class (Westfall and Young 1993, single-step max-T). Both the
    sampling error of C and the dependence between classes are in it.

    Args:
        counts: images predicted to be of each class, K counts.
        training: images of each class in the training data, K counts or shares.
        confusion: test images by true class (rows) and prediction, K×K counts.
        random: where the bootstrap's numbers come from.
        draws: of the bootstrap; ALPHA · (draws + 1) should be whole.

    Raises:
        TriptychError: a class of the training data is not in the classifier's test.
    """
    counts, confusion = np.asarray(counts), np.asarray(confusion)
    training = np.asarray(training) / np.sum(training)
    images = confusion.sum(-1)
    if len(unseen := np.flatnonzero((images == 0) & (training > 0))):
        raise TriptychError(
            f"the classifier's test has no image of class number {unseen[0]}, so nothing is known "
            "of how that class is recognised; evaluate on a split that has every class"
        )
    expected, stderr, z = _differences(counts, training, confusion)
    largest = np.sort(_null_maxima(int(counts.sum()), training, confusion, random, draws))
    adjusted = (1 + draws - np.searchsorted(largest, np.abs(z))) / (draws + 1)
    critical = float(largest[-max(1, round(ALPHA * (draws + 1)))])
    predicted = counts / counts.sum()
    return HistogramTest(predicted, expected, stderr, z, adjusted, float(adjusted.min()), critical)


def _null_maxima(
    samples: int, training: Array, confusion: Array, random: np.random.Generator, draws: int
) -> Array:
    """max_k |z*_k| of every bootstrap draw, in bounded memory."""
    images = confusion.sum(-1)
    channel = confusion / np.maximum(images, 1)[:, None]
    maxima = []
    for part in np.array_split(np.arange(draws), -(-draws * channel.size // CELLS)):
        counts = random.multinomial(samples, training @ channel, size=len(part))
        again = random.multinomial(images, channel, size=(len(part), len(images)))
        maxima.append(np.abs(_differences(counts, training, again)[2]).max(-1))
    return np.concatenate(maxima)


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


def verdict(classes: tuple[str, ...], test: HistogramTest, marked: list[str]) -> str:
    """The finding in words, in each list the class first whose share is off by the largest factor."""
    words = {"over": "over-represented", "under": "under-represented", "missing": "missing"}
    least = np.finfo(float).tiny
    seen, due = (np.log(np.maximum(v, least)) for v in (test.predicted, test.expected))
    order = np.argsort(-np.abs(seen - due), kind="stable")
    said = [
        f"{_listed([classes[k] for k in order if marked[k] == mark])} {word}"
        for mark, word in words.items()
        if mark in marked
    ]
    return ", ".join(said) or f"no class differs from the training shares (p = {test.p:.2g})"


def _listed(names: list[str]) -> str:
    if len(names) > LISTED:
        names = [*names[: LISTED - 1], f"{len(names) - LISTED + 1} others"]
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
