"""The K-curve and the divergence by coordinate: what was recorded, and what must be said beside it."""

import numpy as np
import pytest

from triptych.reporting.figures.estimates import k_curve, kl_per_dimension

pytestmark = pytest.mark.usefixtures("style")


def caption(figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


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


def test_the_reference_line_stands_for_its_protocol_only(plant, planted_with):
    plant.curve()
    reference = line(k_curve(plant.run).axes[0], "reference report")
    assert list(reference.get_ydata()) == [-95.75, -95.75]
    other = planted_with("train.batch_size", 256)
    other.curve()
    assert line(k_curve(other.run).axes[0], "reference") is None
    assert "Reference" not in caption(k_curve(other.run))


def test_the_reference_line_is_for_the_test_split_only(plant):
    plant.curve("valid")
    figure = k_curve(plant.run)
    assert line(figure.axes[0], "reference") is None
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
