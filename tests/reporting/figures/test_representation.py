"""Curves of a planted representation: what is drawn is what was logged, and each level is where it belongs."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from triptych.reporting.figures.representation import representation_curves
from triptych.reporting.figures.scale import LOWEST, apart

PER_EPOCH = 54


def look(plant, epoch: int, **changed: float) -> None:
    """Log one look, as of a run that learns; only what is changed differs."""
    found = {
        "features/std": 0.2 + 0.1 * epoch,
        "features/effective_rank": 2.0 * (epoch + 1),
        "features/backbone_rank": 3.0 * (epoch + 1),
        "features/alignment": 0.5 / (epoch + 1),
        "features/uniformity": -0.3 * epoch,
        "features/retrieval": 0.01 * (epoch + 1),
        "valid/knn_top1": 0.3 + 0.05 * epoch,
        "test/knn_top1": 0.31 + 0.04 * epoch,
    } | {name.replace("__", "/"): value for name, value in changed.items()}
    where = {"step": epoch * PER_EPOCH, "epoch": float(epoch), "seconds": 1.0}
    plant.run.log(where | {k: v for k, v in found.items() if v is not None})


@pytest.fixture
def learned(plant, style):
    """Five epochs with labels, on the way up."""
    for epoch in range(6):
        if epoch:
            plant.run.log(
                {"step": epoch * PER_EPOCH, "epoch": float(epoch), "train/loss": -0.15 * epoch}
            )
        look(plant, epoch, floor__pixels_knn_top1=0.875 if epoch == 0 else None)
    return plant


def declares(plant, cosine: str | None) -> None:
    """The folder of a run says which of its terms is the cosine of predictions and targets."""
    plant.run.write("environment.json", json.dumps({"method": {"cosine": cosine}}))


def panel(figure, title: str):
    (axes,) = (a for a in figure.axes if a.get_title(loc="left").startswith(title))
    return axes


def curves(axes) -> dict[str, list[float]]:
    """The values of every line, by its name; a level has its one value twice."""
    return {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}


def test_every_curve_is_what_was_logged(learned):
    figure = representation_curves(learned.run)
    epochs = range(6)
    expected = {
        "loss": {"training": [-0.15 * e for e in range(1, 6)]},
        "spread": {"projections": [0.2 + 0.1 * e for e in epochs]},
        "effective rank": {
            "backbone": [3.0 * (e + 1) for e in epochs],
            "projections": [2.0 * (e + 1) for e in epochs],
        },
        "alignment": {
            "alignment": [0.5 / (e + 1) for e in epochs],
            "uniformity": [-0.3 * e for e in epochs],
        },
        "retrieval": {"trained": [e + 1.0 for e in epochs]},
        "kNN": {
            "test": [31 + 4.0 * e for e in epochs],
            "validation": [30 + 5.0 * e for e in epochs],
        },
    }
    for title, lines in expected.items():
        axes = panel(figure, title)
        for name, values in lines.items():
            assert curves(axes)[name] == pytest.approx(values)
            low, high = axes.get_ylim()
            assert low <= min(values) <= max(values) <= high
    assert len(figure.axes) == len(expected)


def test_levels_stand_where_they_belong_with_their_values_beside_them(learned):
    classes = np.array(["cat", "dog", "owl", "fox"])
    learned.run.save_arrays("neighbours", classes=classes)
    knn = panel(representation_curves(learned.run), "kNN")
    found = curves(knn)
    assert found["untrained, test"] == pytest.approx([31, 31])
    assert found["raw pixels, test"] == pytest.approx([87.5, 87.5])
    assert found["chance"] == pytest.approx([25, 25])
    said = {text.get_text().replace("\xa0", " ") for text in knn.texts}
    assert said == {
        *("test 51.0 %", "validation 55.0 %", "untrained, test 31.0 %"),
        *("raw pixels, test 87.5 %", "chance 25.0 %"),
    }
    at = {text.get_text().split()[0]: text.get_position()[1] for text in knn.texts}
    assert sorted(at, key=at.get) == ["chance", "untrained,", "test", "validation", "raw"]


def test_without_labels_retrieval_takes_the_place_of_the_neighbours(plant, style, said):
    for epoch in range(3):
        look(plant, epoch, valid__knn_top1=None, test__knn_top1=None)
    figure = representation_curves(plant.run)
    assert not any(axes.get_title(loc="left").startswith("kNN") for axes in figure.axes)
    widest = max(figure.axes, key=lambda axes: axes.get_position().width)
    assert widest is panel(figure, "retrieval")
    assert curves(widest)["trained"] == pytest.approx([1, 2, 3])
    assert curves(widest)["untrained"] == pytest.approx([1, 1])
    assert "it needs no labels, and these data have none" in said(figure)


def test_no_untrained_level_where_nobody_looked_before_the_training(plant, style):
    for epoch in (1, 2):
        look(plant, epoch)
    figure = representation_curves(plant.run)
    assert "untrained" not in curves(panel(figure, "kNN"))
    assert "untrained" not in curves(panel(figure, "retrieval"))


def test_an_alarm_is_marked_at_its_epoch_and_said(learned, said):
    learned.run.log(
        {"step": 270, "epoch": 5.0, "since": 81, "alarm": "the projections collapsed to one point"}
    )
    figure = representation_curves(learned.run)
    for axes in figure.axes:
        assert axes.get_lines()[-1].get_xdata() == pytest.approx([1.5, 1.5])
    assert "Alarm at step 81 (dotted): the projections collapsed to one point." in said(figure)


def test_a_collapse_stays_within_the_axes(planted_with, style):
    """Rank 0 has no place on a logarithmic axis, and numbers that are none no place at all."""
    plant = planted_with("method.name", "mine")
    declares(plant, "-loss")
    plant.run.log({"step": 54, "epoch": 1.0, "train/loss": -1.0})
    for epoch in range(3):
        look(plant, epoch, features__effective_rank=0.0, features__std=0.0)
    look(plant, 3, features__alignment=math.nan, features__uniformity=math.nan)
    figure = representation_curves(plant.run)
    ranks = panel(figure, "effective rank")
    assert curves(ranks)["projections"] == pytest.approx([LOWEST] * 3 + [8])
    assert ranks.get_yscale() == "log"
    assert ranks.get_ylim()[0] == LOWEST < 1
    assert len(curves(panel(figure, "alignment"))["alignment"]) == 3
    low, high = panel(figure, "loss").get_ylim()
    assert low < -1 < 0 <= high
    assert panel(figure, "spread").get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("cosine", "met"),
    [("-loss", -1.0), ("loss", 1.0), ("similarity", None), (None, None), ("none said", None)],
)
@pytest.mark.parametrize("name", ["simsiam", "mine"])
def test_only_a_loss_that_is_said_to_be_a_cosine_has_its_axis_and_its_words(
    planted_with, style, said, name, cosine, met
):
    """Whatever the method is called: a loss that happens to lie between −1 and 1 is not yet a cosine."""
    plant = planted_with("method.name", name)
    if cosine != "none said":
        declares(plant, cosine)
    for epoch, loss in enumerate((0.8, 0.5, 0.4), 1):
        plant.run.log({"step": epoch * PER_EPOCH, "epoch": float(epoch), "train/loss": loss})
        look(plant, epoch)
    figure = representation_curves(plant.run)
    low, high = panel(figure, "loss").get_ylim()
    assert ((low < -1), (low <= 0 and high > 1)) == (met == -1.0, met == 1.0)
    assert low <= 0.4 < 0.8 <= high
    assert re.findall(r"a loss near (\S+),", said(figure)) == {-1.0: ["−1"], 1.0: ["1"]}.get(
        met, []
    )


def test_a_method_whose_loss_has_another_name_has_no_empty_panel(plant, style):
    plant.run.log({"step": 54, "epoch": 1.0, "train/contrast": 3.0})
    look(plant, 1)
    titles = [axes.get_title(loc="left") for axes in representation_curves(plant.run).axes]
    assert not [title for title in titles if "loss" in title]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("method.stop_gradient", False, "no stop-gradient"),
        ("method.predictor", "none", "no predictor"),
        ("method.predictor", "fixed-random", "fixed random predictor"),
        ("method.predictor", "mlp", None),
    ],
)
def test_an_ablation_is_named_above(planted_with, style, field, value, words):
    plant = planted_with(field, value)
    look(plant, 0)
    above = representation_curves(plant.run).texts[1].get_text()
    if words is None:
        assert "predictor" not in above
        assert "stop-gradient" not in above
    else:
        assert words in above


def test_a_run_without_features_has_no_curves(plant, style):
    plant.log("train", [1.0], [-150.0])
    assert representation_curves(plant.run) is None


def test_names_keep_their_order_and_their_distance():
    draw = np.random.default_rng(0)
    for _ in range(200):
        heights = draw.uniform(0, 1, draw.integers(1, 6)).tolist()
        found = apart(heights, 0.08)
        assert np.argsort(found).tolist() == np.argsort(heights).tolist()
        in_order = sorted(found)
        assert all(b - a > 0.08 - 1e-9 for a, b in itertools.pairwise(in_order))
        assert in_order[-1] <= 1
    assert apart([0.2, 0.9, 0.5], 0.08) == [0.2, 0.9, 0.5], "what is apart stays"


def test_the_numbers_of_an_axis_are_where_they_say(plant, style):
    """Ticks a quarter apart were once written with one digit."""
    for epoch, alignment in enumerate((0.25, 1.05, 0.4)):
        look(plant, epoch, features__alignment=alignment, features__uniformity=-0.5)
    figure = representation_curves(plant.run)
    figure.canvas.draw()
    for axes in figure.axes:
        for place, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
            number = text.get_text().removesuffix("\xa0%").replace("−", "-")
            assert float(number) == pytest.approx(place)


@pytest.mark.parametrize(
    ("field", "value"), [("predictor", [512, 128]), ("predictor", 64), ("stop_gradient", 0.9)]
)
def test_a_method_may_mean_something_else_by_the_names_of_an_ablation(
    planted_with, style, field, value
):
    plant = planted_with(f"method.{field}", value)
    look(plant, 0)
    look(plant, 1)
    words = " ".join(text.get_text() for text in representation_curves(plant.run).texts)
    assert "predictor" not in words and "stop-gradient" not in words
