"""The ELBO curve: the data as it was logged, honest axes, and the reference only where it may be compared."""

import numpy as np
import pytest

from triptych.reporting.figures.training import elbo_curve
from triptych.reporting.reference import vae as reference

pytestmark = pytest.mark.usefixtures("style")

EPOCHS = [float(epoch) for epoch in range(1, 21)]


def lines(axes) -> dict[str, tuple[list[float], list[float]]]:
    """The drawn lines by the first word of their labels."""
    return {
        line.get_label().split(",")[0].split()[0]: (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axes.get_lines()
    }


def caption(figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def test_the_lines_are_the_logged_values(plant):
    plant.log("train", [0.5, 1.0, 1.5], [-200.0, -180.0, -170.0])
    plant.log("valid", [1.0, 2.0], [-175.5, -160.25])
    elbo, reconstruction, kl = elbo_curve(plant.run).axes
    assert lines(elbo)["training"] == ([0.5, 1.0, 1.5], [-200.0, -180.0, -170.0])
    assert lines(elbo)["validation"] == ([1.0, 2.0], [-175.5, -160.25])
    assert lines(reconstruction)["validation"] == ([1.0, 2.0], [-155.5, -140.25])
    assert lines(kl)["training"] == ([0.5, 1.0, 1.5], [20.0, 20.0, 20.0])
    assert "−160.25 at the end" in elbo.get_legend().get_texts()[1].get_text()


def test_the_reference_is_laid_over_a_run_of_its_protocol(plant):
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    figure = elbo_curve(plant.run)
    assert lines(figure.axes[0])["reference"] == (EPOCHS, list(reference.ELBO_CURVE))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "reference report" in labels
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert drawn["reference report"].is_dashed()
    assert "approximate" in caption(figure)
    assert "bf16" not in caption(figure)
    assert all("reference" not in lines(axes) for axes in figure.axes[1:])


def test_a_bf16_run_keeps_the_reference_and_says_so(planted_with):
    plant = planted_with("train.dtype", "bf16")
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    figure = elbo_curve(plant.run)
    assert "reference" in lines(figure.axes[0])
    assert "bf16" in caption(figure)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.batch_size", 128),
        ("data.name", "mnist-5k"),
        ("data.binarize", "dynamic"),
        ("method.hidden", [300]),
        ("method.logit_offset", 0.0),
        ("method.optimizer.schedule", "cosine"),
        ("method.optimizer.lr", 1e-3),
    ],
)
def test_no_reference_over_another_protocol(planted_with, field, value):
    plant = planted_with(field, value)
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    figure = elbo_curve(plant.run)
    assert set(lines(figure.axes[0])) == {"validation"}
    assert "eference" not in caption(figure)


def test_early_values_lie_outside_and_the_caption_says_so(plant):
    plant.log("train", [0.1, 1.0, 10.0, 20.0], [-540.0, -170.0, -105.0, -100.0])
    figure = elbo_curve(plant.run)
    low, high = figure.axes[0].get_ylim()
    assert -170 < low < -105 < -100 < high
    assert "lowest ELBO −540" in caption(figure)


def test_a_fall_at_the_end_is_never_cut_off(plant):
    plant.log("valid", [1.0, 10.0, 20.0], [-110.0, -100.0, -900.0])
    figure = elbo_curve(plant.run)
    assert figure.axes[0].get_ylim()[0] < -900
    assert "beyond" not in caption(figure)


def test_a_single_point_is_marked_and_inside(planted_with):
    plant = planted_with("data.name", "mnist-5k")
    plant.log("valid", [0.95], [-15_790.83])
    axes = elbo_curve(plant.run).axes[0]
    assert axes.get_lines()[0].get_marker() == "o"
    low, high = axes.get_ylim()
    assert low < -15_790.83 < high
    assert axes.get_xlim()[1] > 0.95


def test_terms_that_were_not_logged_leave_no_axes(plant):
    plant.run.log({"step": 1, "epoch": 1.0, "valid/elbo": -100.0})
    assert len(elbo_curve(plant.run).axes) == 1
