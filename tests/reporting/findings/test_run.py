"""Sentences on a run say what its numbers say, both ways."""

import pytest

from triptych.reporting.findings.run import findings
from triptych.reporting.reference import report
from triptych.reporting.safe import Attempts
from triptych.runs import Result


def told(run, reference=False):
    """The findings as a page has them: with what the reference says where that was asked for."""
    found = findings(run)
    return report.findings(run, found, Attempts(strict=True)) if reference else [*found.values()]


@pytest.mark.parametrize(("ends", "word"), [((-168.0, -101.0), "rose"), ((-101.0, -168.0), "fell")])
def test_the_sentence_on_the_curve_says_which_way_it_went(planted, tmp_path, ends, word):
    sentence = told(planted(tmp_path / "r", elbo=ends))[0].sentence
    assert f"ELBO {word} from" in sentence
    assert ("It was best, −101.0, at epoch 1." in sentence) == (word == "fell")


def test_neighbours_below_a_floor_are_said_to_be_below(planted, tmp_path):
    def share(value):
        return Result(value, 0.01, 100, {})

    results = {"test/knn_top1": share(0.2), "test/knn_top1_untrained": share(0.26)}
    sentence = told(planted(tmp_path / "r", results=results))[-1].sentence
    assert "6.0 points fewer than with the untrained encoder (26.0 ± 1.0 %)." in sentence


@pytest.mark.parametrize(
    ("pixels", "probe", "said"),
    [
        (
            0.89,
            0.95,
            ("mostly have the same class. The features hold more", "right for 95.0 ± 1.0 %."),
        ),
        (0.89, 0.85, ("mostly have the same class.",)),
        (0.89, None, ("mostly have the same class.",)),
        (0.85, 0.95, ()),
        (0.80, 0.95, ()),
    ],
)
def test_what_it_means_that_pixels_do_better_is_said(planted, tmp_path, pixels, probe, said):
    shares = {"test/knn_top1": 0.84, "test/knn_top1_pixels": pixels, "test/linear_top1": probe}
    results = {k: Result(v, 0.01, 1000, {}) for k, v in shares.items() if v is not None}
    (found,) = [
        f for f in told(planted(tmp_path / "r", results=results)) if f.title == "kNN accuracy"
    ]
    assert found.sentence.endswith(said[-1] if said else "%).")
    assert all(words in found.sentence for words in said)
    assert ("pixel by pixel" in found.sentence) == bool(said)


def test_pixels_that_are_mostly_wrong_are_no_high_bar(planted, tmp_path):
    shares = {"test/knn_top1": 0.20, "test/knn_top1_pixels": 0.31}
    results = {k: Result(v, 0.01, 1000, {}) for k, v in shares.items()}
    (found,) = [
        f for f in told(planted(tmp_path / "r", results=results)) if f.title == "kNN accuracy"
    ]
    assert found.sentence.endswith("11.0 points fewer than with raw pixels (31.0 ± 1.0 %).")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.30, "4.0 points more than with the untrained"),
        (0.27, "as many, within the errors, as with the untrained"),
        (0.22, "4.0 points fewer than with the untrained"),
    ],
)
def test_a_difference_within_the_errors_is_said_to_be(planted, tmp_path, value, said):
    results = {
        "test/knn_top1": Result(value, 0.01, 2000, {}),
        "test/knn_top1_untrained": Result(0.26, 0.01, 2000, {}),
    }
    assert said in told(planted(tmp_path / "r", results=results))[-1].sentence
