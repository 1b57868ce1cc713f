"""A chart of the page and the figure for papers are of one picture: colours, dashes, axes, ticks and baselines are equal."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex

from triptych.reporting.draw import FIGURES, figures, study_figures
from triptych.reporting.looks import LEVEL, LOOKS
from triptych.reporting.parts.charts import Chart, charts, repeated
from triptych.reporting.study.figures import study_curves
from triptych.reporting.study.panels import StudyOverlay
from triptych.reporting.study.section import study_charts

pytestmark = pytest.mark.usefixtures("style")


def agree(chart: Chart, axes) -> None:
    """A chart is what a panel of a figure is."""
    lines = {line.get_label(): line for line in axes.get_lines()}
    for series in chart.series:
        drawn, look = lines[series.name], LOOKS[series.number]
        assert to_hex(drawn.get_color()) == look.light
        assert drawn.is_dashed() == bool(look.dash) or series.over
        assert list(drawn.get_xdata()) == series.epochs
        assert list(drawn.get_ydata()) == series.values
    first, end, low, high = chart.ranges
    assert axes.get_xlim() == (first, end)
    assert axes.get_ylim() == (low, high)
    said = [text.get_text().removesuffix("\xa0%") for text in axes.get_yticklabels()]
    assert said == [text for _, text in chart.up]
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        text for _, text in chart.across
    ]
    for mark in chart.marks:
        level = lines[mark.name]
        assert to_hex(level.get_color()) == LEVEL.light
        share = axes.transAxes.inverted().transform(
            axes.transData.transform((0, level.get_ydata()[0]))
        )[1]
        assert mark.y == pytest.approx(chart.height * (1 - share), abs=0.1)
        assert any(mark.said == text.get_text() for text in axes.texts)


def panels(figure) -> dict[str, object]:
    """The axes of a figure by their titles, as far as they go."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def both(run, name: str) -> dict[str, tuple[Chart, object]]:
    """The charts that a figure shows again, with its axes."""
    drawn = panels(FIGURES[name](run))
    found = {}
    for chart in charts(run):
        title = chart.title.removesuffix(", %").removesuffix(" an image")
        axes = drawn.get(title, drawn.get(chart.title))
        if axes is not None:
            assert chart.panel.figure == name
            found[chart.name] = chart, axes
    assert len(found) == len(drawn)
    return found


def test_a_likelihood(plant):
    plant.log("train", [0.1, 5.0, 10.0, 20.0], [-900.0, -200.5, -150.0, -140.0])
    plant.log("valid", [5.0, 10.0, 20.0], [-210.0, -160.0, -151.25])
    found = both(plant.run, "elbo-curve")
    assert list(found) == ["elbo", "reconstruction", "kl"]
    for chart, axes in found.values():
        agree(chart, axes)
    assert [series.number for series in found["elbo"][0].series] == [0, 1]
    assert found["elbo"][0].cut and not found["kl"][0].cut


def test_a_game(plant):
    told = {"name": "mine", "title": "mine", "about": "", "cosine": None, "source": None}
    told["can"] = ["HasCritic", "LipschitzCritic"]
    plant.run.write("environment.json", json.dumps({"method": told}))
    for step in (0, 10, 20):
        terms = {"critic_gap": 9 - step / 4, "gradient_norm": 1.5 - step / 40, "penalty": 0.5}
        plant.run.log(
            {
                "step": step,
                "epoch": step / 5,
                "samples/diversity": step / 18,
                "valid/critic_gap": 2.0,
            }
            | {f"train/{name}": value for name, value in terms.items()}
            | {"valid/frechet_untrained": 3.0, "valid/critic_memory": -0.5}
        )
    found = both(plant.run, "critic-curves")
    assert len(found) == 6
    for chart, axes in found.values():
        agree(chart, axes)
    held = {
        name: [m.said for m in chart.marks] for name, (chart, _) in found.items() if chart.marks
    }
    assert held == {"gradient-norm": ["as promised 1"], "diversity": ["real images 1"]}


def test_a_representation(plant):
    plant.run.write("environment.json", json.dumps({"method": {"cosine": "-loss"}}))
    plant.run.save_arrays("neighbours", classes=np.array(["a", "b", "c", "d"]))
    for epoch in range(5):
        look = {"step": 9 * epoch, "epoch": float(epoch)}
        pixels = {"floor/pixels_knn_top1": 0.9} if epoch == 0 else {}
        plant.run.log(
            look
            | pixels
            | {"test/knn_top1": 0.3 + epoch / 10, "valid/knn_top1": 0.28 + epoch / 10}
            | {"features/std": epoch / 4, "features/retrieval": epoch / 50}
            | {"features/effective_rank": 2.0**epoch, "features/backbone_rank": 3.0**epoch}
            | {"features/alignment": 0.5, "features/uniformity": -epoch / 2}
            | {"train/loss": -epoch / 5}
        )
    found = both(plant.run, "representation-curves")
    assert len(found) == 6
    knn, axes = found.pop("test-knn-top1")
    # Its words stand beside the axes; all else is alike.
    assert [text.get_text() for text in axes.texts][2:] == [mark.said for mark in knn.marks]
    agree(knn, axes)
    for chart, axes in found.values():
        agree(chart, axes)
    assert [mark.said for mark in knn.marks] == [
        *("untrained, test 30.0\xa0%", "raw pixels, test 90.0\xa0%", "chance 25.0\xa0%"),
    ]
    assert found["rank"][1].get_yscale() == "log"
    assert [text for _, text in found["rank"][0].up] == ["1", "2", "5", "10", "20", "50", "100"]


def test_a_method_of_ones_own(plant):
    for epoch in (1.0, 2.0, 3.0):
        plant.run.log({"step": 1, "epoch": epoch, "train/mmd": epoch**2, "valid/mmd": 3 * epoch})
        plant.run.log({"step": 1, "epoch": epoch, "features/novelty": 1 / epoch})
    for chart, axes in both(plant.run, "training-curves").values():
        agree(chart, axes)


OTHER = StudyOverlay(
    "another study",
    lambda arm, metric, end: ([0.0, end], [0.2, 0.4]) if arm == "default" else ([], []),
    lambda end: "As it was.",
)


@pytest.mark.parametrize("overlay", [None, OTHER])
def test_a_study_with_and_without_another_laid_over_it(ablation, tmp_path, overlay):
    folder = ablation(tmp_path)
    figure = study_curves(folder, overlay)
    drawn = panels(figure)
    found = study_charts(folder, overlay)
    assert len(found) == 2
    for chart in found:
        agree(chart, drawn[chart.title.removesuffix(", %")])
        over = [series.name for series in chart.series if series.over]
        assert over == ["default, another study"] * (overlay is not None)
    assert [[m.said for m in chart.marks] for chart in found] == [[], ["untrained 30.0\xa0%"]]
    assert repeated(found, study_figures(folder)) == {"study-curves"}


def test_only_figures_whose_quantities_have_a_chart_are_said_to_repeat_one(plant):
    plant.everything()
    assert repeated(charts(plant.run), figures(plant.run)) == {"elbo-curve"}
    assert repeated([], figures(plant.run)) == set()
