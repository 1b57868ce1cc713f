"""Runs held against the reference report: only where somebody asked, only its own methods, and number by number."""

import numpy as np
import pytest

from triptych.reporting.findings.run import findings
from triptych.reporting.looks import OVERLAID
from triptych.reporting.page.page import (
    write_page,
)
from triptych.reporting.page.sections import of_run
from triptych.reporting.parts.charts import charts
from triptych.reporting.reference import report
from triptych.reporting.reference.protocol import measured_against
from triptych.reporting.safe import Attempts
from triptych.runs import Result, Run


def reference_config():
    from triptych import experiment

    return experiment.default_config("vae", "reference").tables()


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


def told(run, reference=False):
    """The findings as a page has them: with what the reference says where that was asked for."""
    found = findings(run)
    return report.findings(run, found, Attempts(strict=True)) if reference else [*found.values()]


def against(run):
    return told(run, reference=True)


@pytest.mark.parametrize(
    ("value", "standing"), [(-95.6, "within"), (-90.0, "better"), (-99.0, "worse")]
)
def test_a_likelihood_is_held_against_the_reference_both_ways(planted, tmp_path, value, standing):
    run = planted(tmp_path / "r", reference_config(), likelihood(value))
    found = {f.title: f for f in against(run)}
    assert found["Log-likelihood"].standing == standing


def test_another_protocol_is_not_compared_and_the_field_is_named(planted, tmp_path):
    config = reference_config()
    config["method"]["latent"] = 2
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    assert {(f.standing, f.why) for f in against(run)} == {("", "")}
    assert report.not_comparable(run) == "the protocol differs: latent coordinates"


def test_a_shorter_training_is_not_compared(planted, tmp_path):
    run = planted(tmp_path / "r", reference_config(), epochs=5)
    assert against(run)[0].standing == ""
    assert report.not_comparable(run) == "the protocol differs: length of the training"


def test_a_number_at_the_edge_is_within_its_error():
    assert measured_against(-96.2, 0.25, (-95.75, -95.75)) == "within"
    assert measured_against(-96.3, 0.25, (-95.75, -95.75)) == "undecided"
    assert measured_against(-96.6, 0.25, (-95.75, -95.75)) == "worse"
    assert measured_against(-101.0, None, (-101.5, -100.49)) == "within"
    # Without an error the reference's own two values, a nat apart, say how far such numbers scatter.
    assert measured_against(-101.64, None, (-101.5, -100.49)) == "undecided"
    assert measured_against(-102.6, None, (-101.5, -100.49)) == "worse"
    assert measured_against(-95.7, None, (-95.75, -95.75)) == "undecided"


def test_a_number_never_turns_from_worse_to_within_by_a_hair():
    ways = [
        measured_against(v, 0.25, (-101.5, -100.49)) for v in np.linspace(-103, -99, 4001).tolist()
    ]
    assert list(dict.fromkeys(ways)) == ["worse", "undecided", "within", "better"]
    assert ways[ways.index("better") - 1] == "undecided"


def test_the_error_of_an_evaluation_holds_for_the_bound(planted, tmp_path):
    """A reproduction of the reference's protocol ended at −101.64 ± 0.28: no worse than −101.5."""
    ended = {"valid/elbo": Result(-101.64, 0.28, 10_000, {})}
    found = against(planted(tmp_path / "r", reference_config(), ended, elbo=(-168.0, -101.64)))
    assert found[0].standing == "within"


OTHERS = {
    "the reference's own": ("seed", None, 0),
    "an iwae": ("method", "name", "iwae"),
    "photos": ("data", "name", "/home/me/photos"),
    "grey digits": ("data", "name", "mnist"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_of_the_reference_stands_on_a_page_that_nobody_asked_it_for(
    planted, tmp_path, other
):
    table, field, value = OTHERS[other]
    config = reference_config()
    if field:
        config[table][field] = value
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    for found in told(run):
        assert "Figure" not in found.title
        assert not (found.reference or found.standing or found.agreement or found.figures)
    page = write_page([run.path], tmp_path / "out.html").read_text()
    said = ("−100.49", "−95.75", "101.5", "The reference report,", "eference report")
    assert not [word for word in said if word in page]
    assert [line.name for line in charts(run)[0].series] == ["validation"]


def test_another_method_has_no_word_of_it_though_it_is_asked_for(planted, tmp_path):
    """An IWAE's bound has the config's fields of the reference's VAE, and is another number."""
    config = reference_config()
    config["method"]["name"] = "iwae"
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    assert against(run) == told(run)
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert not [word for word in ("−100.49", "−95.75", "The reference report,") if word in page]


def test_a_reproduction_on_other_data_says_so_and_compares_nothing(planted, tmp_path):
    config = reference_config()
    config["data"]["name"] = "mnist-5k"
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    assert {(f.standing, f.why) for f in against(run)} == {("", "")}
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert "The reference report, figure by figure" in page
    assert page.count("Other data: mnist-5k") == 1
    assert report.lines(run) == {}


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        ({"K": 200, "estimator": "the same, of 5 proposals"}, "estimator"),
        ({"K": 200, "likelihood": "gaussian"}, "likelihood"),
        ({"K": 5000}, "number of importance samples"),
    ],
)
def test_a_likelihood_of_another_estimator_is_not_compared(planted, tmp_path, protocol, field):
    result = {"test/log_likelihood": Result(-95.6, 0.25, 10_000, protocol)}
    found = {f.title: f for f in against(planted(tmp_path / "r", reference_config(), result))}
    assert found["Log-likelihood"].why == f"the protocol differs: {field}"
    assert found["ELBO (Figure 1)"].standing == "within"


@pytest.mark.parametrize("epochs", [2, 40])
def test_a_likelihood_after_another_training_is_not_compared(planted, tmp_path, epochs):
    run = planted(tmp_path / "r", reference_config(), likelihood(-99.0), epochs=epochs)
    found = {f.title: f for f in against(run)}["Log-likelihood"]
    assert (found.standing, found.why) == ("", "")
    assert report.not_comparable(run) == "the protocol differs: length of the training"


def test_what_is_not_finite_is_held_against_nothing(planted, tmp_path):
    assert measured_against(float("nan"), 0.1, (0.0, 1.0)) == ""
    run = planted(tmp_path / "r", reference_config(), epochs=19)
    run.log({"step": 200, "epoch": 20.0, "valid/elbo": float("nan")})
    divergence, found = against(run)
    assert divergence.title == "Divergence" and found.title == "ELBO (Figure 1)"
    assert "nan" not in found.sentence
    assert {divergence.standing, found.standing} == {""}


def neighbours(path, epochs=200.0, k=200, temperature=0.1, lr=0.12, done=True):
    from triptych import experiment

    config = experiment.default_config("simsiam", "reference").tables()
    config["method"]["optimizer"]["lr"] = lr
    run = Run.create(path, config)
    run.log({"step": 1, "epoch": epochs, "seconds": 1.0})
    protocol = {"k": k, "temperature": temperature}
    run.record({"test/knn_top1": Result(0.5, 0.005, 10_000, protocol)})
    if done:
        run.finish("DONE", "trained")
    return {f.title: f for f in against(run)}["kNN accuracy (Figure 8)"]


def test_neighbours_by_the_references_protocol_have_a_standing(tmp_path):
    assert neighbours(tmp_path / "r").standing == "worse"


@pytest.mark.parametrize(
    ("table", "name", "why"),
    [("data", "mnist-5k", "other data: mnist-5k"), ("method", "byol", "")],
)
def test_neighbours_on_other_data_or_by_another_method_are_not_held_against_it(
    tmp_path, table, name, why
):
    from triptych import experiment

    config = experiment.default_config("simsiam", "reference").tables()
    config[table]["name"] = name
    run = Run.create(tmp_path / "r", config)
    run.record({"test/knn_top1": Result(0.5, 0.005, 10_000, {"k": 200, "temperature": 0.1})})
    (found,) = told(run)
    assert (found.title, found.reference, found.standing) == ("kNN accuracy", "", "")
    (found,) = against(run)
    assert (found.standing, found.why, report.not_comparable(run)) == ("", "", why)


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"k": 5}, "number of neighbours"), ({"temperature": 0.07}, "temperature of the vote")],
)
def test_neighbours_that_were_measured_otherwise_have_none(tmp_path, changed, field):
    found = neighbours(tmp_path / "r", **changed)
    assert (found.standing, found.why) == ("not comparable", f"the protocol differs: {field}")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"lr": 3.0}, "learning rate"),
        ({"epochs": 7.0}, "length of the training"),
        ({"done": False}, "length of the training"),
    ],
)
def test_neighbours_by_another_protocol_have_none_and_the_part_says_why(tmp_path, changed, field):
    found = neighbours(tmp_path / "r", **changed)
    assert (found.standing, found.why) == ("", "")
    assert report.not_comparable(Run(tmp_path / "r")) == f"the protocol differs: {field}"


def test_figures_without_a_run_are_said_to_be_missing(planted, tmp_path):
    run = planted(tmp_path / "r", reference_config())
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert page.count("Not in this report.") == 5
    assert 'class="chip within" title="within is between the reference&#39;s two values or ' in page


def test_a_run_by_the_references_protocol_has_its_curve_beside_where_it_is_asked_for(
    planted, tmp_path
):
    run = planted(tmp_path / "a", reference_config())
    own, asked = (of_run(run, "p", reference=reference).charts[0] for reference in (False, True))
    assert [line.name for line in own.series] == ["validation"]
    assert (asked.series[-1].values[-1], asked.series[-1].number) == (-101.5, OVERLAID)
    assert asked.series[-1].over
    assert asked.ranges[1] == own.ranges[1] == 20
    other = of_run(planted(tmp_path / "b"), "p", reference=True).charts[0]
    assert [line.name for line in other.series] == ["validation"]
