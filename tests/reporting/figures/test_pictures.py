"""Interpolations of samples: every image at its place; the scorecard's numbers where they belong."""

import numpy as np
import pytest

from triptych.reporting.figures.pictures import (
    reconstructions,
    sample_interpolation,
    samples,
    scorecard,
)

pytestmark = pytest.mark.usefixtures("style")

ALPHA = [i / 10 for i in range(11)]


def kept(plant, pairs: int, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    arrays = {way: plant.images(pairs, 11, *shape) for way in ("linear", "spherical", "pixel")}
    plant.run.save_arrays(
        "sample_interpolation", **arrays, alpha=np.linspace(0, 1, 11).astype(np.float32)
    )
    return arrays


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8)])
@pytest.mark.parametrize("pairs", [2, 6])
def test_three_rows_a_pair_in_the_order_of_their_labels(plant, sheet, shape, pairs):
    arrays = kept(plant, pairs, shape)
    figure = sample_interpolation(plant.run)
    canvas = sheet(figure)
    shown = min(pairs, 4)
    # One pixel between tiles, and a quarter of a tile more between pairs.
    assert canvas.shape == (shown * 26 + (shown - 1) * 3, 11 * 9 - 1, 3)
    for pair in range(shown):
        for row, way in enumerate(arrays):
            for step in range(11):
                top, left = pair * 29 + row * 9, step * 9
                found = canvas[top : top + 8, left : left + 8].transpose(2, 0, 1)
                wanted = np.broadcast_to(arrays[way][pair, step], found.shape)
                np.testing.assert_array_equal(found, wanted)
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["linear", "spherical", "pixel"] * shown
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["0", *(f"0.{i}" for i in range(1, 10)), "1"]
    assert figure.get_size_inches()[1] * 25.4 < 260


@pytest.mark.parametrize(("term", "said"), [("elbo", True), ("mmd", False)])
def test_only_of_a_likelihood_it_is_said_that_there_is_a_posterior(plant, term, said):
    plant.run.log({"step": 1, "epoch": 1.0, f"train/{term}": -1.0})
    plant.pictures()
    for draw in (reconstructions, samples):
        words = " ".join(text.get_text() for text in draw(plant.run).texts)
        assert ("(z|x)" in words or "(x|z)" in words) == said


def row(score: str, way: str, mean: float, half: float, p: float) -> dict[str, object]:
    interval = {"mean": mean, "low": mean - half, "high": mean + half}
    return {"score": score, "unit": "nats", "way": way, **interval, "p": p / 2, "p_adjusted": p}


ROWS = [
    row("distance to training", "linear", -0.03, 0.01, 0.00002),
    row("distance to training", "spherical", -0.02, 0.01, 0.013),
    row("path length", "linear", 0.3, 0.05, 0.04),
    row("path length", "spherical", 0.2, 0.07, 0.6),
]
CURVES = {
    "alpha": ALPHA,
    "linear": [0.3 + 0.01 * a for a in ALPHA],
    "spherical": [0.3 + 0.02 * a for a in ALPHA],
    "pixel": [0.3 + 0.1 * a * (1 - a) for a in ALPHA],
}


@pytest.fixture
def scored(plant):
    """Records a scorecard, with the control or without."""

    def record(control: bool = True):
        level = {"mean": 0.25, "stderr": 0.01, "n": 500}
        floor = {"end points": {"mean": 0.3, "stderr": 0.01, "n": 512}}
        if control:
            floor |= {"held-out images": level, "held-out overlays": {**level, "mean": 0.281}}
        table = {
            **{"verdict": "Latent it is.", "differences": ROWS, "curves": CURVES, "floor": floor},
            "control": {"mean": 0.03, "low": 0.02, "high": 0.04} if control else None,
        }
        plant.protocol = {**plant.protocol, "pairs": 256, "bank": "train (6750)"}
        plant.result("interpolation/scorecard", table)
        return scorecard(plant.run)

    return record


def test_the_curves_are_the_recorded_ones(scored):
    axes = scored().axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for way in ("linear", "spherical", "pixel"):
        assert list(lines[way].get_xdata()) == ALPHA
        assert list(lines[way].get_ydata()) == CURVES[way]
    assert list(lines["held-out images, 0.25"].get_ydata()) == [0.25, 0.25]
    assert list(lines["held-out overlays, 0.281"].get_ydata()) == [0.281, 0.281]


def test_each_score_has_a_panel_with_its_differences_and_intervals(scored):
    panels = scored().axes[1:]
    assert len(panels) == 2
    for place, axes in enumerate(panels):
        rows = ROWS[2 * place : 2 * place + 2]
        marks = [line for line in axes.get_lines() if line.get_marker() in ("o", "D")]
        assert [mark.get_xdata()[0] for mark in marks] == [r["mean"] for r in rows]
        bars = [c.get_segments()[0] for c in axes.collections]
        for bar, wanted in zip(bars, rows, strict=True):
            assert bar[:, 0] == pytest.approx([wanted["low"], wanted["high"]])
        low, high = axes.get_xlim()
        assert low <= 0 <= high, "no difference is always in sight"
    texts = [text.get_text() for axes in panels for text in axes.texts]
    assert "linear, p < 0.001" in texts
    assert "spherical, p = 0.013" in texts
    assert "linear, p = 0.04" in texts, "the adjusted one"
    assert "distance to training\nnats (primary)" in texts
    assert "path length\nnats" in texts


def test_the_caption_tells_the_verdict_and_how_it_was_reached(scored, said):
    caption = said(scored())
    assert "Latent it is." in caption
    assert "256 disjoint pairs" in caption
    assert "searched: train (6750)" in caption
    assert "must lie above held-out images" in caption


def test_without_a_control_none_is_spoken_of(scored, said):
    figure = scored(control=False)
    assert "eld-out" not in said(figure)
    assert not [t for t in figure.axes[0].get_legend().get_texts() if "held-out" in t.get_text()]


def test_there_is_no_figure_without_its_data(plant):
    assert scorecard(plant.run) is None
    assert sample_interpolation(plant.run) is None
