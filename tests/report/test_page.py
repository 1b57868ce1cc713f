import re

import pytest

from triptych.errors import TriptychError
from triptych.report.page.charts import charts, ticks
from triptych.report.page.compare import compare
from triptych.report.page.findings import findings, measured_against
from triptych.report.page.page import SCRIPTS, write_page, write_tables
from triptych.runs import Result, Run

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def planted(path, config=None, results=None, epochs=20, elbo=(-168.0, -101.0)):
    run = Run.create(path, config or {"seed": 0, "method": {"name": "vae"}, "data": {"name": "x"}})
    first, last = elbo
    for epoch in range(1, epochs + 1):
        value = first + (last - first) * (epoch - 1) / max(1, epochs - 1)
        run.log({"step": epoch * 10, "epoch": float(epoch), "seconds": 1.0, "valid/elbo": value})
    run.record(results or {})
    run.finish("DONE", "trained")
    return run


def reference_config():
    from triptych import experiment

    return experiment.default_config("vae", "reference").tables()


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


@pytest.mark.parametrize(
    ("value", "standing"), [(-95.6, "within"), (-90.0, "better"), (-99.0, "worse")]
)
def test_a_likelihood_is_held_against_the_reference_both_ways(tmp_path, value, standing):
    run = planted(tmp_path / "r", reference_config(), likelihood(value))
    found = {f.title: f for f in findings(run)}
    assert found["Log-likelihood"].standing == standing


def test_another_protocol_is_not_compared_and_the_field_is_named(tmp_path):
    config = reference_config()
    config["method"]["latent"] = 2
    found = findings(planted(tmp_path / "r", config, likelihood(-95.6)))
    assert {f.standing for f in found} == {"not comparable"}
    assert all("method.latent" in f.why for f in found)


def test_a_shorter_training_is_not_compared(tmp_path):
    found = findings(planted(tmp_path / "r", reference_config(), epochs=5))
    assert found[0].standing == "not comparable"
    assert "train.duration" in found[0].why


@pytest.mark.parametrize(("ends", "word"), [((-168.0, -101.0), "rose"), ((-101.0, -168.0), "fell")])
def test_the_sentence_on_the_curve_says_which_way_it_went(tmp_path, ends, word):
    sentence = findings(planted(tmp_path / "r", elbo=ends))[0].sentence
    assert f"ELBO {word} from" in sentence
    assert ("was highest" in sentence) == (word == "fell")


def test_neighbours_below_a_floor_are_said_to_be_below(tmp_path):
    def share(value):
        return Result(value, 0.01, 100, {})

    results = {"test/knn_top1": share(0.2), "test/knn_top1_untrained": share(0.26)}
    sentence = findings(planted(tmp_path / "r", results=results))[-1].sentence
    assert "6.0 points below the untrained encoder" in sentence


def test_a_number_at_the_edge_is_within_its_error():
    assert measured_against(-96.2, 0.25, (-95.75, -95.75)) == "within"
    assert measured_against(-96.3, 0.25, (-95.75, -95.75)) == "worse"
    assert measured_against(-101.0, None, (-101.5, -100.49)) == "within"


def test_what_a_stranger_wrote_cannot_become_script(tmp_path):
    config = {"seed": 0, "method": {"name": EVIL}, "data": {"name": EVIL}}
    results = {EVIL: Result(1.5, None, 3, {EVIL: EVIL}, EVIL)}
    run = planted(tmp_path / "r", config, results)
    run.log({"step": 200, "epoch": 20.0, "alarm": EVIL})
    run.finish("FAILED", EVIL)
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "<img src=x" not in page
    assert "<script>document.title" not in page
    # Scripts are the page's own, each named by its hash in the policy, and data.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    executable = re.findall(r"<script>", page)
    assert len(executable) == policy.count("sha256-") == len(SCRIPTS)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_the_policy_allows_the_very_bytes_of_the_scripts(tmp_path):
    import base64
    import hashlib

    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert digest.replace("+", "&#43;") in page or digest in page


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    run = planted(tmp_path / "r")
    (tmp_path / "private").write_text("secret")
    (run.path / "samples" / "x.npz").symlink_to(tmp_path / "private")
    with pytest.raises(TriptychError, match="leads out of"):
        write_page([run.path], tmp_path / "out.html")


def test_a_failed_run_says_so_first(tmp_path):
    run = planted(tmp_path / "r")
    run.finish("FAILED", "the loss was not finite at step 7")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "This run failed:" in page
    assert "not finite at step 7" in page


def test_an_unfinished_run_says_so(tmp_path):
    run = planted(tmp_path / "r")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "Not finished (interrupted)." in page


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(TriptychError, match="neither a run"):
        write_page([tmp_path], tmp_path / "out.html")


def test_the_page_asks_for_nothing(tmp_path):
    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(url.startswith(("data:", "#")) for url in fetched)
    assert "url(" not in page


def test_the_points_of_a_chart_lie_where_its_numbers_say(tmp_path):
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


def test_tables_for_papers_hold_every_number(tmp_path):
    run = planted(tmp_path / "a_run", results=likelihood(-95.6))
    written = write_tables([run.path], tmp_path / "out.html")
    assert [p.name for p in written] == ["out-1-a_run.csv", "out-1-a_run.tex"]
    assert "test/log_likelihood,-95.6,0.25,10000,K 200," in written[0].read_text()
    assert r"test/log\_likelihood & $-$95.60 $\pm$ 0.25 & 10,000 \\" in written[1].read_text()


def test_a_run_can_be_repeated_from_its_config(tmp_path):
    from triptych import experiment

    run = planted(tmp_path / "r", reference_config())
    again = experiment.default_config("vae", str(run.path / "config.toml"))
    assert again == experiment.default_config("vae", "reference")
    with pytest.raises(TriptychError, match="triptych train vae --preset"):
        experiment.default_config("wgan", str(run.path / "config.toml"))


def test_two_runs_stand_side_by_side_with_their_difference(tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    second = planted(tmp_path / "b", results=likelihood(-91.6))
    (row,) = compare(first.path, second.path).rows
    # √(0.25² + 0.25²) = 0.354
    assert row.difference == "4.00 ± 0.35"
    page = write_page(
        [first.path, second.path], tmp_path / "o.html", "x", compare(first.path, second.path)
    )
    assert "4.00 ± 0.35" in page.read_text()


def test_other_protocols_are_refused_and_the_field_is_named(tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    other = {"test/log_likelihood": Result(-91.6, 0.25, 10_000, {"K": 5000})}
    second = planted(tmp_path / "b", results=other)
    with pytest.raises(TriptychError, match="K is 200 in one and 5000 in the other"):
        compare(first.path, second.path)


def test_one_number_of_another_protocol_does_not_stop_the_others(tmp_path):
    same = Result(0.5, 0.1, 10, {"k": 1})
    first = planted(tmp_path / "a", results={**likelihood(-95.6), "test/knn_top1": same})
    other = {"test/log_likelihood": Result(-91.6, 0.25, 10_000, {"K": 5000})}
    second = planted(tmp_path / "b", results={**other, "test/knn_top1": same})
    rows = {row.name: row for row in compare(first.path, second.path).rows}
    assert rows["test/log_likelihood"].difference == ""
    assert rows["test/knn_top1"].refusal == ""
    assert rows["test/knn_top1"].difference == "0 ± 14 %"
