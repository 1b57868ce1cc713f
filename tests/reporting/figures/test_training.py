"""The curves of any training: every term that no other figure has, under its own name, and nothing twice."""

import math

import pytest

from triptych.reporting.figures.training import terms, training_curves

pytestmark = pytest.mark.usefixtures("style")


def log(plant, epochs=(1.0, 2.0, 3.0), **values: float) -> None:
    for epoch in epochs:
        line = {name.replace("__", "/"): value / epoch for name, value in values.items()}
        plant.run.log({"step": int(epoch * 10), "epoch": epoch, "seconds": 1.0, **line})


def drawn(run) -> dict[str, dict[str, list[float]]]:
    figure = training_curves(run)
    return {
        axes.get_title(loc="left"): {
            line.get_label(): list(line.get_ydata()) for line in axes.get_lines()
        }
        for axes in (figure.axes if figure else [])
    }


def test_a_panel_has_training_and_validation_of_one_term(plant):
    log(plant, train__mmd=6.0, train__weight=12.0)
    log(plant, valid__mmd=3.0)
    assert drawn(plant.run) == {
        "mmd": {"training": [6.0, 3.0, 2.0], "validation": [3.0, 1.5, 1.0]},
        "weight": {"training": [12.0, 6.0, 4.0]},
    }


def test_a_declared_metric_is_read_in_its_unit(plant):
    log(plant, valid__knn_top1=0.6)
    assert drawn(plant.run) == {"kNN top-1, %": {"validation": pytest.approx([60.0, 30.0, 20.0])}}


@pytest.mark.parametrize(
    "shown",
    [
        {"train__elbo": -9.0, "train__reconstruction": -5.0, "valid__kl": 4.0},
        {"train__critic_gap": 2.0, "train__penalty": 0.1, "train__generator_score": 1.0},
        {"features__std": 0.9, "train__loss": 3.0, "valid__knn_top1": 0.5},
    ],
    ids=["likelihood", "game", "representation"],
)
def test_what_another_figure_has_is_not_drawn_twice(plant, shown):
    log(plant, **shown)
    assert drawn(plant.run) == {}
    log(plant, train__sliced=1.0)
    assert list(drawn(plant.run)) == ["sliced"]


@pytest.mark.parametrize(
    ("logged", "title"),
    [
        ({"train__kl": 4.0}, "KL of q(z|x) from the prior, nats an image"),
        ({"valid__critic_gap": 2.0}, "critic gap"),
        ({"train__loss": 3.0}, "loss"),
    ],
)
def test_a_term_whose_figure_is_not_drawn_is_not_lost(plant, logged, title):
    log(plant, **logged)
    assert list(drawn(plant.run)) == [title]


def test_what_is_no_number_and_what_is_no_term_is_left_out(plant):
    log(plant, knn__k=20.0, samples__healthy_step=3.0, features__novelty=1.0)
    log(plant, train__mmd=math.nan)
    plant.run.log({"step": 1, "epoch": 1.0, "alarm": "it fell"})
    assert terms(plant.run) == {"features/novelty": ["features/novelty"], "mmd": ["train/mmd"]}
    assert drawn(plant.run) == {}


def test_the_axes_fit_the_training_after_its_first_tenth(plant):
    log(plant, (0.5, 10.0, 20.0), train__mmd=100.0)
    axes = training_curves(plant.run).axes[0]
    low, high = axes.get_ylim()
    assert low < 5.0 < 10.0 < high < 200.0
    assert axes.get_xlim()[1] > 20


def test_alarms_are_told(plant, said):
    log(plant, train__mmd=1.0)
    plant.run.log({"step": 20, "epoch": 2.0, "alarm": "the gradient vanished"})
    assert "Alarm at step 20: the gradient vanished." in said(training_curves(plant.run))
