"""The figures of a latent space: every coordinate and every direction stands where its numbers say."""

from typing import Any

import numpy as np
import pytest

from triptych.reporting.figures.latent_space import (
    coordinate_grids,
    coordinates,
    principal_directions,
    principal_spectrum,
)

pytestmark = pytest.mark.usefixtures("style")

COUNT, RANDOM = 20, 200
SHIFTS = ("1", "10", "20", "50", "100")
CLASSES = ("zero", "a long name", "two")


def plant_coordinates(plant, special: tuple[int, ...] = (), labelled: bool = True) -> dict:
    """Everything that the evaluation of coordinates keeps; returns the table."""
    draw = np.random.default_rng(1)
    large = ("share", "confidence") if labelled else ()
    names = [f"{n}@{e}" for n in ("movement", "diversity") for e in SHIFTS]
    names += [f"{n}@{e}" for n in large for e in SHIFTS[1:]]
    attributes = ["brightness", "contrast", "stroke", "hue"]
    axes: dict[str, Any] = {n: draw.uniform(0.2, 1, COUNT).tolist() for n in names + attributes}
    random = {n: draw.uniform(0.2, 1, RANDOM) for n in names + attributes}
    found = {"axes beyond chance": list(special)}
    table = {
        "order": np.argsort(-np.array(axes["movement@10"])).tolist(),
        "axes": axes,
        "random": {
            n: {"mean": 0.1, "std": 0.5, "2.5% quantile": -0.8, "97.5% quantile": 1.2}
            for n in attributes
        },
        "comparison": {
            n: found | {"z": draw.normal(size=COUNT).tolist()} for n in (*attributes, "movement@10")
        },
        "converged": {"100": {"axes": 0.6, "random": 0.5, "p": 0.2}},
        "destinations": {c: {"axes": 3 * i, "random": 10 * i} for i, c in enumerate(CLASSES)}
        if labelled
        else {},
        "sentences": ["First sentence.", "Second sentence."],
    }
    plant.protocol = {**plant.protocol, "judge": "a planted judge" if labelled else "none"}
    plant.result("latent/coordinates", table, n=40)
    plant.run.save_arrays(
        "coordinates",
        images=plant.images(3, 6, 4, 1, 6, 6),
        random_images=plant.images(6, 4, 1, 6, 6),
        coordinates=np.array([6, 17, 4]),
        shifts=np.array([0.0, 1, 10, 20, 50, 100]),
        **{f"random_{n}": v for n, v in random.items()},
    )
    return table


@pytest.mark.parametrize("figure", [coordinate_grids, coordinates])
def test_a_run_without_the_numbers_has_no_figure(plant, figure):
    assert figure(plant.run) is None


def test_every_grid_lies_at_its_place_under_its_name(plant, sheet):
    plant_coordinates(plant)
    kept = plant.run.arrays("coordinates")
    figure = coordinate_grids(plant.run)
    canvas, axes = sheet(figure), figure.axes[0]
    blocks = [*kept["images"], kept["random_images"]]
    for number, block in enumerate(blocks):
        row, column = divmod(number, 2)
        for i, j in np.ndindex(6, 4):
            top = 7 * (6 * row + i) + row * round(0.75 * 6)
            left = 7 * (4 * column + j) + column * round(0.4 * 6)
            found = canvas[top : top + 6, left : left + 6].transpose(2, 0, 1)
            np.testing.assert_array_equal(found[:1], block[i, j])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["coordinate 6", "coordinate 17"]
    texts = [t.get_text() for t in axes.texts]
    assert texts[:12] == [f"ε = {e}" for e in ("0", *SHIFTS)] * 2
    assert texts[12:] == ["coordinate 4", "a random direction"]
    # The lower names stand over the middles of their blocks, as the upper ones do.
    assert [t.get_position()[0] for t in axes.texts[12:]] == axes.get_xticks().tolist()


def test_coordinates_are_drawn_in_order_within_the_band_of_chance(plant, said):
    table = plant_coordinates(plant, special=(3, 5))
    figure = coordinates(plant.run)
    axes = figure.axes[0]
    values = np.array(table["axes"]["movement@10"])
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_allclose(lines["coordinates"].get_ydata(), np.sort(values)[::-1])
    assert sorted(lines["beyond chance"].get_ydata()) == sorted(values[[3, 5]])
    band = axes.collections[0].get_paths()[0].vertices
    # The largest of 20 draws, simulated: 95 % of its values.
    random = plant.run.arrays("coordinates")["random_movement@10"]
    draws = np.random.default_rng(0).choice(random, (20_000, COUNT))
    for rank in (1, 10, 20):
        low, high = np.quantile(np.sort(draws, axis=1)[:, -rank], [0.025, 0.975])
        ends = band[np.isclose(band[:, 0], rank), 1]
        assert [ends.min(), ends.max()] == pytest.approx([low, high], abs=0.02)
    assert "First sentence. Second sentence." in said(figure)
    assert "Classes by a planted judge" in said(figure)


def test_each_side_of_every_shift_is_a_median_with_its_spread(plant):
    table = plant_coordinates(plant)
    for axes, name, shifts in zip(
        coordinates(plant.run).axes[1:3], ("diversity", "share"), (SHIFTS, SHIFTS[1:]), strict=True
    ):
        assert [t.get_text() for t in axes.get_xticklabels()] == list(shifts)
        mine, random = (c for c in axes.containers)
        kept = plant.run.arrays("coordinates")
        medians = [np.median(table["axes"][f"{name}@{e}"]) for e in shifts]
        np.testing.assert_allclose(mine[0].get_ydata(), medians)
        medians = [np.median(kept[f"random_{name}@{e}"]) for e in shifts]
        np.testing.assert_allclose(random[0].get_ydata(), medians)
        ends = [np.quantile(kept[f"random_{name}@{e}"], [0.05, 0.95]) for e in shifts]
        drawn = [path.vertices[:, 1] for path in random[2][0].get_paths()]
        np.testing.assert_allclose(drawn, ends)


def test_attributes_stand_in_deviations_of_random_directions(plant):
    table = plant_coordinates(plant, special=(3,))
    axes = coordinates(plant.run).axes[3]
    for row, name in enumerate(("brightness", "contrast", "stroke", "hue")):
        points, special = axes.get_lines()[2 * row : 2 * row + 2]
        z = table["comparison"][name]["z"]
        assert list(points.get_xdata()) == z
        assert (np.abs(np.asarray(points.get_ydata()) - row) <= 0.3).all()
        assert special.get_xdata()[0] == z[3]
        left, right = np.sort(np.unique(axes.collections[row].get_paths()[0].vertices[:, 0]))
        assert (left, right) == pytest.approx(((-0.8 - 0.1) / 0.5, (1.2 - 0.1) / 0.5))
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [
        "brightness\nσ = 0.5",
        "contrast\nσ = 0.5",
        "stroke\nσ = 0.5 px",
        "hue\nσ = 0.5 °",
    ]


def test_destinations_are_shares_of_all_directions(plant):
    plant_coordinates(plant)
    axes = coordinates(plant.run).axes[4]
    mine, random = axes.containers
    assert [bar.get_height() for bar in mine] == pytest.approx([0, 3 / COUNT, 6 / COUNT])
    assert [bar.get_height() for bar in random] == pytest.approx([0, 10 / RANDOM, 20 / RANDOM])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["zero", "a long…", "two"]
    legend = [t.get_text() for t in axes.get_legend().get_texts()]
    assert legend == ["coordinates: 60%", "random directions: 50%"]


def test_without_labels_there_are_no_classes(plant, said):
    plant_coordinates(plant, labelled=False)
    figure = coordinates(plant.run)
    assert len(figure.axes) == 3
    assert "Classes by" not in said(figure)


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
def test_a_run_without_a_spectrum_has_no_figure(plant, figure):
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
