"""The class histogram's figure: every mark where the recorded numbers put it, and what is said beside."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from triptych.reporting.figures.classes import NAMED, class_histogram
from triptych.reporting.figures.style import PAPER
from triptych.reporting.parts.vector import TWINS
from triptych.runs import Result

pytestmark = pytest.mark.usefixtures("style")

CONFUSION = np.array([[60, 40, 0], [4, 995, 1], [0, 15, 285]])
FINDING = {
    "verdict": "cat over-represented, dog under-represented, eel missing",
    "p": 0.0005,
    "critical_z": 2.5,
    "classifier_accuracy": 1340 / 1400,
    "classes": ["cat", "dog", "eel"],
    "mark": ["over", "under", "missing"],
    "training_share": [0.25, 0.5, 0.25],
    "expected_share": [0.2, 0.55, 0.25],
    "predicted_share": [0.6, 0.39, 0.01],
    "unmixed_share": [0.7, 0.28, 0.02],
    "stderr": [0.01, 0.02, 0.004],
    "z": [40.0, -8.0, -60.0],
    "p_adjusted": [0.0005, 0.0005, 0.0005],
}
PROTOCOL = {
    **{"data": "Animals", "split": "test", "checkpoint": "last", "confusion": "test (1400)"},
    **{"alpha": 0.05, "missing": 0.1},
}


def drawn(plant, confusion=CONFUSION, **changed):
    result = Result(FINDING | changed, None, 10_000, PROTOCOL, "a table")
    plant.run.record({"samples/class_histogram": result})
    plant.run.save_arrays("class_histogram", counts=np.ones(3), confusion=confusion)
    return class_histogram(plant.run)


def labelled(axes) -> dict:
    return dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))


def heights(collection) -> list[float]:
    """Where the short lines of one kind lie."""
    return [float(segment[0][1]) for segment in collection.get_segments()]


def test_a_run_without_the_measurement_has_no_figure(plant):
    assert class_histogram(plant.run) is None


def test_every_share_is_drawn_where_it_was_measured(plant):
    shares = drawn(plant).axes[0]
    found = labelled(shares)
    assert found["samples"].get_ydata() == pytest.approx([60, 39, 1])
    assert found["samples, unmixed"].get_ydata() == pytest.approx([70, 28, 2])
    assert heights(found["expected"]) == pytest.approx([20, 55, 25])
    assert heights(found["training images"]) == pytest.approx([25, 50, 25])
    assert (found["samples"].get_xdata() < found["samples, unmixed"].get_xdata()).all()
    assert shares.get_ylim()[0] == 0
    assert [label.get_text() for label in shares.get_xticklabels()] == ["cat", "dog", "eel"]


def test_the_band_reaches_to_the_critical_value(plant):
    """Expected share ∓ critical z × standard error: a point outside is a class that is flagged."""
    bars = labelled(drawn(plant).axes[0])["band if none differs"]
    edges = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars]
    assert np.array(edges) == pytest.approx(np.array([(17.5, 22.5), (50, 60), (24, 26)]))


def test_classes_that_differ_are_marked_by_shape_above_all_else(plant):
    shares = drawn(plant).axes[0]
    found = labelled(shares)
    kinds = ("over-represented", "under-represented", "missing")
    assert [found[kind].get_xdata().tolist() for kind in kinds] == [[0], [1], [2]]
    assert len({found[kind].get_marker() for kind in kinds}) == 3
    for k, (kind, highest) in enumerate(zip(kinds, (70, 60, 26), strict=True)):
        assert highest < found[kind].get_ydata()[0] < shares.get_ylim()[1], k


def test_nothing_is_marked_where_nothing_differs(plant, said):
    verdict = "no class differs from the training shares (p = 0.43)"
    figure = drawn(plant, verdict=verdict, p=0.43, mark=["", "", ""])
    assert not {"over-represented", "missing"} & set(labelled(figure.axes[0]))
    assert f"Classes of 10,000 samples: {verdict}" in said(figure)
    assert "Missing:" not in said(figure)


def test_the_confusion_is_in_per_cent_of_its_row(plant):
    matrix = drawn(plant).axes[1]
    shown = np.asarray(matrix.images[0].get_array())
    assert shown == pytest.approx(100 * CONFUSION / np.array([[100], [1000], [300]]))
    numbers = {text.get_position(): text.get_text() for text in matrix.texts}
    # x is the predicted class; an empty cell has no number.
    assert numbers == {
        **{(0, 0): "60", (1, 0): "40", (0, 1): "0.4", (1, 1): "99.5", (2, 1): "0.1"},
        **{(1, 2): "5.0", (2, 2): "95"},
    }
    assert "95.7\u00a0% right" in matrix.get_title(loc="left")
    assert matrix.get_ylim()[0] > matrix.get_ylim()[1], "the first class is at the top"


@pytest.mark.parametrize(("screen", "least"), [("light", 4.5), ("dark", 4.0)])
def test_numbers_can_be_read_on_their_cells(plant, screen, least):
    """WCAG contrast of every number against its cell, which lets the card show through."""

    def luminance(colour) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    def seen(colour) -> np.ndarray:
        return np.array(to_rgb(TWINS.get(to_hex(colour), colour) if screen == "dark" else colour))

    shares = [(100 - k, k) for k in range(0, 48, 4)]
    square = np.zeros((12, 12), int)
    square[:, :2] = shares
    square[:6, 2:] = 8
    many = {name: [1 / 12] * 12 for name in FINDING if name.endswith("share")}
    many |= {"classes": [str(k) for k in range(12)], "mark": [""] * 12, "stderr": [0.01] * 12}
    matrix = drawn(plant, square, **many).axes[1]
    image = matrix.images[0]
    contrasts = []
    for text in matrix.texts:
        j, i = text.get_position()
        *colour, share = image.cmap(image.norm(image.get_array()[i, j]))
        cell = luminance(share * np.array(colour) + (1 - share) * seen(PAPER))
        bright, dark = sorted((cell, luminance(seen(text.get_color()))), reverse=True)
        contrasts.append((bright + 0.05) / (dark + 0.05))
    assert len(contrasts) > 60 and min(contrasts) >= least


def test_the_caption_says_what_it_rests_on_and_what_it_does_not_know(plant, said):
    text = said(drawn(plant))
    assert FINDING["verdict"] in text
    assert "measured on 1,400 test images" in text
    assert "with probability 0.95" in text
    assert "p = 0.0005" in text
    assert "may not transfer to blurry samples" in text
    assert "Missing: an unmixed share below 0.1" in text
    assert "Animals" in text and "last weights" in text


def test_a_verdict_too_long_for_the_title_is_in_the_caption(plant, said):
    verdict = ", ".join(f"a rather long name {k}" for k in range(8)) + " over-represented"
    figure = drawn(plant, verdict=verdict)
    title = figure.texts[0].get_text()
    assert title.endswith("…") and len(title) < 100
    assert verdict in said(figure)


@pytest.mark.parametrize(
    "names",
    [tuple("abc"), ("T-shirt/top", "ankle boot", "$5"), tuple(f"the class {k}" for k in range(45))],
    ids=["letters", "long", "many"],
)
def test_no_words_overlap_or_are_cut(plant, names):
    count = len(names)
    shares = {name: [1 / count] * count for name in FINDING if name.endswith("share")}
    rest = {"classes": list(names), "mark": ["over"] + [""] * (count - 1), "stderr": [0.01] * count}
    figure = drawn(plant, np.eye(count, dtype=int) * 9, **shares, **rest)
    figure.draw_without_rendering()
    texts = [text for text in figure.texts if text.get_text()]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes._left_title]
        texts += axes.get_xticklabels()
        # A tick beyond the end of its axis is not drawn.
        top = max(axes.get_ylim())
        texts += [t for t in axes.get_yticklabels() if t.get_position()[1] <= top]
        assert len(axes.get_xticklabels()) <= NAMED
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
