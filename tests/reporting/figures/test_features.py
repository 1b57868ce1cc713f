"""The figures of features: the map, and images with the training images nearest to them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from triptych.reporting.figures.features import LOOKS, feature_map, neighbours

CENTRES = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])


def plant_map(plant, labels=None, classes=(), count=80, **changed) -> dict[str, np.ndarray]:
    """Four groups of points, the t-SNE turned and stretched, with or without labels."""
    draw = np.random.default_rng(0)
    groups = np.arange(count) % 4 if labels is None else np.asarray(labels) % 4
    points = (CENTRES[groups] + draw.normal(size=(count, 2))).astype(np.float32)
    arrays = {
        "pca": points,
        "tsne": 7 * points[:, ::-1],
        "shares": np.float32([0.421, 0.157]),
        "perplexity": np.float32(30),
        "variance": np.float32(0.042),
        "split": np.array("test"),
        "checkpoint": np.array("best"),
    } | changed
    if labels is not None:
        arrays |= {"labels": np.asarray(labels), "classes": np.array(classes)}
    plant.run.save_arrays("feature-map", **arrays)
    return arrays


def drawn(axes) -> dict[str, np.ndarray]:
    """The points of every colour."""
    found: dict[str, list[np.ndarray]] = {}
    for part in axes.collections:
        if len(part.get_offsets()):
            found.setdefault(to_hex(part.get_facecolor()[0]), []).append(part.get_offsets())
    return {colour: np.concatenate(parts) for colour, parts in found.items()}


def ordered(points: np.ndarray) -> list[list[float]]:
    return sorted(np.asarray(points, np.float32).tolist())


def test_every_point_is_drawn_once_in_the_colour_of_its_class(plant, style):
    labels = np.random.default_rng(1).permutation(np.arange(80) % 4)
    arrays = plant_map(plant, labels, ("cat", "dog", "owl", "fox"))
    figure = feature_map(plant.run)
    for axes, name in zip(figure.axes, ("pca", "tsne"), strict=False):
        found = drawn(axes)
        assert len(found) == 4
        for place, (colour, _) in enumerate(LOOKS[:4]):
            expected = arrays[name][labels == place]
            assert ordered(found[colour.lower()]) == ordered(expected)
        low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
        assert (low < arrays[name].min(0)).all() and (arrays[name].max(0) < high).all()
        assert high - low == pytest.approx(np.full(2, (high - low)[0])), "one scale"


def test_names_stand_on_points_of_their_class_and_clear_of_each_other(plant, style):
    labels = np.arange(80) % 4
    names = ("aeroplane", "automobile", "bird", "a $x_{ cat$ and more")
    arrays = plant_map(plant, labels, names, pca=np.random.default_rng(2).normal(size=(80, 2)))
    figure = feature_map(plant.run)
    figure.canvas.draw()
    for axes, name in zip(figure.axes, ("pca", "tsne"), strict=False):
        assert [t.get_text() for t in axes.texts] == [*names[:3], "a $x_{ cat$…"]
        for place, text in enumerate(axes.texts):
            own = arrays[name][labels == place]
            assert np.abs(own - text.get_position()).sum(1).min() < 1e-5
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    legend = figure.axes[2].get_legend()
    assert [text.get_text() for text in legend.get_texts()][:3] == list(names[:3])


def test_a_class_in_two_parts_is_named_within_one(plant, style):
    labels = np.array([0] * 60 + [1] * 20)
    points = np.random.default_rng(0).normal(size=(80, 2)) * 0.1
    points[:45] += (10, 0)
    points[45:60] += (-10, 0)
    plant_map(plant, labels, ("two", "one"), pca=points)
    text = feature_map(plant.run).axes[0].texts[0]
    assert text.get_position()[0] == pytest.approx(10, abs=0.3), "the median would be between"


def test_of_many_classes_the_most_frequent_are_marked_and_the_rest_is_grey(plant, style, said):
    labels = np.repeat(np.arange(13), [1, 2, 9, 9, 9, 9, 9, 9, 9, 3, 9, 9, 9])
    plant_map(plant, labels, [f"c{i}" for i in range(13)], count=96)
    figure = feature_map(plant.run)
    assert [t.get_text() for t in figure.axes[0].texts] == [
        f"c{i}" for i in (*range(2, 9), 10, 11, 12)
    ]
    assert len(drawn(figure.axes[0])["#c4c4c4"]) == 1 + 2 + 3
    assert "the other 3 classes" in said(figure)


def test_without_labels_there_is_one_look_and_no_names(plant, style, said):
    arrays = plant_map(plant)
    figure = feature_map(plant.run)
    assert len(figure.axes) == 2
    for axes, name in zip(figure.axes, ("pca", "tsne"), strict=True):
        (points,) = drawn(axes).values()
        assert ordered(points) == ordered(arrays[name])
        assert not axes.texts
    assert "labels" not in said(figure)


def test_the_figure_says_what_it_shows_and_what_not_to_read_into_it(plant, style, said):
    plant_map(plant)
    figure = feature_map(plant.run)
    assert "42.1\xa0% of the variance" in figure.axes[0].get_xlabel()
    assert "15.7\xa0%" in figure.axes[0].get_ylabel()
    words = said(figure).replace("\xa0", " ")
    for part in (
        "80 images",
        "test split",
        "best weights",
        "perplexity 30",
        "distances between",
        "is 0.042",
    ):
        assert part in words


def test_features_that_are_one_point_are_said_to_be(plant, style, said):
    nothing = np.zeros((80, 2), np.float32)
    plant_map(plant, np.arange(80) % 2, ("a", "b"), pca=nothing, tsne=nothing, shares=np.zeros(2))
    figure = feature_map(plant.run)
    assert "collapsed to one point" in said(figure)
    assert not figure.axes[0].texts, "the names would be one on the other"


def test_a_run_without_features_has_no_map(plant, style):
    assert feature_map(plant.run) is None


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


def test_of_a_hundred_classes_ten_have_a_mark_and_the_others_are_counted(plant, style, said):
    """As many of each, as CIFAR-100 has: a legend of a hundred entries nobody can read."""
    labels = np.arange(400) % 100
    plant_map(plant, labels, [f"kind {k}" for k in range(100)], count=400)
    figure = feature_map(plant.run)
    legend = figure.axes[2].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"kind {k}" for k in range(10)]
    assert "Grey: the other 90 classes" in said(figure)
    assert len(drawn(figure.axes[0])) == 11
