"""The verdict on projections whose fate is known, because they were made so.

Its thresholds come from the runs of tuning_runs.json, and were not changed for any case here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from triptych.evaluation.representation.geometry import effective_rank, unit_std
from triptych.evaluation.representation.verdict import Evidence, Gain, Name, judge

LEARNED = Gain(0.5, 0.3, 1000)
LEARNED_PAIRED = Gain(0.32, 0.3, 2000, better=100, worse=60)
IDLE = Gain(0.31, 0.3, 1000)
IDLE_PAIRED = Gain(0.305, 0.3, 2000, better=90, worse=80)
WORSE = Gain(0.2, 0.3, 1000)
FOUND = Gain(0.2, 0.01, 1000)
NOT_FOUND = Gain(0.012, 0.01, 1000)


@dataclass(frozen=True)
class Planted:
    """A case, what it is to be called, and what is known about it."""

    name: str
    expected: Name
    evidence: Evidence


def case(name: str, expected: Name, z: Tensor, **known: object) -> Planted:
    """The measures of z, and around them an ordinary run's numbers where no others are given."""
    evidence = Evidence(unit_std(z), effective_rank(z), z.shape[1], len(z), step=5000)
    ordinary = {"cosine": 0.9, "untrained_rank": 8.0, **known}
    return Planted(name, expected, dataclasses.replace(evidence, **ordinary))


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy(z: Tensor, size: float, seed: int = 1) -> Tensor:
    """z plus noise whose length is ``size`` times the length of a row of z, on average."""
    length = z.square().sum(1).mean().sqrt()
    return z + size * length * normal(*z.shape, seed) / math.sqrt(z.shape[1])


def signs(n: int, share: float) -> Tensor:
    """+1 for a share of n rows and −1 for the others."""
    return torch.where(torch.arange(n) < share * n, 1.0, -1.0).double()[:, None]


def one_direction(d: int, even: bool) -> Tensor:
    u = normal(1, d, seed=7)
    return u.sign() if even else u


def power_law(n: int, d: int, exponent: float) -> Tensor:
    """Variances i^−exponent along d axes that are not the coordinates'."""
    turn, _ = torch.linalg.qr(normal(d, d, seed=5))
    return (normal(n, d) * torch.arange(1, d + 1).double() ** (-exponent / 2)) @ turn


def directions(n: int, d: int, k: int) -> Tensor:
    """Evenly spread in k of d dimensions."""
    turn, _ = torch.linalg.qr(normal(d, k, seed=5))
    return normal(n, k) @ turn.T


def clusters(n: int, d: int, k: int) -> Tensor:
    """k classes, each nearly a point."""
    centres = normal(k, d, seed=5)
    return noisy(centres[torch.arange(n) % k], 0.2)


def healthy() -> Iterator[Planted]:
    known: dict[str, dict[str, object]] = {
        "labels": {"knn": LEARNED, "retrieval": NOT_FOUND},
        "paired labels": {"knn": LEARNED_PAIRED, "cosine": 0.55},
        "no labels": {"retrieval": FOUND, "cosine": None},
    }
    for n, d in ((100, 512), (300, 64), (300, 128)):
        for words, facts in known.items():
            yield case(f"even, {n}×{d}, {words}", "healthy", normal(n, d), **facts)
    for exponent in (0.5, 1, 1.5, 2):
        for d in (64, 128):
            z = power_law(300, d, exponent)
            yield case(f"variances i^−{exponent}, {d}", "healthy", z, knn=LEARNED)
    for k in (4, 10, 100):
        yield case(f"{k} classes", "healthy", clusters(300, 128, k), knn=LEARNED)
    for agreement in (0.1, 0.3, 0.5):
        # Negatives, decorrelation or a prior keep the looks at an image from being the same.
        words = f"agreement of {agreement} is weighed against something else"
        weighed = {"cosine": agreement, "only_agrees": False}
        yield case(words, "healthy", normal(300, 128), knn=LEARNED, **weighed)
    offset = normal(300, 128) + 0.8
    yield case("a common direction beside it", "healthy", offset, knn=LEARNED, backbone_rank=5.0)
    near = normal(300, 128) + 3
    yield case("near one point, but told apart", "healthy", near, knn=LEARNED)
    # Fewer directions than untrained, all of them used.
    yield case("3 useful directions", "healthy", directions(300, 128, 3), knn=LEARNED)
    yield case("nothing to compare with", "healthy", normal(300, 64), untrained_rank=None)
    yield case("20 images", "healthy", normal(20, 512), knn=Gain(0.9, 0.3, 20))


def complete_collapse() -> Iterator[Planted]:
    for size in (0, 1e-6, 1e-3, 0.02, 0.08):
        for d in (32, 512):
            z = noisy(one_direction(d, even=False).expand(500, -1), size)
            yield case(f"one point ± {size}, {d}", "complete collapse", z, knn=IDLE)
    point = noisy(one_direction(128, even=True).expand(500, -1), 0.01)
    yield case("one point of float32", "complete collapse", point.float(), retrieval=NOT_FOUND)
    yield case("one point, nothing known", "complete collapse", point, cosine=None)
    yield case("one point, neighbours know", "complete collapse", point, knn=LEARNED)
    scaled = point * normal(500, 1).abs()
    yield case("one direction, any length", "complete collapse", scaled, knn=IDLE)
    yield case("dead units", "complete collapse", torch.zeros(300, 64), cosine=0.0, knn=WORSE)
    yield case("10 images", "complete collapse", point[:10], knn=Gain(0.4, 0.3, 10))


def dimensional_collapse() -> Iterator[Planted]:
    for size in (0, 0.05, 0.1, 0.3):
        for even in (True, False):
            z = noisy(signs(500, 0.5) * one_direction(128, even), size)
            words = f"±u {'even' if even else 'any'}, noise {size}"
            yield case(words, "dimensional collapse", z, knn=IDLE)
    line = one_direction(512, even=True)
    unlike = signs(500, 0.9) * line
    yield case("±u, 9 to 1", "dimensional collapse", unlike, knn=IDLE_PAIRED)
    yield case("±u, neighbours know", "dimensional collapse", unlike, knn=LEARNED)
    yield case("±u, nothing known", "dimensional collapse", unlike, cosine=None)
    yield case("±u, no labels", "dimensional collapse", unlike, retrieval=NOT_FOUND)
    yield case("±u, 12 images", "dimensional collapse", signs(12, 0.5) * line, knn=LEARNED)
    for k in (2, 3, 4):
        z = directions(300, 128, k)
        yield case(
            f"{k} directions, of 13", "dimensional collapse", z, untrained_rank=13.0, knn=IDLE
        )
        yield case(
            f"{k} directions, of 10",
            "dimensional collapse",
            z,
            untrained_rank=10.0,
            retrieval=NOT_FOUND,
        )
    for words, known in (
        ("agreed on, neighbours know", {"cosine": 0.84, "knn": LEARNED}),
        ("not agreed on, neighbours do not", {"cosine": 0.3, "knn": IDLE}),
    ):
        yield case(f"±u, {words}", "dimensional collapse", unlike, only_agrees=False, **known)
    narrow = normal(300, 128)
    yield case("a backbone of one", "dimensional collapse", narrow, knn=WORSE, backbone_rank=1.2)


def not_learning() -> Iterator[Planted]:
    spread = normal(300, 128)
    for words, gain in (("no better", IDLE), ("pairs no better", IDLE_PAIRED), ("worse", WORSE)):
        for step in (200, 5000):
            z = power_law(300, 128, 1)
            yield case(f"{words} at {step}", "not learning", z, knn=gain, step=step)
    yield case("labels decide", "not learning", spread, knn=IDLE, retrieval=FOUND)
    yield case("no labels", "not learning", spread, retrieval=NOT_FOUND)
    untrained = noisy(power_law(300, 128, 2), 0.1) + power_law(1, 128, 2)
    yield case("as untrained", "not learning", untrained, cosine=0.1, knn=IDLE)
    yield case("6 directions, of 8", "not learning", directions(300, 128, 6), knn=IDLE)
    # What a fixed random predictor leads to: as narrow as a collapse, and no agreement.
    for size in (0.05, 0.3, 0.6):
        for agreement in (0.17, 0.31):
            z = noisy(signs(500, 0.7) * one_direction(512, even=False), size)
            words = f"narrow ± {size}, agree {agreement}"
            yield case(words, "not learning", z, cosine=agreement, knn=LEARNED_PAIRED)


def undecided() -> Iterator[Planted]:
    few = Gain(0.5, 0.3, 20)
    yield case("better, of 20", "undecided", normal(300, 128), knn=few)
    line = noisy(signs(500, 0.7) * one_direction(512, even=False), 0.3)
    for words, known in (
        ("predictions on their way", {"cosine": 0.56}),
        ("nobody knows how far they agree", {"cosine": None}),
        ("views that do not agree closely", {"cosine": 0.3, "only_agrees": False}),
    ):
        yield case(f"a line, {words}", "undecided", line, knn=LEARNED, **known)


def diverged() -> Iterator[Planted]:
    z = normal(300, 64)
    yield case("a loss was not finite", "diverged", z, finite=False, knn=LEARNED)
    for bad in (math.nan, math.inf):
        yield case(f"a feature is {bad}", "diverged", torch.where(z > 3, bad, z))
    yield case("all are nan", "diverged", torch.full((50, 8), math.nan), cosine=None)


PLANTED = [
    one
    for kind in (
        healthy,
        complete_collapse,
        dimensional_collapse,
        not_learning,
        undecided,
        diverged,
    )
    for one in kind()
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_the_verdict_on_what_was_planted(planted: Planted):
    assert judge(planted.evidence).name == planted.expected


def test_there_are_enough_of_them():
    assert len({one.name for one in PLANTED}) == len(PLANTED) >= 60
