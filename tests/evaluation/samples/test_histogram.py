"""The class-histogram test: its level and power by simulation, and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats

from triptych.errors import TriptychError
from triptych.evaluation.samples.histogram import (
    HistogramTest,
    could_be_missing,
    histogram_test,
    marks,
    nearest_null,
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


def one_way(share: float, classes: int) -> np.ndarray:
    """A share of every class but the first is called the first, and never the other way."""
    channel = (1 - share) * np.eye(classes)
    channel[:, 0] += share
    return channel


def never(classes: int) -> np.ndarray:
    """The last class is called any other; these are right for 95 %."""
    channel = even(0.95, classes)
    channel[-1] = np.append(np.full(classes - 1, 1 / (classes - 1)), 0)
    return channel


def drawn(training, channel, images, shares, count: int, samples: int = N):
    """Predicted counts and measured confusions of many trials; ``images`` of each class, or one number."""
    random = np.random.default_rng(1)
    rows = np.broadcast_to(images, len(training))
    confusion = [random.multinomial(m, row, count) for m, row in zip(rows, channel, strict=True)]
    return random.multinomial(samples, shares @ channel, count), np.stack(confusion, 1)


def trials(training, channel, images, shares, count: int, draws: int = 199, samples: int = N):
    """Tests of samples with the given shares, the confusion measured anew for each."""
    counts, confusion = drawn(training, channel, images, shares, count, samples)
    return histogram_test(counts, training, confusion, np.random.default_rng(2), draws)


@pytest.mark.parametrize(
    ("training", "channel", "images"),
    [(UNIFORM, even(0.92), 1000), (HOUSE_NUMBERS, lumpy(0.92), np.round(1500 * HOUSE_NUMBERS))],
    ids=["uniform", "house numbers"],
)
def test_the_stated_error_is_the_spread_of_the_differences(training, channel, images):
    found = trials(training, channel, images, training, 2000, draws=1)
    differences = found.predicted - found.expected
    assert differences.std(0) == pytest.approx(np.sqrt((found.stderr**2).mean(0)), rel=0.09)
    # The confusion's share of the variance is what this test is about: it must not be small here.
    alone = np.sqrt(training @ channel * (1 - training @ channel) / N)
    assert (found.stderr.mean(0) > 1.05 * alone).all()


RARE = np.array([0.98, 0.02])
THIRDS, FIFTHS = np.full(3, 1 / 3), np.full(5, 0.2)
ALARMS = [
    # Two classes, in which one comparison has all of the level; the first two gave 60 and 80 % before.
    (np.array([0.5, 0.5]), one_way(0.1, 2), 5, 5000),
    (RARE, one_way(0.3, 2), 20, 5000),
    (RARE, even(0.9, 2), 5, 500),
    (np.array([0.5, 0.5]), never(2), 10, 5000),
    (np.array([2, 1]) / 3, even(0.9, 2), 20, 5000),
    (np.array([0.5, 0.5]), one_way(0.1, 2), 50, 500),
    (np.array([0.5, 0.5]), even(0.7, 2), 100, 5000),
    (THIRDS, one_way(0.3, 3), 5, 5000),
    (THIRDS, never(3), 5, 500),
    (np.array([6, 3, 2]) / 11, even(0.99, 3), 1000, 500),
    (FIFTHS, even(0.7, 5), 20, 5000),
    (FIFTHS, one_way(0.1, 5), 10, 5000),
    (np.full(10, 0.1), never(10), 5, 5000),
]


@pytest.mark.parametrize(("training", "channel", "images", "samples"), ALARMS)
def test_false_alarms_are_no_more_than_their_level_from_five_test_images_on(
    training, channel, images: int, samples: int
):
    """In 2,000 trials (1,000 of more than three classes): 5 % and three standard errors of the simulation."""
    classes = len(training)
    draws = {2: 199, 3: 239, 5: 299, 10: 399}[classes]
    count = 2000 if classes <= 3 else 1000
    found = trials(training, channel, images, training, count, draws, samples)
    assert found.flagged.any(-1).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


@pytest.mark.parametrize(
    ("images", "share", "power"), [(150, 0.08, 0.8), (1000, 0.08, 0.95), (50, 0.05, 0.95)]
)
def test_a_class_below_its_share_is_found_where_test_images_allow(images, share: float, power):
    shares = np.full(10, (1 - share) / 9)
    shares[3] = share
    found = trials(UNIFORM, even(0.92), images, shares, 200, 399)
    assert (found.flagged[:, 3] & (found.z[:, 3] < 0)).mean() >= power


def test_many_tests_at_once_are_those_one_by_one():
    counts, confusion = drawn(THIRDS, lumpy(0.8, 3), 30, np.array([0.5, 0.3, 0.2]), 3)
    together = histogram_test(counts, THIRDS, confusion, np.random.default_rng(0), 1999)
    for i in range(3):
        alone = histogram_test(counts[i], THIRDS, confusion[i], np.random.default_rng(0), 1999)
        assert together.z[i] == pytest.approx(alone.z)
        assert together.stderr[i] == pytest.approx(alone.stderr)
        assert together.adjusted[i] == pytest.approx(alone.adjusted, abs=0.05)


def test_the_nearest_null_is_the_likeliest_of_a_fine_grid():
    weights, hits, images = np.array([0.7, 0.3]), np.array([[2, 6]]), np.array([[10, 9]])
    counts, total = np.array([45]), np.array([100])
    rates, share = nearest_null(counts, total, weights, hits, images)
    assert share == pytest.approx((weights * rates).sum(-1), abs=1e-9)
    grid = np.linspace(0.0005, 0.9995, 1000)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    q = 0.7 * first + 0.3 * second
    score = sum(
        stats.binom.logpmf(x, n, p) for x, n, p in ((2, 10, first), (6, 9, second), (45, 100, q))
    )
    best = np.unravel_index(score.argmax(), score.shape)
    assert rates[0] == pytest.approx([grid[best[0]], grid[best[1]]], abs=1e-3)


def test_the_nearest_null_bends_what_was_never_seen_to_explain_the_samples():
    """No test image was called the class, a tenth of a million samples is: all of it must be in the confusion."""
    weights, hits, images = np.full(2, 0.5), np.array([[0, 0]]), np.array([[5, 20]])
    rates, share = nearest_null(np.array([100_000]), np.array([1_000_000]), weights, hits, images)
    assert share[0] == pytest.approx(0.1, abs=1e-4)
    # Where fewer images speak against it: m_i (1 − c_i)^-1 would be equal, so the first takes all.
    assert rates[0] == pytest.approx([0.2, 0.0], abs=1e-3)


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
    test = trials(UNIFORM, even(0.8), 150, HOUSE_NUMBERS * 0.3 + UNIFORM * 0.7, 40)
    assert test.flagged.tolist() == (np.abs(test.z) > test.critical).tolist()
    assert test.p.tolist() == test.adjusted.min(-1).tolist()
    assert set(test.flagged.flatten().tolist()) == {True, False}


def test_one_image_of_a_class_that_the_classifier_never_named_is_no_alarm():
    confusion = np.array([[100, 0, 0], [0, 100, 0], [2, 3, 0]])
    training = np.array([0.495, 0.495, 0.01])
    counts = np.array([4985, 5014, 1])
    test = histogram_test(counts, training, confusion, np.random.default_rng(0))
    assert test.expected[2] == 0 < test.z[2] < test.critical[2]
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
    marked = marks(test, training, unmix(counts, confusion))
    unseen = could_be_missing(counts, training, confusion, np.random.default_rng(0))
    return verdict(NAMES, test, marked, unseen, confusion.sum(1))


def test_the_verdict_names_what_is_off_the_furthest_first():
    assert planted({}).startswith(
        "no class differs from the training shares by more than the errors (p = "
    )
    assert planted({5: 1.7, 2: 1.3, 1: 0.02}) == "5 and 2 over-represented, 1 missing"
    assert planted({2: 1.6, 5: 2.5, 1: 0.02, 7: 0.3, 9: 0.58}) == (
        "5 and 2 over-represented, 7 and 9 under-represented, 1 missing"
    )
    assert planted({4: 0.8}) == "4 under-represented"


def test_missing_is_less_than_a_tenth_of_the_share():
    assert planted({4: 0.12, 8: 1.3}) == "8 over-represented, 4 under-represented"
    assert planted({4: 0.08, 8: 1.3}) == "8 over-represented, 4 missing"


def test_a_long_list_is_cut():
    shares = {k: 1.38 + k / 100 for k in range(7)}
    assert planted(shares) == ("6, 5, 4, 3, 2 and 2 others over-represented, 7, 8 and 9 missing")


@pytest.mark.parametrize(("p", "printed"), [(0.4337, "0.43"), (0.0515, "0.051"), (1.0, "1")])
def test_the_verdict_of_no_difference_has_its_p_value_and_what_it_would_not_see(p, printed):
    test, judging = HistogramTest(*np.full((5, 2), p), p, np.full(2, 2.2)), np.array([7, 5])
    nothing = f"no class differs from the training shares by more than the errors (p = {printed})"

    def said(*unseen: bool) -> str:
        return verdict(("cat", "dog"), test, ["", ""], np.array(unseen), judging)

    assert said(False, False) == nothing
    assert said(False, True) == f"{nothing}; were dog missing, it could go unnoticed"
    assert said(True, True) == (
        "nothing can be said of the classes: 5 to 7 test images of each judge the classifier, "
        "with which not even a missing class would be noticed"
    )


def test_a_class_could_be_missing_unnoticed_where_few_images_say_that_it_is_recognised():
    """Two classes at 60 %: 0.6 of the second's images are called so, 0.4 of the first's."""
    few, many = np.array([[3, 2], [2, 3]]), np.array([[300, 200], [200, 300]])
    equal, random = np.array([1, 1]), np.random.default_rng(0)
    assert could_be_missing(np.array([500, 500]), equal, few, random).all()
    assert not could_be_missing(np.array([500, 500]), equal, many, random).any()
    # A classifier that is always right on five images of each of ten classes sees what is gone.
    sure = could_be_missing(np.full(10, 100), np.ones(10), 5 * np.eye(10, dtype=int), random)
    assert not sure.any()
