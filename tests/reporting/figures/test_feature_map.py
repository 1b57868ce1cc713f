"""Maps of planted features: every point once, in the look of its class, and names on their own class."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from triptych.reporting.figures.feature_map import LOOKS, feature_map

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
