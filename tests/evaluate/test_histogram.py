"""The class-histogram test: its level and power by simulation, and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from triptych.errors import TriptychError
from triptych.evaluate.histogram import (
    HistogramTest,
    histogram_test,
    marks,
    unmix,
    verdict,
)

N = 10_000
UNIFORM = np.full(10, 0.1)
HOUSE_NUMBERS = np.array([6.4, 18.9, 14.4, 11.6, 10.2, 9.4, 7.8, 7.6, 6.9, 6.4]) / 99.6


def even(accuracy: float, classes: int = 10) -> np.ndarray:
    """Every error equally likely."""
    channel = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    np.fill_diagonal(channel, accuracy)
    return channel


def lumpy(accuracy: float, classes: int = 10) -> np.ndarray:
    """Errors that prefer a few classes, and classes that differ in how many they have."""
    draw = np.random.default_rng(0)
    channel = np.zeros((classes, classes))
    for i, errors in enumerate((1 - accuracy) * draw.uniform(0.3, 1.7, classes)):
        channel[i, np.arange(classes) != i] = errors * draw.dirichlet(np.full(classes - 1, 0.3))
        channel[i, i] = 1 - errors
    return channel


def trials(training, channel, images: int, shares, count: int, draws: int = 99):
    """Tests of samples with the given shares, the confusion measured anew for each."""
    random = np.random.default_rng(1)
    rows = np.round(training * images).astype(int)
    for _ in range(count):
        confusion = random.multinomial(rows, channel)
        counts = random.multinomial(N, shares @ channel)
        yield histogram_test(counts, training, confusion, random, draws)


@pytest.mark.parametrize(
    ("training", "channel", "images"),
    [(UNIFORM, even(0.92), 10_000), (HOUSE_NUMBERS, lumpy(0.92), 1500)],
    ids=["uniform", "house numbers"],
)
def test_false_alarms_come_at_their_level(training, channel, images: int):
    found = list(trials(training, channel, images, training, 2000))
    assert 0.035 <= np.mean([test.flagged.any() for test in found]) <= 0.065
    differences = np.array([test.predicted - test.expected for test in found])
    stderr = np.array([test.stderr for test in found])
    assert differences.std(0) == pytest.approx(np.sqrt((stderr**2).mean(0)), rel=0.07)
    # The confusion's share of the variance is what this test is about: it must not be small here.
    alone = np.sqrt(training @ channel * (1 - training @ channel) / N)
    assert (stderr.mean(0) > 1.05 * alone).all()


@pytest.mark.parametrize("images", [1500, 10_000])
def test_a_class_at_four_fifths_of_its_share_is_found(images: int):
    shares = np.full(10, (1 - 0.08) / 9)
    shares[3] = 0.08
    found = trials(UNIFORM, even(0.92), images, shares, 500)
    assert np.mean([test.flagged[3] and test.z[3] < 0 for test in found]) >= 0.9


def test_the_difference_and_its_error_are_those_of_plain_loops():
    random = np.random.default_rng(3)
    training, confusion = np.array([500, 300, 200]), random.integers(1, 40, (3, 3))
    counts = np.array([4800, 3100, 2100])
    test = histogram_test(counts, training, confusion, random)
    for k in range(3):
        expected = variance = 0.0
        for i in range(3):
            share, images = training[i] / 1000, confusion[i].sum()
            expected += share * confusion[i, k] / images
            rate = (confusion[i, k] + 1 / 3) / (images + 1)
            variance += share**2 * rate * (1 - rate) / images
        variance += expected * (1 - expected) / 10_000
        assert test.expected[k] == pytest.approx(expected, rel=1e-12)
        assert test.stderr[k] == pytest.approx(math.sqrt(variance), rel=1e-12)
        assert test.z[k] == pytest.approx(
            (counts[k] / 10_000 - expected) / math.sqrt(variance), rel=1e-9
        )


def test_a_perfect_classifier_leaves_the_multinomial_test():
    training = np.array([0.5, 0.3, 0.2])
    counts = np.array([5080, 2950, 1970])
    perfect = np.diag([10**12] * 3)
    test = histogram_test(counts, training, perfect, np.random.default_rng(0))
    assert test.z == pytest.approx(
        (counts - N * training) / np.sqrt(N * training * (1 - training)), rel=1e-6
    )


def test_the_p_value_of_two_classes_is_the_exact_binomial_one():
    """With two classes |z| is the same for both, and a perfect classifier leaves n ~ Binomial(N, π)."""
    counts, draws = np.array([3080, 6920]), 39_999
    perfect = np.diag([10**12] * 2)
    test = histogram_test(counts, np.array([0.3, 0.7]), perfect, np.random.default_rng(0), draws)
    exact = stats.binom.cdf(2920, N, 0.3) + stats.binom.sf(3079, N, 0.3)
    assert test.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / draws))
    assert test.adjusted[0] == test.adjusted[1] == test.p


def test_a_class_is_flagged_beyond_the_critical_value_only():
    flags = set()
    for test in trials(UNIFORM, even(0.8), 1500, HOUSE_NUMBERS * 0.3 + UNIFORM * 0.7, 40):
        assert test.flagged.tolist() == (np.abs(test.z) > test.critical).tolist()
        assert test.p == test.adjusted.min()
        flags |= set(test.flagged.tolist())
    assert flags == {True, False}


def test_one_image_of_a_class_that_the_classifier_never_named_is_no_alarm():
    confusion = np.array([[100, 0, 0], [0, 100, 0], [2, 3, 0]])
    training = np.array([0.495, 0.495, 0.01])
    counts = np.array([4985, 5014, 1])
    test = histogram_test(counts, training, confusion, np.random.default_rng(0))
    assert test.expected[2] == 0 < test.z[2] < test.critical
    assert not test.flagged.any()
    counts = np.array([4485, 4515, 1000])
    assert histogram_test(counts, training, confusion, np.random.default_rng(0)).flagged[2]


def test_a_class_without_test_images_is_an_error():
    confusion = np.diag([50, 0, 50])
    counts, random = np.array([50, 1, 49]), np.random.default_rng(0)
    with pytest.raises(TriptychError, match="no image of class number 1"):
        histogram_test(counts, np.array([1, 1, 1]), confusion, random)
    counts, training = np.array([50, 0, 50]), np.array([1, 0, 1])
    assert not histogram_test(counts, training, confusion, random).flagged.any()


@pytest.mark.parametrize("channel", [even(0.92), lumpy(0.7)], ids=["even", "lumpy"])
def test_unmixing_recovers_planted_shares(channel):
    confusion = np.round(channel * 10**9)
    shares = HOUSE_NUMBERS.copy()
    assert unmix(shares @ confusion, confusion) == pytest.approx(shares, abs=1e-6)
    shares[[0, 4]] = 0
    shares /= shares.sum()
    assert unmix(shares @ confusion, confusion) == pytest.approx(shares, abs=1e-4)


def test_unmixed_shares_are_the_likeliest_of_the_simplex():
    """Karush-Kuhn-Tucker: no class left out would raise the likelihood, all others are level."""
    random = np.random.default_rng(5)
    left_out = 0
    for _ in range(30):
        confusion = random.multinomial(np.full(6, 80), lumpy(0.75, 6))
        counts = random.multinomial(1000, random.dirichlet(np.full(6, 0.5)))
        shares = unmix(counts, confusion)
        channel = confusion / 80
        mixed = shares @ channel
        found = np.where(channel.sum(0) > 0, counts, 0)
        slope = channel[:, mixed > 0] @ (found[mixed > 0] / found.sum() / mixed[mixed > 0])
        assert shares.min() >= 0 and shares.sum() == pytest.approx(1)
        assert slope.max() <= 1 + 1e-6
        assert slope[shares > 1e-3] == pytest.approx(1, abs=1e-6)
        left_out += (shares < 1e-9).sum()
    assert left_out > 0


def test_predictions_that_no_class_explains_are_left_out():
    confusion = np.array([[90, 10, 0], [20, 80, 0], [30, 70, 0]])
    assert unmix(np.array([900, 100, 17]), confusion) == pytest.approx([1, 0, 0], abs=1e-4)
    assert unmix(np.array([0, 0, 17]), confusion).tolist() == [1 / 3] * 3


NAMES = tuple("0123456789")


def planted(shares: dict[int, float], images: int = 26_032) -> str:
    """The verdict on samples with some classes at given multiples of an equal share."""
    training = np.full(10, 700)
    wanted = np.array([shares.get(k, 1.0) for k in range(10)]) / 10
    rest = [k for k in range(10) if k not in shares]
    wanted[rest] = (1 - sum(wanted[k] for k in shares)) / max(1, len(rest))
    confusion = np.round(even(0.92) * images / 10).astype(int)
    counts = np.round(N * wanted @ even(0.92)).astype(int)
    test = histogram_test(counts, training, confusion, np.random.default_rng(0))
    return verdict(NAMES, test, marks(test, training, unmix(counts, confusion)))


def test_the_verdict_names_what_is_off_the_furthest_first():
    assert planted({}).startswith("no class differs from the training shares (p = ")
    assert planted({5: 1.7, 2: 1.3, 1: 0.02}) == "5 and 2 over-represented, 1 missing"
    assert planted({2: 1.6, 5: 2.5, 1: 0.02, 7: 0.3, 9: 0.58}) == (
        "5 and 2 over-represented, 7 and 9 under-represented, 1 missing"
    )
    assert planted({4: 0.8}) == "4 under-represented"


def test_missing_is_less_than_a_tenth_of_the_share():
    assert planted({4: 0.12, 8: 1.3}) == "8 over-represented, 4 under-represented"
    assert planted({4: 0.08, 8: 1.3}) == "8 over-represented, 4 missing"


def test_a_long_list_is_cut():
    shares = {k: 1.5 + k / 100 for k in range(7)}
    assert planted(shares) == ("6, 5, 4, 3, 2 and 2 others over-represented, 7, 8 and 9 missing")


@pytest.mark.parametrize(("p", "printed"), [(0.4337, "0.43"), (0.0515, "0.051"), (1.0, "1")])
def test_the_verdict_of_no_difference_has_its_p_value(p: float, printed: str):
    test = HistogramTest(*np.full((5, 2), p), p, 2.2)
    said = verdict(("cat", "dog"), test, ["", ""])
    assert said == f"no class differs from the training shares (p = {printed})"
