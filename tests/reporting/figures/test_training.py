"""The curves of any training: every term that no other figure has, under its own name, and nothing twice."""

import itertools
import math

import pytest

from triptych.reporting.figures.game import critic_curves
from triptych.reporting.figures.quantities import terms
from triptych.reporting.figures.training import training_curves

pytestmark = pytest.mark.usefixtures("style")


def log(plant, epochs=(1.0, 2.0, 3.0), **values: float) -> None:
    for epoch in epochs:
        line = {name.replace("__", "/"): value / epoch for name, value in values.items()}
        plant.run.log({"step": int(epoch * 10), "epoch": epoch, "seconds": 1.0, **line})


def drawn(run) -> dict[str, dict[str, list[float]]]:
    figure = training_curves(run)
    return {
        axes.get_title(loc="left").replace("\n", " "): {
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
    assert drawn(plant.run) == {"kNN top-1": {"validation": pytest.approx([60.0, 30.0, 20.0])}}


@pytest.mark.parametrize(
    "shown",
    [
        {"train__elbo": -9.0, "train__reconstruction": -5.0, "valid__kl": 4.0},
        {"train__critic_gap": 2.0, "train__penalty": 0.1, "train__gradient_norm": 1.0},
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
        ({"valid__kl": 4.0}, "KL of q(z|x) from the prior, nats an image"),
        ({"valid__critic_gap": 2.0}, "critic gap"),
        ({"train__loss": 3.0}, "loss"),
    ],
)
def test_a_term_whose_figure_is_not_drawn_is_not_lost(plant, logged, title):
    log(plant, **logged)
    assert list(drawn(plant.run)) == [title]


@pytest.mark.parametrize("name", ["reconstruction", "kl"])
def test_what_a_method_logs_by_the_name_of_a_term_of_the_bound_is_not_said_to_be_in_nats(
    plant, name
):
    log(plant, **{f"train__{name}": 4.0})
    assert list(drawn(plant.run)) == [name]


def test_a_game_without_a_gradient_norm_does_not_lose_its_penalty(plant):
    log(plant, train__critic_gap=2.0, train__penalty=0.1)
    assert drawn(plant.run) == {}
    titles = [axes.get_title(loc="left") for axes in critic_curves(plant.run).axes]
    assert titles == ["critic gap", "penalty"]


def test_long_titles_are_broken_and_none_leaves_the_page_or_meets_the_next(plant):
    log(plant, valid__critic_memory=1.0)
    log(plant, **{f"train__{'how_far_a_code_is_from_the_prior_' * 2}{i}": 2.0 for i in range(6)})
    figure = training_curves(plant.run)
    figure.draw_without_rendering()
    boxes = [axes.title if axes.get_title() else axes._left_title for axes in figure.axes]
    boxes = [title.get_window_extent() for title in boxes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    others = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    others += [text.get_window_extent() for text in figure.texts]
    assert not any(a.overlaps(b) for a in boxes for b in others)


def test_what_is_no_number_and_what_is_no_term_is_left_out(plant):
    log(plant, knn__k=20.0, samples__healthy_step=3.0, features__novelty=1.0)
    log(plant, train__mmd=math.nan)
    plant.run.log({"step": 1, "epoch": 1.0, "alarm": "it fell"})
    assert terms(plant.run) == {"features/novelty": ["features/novelty"], "mmd": ["train/mmd"]}
    assert drawn(plant.run) == {"features/novelty": {"features/novelty": [1.0, 0.5, 1 / 3]}}


def test_the_axes_fit_the_training_after_its_beginning(plant, said):
    log(plant, (0.5, 10.0, 20.0), train__mmd=100.0)
    axes = training_curves(plant.run).axes[0]
    low, high = axes.get_ylim()
    assert low < 5.0 < 10.0 < high < 200.0
    assert axes.get_xlim() == (0, 20)
    assert "Values of the beginning reach beyond these axes." in said(training_curves(plant.run))


def test_alarms_are_told(plant, said):
    log(plant, train__mmd=1.0)
    plant.run.log({"step": 20, "epoch": 2.0, "alarm": "the gradient vanished"})
    assert "Alarm at step 20: the gradient vanished." in said(training_curves(plant.run))
