"""Planted numbers of several arms: what is certain of every two of them, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from triptych.evaluation.statistics import holm
from triptych.studies.compare import compare_metric
from triptych.studies.ranking import judged, ranked
from triptych.studies.values import Number

LUCK = np.array([0.02, -0.03, 0.01, 0.04, -0.02])
"""What the seeds do to every arm alike."""

APART = np.array([[1, -1, 2, -2, 0], [0, 2, -1, 1, -2], [-2, 1, 0, 1, 0], [1, 0, 1, -1, -1]]) / 1000


def planted(*means: float) -> dict[str, dict[int, float]]:
    """Arms a, b, c … with these means over five seeds, and a little of their own."""
    found = {}
    for name, mean, own in zip("abcd", means, APART, strict=False):
        found[name] = dict(enumerate((mean + LUCK + own).tolist()))
    return found


def test_pairs_far_apart_are_certain_and_near_ones_are_not():
    found = ranked(planted(0.5, 0.5004, 0.3, 0.6), "higher")
    assert found.order == ["d", "b", "a", "c"]
    assert found.above("d") == ["b", "a", "c"]
    assert found.above("b") == found.above("a") == ["c"]
    (pair,) = (p for p in found.pairs if not p.certain)
    assert (pair.first, pair.second) == ("b", "a")
    said = found.sentence("accuracy", dict.fromkeys("abcd", "x"), "higher")
    assert (
        "Certain after correction for 6 comparisons: d before b, a and c; b and a before c." in said
    )
    assert said.endswith("Undecided: b or a; add seeds.")


def test_lower_may_be_better():
    assert ranked(planted(0.5, 0.4, 0.3), "lower").order == ["c", "b", "a"]


def test_p_values_are_students_and_corrected_over_all_pairs():
    values = planted(0.5, 0.5015, 0.499, 0.51)
    found = ranked(values, "higher")
    assert len(found.pairs) == 6
    raw = [
        stats.ttest_rel(list(values[p.first].values()), list(values[p.second].values())).pvalue
        for p in found.pairs
    ]
    assert [p.test.p for p in found.pairs] == pytest.approx(raw)
    assert [p.adjusted for p in found.pairs] == pytest.approx(holm(raw))
    # One that is sure among two arms is not among four.
    lost = [p for p in found.pairs if p.test.p < 0.05 <= p.adjusted]
    assert lost
    assert not any(p.certain for p in lost)


def test_what_chance_alone_makes_is_certain_no_more_often_than_it_should_be():
    """Of 400 studies of six equal arms and three seeds one in twenty at most calls any two of them apart, within the error."""
    draw, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        numbers = draw.normal(size=(6, 3)) + draw.normal(size=3)
        found = ranked({str(k): dict(enumerate(row)) for k, row in enumerate(numbers)}, "higher")
        wrong += any(pair.certain for pair in found.pairs)
    assert wrong <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_the_same_difference_with_every_seed_is_not_certain():
    assert judged([0.1 + 0.2, 0.3, 0.3]).p == 0.25
    found = ranked({"a": {0: 1.0, 1: 2.0}, "b": {0: 0.0, 1: 1.0}}, "higher")
    assert not found.pairs[0].certain


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_where_seeds_are_missing_a_pair_goes_by_its_difference_and_not_by_the_means(better):
    """Of a, two seeds failed, and those are the ones that are bad for b: seed by seed a is worse."""
    times = 1 if better == "higher" else -1
    a = {0: 0.50, 1: 0.51, 2: 0.49}
    b = {0: 0.60, 1: 0.612, 2: 0.588, 3: 0.10, 4: 0.11}
    values = {arm: {s: times * v for s, v in of.items()} for arm, of in (("a", a), ("b", b))}
    found = ranked(values, better)
    assert found.order == ["a", "b"], "by the means of what there is"
    assert found.above("b") == ["a"]
    assert found.above("a") == []
    assert times * found.pairs[0].test.mean == pytest.approx(0.1)


def test_one_seed_ranks_nothing():
    found = ranked({"a": {0: 1.0}, "b": {0: 0.0}, "c": {1: 0.5}}, "higher")
    assert found.pairs == []
    assert "all of it is undecided" in found.sentence(
        "m", {"a": "1", "b": "0", "c": "0.5"}, "higher"
    )


def numbers(values: dict[int, float], **protocol: object) -> dict[int, Number]:
    return {seed: Number(value, protocol) for seed, value in values.items()}


def test_a_study_ranks_by_what_has_a_direction_and_leaves_variants_out():
    values = {arm: numbers(of) for arm, of in planted(0.5, 0.4, 0.3, 0.1).items()}
    found = compare_metric("test/knn_top1", values, "a", of={"d": "c"})
    assert found["ranking"]["order"] == ["a", "b", "c"]
    assert all(pair["certain"] for pair in found["ranking"]["pairs"])
    assert found["findings"][-1].startswith("Ranking by test kNN top-1 (higher is better): a 50.")
    assert found["differences"]["d"]["from"] == "c"
    assert found["differences"]["d"]["mean"] == pytest.approx(-0.2, abs=0.002)
    assert " is lower in d than in c, by 20." in found["findings"][2]
    assert "ranking" not in compare_metric("features/std", values, "a"), "neither end is better"


def test_losses_of_two_objectives_are_not_compared():
    values = {arm: numbers(of) for arm, of in planted(0.5, 0.4, 0.3).items()}
    minimised = {"a": "one", "b": "one", "c": "other"}
    found = compare_metric("train/loss", values, "a", minimised=minimised)
    assert list(found["differences"]) == ["b"]
    assert found["findings"][-1] == (
        "training loss is in units of what an arm minimises, and compared only between arms of one method and one "
        "objective; c minimises something else than a."
    )
    assert "ranking" not in found


def test_of_an_arm_without_runs_nothing_is_said_but_that():
    """What it minimises is in the folders of its runs, and there are none."""
    values = {"a": numbers(planted(0.5)["a"]), "b": {}}
    found = compare_metric("train/loss", values, "a", minimised={"a": "vae L", "b": "vae"})
    assert found["findings"] == ["training loss was measured in no run of b."]


def test_models_are_compared_whatever_their_prior_and_what_of_it_has_a_closed_form():
    values = {}
    for arm, kl in (("a", "analytic"), ("b", "levelwise analytic"), ("c", "Monte-Carlo")):
        prior = {"prior": "VampPrior"} if arm == "c" else {}
        about = {"K": 5, "method": arm, "estimator": f"ELBO, {kl} KL, 1 sample", **prior}
        values[arm] = numbers(planted(0.5, 0.4, 0.3)[arm], **about)
    found = compare_metric("test/elbo", values, "a")
    assert list(found["differences"]) == ["b", "c"]
    assert found["protocol"] == {"K": 5, "estimator": "ELBO, 1 sample"}
    lone = compare_metric("test/elbo", {"c": values["c"]}, "c")
    assert lone["protocol"]["prior"] == "VampPrior"
    assert lone["protocol"]["estimator"] == "ELBO, Monte-Carlo KL, 1 sample"


def test_an_arm_that_was_measured_otherwise_is_left_out_and_the_others_are_compared():
    values = {arm: numbers(of, k=200, method=arm) for arm, of in planted(0.5, 0.4).items()}
    values["c"] = numbers(planted(0, 0, 0.3)["c"], k=20, method="c")
    found = compare_metric("test/knn_top1", values, "a")
    assert list(found["arms"]) == ["a", "b"], "methods are what is compared"
    assert found["protocol"] == {"k": 200}
    assert "without c, made or measured in another way: 'k' is 200 for a" in found["findings"][-1]
