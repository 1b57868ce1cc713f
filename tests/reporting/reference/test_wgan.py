"""What the page says of a generator, on planted results in both directions."""

import re

import numpy as np
import pytest

from triptych.evaluation.latent_space.scorecard import primary_sentence as interpolation
from triptych.evaluation.statistics import Paired
from triptych.experiment import default_config
from triptych.reporting.findings.run import findings
from triptych.reporting.page.page import compose
from triptych.reporting.parts.section import Section
from triptych.reporting.reference import report
from triptych.reporting.reference.report import overview
from triptych.reporting.safe import Attempts
from triptych.runs import Result, Run

CLASSES = [str(k) for k in range(10)]


def plant(path, preset="reference", steps=50_000, **results):
    run = Run.create(path, default_config("wgan", preset).tables())
    run.log({"step": steps, "epoch": 44.0, "seconds": 1.0})
    run.record(
        {name.replace("__", "/"): Result(value, None, 10, {}) for name, value in results.items()}
    )
    run.finish("DONE", "trained")
    return run


def by_title(run, reference=True):
    """With what the reference says, as in a reproduction, or as on any other page."""
    found = findings(run)
    told = report.findings(run, found, Attempts(strict=True)) if reference else found.values()
    return {finding.title: finding for finding in told}


def histogram(over, under):
    mark = ["over" if c in over else "under" if c in under else "" for c in CLASSES]
    return {"verdict": "as planted", "classes": CLASSES, "mark": mark}


@pytest.mark.parametrize(
    ("over", "under", "agreement"),
    [
        ("52", "179", "agrees"),
        ("52", "17", "undecided"),
        ("", "", "undecided"),
        ("527", "19", "disagrees"),
        ("19", "25", "disagrees"),
    ],
)
def test_classes_are_held_against_the_references_words(tmp_path, over, under, agreement):
    run = plant(tmp_path / "r", samples__class_histogram=histogram(over, under))
    found = by_title(run)["Classes of the samples (Figure 2)"]
    assert found.agreement == agreement
    if under == "17":
        assert found.because == "not shown to differ here: 9"


def test_classes_of_other_images_are_not_compared(tmp_path):
    run = plant(tmp_path / "r", "demo", samples__class_histogram=histogram("52", "179"))
    asked = by_title(run)["Classes of the samples (Figure 2)"]
    assert (asked.agreement, asked.because, asked.standing, asked.why) == ("", "", "", "")
    assert report.not_comparable(run) == "other data: mnist-5k"


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (histogram("52", "179"), "the samples have too many of 2 and 5; too few of 1, 7 and 9."),
        (
            {"classes": ["a", "b"], "mark": ["missing", "over"], "verdict": "as planted"},
            "the samples have too many of b; none of a.",
        ),
        (
            {"classes": ["a", "b"], "mark": ["", ""], "verdict": "no class differs"},
            "no class differs.",
        ),
    ],
)
def test_classes_are_named_in_plain_words(tmp_path, marks, said):
    run = plant(tmp_path / "r", samples__class_histogram=marks)
    found = by_title(run, reference=False)["Classes of the samples"]
    assert found.sentence == f"Compared with the training images {said}"


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (500, "from the test images; as many training images in their place lie at 2.0 ± 1.0."),
        (
            60,
            "; 60 training images, fewer than the 500 samples of a set and farther off for that alone, lie at 2.0 ± 1.0.",
        ),
        (None, "; training images in their place lie at 2.0 ± 1.0."),
    ],
)
def test_the_distance_of_fewer_training_images_is_said_to_be_of_fewer(tmp_path, floor, said):
    run = plant(tmp_path / "r")
    for name, count in (("frechet", 500), ("frechet_floor", floor)):
        protocol = {} if count is None else {"samples": count}
        run.record({f"test/{name}": Result(2.0, 1.0, 10, protocol)})
    assert said in by_title(run)["Distance to real images"].sentence


AXES = 100


def coordinates(converged, share, start=0.2, diversity=0.9):
    least = None if start > 0.88 else start + 0.1
    return {
        "converged": {"10": {"axes": 0.0}, "100": {"axes": converged}},
        "axes": {"class@100": ["7", "3", "1"] + ["0"] * 97, "share@100": [share] * AXES},
        "sentences": ["as planted."],
        "start": {"n": 40, "diversity": diversity, "class": "7", "share": start, "least": least},
    }


def shifted(path, *planted, **start):
    table = coordinates(*planted, **start)
    run = plant(path, latent__coordinates=table)
    run.save_arrays("coordinates", coordinates=np.array([2, 0]))
    return by_title(run)["Shifted coordinates (Figures 3 to 5)"]


def test_coordinates_that_lead_to_one_class_are_said_to(tmp_path):
    found = shifted(tmp_path / "r", 0.9, 1.0)
    assert found.sentence == (
        "A shift by ε = 100 puts more than 90 % of the samples into one class along coordinate 2 (“1”) and "
        "coordinate 0 (“7”). Without a shift the commonest class has 20 %."
    )
    assert found.agreement == "agrees"


def test_coordinates_that_lead_nowhere_are_said_to(tmp_path):
    found = shifted(tmp_path / "r", 0.2, 0.4)
    # A class that only some samples are in is noise, and not named.
    assert found.sentence == (
        "A shift by ε = 100 along coordinates 2 or 0 does not make the samples one class, which would be more than "
        "90 % of them in it. Without a shift the commonest class has 20 %."
    )
    assert found.agreement == "disagrees"
    assert "along 20 % of the coordinates" in found.because


def test_half_of_the_coordinates_are_neither_most_nor_few(tmp_path):
    found = shifted(tmp_path / "r", 0.47, 0.95)
    assert (found.agreement, "neither most nor few" in found.because) == ("undecided", True)


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ({"start": 0.95}, "at ε = 0 already 95 % of the 40 samples are in one class, “7”"),
        ({"diversity": 0.1}, "differ from one another by only 10 % of what training images do"),
    ],
)
def test_samples_that_were_one_before_any_shift_show_nothing(tmp_path, start, why):
    """A generator of noise: all samples are of one class at every ε."""
    found = shifted(tmp_path / "r", 1.0, 1.0, **start)
    assert found.sentence.startswith("Nothing follows from where samples end at ε = 100: ")
    assert why in found.sentence and why in found.because
    assert found.agreement == "undecided"


def test_an_evaluation_from_before_the_start_was_measured_shows_nothing(tmp_path):
    table = coordinates(1.0, 1.0)
    del table["start"]
    run = plant(tmp_path / "r", latent__coordinates=table)
    found = by_title(run)["Shifted coordinates (Figures 3 to 5)"]
    assert found.agreement == "undecided"
    assert "what they are at ε = 0 was not measured" in found.sentence


def test_a_share_that_chance_explains_is_not_called_one_class(tmp_path):
    """Of 85 % before the shift 92 % are not surely more: the least that is, is said."""
    found = shifted(tmp_path / "r", 1.0, 0.92, start=0.85)
    assert "which would be 95 % or more of them in it" in found.sentence


def card(distance, entropy, control=None, p=0.001):
    rows = [
        {"score": score, "way": "linear", "mean": m, "low": m - 0.01, "high": m + 0.01, "n": 9}
        for score, m in (("distance to training", distance), ("entropy", entropy))
    ]
    rows[1]["p_adjusted"] = p
    primary = Paired(9, distance, 0.005, distance - 0.01, distance + 0.01, 0.5)
    judge = (
        None if control is None else Paired(9, control, 0.005, control - 0.01, control + 0.01, 0.5)
    )
    said = interpolation(primary, judge, "features")
    return {"verdict": said, "differences": rows, "control": judge and judge._asdict()}


@pytest.mark.parametrize(
    ("difference", "agreement", "how"),
    [(-0.2, "agrees", "less sure"), (0.2, "disagrees", "surer"), (0.0, "undecided", "as sure")],
)
def test_ways_between_samples_are_held_against_the_references_words(
    tmp_path, difference, agreement, how
):
    run = plant(tmp_path / "r", interpolation__scorecard=card(difference, difference))
    found = by_title(run)
    assert found["Latent interpolation (Figure 6)"].agreement == agreement
    assert found["Pixel interpolation (Figure 7)"].agreement == agreement
    assert f"a classifier is {how}" in found["Pixel interpolation (Figure 7)"].sentence
    assert "95 % interval" in found["Latent interpolation (Figure 6)"].sentence


def test_ways_between_samples_are_told_in_as_many_digits_as_their_intervals_leave(tmp_path):
    run = plant(tmp_path / "r", interpolation__scorecard=card(-0.20449, 0.0))
    found = by_title(run, reference=False)["Latent interpolation"]
    assert found.sentence == (
        "Between two samples, interpolates in latent space stay nearer to the training images than overlays of the "
        "two pictures do (latent − overlay: −0.204, 95 % interval −0.214 to −0.194, 9 pairs)."
    )


@pytest.mark.parametrize("difference", [-0.2, -0.01, 0.0, 0.01, 0.2])
@pytest.mark.parametrize("control", [None, -0.1, 0.0, 0.005, 0.05, 0.2])
@pytest.mark.parametrize("p", [0.001, 0.2])
def test_no_badge_says_other_than_its_sentence(tmp_path, difference, control, p):
    """Sentence and badge follow from the same numbers."""
    run = plant(tmp_path / "r", interpolation__scorecard=card(difference, difference, control, p))
    way, mixed = (
        by_title(run)[title]
        for title in ("Latent interpolation (Figure 6)", "Pixel interpolation (Figure 7)")
    )
    told = re.search(r"latent space stay (nearer to|farther from)", way.sentence)
    silent = told is None or "nothing follows" in way.sentence
    assert (way.agreement == "undecided") == silent
    assert (way.agreement == "agrees") == (not silent and "nearer to" in way.sentence)
    assert (way.agreement == "disagrees") == (not silent and "farther from" in way.sentence)
    assert (mixed.agreement == "undecided") == ("is as sure of" in mixed.sentence)
    assert (mixed.agreement == "agrees") == ("is less sure of overlays" in mixed.sentence)


@pytest.mark.parametrize("preset", ["reference", "demo"])
def test_without_being_asked_a_page_has_no_word_of_house_numbers(tmp_path, preset):
    run = plant(
        tmp_path / "r",
        preset,
        samples__class_histogram=histogram("52", "179"),
        latent__coordinates=coordinates(1.0, 1.0),
        interpolation__scorecard=card(-0.2, -0.2),
    )
    for found in by_title(run, reference=False).values():
        assert "Figure" not in found.title
        assert not (found.reference or found.standing or found.agreement or found.figures)
    page = compose([run.path]).html
    assert not [
        word for word in ("The reference report,", "predominate", "25 to the digit") if word in page
    ]


def test_the_overview_has_every_figure_and_says_which_are_missing(tmp_path):
    run = plant(tmp_path / "r", interpolation__scorecard=card(-0.2, -0.2))
    section = Section("part-1", "r", "", "", "done", "", findings=list(by_title(run).values()))
    entries = {entry.number: entry.mentions for entry in overview([section, section])}
    assert overview([Section("part-1", "r", "", "", "done", "")]) == []
    assert list(entries) == ["1", "2", "3–5", "6", "7", "8"]
    assert {number for number, mentions in entries.items() if mentions} == {"6", "7"}
    assert len(entries["6"]) == 2


def test_a_run_that_was_cut_short_is_not_of_the_references_length(tmp_path):
    run = plant(tmp_path / "r", samples__class_histogram=histogram("52", "179"))
    whole = by_title(run)["Classes of the samples (Figure 2)"]
    assert whole.because == "5 and 2 are over-represented, 1, 7 and 9 under-represented"
    assert report.not_comparable(run) == ""
    (run.path / "DONE").unlink()
    short = by_title(run)["Classes of the samples (Figure 2)"]
    assert (short.agreement, short.because) == ("", "")
    assert report.not_comparable(run) == "the protocol differs: length of the training"


@pytest.mark.parametrize(("over", "under"), [("19", "25"), ("52", "179")])
def test_a_smaller_experiment_has_no_badge_in_either_direction(tmp_path, over, under):
    """A green one beside what is silenced would be picked, and a red one says only that it is smaller."""
    run = plant(
        tmp_path / "r",
        "small",
        samples__class_histogram=histogram(over, under),
        interpolation__scorecard=card(0.2, 0.2),
    )
    for found in by_title(run).values():
        assert (found.standing, found.agreement, found.why, found.because) == ("", "", "", "")
        assert found.reference
    assert report.not_comparable(run).startswith("the protocol differs: width, ")
    page = compose([run.path], reference=True).html
    assert page.count("The protocol differs: width, ") == 1
    assert 'class="chip' not in page
