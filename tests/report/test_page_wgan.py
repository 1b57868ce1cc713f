"""What the page says of a generator, on planted results in both directions."""

import numpy as np
import pytest

from triptych.experiment import default_config
from triptych.report.page.findings import findings
from triptych.report.page.overview import overview
from triptych.report.page.section import Section
from triptych.runs import Result, Run

CLASSES = [str(k) for k in range(10)]


def plant(path, preset="reference", **results):
    run = Run.create(path, default_config("wgan", preset).tables())
    run.record(
        {name.replace("__", "/"): Result(value, None, 10, {}) for name, value in results.items()}
    )
    run.finish("DONE", "trained")
    return run


def by_title(run):
    return {finding.title: finding for finding in findings(run)}


def histogram(over, under):
    mark = ["over" if c in over else "under" if c in under else "" for c in CLASSES]
    return {"verdict": "as planted", "classes": CLASSES, "mark": mark}


@pytest.mark.parametrize(
    ("over", "under", "agreement"),
    [("52", "179", "agrees"), ("52", "17", "disagrees"), ("19", "25", "disagrees")],
)
def test_classes_are_held_against_the_references_words(tmp_path, over, under, agreement):
    run = plant(tmp_path / "r", samples__class_histogram=histogram(over, under))
    found = by_title(run)["Classes of the samples (Figure 2)"]
    assert found.agreement == agreement
    if under == "17":
        assert found.because == "not so here: 9"


def test_classes_of_other_images_are_not_compared(tmp_path):
    run = plant(tmp_path / "r", "demo", samples__class_histogram=histogram("52", "179"))
    found = by_title(run)["Classes of the samples (Figure 2)"]
    assert (found.agreement, found.standing) == ("", "not comparable")
    assert "data.name" in found.why


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (500, "; as many training images score 2.0 ± 1.0."),
        (
            60,
            "; 60 training images, fewer than the 500 samples of a set and farther off for that alone, score",
        ),
        (None, "; training images score 2.0 ± 1.0."),
    ],
)
def test_the_distance_of_fewer_training_images_is_said_to_be_of_fewer(tmp_path, floor, said):
    run = plant(tmp_path / "r")
    for name, count in (("frechet", 500), ("frechet_floor", floor)):
        protocol = {} if count is None else {"samples": count}
        run.record({f"test/{name}": Result(2.0, 1.0, 10, protocol)})
    assert said in by_title(run)["Distance to real images"].sentence


def coordinates(converged, share):
    return {
        "converged": {"10": {"axes": 0.0}, "100": {"axes": converged}},
        "axes": {"class@100": ["7", "3", "1"], "share@100": [share] * 3},
        "sentences": ["as planted."],
    }


def shifted(path, converged, share):
    run = plant(path, latent__coordinates=coordinates(converged, share))
    run.save_arrays("coordinates", coordinates=np.array([2, 0]))
    return by_title(run)["Shifted coordinates (Figures 3 to 5)"]


def test_coordinates_that_lead_to_one_class_are_said_to(tmp_path):
    found = shifted(tmp_path / "r", 0.9, 1.0)
    assert found.sentence == (
        "At ε = 100 samples are led by coordinate 2 to “1” (100 %); by coordinate 0 to “7” (100 %)."
    )
    assert found.agreement == "agrees"


def test_coordinates_that_lead_nowhere_are_said_to(tmp_path):
    found = shifted(tmp_path / "r", 0.2, 0.4)
    assert "coordinate 2 to no one class (most often “1”, 40 %)" in found.sentence
    assert found.agreement == "disagrees"
    assert "along 20 % of the coordinates" in found.because


def card(distance, entropy):
    rows = [
        {"score": score, "way": "linear", "mean": m, "low": m - 0.01, "high": m + 0.01, "n": 9}
        for score, m in (("distance to training", distance), ("entropy", entropy))
    ]
    return {"verdict": "as planted.", "differences": rows}


@pytest.mark.parametrize(
    ("difference", "agreement", "how"),
    [(-0.2, "agrees", "less sure"), (0.2, "disagrees", "surer"), (0.0, "disagrees", "as sure")],
)
def test_ways_between_samples_are_held_against_the_references_words(
    tmp_path, difference, agreement, how
):
    run = plant(tmp_path / "r", interpolation__scorecard=card(difference, difference))
    found = by_title(run)
    assert found["Latent interpolation (Figure 6)"].agreement == agreement
    assert found["Pixel interpolation (Figure 7)"].agreement == agreement
    assert f"a classifier is {how}" in found["Pixel interpolation (Figure 7)"].sentence


def test_the_overview_has_every_figure_and_says_which_are_missing(tmp_path):
    run = plant(tmp_path / "r", interpolation__scorecard=card(-0.2, -0.2))
    section = Section("part-1", "r", "", "", "done", "", findings=findings(run))
    entries = {entry.number: entry.mentions for entry in overview([section, section])}
    assert list(entries) == ["1", "2", "3–5", "6", "7", "8"]
    assert {number for number, mentions in entries.items() if mentions} == {"6", "7"}
    assert len(entries["6"]) == 2


def test_a_run_that_was_cut_short_is_not_of_the_references_length(tmp_path):
    run = plant(tmp_path / "r", samples__class_histogram=histogram("52", "179"))
    whole = by_title(run)["Classes of the samples (Figure 2)"]
    assert whole.because == "5 and 2 are over-represented, 1, 7 and 9 under-represented"
    (run.path / "DONE").unlink()
    short = by_title(run)["Classes of the samples (Figure 2)"]
    assert short.because == f"{whole.because}; the protocol differs in train.duration"
