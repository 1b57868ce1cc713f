"""The figures of principal directions: every tile and bar where its number is."""

import numpy as np
import pytest

from triptych.reporting.figures.principal import principal_directions, principal_spectrum

pytestmark = pytest.mark.usefixtures("style")


def plant_principal(plant, count: int = 5) -> list[float]:
    eigenvalues = [4.0, 2.0, 1.0, 1.0, 0.0][:count]
    plant.protocol = {**plant.protocol, "output": "pixels in [0, 1], flattened"}
    plant.result("latent/effective_dimension", 2.909, 0.121, n=128)
    plant.result(
        "latent/principal_spectrum", {"eigenvalues": eigenvalues, "sentences": ["A sentence."]}
    )
    plant.run.save_arrays(
        "principal",
        images=plant.images(4, 2, 7, 3, 8, 8),
        values=np.linspace(-3, 3, 7).astype(np.float32),
    )
    return eigenvalues


@pytest.mark.parametrize("figure", [principal_directions, principal_spectrum])
def test_a_run_without_the_numbers_has_no_figure(plant, figure):
    assert figure(plant.run) is None


def test_principal_directions_are_traversed_row_by_row(plant, sheet, said):
    plant_principal(plant)
    figure = principal_directions(plant.run)
    canvas, images = sheet(figure), plant.run.arrays("principal")["images"]
    for i, j, k in np.ndindex(4, 2, 7):
        top, left = 9 * i, 9 * (7 * j + k) + j * round(0.35 * 8)
        found = canvas[top : top + 8, left : left + 8].transpose(2, 0, 1)
        np.testing.assert_array_equal(found, images[i, j, k])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["1: 50.0%", "2: 25.0%", "3: 12.5%", "4: 12.5%"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["−3", "0", "+3"] * 2
    assert "pixels in [0, 1]" in said(figure) and "A sentence." in said(figure)


def test_the_spectrum_is_in_shares_with_the_effective_dimension(plant):
    eigenvalues = plant_principal(plant)
    axes = principal_spectrum(plant.run).axes[0]
    (stairs,) = axes.patches
    np.testing.assert_allclose(stairs.get_data().values, np.array(eigenvalues) / 8)
    legend = [t.get_text() for t in axes.get_legend().get_texts()]
    assert legend == ["all equal", "effective dimension 2.91 ± 0.12"]
    marks = {line.get_label(): line for line in axes.get_lines()}
    assert marks[legend[1]].get_xdata()[0] == 2.909
    assert marks["all equal"].get_ydata()[0] == 1 / 5


def test_a_generator_that_does_not_listen_has_an_empty_spectrum(plant):
    plant_principal(plant)
    plant.result("latent/principal_spectrum", {"eigenvalues": [0.0] * 3, "sentences": []})
    (stairs,) = principal_spectrum(plant.run).axes[0].patches
    assert stairs.get_data().values.tolist() == [0, 0, 0]
