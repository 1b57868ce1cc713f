"""The figures of a likelihood: the data as they were logged and recorded, honest axes, and what else is said only where it was asked for."""

import numpy as np
import pytest

from triptych.reporting.figures.likelihood import Overlay, elbo_curve, k_curve, kl_per_dimension

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
    assert "Validation ELBO at the end: −160.25." in caption(elbo_curve(plant.run))


OTHER = Overlay("somebody else", (EPOCHS, [-140.0 + epoch for epoch in EPOCHS]), "As they said.")


def test_another_curve_is_laid_over_where_it_is_given(plant):
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    figure = elbo_curve(plant.run, OTHER)
    assert lines(figure.axes[0])["somebody"] == OTHER.curve
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "somebody else" in labels
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert drawn["somebody else"].is_dashed()
    assert "As they said." in caption(figure)
    assert all("somebody" not in lines(axes) for axes in figure.axes[1:])


def test_a_run_by_the_references_protocol_has_no_word_of_it(plant):
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    plant.curve()
    assert set(lines(elbo_curve(plant.run).axes[0])) == {"validation"}
    for figure in (elbo_curve(plant.run), k_curve(plant.run)):
        assert "eference" not in caption(figure)
    assert line(k_curve(plant.run).axes[0], "reference") is None


def test_early_values_lie_outside_and_the_caption_says_so(plant):
    plant.log("train", [0.1, 1.0, 10.0, 20.0], [-540.0, -170.0, -105.0, -100.0])
    figure = elbo_curve(plant.run)
    low, high = figure.axes[0].get_ylim()
    assert -540 < low < -170 < -100 < high
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
    assert axes.get_xlim()[1] == 0.95


def test_terms_that_were_not_logged_leave_no_axes(plant):
    plant.run.log({"step": 1, "epoch": 1.0, "valid/elbo": -100.0})
    assert len(elbo_curve(plant.run).axes) == 1


def line(axes, start: str):
    found = [line for line in axes.get_lines() if line.get_label().startswith(start)]
    return found[0] if found else None


def test_the_curve_and_its_error_bars_are_the_recorded_ones(plant):
    plant.curve()
    axes = k_curve(plant.run).axes[0]
    bound = line(axes, "bound")
    assert list(bound.get_xdata()) == [1, 5, 50, 200, 1000]
    assert list(bound.get_ydata()) == [-100.5, -97.9, -96.2, -95.6, -95.2]
    assert min(bound.get_ydata()) == bound.get_ydata()[0]
    bars = axes.collections[0].get_segments()
    halves = [(bar[1][1] - bar[0][1]) / 2 for bar in bars]
    assert halves == pytest.approx([0.31, 0.30, 0.29, 0.28, 0.27])
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "5", "50", "200", "1,000"]


def test_the_headline_is_marked_at_its_k(plant):
    plant.curve()
    mark = line(k_curve(plant.run).axes[0], "headline")
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([200], [-95.61])
    assert mark.get_label() == "headline, K = 200: −95.61 ± 0.28"


def test_the_caption_tells_what_the_bars_do_not(plant):
    plant.curve()
    said = caption(k_curve(plant.run))
    assert "move together" in said
    assert "5.1 in the median, 1.3 at the 5 % quantile" in said
    assert "too few to estimate how far it lies below log p(x)" in said
    plant.result("test/effective_sample_size", {"median": 80.0, "5% quantile": 40.0})
    assert "estimated bias −0.130 nat" in caption(k_curve(plant.run))


LEVEL = Overlay("somebody else", ([], [-95.75]), "Of test images.")


def test_a_level_is_laid_over_test_images_only(plant, planted_with):
    plant.curve()
    level = line(k_curve(plant.run, LEVEL).axes[0], "somebody else")
    assert list(level.get_ydata()) == [-95.75, -95.75]
    other = planted_with("seed", 1)
    other.curve("valid")
    figure = k_curve(other.run, LEVEL)
    assert line(figure.axes[0], "somebody") is None
    assert "Of test images" not in caption(figure)
    assert "valid split" in caption(figure)


def test_the_test_split_goes_before_another(plant):
    plant.curve("test")
    plant.curve("valid")
    assert "test split" in caption(k_curve(plant.run))


def test_the_divergences_are_sorted_and_counted(plant):
    plant.latents([0.02, 1.5, 0.0, 0.7])
    figure = kl_per_dimension(plant.run)
    axes = figure.axes[0]
    values, edges, _ = axes.patches[0].get_data()
    assert np.asarray(values).tolist() == [1.5, 0.7, 0.02, 0.0]
    assert np.asarray(edges).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert axes.get_ylim()[0] == 0
    assert axes.texts[0].get_text() == "2 of 4 units active"
    assert "2.22 nats in all" in caption(figure)
    assert "exceeds 0.01" in caption(figure)
