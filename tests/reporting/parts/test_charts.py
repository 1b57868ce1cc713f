"""Which charts a run gets: those that have a place, then every other term that it logged, each once."""

import pytest

from triptych.reporting.figures.panels import Line
from triptych.reporting.looks import OVERLAID
from triptych.reporting.parts.charts import APART, charts
from triptych.runs import Result, Run


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "r", {"method": {"name": "mine"}})


def log(run: Run, **values: float) -> None:
    for epoch in (1.0, 2.0, 4.0):
        line = {name.replace("__", "/"): value / epoch for name, value in values.items()}
        run.log({"step": int(epoch), "epoch": epoch, **line})


def lines(run: Run) -> dict[str, list[str]]:
    return {chart.name: [line.name for line in chart.series] for chart in charts(run)}


def test_declared_charts_come_first_and_every_other_term_has_one(run):
    log(run, train__mmd=1.0, valid__mmd=2.0, train__elbo=-4.0, features__novelty=3.0)
    log(run, train__penalty=1.0, valid__penalty=1.5)
    assert lines(run) == {
        "elbo": ["training"],
        "penalty": ["training", "validation"],
        "mmd": ["training", "validation"],
        "features-novelty": ["features/novelty"],
    }


def test_every_metric_is_in_one_chart(run):
    names = ("train__elbo", "valid__elbo", "valid__kl", "train__loss", "features__std")
    log(run, **dict.fromkeys((*names, "features__effective_rank", "features__backbone_rank"), 1.0))
    assert sum(map(len, lines(run).values())) == len(names) + 2


def test_shares_are_read_in_per_cent_and_the_title_says_so(run):
    log(run, test__knn_top1=0.8, valid__knn_balanced=0.4)
    found = {chart.name: chart for chart in charts(run)}
    assert found["test-knn-top1"].title == "kNN top-1, %"
    assert found["test-knn-top1"].series[0].values == pytest.approx([80.0, 40.0, 20.0])
    assert found["knn-balanced"].series[0].values == pytest.approx([40.0, 20.0, 10.0])


def test_a_chart_is_in_nats_where_the_bound_was_measured(run):
    log(run, train__reconstruction=1.0)
    assert [chart.title for chart in charts(run)] == ["reconstruction"]
    log(run, valid__reconstruction=1.0)
    assert [chart.title for chart in charts(run)] == ["reconstruction term, nats an image"]


def test_one_point_is_no_curve(run):
    run.log({"step": 0, "epoch": 0.0, "floor/pixels_knn_top1": 0.9, "train/loss": 1.0})
    assert lines(run) == {}


def test_what_is_laid_over_does_not_set_the_epochs(run):
    log(run, valid__elbo=-100.0)
    other = Line("another report", [1.0, 50.0], [-80.0, -70.0], OVERLAID, over=True)
    (chart,) = charts(run, {"elbo": other, "no such chart": other})
    assert [line.number for line in chart.series] == [1, OVERLAID]
    assert chart.ranges[1] == 4.0


def test_the_points_of_a_chart_lie_where_its_numbers_say(planted, tmp_path):
    (chart,) = charts(planted(tmp_path / "r", elbo=(-160.0, -100.0)))
    _, end, low, high = chart.ranges
    x, y = map(float, chart.series[0].path.split("L")[-1].split())
    assert x == pytest.approx(chart.width, abs=0.1)
    share = (high - -100.0) / (high - low)
    assert y == pytest.approx(chart.height * share, abs=0.1)
    assert end == 20


def test_a_beginning_beyond_the_axes_is_said(planted, tmp_path):
    run = planted(tmp_path / "a", epochs=40, elbo=(-110.0, -100.0))
    assert not charts(run)[0].cut
    run = planted(tmp_path / "b", epochs=40, elbo=(-110.0, -100.0))
    run.log({"step": 1, "epoch": 0.1, "valid/elbo": -900.0})
    (chart,) = charts(run)
    assert chart.cut
    assert chart.ranges[2] > -115


def test_what_needs_no_training_is_a_level_that_is_drawn_and_said(run):
    run.log({"step": 0, "epoch": 0.0, "test/knn_top1": 0.25, "floor/pixels_knn_top1": 0.875})
    log(run, test__knn_top1=0.8)
    (chart,) = charts(run)
    assert [mark.said for mark in chart.marks] == ["untrained 25.0\xa0%", "raw pixels 87.5\xa0%"]
    _, _, low, high = chart.ranges
    assert low == 0 and high > 87.5
    assert [mark.y for mark in chart.marks] == pytest.approx(
        [chart.height * (1 - value / high) for value in (25.0, 87.5)], abs=0.1
    )
    assert chart.said.endswith("; level of untrained 25.0\xa0%; level of raw pixels 87.5\xa0%.")


@pytest.mark.parametrize(
    ("end", "name", "measured"),
    [
        ("_untrained", "untrained", 0.3),
        ("_pixels", "raw pixels", 0.9),
    ],
)
def test_a_baseline_that_only_the_evaluation_measured_is_drawn_too(run, end, name, measured):
    log(run, test__knn_top1=0.8)
    run.record({f"test/knn_top1{end}": Result(measured, None, 10, {"split": "test"})})
    (chart,) = charts(run)
    assert [mark.said for mark in chart.marks] == [f"{name} {100 * measured:.1f}\xa0%"]


def test_a_level_says_its_split_where_lines_are_of_several(run):
    run.log({"step": 0, "epoch": 0.0, "test/knn_top1": 0.25, "floor/pixels_knn_top1": 0.875})
    log(run, test__knn_top1=0.8, valid__knn_top1=0.7)
    said = ["untrained, test 25.0\xa0%", "raw pixels, test 87.5\xa0%"]
    assert [mark.said for mark in charts(run)[0].marks] == said


def test_the_level_of_a_game_is_that_of_its_diversity_alone(run):
    """The Fréchet distance of real images is measured at the end, by other features than a training's."""
    log(run, samples__diversity=0.5, valid__frechet_untrained=3.0, valid__critic_gap=1.0)
    run.record({"test/frechet_floor": Result(0.1, None, 10, {"split": "test"})})
    held = {chart.name: [mark.said for mark in chart.marks] for chart in charts(run)}
    assert held == {
        "diversity": ["real images 1"],
        "frechet-untrained": [],
        "critic-gap": [],
    }


def test_a_first_loss_is_no_baseline(run):
    run.log({"step": 0, "epoch": 0.0, "valid/elbo": -500.0})
    log(run, valid__elbo=-100.0)
    assert charts(run)[0].marks == []


def test_labels_of_levels_that_are_near_stand_apart_and_inside(run):
    run.log({"step": 0, "epoch": 0.0, "test/knn_top1": 0.88, "floor/pixels_knn_top1": 0.885})
    log(run, test__knn_top1=0.8)
    labels = [mark.label for mark in charts(run)[0].marks]
    assert abs(labels[0] - labels[1]) >= 100 * APART - 0.1
    assert all(50 * APART <= label <= 100 for label in labels)


def test_epochs_and_what_is_counted_have_whole_ticks(run):
    for epoch in range(4):
        run.log({"step": epoch, "epoch": float(epoch), "valid/classes_found": epoch})
    (chart,) = charts(run)
    assert [text for _, text in chart.across] == [text for _, text in chart.up] == list("0123")


def test_the_longest_tick_keeps_its_room(run):
    log(run, train__energy=-16_512.0)
    (chart,) = charts(run)
    assert chart.longest in [text for _, text in chart.up]
    assert len(chart.longest) == max(len(text) for _, text in chart.up)
    assert not any("e" in text for _, text in chart.up)


def test_a_line_of_very_many_points_keeps_its_ends(run):
    for epoch in range(1001):
        run.log({"step": epoch, "epoch": float(epoch), "train/mmd": epoch / 2})
    (line,) = charts(run)[0].series
    assert 400 <= len(line.epochs) <= 600
    assert (line.values[0], line.values[-1]) == (0, 500)


def test_a_term_of_a_name_that_a_family_knows_for_something_else_has_its_own_chart(run):
    log(run, train__diversity=1.0, samples__diversity=0.5)
    assert [[line.name for line in chart.series] for chart in charts(run)] == [
        *(["diversity of the samples"], ["training"]),
    ]
    assert charts(run)[1].marks == []
