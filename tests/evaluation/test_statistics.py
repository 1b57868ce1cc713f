"""Student's paired interval against scipy, Holm's correction against the definition and by hand."""

import json
import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from triptych.errors import TriptychError
from triptych.evaluation.statistics import holm, paired_t


@pytest.mark.parametrize("n", [2, 3, 256])
@pytest.mark.parametrize("shift", [0.0, -0.7, 5.0])
def test_the_interval_and_p_are_those_of_scipy(n: int, shift: float):
    draw = np.random.default_rng(n)
    a, b = draw.normal(shift, 1, n), draw.normal(0, 2, n)
    found = paired_t(a - b)
    wanted = ttest_rel(a, b)
    interval = wanted.confidence_interval(0.95)
    assert found.n == n
    assert found.mean == pytest.approx((a - b).mean(), rel=1e-12)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean / found.stderr == pytest.approx(wanted.statistic, rel=1e-9)


def test_another_confidence_is_the_one_of_scipy():
    d = np.random.default_rng(0).normal(size=12)
    interval = ttest_rel(d, np.zeros(12)).confidence_interval(0.8)
    found = paired_t(d, confidence=0.8)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_three_seeds_by_hand():
    """t of 2 degrees of freedom has the closed form F(t) = ½ + t / (2√(2 + t²))."""
    found = paired_t([1.0, 2.0, 6.0])
    stderr = math.sqrt(7 / 3)
    t = 3 / stderr
    quantile = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert found.stderr == pytest.approx(stderr)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert found.high - found.mean == pytest.approx(quantile * stderr)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.25, 0.125), (0.1, 0.125)])
def test_equal_differences_have_no_spread(value: float, p: float):
    found = paired_t([value] * 4)
    assert found == (4, value, 0.0, value, value, p)
    json.dumps(found._asdict(), allow_nan=False)


@pytest.mark.parametrize("differences", [[], [1.0]])
def test_one_pair_is_no_comparison(differences: list[float]):
    with pytest.raises(
        TriptychError, match=f"needs two pairs or more; there are {len(differences)}"
    ):
        paired_t(differences)


def test_holm_by_hand():
    """m = 4, sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, then made monotone."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one_and_keeps_ties_equal():
    assert holm([0.5, 0.5, 0.9]) == [1.0, 1.0, 1.0]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


def test_rejections_are_those_of_holms_procedure():
    """The step-down procedure as he states it: compare p₍ᵢ₎ with α/(m − i + 1), stop at the first above."""
    draw = np.random.default_rng(1)
    for _ in range(200):
        p = draw.uniform(0, 0.1, 6)
        rejected = np.zeros(6, bool)
        for i, j in enumerate(p.argsort()):
            if p[j] > 0.05 / (6 - i):
                break
            rejected[j] = True
        assert (np.array(holm(p)) <= 0.05).tolist() == rejected.tolist()
