"""Which charts a run gets: those that have a place, then every other term that it logged, each once."""

import pytest

from triptych.reporting.parts.charts import OVERLAID, Line, charts, ticks
from triptych.runs import Run


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
    assert sum(map(len, lines(run).values())) == 7


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
    other = Line("another report", [1.0, 50.0], [-80.0, -70.0], None)
    (chart,) = charts(run, {"elbo": other, "no such chart": other})
    assert [line.number for line in chart.series] == [1, OVERLAID]
    assert chart.ranges[1] == 4.0


def test_the_points_of_a_chart_lie_where_its_numbers_say(planted, tmp_path):
    (chart,) = charts(planted(tmp_path / "r", elbo=(-160.0, -100.0)))
    _, end, low, high = chart.ranges
    x, y = map(float, chart.series[0].path.split("L")[-1].split())
    assert x == pytest.approx(chart.right, abs=0.1)
    share = (high - -100.0) / (high - low)
    assert y == pytest.approx(chart.top + (chart.bottom - chart.top) * share, abs=0.1)
    assert end == 20


def test_ticks_are_round_and_inside():
    assert ticks(-1.0, 1.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert all(0.31 <= t <= 0.43 for t in ticks(0.31, 0.43))


def test_a_beginning_beyond_the_axes_is_said(planted, tmp_path):
    run = planted(tmp_path / "a", epochs=40, elbo=(-110.0, -100.0))
    assert not charts(run)[0].cut
    run = planted(tmp_path / "b", epochs=40, elbo=(-110.0, -100.0))
    run.log({"step": 1, "epoch": 0.1, "valid/elbo": -900.0})
    (chart,) = charts(run)
    assert chart.cut
    assert chart.ranges[2] > -115
