"""Filmstrip and curves of a planted game: what is drawn is what was kept."""

import numpy as np
import pytest

from triptych.reporting.figures.game import critic_curves, filmstrip


@pytest.fixture
def game(plant):
    """A gap that halves over 1,000 updates, and moments whose every image has one level."""
    for step in range(100, 1001, 100):
        terms = {"critic_gap": 10 - step / 200, "gradient_norm": 1.1, "penalty": 0.01}
        plant.run.log(
            {"step": step, "epoch": step / 20, "seconds": 1.0}
            | {f"train/{name}": value for name, value in terms.items()}
        )
    for i, step in enumerate((0, 10, 1000)):
        plant.run.log(
            {"step": step, "epoch": step / 20, "seconds": 1.0}
            | {"samples/diversity": 0.5, "valid/critic_gap": 5.0, "valid/frechet_untrained": 2.0}
        )
        plant.run.save_moment(step, np.full((64, 1, 8, 8), 50 * (i + 1), np.uint8))
    return plant


def test_the_strip_has_a_row_for_every_moment_in_order(game, style):
    figure = filmstrip(game.run)
    (axes,) = figure.axes
    labels = [t.get_text() for t in axes.texts]
    assert labels == ["0 updates", "10 updates", "1,000 updates"]
    canvas = axes.images[0].get_array()
    rows = [canvas[y, 4, 0] for y in (4, 4 + 9, 4 + 18)]
    assert rows == [50, 100, 150]


def test_curves_show_what_was_logged_after_the_first_noise(game, style):
    figure = critic_curves(game.run)
    gap, *_ = figure.axes
    train, valid = gap.get_lines()
    assert train.get_xdata().tolist() == list(range(100, 1001, 100))
    assert train.get_ydata().tolist() == pytest.approx(
        [10 - s / 200 for s in range(100, 1001, 100)]
    )
    assert valid.get_xdata().tolist() == [1000], "updates 0 and 10 are in the first fiftieth"
    assert "Alarm" not in "".join(t.get_text() for t in figure.texts)


def test_an_alarm_is_marked_at_its_step_and_said(game, style):
    game.run.log(
        {"step": 700, "epoch": 35, "seconds": 1.0, "alarm": "the samples collapsed at step 600"}
    )
    figure = critic_curves(game.run)
    for axes in figure.axes:
        assert any(line.get_xdata()[0] == 700 for line in axes.get_lines()[-1:])
    said = " ".join(t.get_text().replace("\n", " ") for t in figure.texts)
    assert "Alarm at step 700 (dotted): the samples collapsed at step 600." in said


def test_a_run_without_a_game_has_neither(plant, style):
    plant.log("train", [1.0], [-150.0])
    assert critic_curves(plant.run) is None
    assert filmstrip(plant.run) is None
