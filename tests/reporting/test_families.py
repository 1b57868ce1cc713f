"""The table of families: what it names exists, what a method can do chooses its row, and the number of a card follows."""

import json

import pytest

from triptych import types
from triptych.metrics import DECLARED, metric
from triptych.reporting.draw import FIGURES, figures
from triptych.reporting.families import FAMILIES, family, headline, in_order, titled
from triptych.reporting.figures import quantities
from triptych.reporting.findings.run import FINDINGS, findings
from triptych.reporting.page.sections import SLIDERS
from triptych.reporting.parts.section import directed, run_hero
from triptych.runs import MethodFacts, Result, Run

FACTS = {"name": "mine", "title": "", "about": "", "cosine": None, "source": None}


def facts(*can: str, title: str = "a title") -> MethodFacts:
    return MethodFacts("mine", title, "", frozenset(can))


@pytest.mark.parametrize("of", FAMILIES, ids=lambda of: of.name)
def test_all_that_a_family_names_is_there(of):
    assert hasattr(types, of.needs)
    assert set(of.figures) <= FIGURES.keys()
    assert set(of.findings) <= FINDINGS.keys()
    assert set(of.sliders) <= SLIDERS.keys()
    known = {quantity.name for found in quantities.FAMILIES for quantity in found.quantities}
    assert set(of.charts) <= known
    assert all(metric(name) in DECLARED.values() for name in of.headline)


def test_every_part_is_some_familys():
    """Else nobody would have thought of where it stands."""
    for known, parts in ((FIGURES, "figures"), (FINDINGS, "findings"), (SLIDERS, "sliders")):
        assert {name for of in FAMILIES for name in getattr(of, parts)} == known.keys()


@pytest.mark.parametrize(
    ("name", "of"),
    [("vae", "likelihood"), ("wgan", "game"), ("gan", "game"), ("simsiam", "agreement")],
)
def test_the_built_in_methods_are_one_of_each(name, of):
    from triptych.experiment import default_config
    from triptych.methods import find

    values = "binary" if name == "vae" else "colour"
    spec = types.DataSpec((1 if name == "vae" else 3, 32, 32), values)
    method = find(name)(default_config(name, "demo").method, spec)
    assert family(facts(*types.capabilities(method))).name == of


def test_a_method_of_two_families_is_of_the_first():
    assert family(facts("Projects", "HasLikelihood")).name == "likelihood"
    assert titled(facts("Projects")) == "An agreement: a title"
    assert titled(facts("Samples")) == "a title"
    assert titled(facts(title="")) == "mine"


def test_a_known_familys_parts_come_first_and_nothing_is_lost(tmp_path):
    run = Run.create(tmp_path / "r", {"method": {"name": "mine"}})
    run.log({"step": 1, "epoch": 1.0, "features/std": 0.9})
    names = list(figures(run))
    assert names[: len(FAMILIES[2].figures)] == list(FAMILIES[2].figures)
    assert sorted(names) == sorted(FIGURES)
    assert list(in_order([], FIGURES)) == list(FIGURES)


@pytest.mark.parametrize(
    ("logged", "measured", "name", "step"),
    [
        ({"valid/elbo": -99.0}, {}, "valid/elbo", 7),
        ({"valid/elbo": -99.0}, {"test/elbo": -98.0}, "test/elbo", None),
        ({"valid/mine": 3.0, "train/mine": 4.0}, {}, "valid/mine", 7),
        ({"train/mine": 4.0}, {}, "train/mine", 7),
        ({"train/mine": 4.0}, {"test/frechet": 2.0}, "test/frechet", None),
        # What a family is about goes before what others are about.
        ({"features/std": 0.9}, {"test/knn_top1": 0.5, "test/frechet": 2.0}, "test/knn_top1", None),
        ({"valid/elbo": -9.0}, {"test/knn_top1": 0.5}, "valid/elbo", 7),
    ],
)
def test_the_number_of_a_card(tmp_path, logged, measured, name, step):
    run = Run.create(tmp_path / "r", {"method": {"name": "mine"}})
    run.log({"step": 7, "epoch": 1.0, **logged})
    run.record({key: Result(value, 0.1, 10, {}) for key, value in measured.items()})
    found = headline(run)
    assert (found.name, found.logged) == (name, step)
    assert found.value == {**logged, **measured}[name]


UNLABELLED = (
    "Complete collapse: every image has nearly the same projection (spread 0.02; step 7); see that"
)


@pytest.mark.parametrize(
    ("logged", "measured", "shown", "label"),
    [
        (
            {"verdict": "healthy"},
            {"verdict": Result("complete collapse", None, 500, {}, UNLABELLED)},
            "Complete collapse",
            "every image has nearly the same projection",
        ),
        ({"verdict": "healthy"}, {}, "Healthy", "verdict, in training at step 7"),
        (
            {},
            {"verdict": Result("undecided", None, 500, {}, "")},
            "Undecided",
            "verdict",
        ),
        (
            {"valid/knn_top1": 0.5},
            {"verdict": Result("complete collapse", None, 500, {}, UNLABELLED)},
            "50.00 %",
            "validation kNN top-1, in training at step 7",
        ),
        (
            {"features/retrieval": 0.5},
            {
                "verdict": Result(
                    "diverged", None, 500, {}, "Diverged by step 7: no finite number any more; try"
                )
            },
            "Diverged",
            "no finite number any more",
        ),
    ],
)
def test_without_labels_the_verdict_is_the_headline_and_its_reason_the_label(
    tmp_path, logged, measured, shown, label
):
    run = Run.create(tmp_path / "r", {"method": {"name": "simsiam"}})
    run.write("environment.json", json.dumps({"method": FACTS | {"can": ["Projects"]}}))
    run.log({"step": 7, "epoch": 1.0, **logged})
    run.record(measured)
    found = headline(run)
    assert (found.shown, found.label) == (shown, label)
    hero = run_hero(run, [])
    assert (hero.value, hero.label) == (shown, directed(label, found.name))


@pytest.mark.parametrize(
    ("images", "shown", "label"),
    [
        ("3x32x32", "3.52 ± 0.01", "test bits per dimension"),
        ("1x28x28", "−7,500 ± 20", "test log-likelihood, nats an image"),
        ("", "−7,500 ± 20", "test log-likelihood, nats an image"),
    ],
)
def test_the_likelihood_of_images_in_colour_is_told_in_bits_per_dimension(
    tmp_path, images, shown, label
):
    run = Run.create(tmp_path / "r", {"method": {"name": "vae"}})
    run.write("environment.json", json.dumps({"method": FACTS | {"can": ["HasLikelihood"]}}))
    protocol = {"images": images, "K": 200} if images else {"K": 200}
    run.record(
        {
            "test/bits_per_dimension": Result(3.5221, 0.0102, 1000, protocol),
            "test/log_likelihood": Result(-7500.0, 20.4, 1000, protocol),
        }
    )
    found = headline(run)
    assert (found.shown, found.label) == (shown, label)
    said = findings(run)["log_likelihood"].sentence
    assert said.startswith("On average a test image ")
    assert ("3.52 ± 0.01 bits per dimension" in said) == (images == "3x32x32")
    assert ("nats" in said) == (images != "3x32x32")


def test_the_bound_of_images_in_colour_is_told_in_bits_per_dimension(planted, tmp_path):
    ended = {"valid/elbo": Result(-7400.0, 20.0, 500, {"images": "3x32x32"})}
    run = planted(tmp_path / "r", results=ended, elbo=(-9000.0, -7400.0))
    assert findings(run)["elbo"].sentence == (
        "The negative validation ELBO fell from 4.23 to 3.48 bits per dimension between epochs 1 and 20: it is an "
        "upper bound on what an image takes, so less is better."
    )


def test_a_run_without_numbers_has_no_number_on_its_card(tmp_path):
    assert headline(Run.create(tmp_path / "r", {"method": {"name": "mine"}})) is None
