"""Neighbours of planted images: each tile in its place, and a mark on every one of another class."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from triptych.reporting.figures.neighbours import neighbours

CLASSES = ("cat", "dog", "automobile with a roof")
QUERIES = [0, 1, 2]
LABELS = [[0, 0, 1, 2], [1, 1, 1, 1], [0, 0, 0, 0]]
HEIGHT, WIDTH = 8, 10


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Three queries and four neighbours of each; every image has one level of its own."""
    levels = np.arange(10, 25, dtype=np.uint8).reshape(3, 5, 1, 1, 1) * 10
    images = np.broadcast_to(levels, (3, 5, 3, HEIGHT, WIDTH))
    return {
        "queries": images[:, 0],
        "images": images[:, 1:],
        "similarity": np.float32([[0.9, 0.8, 0.7, 0.6], [0.5] * 4, [0.4, 0.3, 0.2, -0.1]]),
        "query_labels": np.array(QUERIES),
        "labels": np.array(LABELS),
        "classes": np.array(CLASSES),
        "split": np.array("test"),
        "checkpoint": np.array("best"),
    }


def unlabelled(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v for k, v in arrays.items() if k not in ("labels", "query_labels", "classes")}


@pytest.mark.parametrize("labelled", [True, False])
def test_each_image_is_in_its_row_the_query_first(plant, style, sheet, arrays, labelled):
    kept = arrays if labelled else unlabelled(arrays)
    plant.run.save_arrays("neighbours", **kept)
    canvas = sheet(neighbours(plant.run))
    seen = canvas[..., 0]
    for row in range(3):
        of_row = [level for level in range(100, 250, 10) if (level - 100) // 50 == row]
        firsts = []
        for level in of_row:
            y, x = np.nonzero(seen == level)
            assert len(y) == HEIGHT * WIDTH == (np.ptp(y) + 1) * (np.ptp(x) + 1)
            firsts.append((int(y.min()), int(x.min())))
        assert len({y for y, _ in firsts}) == 1
        assert [x for _, x in firsts] == sorted({x for _, x in firsts})


def test_exactly_those_of_another_class_have_a_frame_a_cross_and_their_name(
    plant, style, sheet, arrays
):
    plant.run.save_arrays("neighbours", **arrays)
    figure = neighbours(plant.run)
    (axes,) = figure.axes
    seen = sheet(figure)[..., 0]
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    marks = [text for text in axes.texts if text.get_text()[0] in "✓✗"]
    assert len(marks) == 12
    framed = 0
    for row, place in np.ndindex(3, 4):
        y, x = np.nonzero(seen == 100 + 50 * row + 10 * (place + 1))
        middle = x.mean(), y.mean()
        around = [f for f in frames if f.contains_point(axes.transData.transform(middle))]
        below = [t for t in marks if abs(t.get_position()[0] - middle[0]) < 1]
        (mark,) = (t for t in below if 0 < t.get_position()[1] - y.max() < 3)
        label = LABELS[row][place]
        if label == QUERIES[row]:
            assert not around
            assert mark.get_text() == "✓"
        else:
            framed += 1
            assert len(around) == 1
            assert mark.get_text() == f"✗ {('cat', 'dog', 'automobile …')[label]}"
    assert framed == len(frames) == 6


def test_rows_are_named_and_have_the_range_of_their_cosines(plant, style, arrays, said):
    arrays["classes"] = np.array(["cat", "a $x_{ dog$", "owl"])
    plant.run.save_arrays("neighbours", **arrays)
    figure = neighbours(plant.run)
    figure.canvas.draw()
    rows = [t.get_text() for t in figure.axes[0].texts if "cos" in t.get_text()]
    assert rows[0] == "cat\ncos 0.900 … 0.600"
    assert rows[2] == "owl\ncos 0.400 … −0.100"
    assert "6 of 12 have the same" in said(figure)
    assert "test split" in said(figure).replace("\xa0", " ")


def test_without_labels_nothing_is_judged(plant, style, arrays, said):
    plant.run.save_arrays("neighbours", **unlabelled(arrays))
    figure = neighbours(plant.run)
    (axes,) = figure.axes
    assert not [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert axes.texts[0].get_text() == "cos 0.900 … 0.600"
    assert not any(mark in said(figure) for mark in ("✗", "class", "label"))


def test_neighbours_of_collapsed_features_are_said_to_mean_little(plant, style, arrays, said):
    arrays["similarity"] = np.full((3, 4), 0.99999, np.float32)
    plant.run.save_arrays("neighbours", **arrays)
    assert "hardly tell any images apart" in said(neighbours(plant.run))


def test_a_run_without_neighbours_has_no_picture(plant, style):
    assert neighbours(plant.run) is None
