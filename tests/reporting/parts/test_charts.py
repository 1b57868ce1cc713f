"""Which charts a run gets: those that have a place, then every other term that it logged, each once."""

import pytest

from triptych.reporting.parts.charts import OVERLAID, Line, charts
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


def test_one_point_is_no_curve(run):
    run.log({"step": 0, "epoch": 0.0, "floor/pixels_knn_top1": 0.9, "train/loss": 1.0})
    assert lines(run) == {}


def test_what_is_laid_over_does_not_set_the_epochs(run):
    log(run, valid__elbo=-100.0)
    other = Line("another report", [1.0, 50.0], [-80.0, -70.0], None)
    (chart,) = charts(run, {"elbo": other, "no such chart": other})
    assert [line.number for line in chart.series] == [1, OVERLAID]
    assert chart.ranges[1] == 4.0
