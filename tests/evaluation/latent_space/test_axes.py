"""Axes against random directions: the level of the tests by simulation, and what is said of them."""

import numpy as np
import pytest
import torch
from scipy import stats

from triptych.evaluation.latent_space.axes import (
    Comparison,
    axes_sentence,
    compare,
    converged,
    converged_sentence,
    least_share,
)
from triptych.evaluation.latent_space.shifts import Start, start
from triptych.evaluation.statistics import holm


def test_an_axis_is_judged_by_its_rank_or_beyond_the_ranks_by_the_tail():
    draw = np.random.default_rng(0)
    random, axes = draw.normal(5, 2, 200), np.array([5.1, 4.0, -20.0, 25.0])
    found = compare(axes, random)
    tails = []
    for side, far in ((random, 25.0), (-random, 20.0)):
        u, *highest = sorted(side)[-21:]
        mean = np.mean(highest) - u
        tails.append(21 / 201 * stats.f.sf((far - u) / mean, 2, 40))
    above = [(1 + sum(side >= x)) / 201 for side, x in ((random, 5.1), (-random, -4.0))]
    assert found.p == pytest.approx(holm([2 * p for p in (*above, *reversed(tails))]))
    assert found.special == [2, 3]
    assert found.z[3] == pytest.approx((25 - random.mean()) / random.std(ddof=1))
    low, high = np.percentile(random, [2.5, 97.5])
    assert found.outside == sum(not low <= a <= high for a in axes)
    assert found.overall == pytest.approx(2 * min(found.together, found.p[3]))


@pytest.mark.parametrize("kind", ["exponential", "normal", "bounded below"])
def test_the_tail_is_exact_for_an_exponential_and_not_too_small_for_a_lighter_one(kind):
    """How often 100 axes that are one more sample give any corrected p below 5 %, 400 times."""
    draw, found = np.random.default_rng(0), []
    for _ in range(400):
        x = draw.exponential(size=300) if kind == "exponential" else draw.normal(size=300)
        x = np.sqrt(5 + x**2) if kind == "bounded below" else x
        found.append(compare(x[:100], x[100:]).p.min() < 0.05)
    assert np.mean(found) <= stats.binom.ppf(0.999, 400, 0.05) / 400
    if kind == "exponential":
        # The lower tail of an exponential ends: only the upper half of 5 % is left, less the union bound.
        assert np.mean(found) > 0.005


def test_axes_that_are_all_a_little_farther_out_are_special_together():
    draw = np.random.default_rng(0)
    random, wide, narrow = (draw.normal(0, s, n) for s, n in ((1, 200), (2, 60), (0.3, 60)))
    assert compare(wide, random).together < 1e-3
    assert compare(np.full(60, 1.5), random).together < 1e-3
    assert compare(narrow, random).overall > 0.9, "more alike than chance is not special"


def test_measures_that_never_vary_find_nothing():
    found = compare(np.zeros(5), np.zeros(200))
    assert found.overall == 1 and found.special == [] and (found.z == 0).all()


MIXED = Start(40, 1.0, 3, 0.2)
"""Forty samples, a fifth of them in the commonest class."""


def test_samples_converge_by_class_or_without_one_by_lost_diversity():
    by_class = {"share@100": np.array([0.95, 0.9]), "diversity@100": np.array([0.5, 0.01])}
    assert converged(by_class, 100, MIXED).tolist() == [True, False]
    by_pictures = {"diversity@100": np.array([0.5, 0.01])}
    assert converged(by_pictures, 100, Start(40, 1.0)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("before", "flags"),
    [
        (0.2, [True, True, False]),
        # 40 of 40 are more than 32 of them, 37 are not: Fisher's p is 0.003 and 0.08.
        (0.8, [True, False, False]),
        (0.9, [False, False, False]),
        (1.0, [False, False, False]),
    ],
)
def test_samples_that_were_of_one_class_before_converge_nowhere(before, flags):
    """A generator of noise, all of which a classifier takes for one digit."""
    shares = {"share@100": np.array([1.0, 0.925, 0.9], dtype=np.float32)}
    assert converged(shares, 100, Start(40, 1.0, 3, before)).tolist() == flags
    said = converged_sentence(np.ones(3, bool), np.ones(9, bool), "w", Start(40, 1.0, 3, before))
    assert said.startswith("Nothing follows") == (before >= 0.9)


def test_the_least_share_is_the_first_that_fisher_calls_more():
    from scipy.stats import fisher_exact

    for count in (4, 20, 33, 35):
        least = round(40 * (least_share(Start(40, 1.0, 0, count / 40)) or 99))
        p = [
            fisher_exact([[k, 40 - k], [count, 40 - count]], alternative="greater").pvalue
            for k in range(41)
        ]
        assert p[least] < 0.05 <= p[least - 1]


def test_the_start_counts_classes_and_measures_how_far_samples_are_apart():
    real = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    # A quarter of the distance, and three of four in the second class.
    made = torch.tensor([0.5, 0.5, 0.75, 0.75]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    found = start(made, real, lambda images: logits)
    assert found == Start(4, pytest.approx(0.25), 1, 0.75)
    assert start(made, real) == Start(4, pytest.approx(0.25))


def test_the_reference_finding_is_put_to_the_test_whichever_way_it_goes():
    def many(true: int, of: int) -> np.ndarray:
        return np.arange(of) < true

    said = converged_sentence(many(97, 100), many(190, 200), "w", MIXED)
    assert "along 97 of 100 coordinates and along 190 of 200 random directions" in said
    assert said.endswith("is undecided; 96% of all directions do it.")
    said = converged_sentence(many(97, 100), many(20, 200), "w", MIXED)
    assert "p < 0.001" in said and said.endswith("more often than random directions.")
    assert converged_sentence(many(20, 100), many(190, 200), "w", MIXED).endswith(
        "less often than random directions."
    )
    assert "hardly any direction" in converged_sentence(many(1, 100), many(3, 200), "w", MIXED)


def beyond(far, together=0.5, count=100):
    """A measure in which these axes, index → z, differ from random directions."""
    z, p = np.zeros(count), np.ones(count)
    for axis, distance in far.items():
        z[axis], p[axis] = distance, 1e-6
    return Comparison(z, p, together, min(1.0, 2 * min(together, p.min())), len(far))


NOTHING = beyond({})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"brightness": beyond({7: -12.0}), "contrast": NOTHING},
            "1 of 100 latent coordinates is special: it differs from 200 random directions by more than chance in 1 of "
            "2 measures. Against those, the change of brightness is lower along coordinate 7 (corrected p < 0.001).",
        ),
        (
            {"movement@10": beyond({3: 9.0, 7: 12.0, 5: -4.0}), "stroke": beyond({7: 8.0})},
            "3 of 100 latent coordinates are special: they differ from 200 random directions by more than chance in 2 of "
            "2 measures. Against those, the movement of the image at ε = 10 is higher along coordinates 7, 3 and lower "
            "along coordinate 5 (corrected p < 0.001); the change of stroke is higher along coordinate 7 (corrected p "
            "< 0.001).",
        ),
        (
            {"hue": beyond({}, together=0.005)},
            "The 100 latent coordinates are special together, and none by itself: they differ from 200 random directions "
            "by more than chance in 1 of 1 measures. Against those, the change of hue is farther from the usual along the "
            "coordinates together, along no single one (corrected p = 0.01).",
        ),
        (
            {"hue": beyond({axis: 9.0 - axis for axis in range(7)})},
            "7 of 100 latent coordinates are special: they differ from 200 random directions by more than chance in 1 of "
            "1 measures. Against those, the change of hue is higher along coordinates 0, 1, 2, 3, 4 and 2 more (corrected "
            "p < 0.001).",
        ),
    ],
)
def test_as_many_axes_are_called_special_as_are_and_on_their_side(found, said):
    assert axes_sentence(found) == said
