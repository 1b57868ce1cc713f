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
