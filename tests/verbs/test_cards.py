"""What a notebook shows: whole HTML that fetches nothing, and shows a stranger's texts without obeying them."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych as tt
from triptych.data.spec import Images
from triptych.errors import TriptychError

VOID = {"img", "path", "br"}


class Read(HTMLParser):
    """Every element must be closed in its turn; keeps what is said and where it leads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.said = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.said += f"{data} "


def read(html: str) -> Read:
    found = Read(html)
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    # Every rule is of the card and of nothing else on the page, whatever the reader's theme.
    flat = style.replace("@media (prefers-color-scheme:dark){", "").replace("\n", "")
    for rule in flat.split("}"):
        for selector in rule.partition("{")[0].split(","):
            assert not selector.strip() or selector.startswith(".triptych-card"), selector
    assert "prefers-color-scheme:dark" in style
    assert "url(" not in style and "@import" not in style
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/")
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    return found


def test_a_run_shows_how_it_ended_its_number_and_its_curve(trained: tt.Run):
    found = read(trained._repr_html_())
    assert "done" in found.said
    value = tt.results(trained)["test/log_likelihood"].value
    assert f"{value:,.2f}".replace("-", "−")[:5] in found.said
    assert "step 20" in found.said and "results" in found.said
    assert found.tags.count("svg") == 1 and "path" in found.tags
    drawing = dict(found.attributes)["viewbox"]
    left, _, width, _ = map(float, drawing.split())
    lines = [value for name, value in found.attributes if name == "d"]
    across = [float(x) for line in lines for x in re.findall(r"[ML]([\d.-]+)", line)]
    # To the end of the training, which is the right edge of what is shown.
    assert min(across) >= left and max(across) == pytest.approx(left + width)


def test_a_run_that_only_began_has_a_card(tmp_path: Path):
    run = tt.Run.create(tmp_path / "run", {"method": {"name": "mine"}})
    found = read(run._repr_html_())
    assert "interrupted" in found.said and "not evaluated yet" in found.said
    assert "svg" not in found.tags


def test_failures_and_alarms_stand_on_the_card(tmp_path: Path):
    run = tt.Run.create(tmp_path / "run", {})
    run.log({"step": 5, "epoch": 0.5, "train/loss": 1.0})
    run.log({"step": 9, "epoch": 1.0, "train/loss": 2.0, "alarm": "It <collapses>", "since": 5})
    run.finish("FAILED", "the loss was not finite")
    found = read(run._repr_html_())
    assert "alarm at step 5: It <collapses>" in found.said
    assert "the loss was not finite" in found.said


def test_a_number_of_other_weights_than_the_runs_says_so(trained: tt.Run, tmp_path: Path):
    run = tt.Run(shutil.copytree(trained.path, tmp_path / "run"))
    raw = json.loads((run.path / "results.json").read_text())
    for result in raw.values():
        result["protocol"] |= {"step": 7, "weights": run.weights("last").digest}
    (run.path / "results.json").write_text(json.dumps(raw))
    assert "of step 7" in read(run._repr_html_()).said
    assert "of step" not in read(trained._repr_html_()).said


HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e"


def test_a_strangers_texts_are_shown_and_not_obeyed(tmp_path: Path):
    config = {"method": {"name": HOSTILE}, "data": {"name": f"/x/{HOSTILE}"}}
    run = tt.Run.create(tmp_path / HOSTILE.replace("/", ""), config)
    run.log({"step": 1, "epoch": 0.1, f"train/{HOSTILE}": 1.0, "alarm": HOSTILE})
    run.log({"step": 2, "epoch": 0.2, f"train/{HOSTILE}": 1.0})
    protocol = {HOSTILE: HOSTILE, "unit": HOSTILE}
    run.record({HOSTILE: tt.Result(1.0, None, 3, protocol, HOSTILE)})
    run.record({f"{HOSTILE}2": tt.Result.left_out(HOSTILE, {})})
    run.finish("FAILED", HOSTILE)
    for shown in (run, tt.results(run)):
        html = shown._repr_html_()
        found = read(html)
        assert "onerror=alert" in found.said
        assert "\x1b" not in html and "\u202e" not in html
        assert "\x1b" not in repr(shown) and "\u202e" not in repr(shown)


@pytest.mark.parametrize("file", ["config.toml", "metrics.jsonl", "results.json"])
def test_a_damaged_folder_has_a_card_that_says_so(tmp_path: Path, file: str):
    run = tt.Run.create(tmp_path / "run", {"method": {"name": "mine"}})
    (run.path / file).write_text("{<b>\n")
    found = read(run._repr_html_())
    assert file in found.said
    assert repr(run).startswith("<Run ")


def test_a_folder_that_leads_out_of_itself_is_not_read(tmp_path: Path):
    run = tt.Run.create(tmp_path / "run", {})
    (run.path / "metrics.jsonl").symlink_to("/etc/passwd")
    found = read(run._repr_html_())
    assert "damaged" in found.said and "leads out of" in found.said
    assert "root:" not in found.said


def test_a_folder_that_is_gone_has_a_card(tmp_path: Path):
    found = read(tt.Run(tmp_path / "gone")._repr_html_())
    assert "no config.toml" in found.said


def test_a_data_set_shows_its_splits_its_classes_and_some_images():
    data = tt.load("mnist-5k")
    assert repr(data) == (
        "<Dataset 'mnist-5k': 1×28×28 grey, 3,500 train, 500 valid, 1,000 test, 10 classes>"
    )
    found = read(data._repr_html_())
    for said in ("3,500", "500", "1,000", "10 classes: 0, 1, 2", data.fingerprint):
        assert said in found.said
    url = dict(found.attributes)["src"]
    with Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        sheet = np.asarray(image.convert("L"))
    # Twice the size, a pixel between; the first image of all is the first of the strip.
    first = data.splits["train"].pixels[0, 0]
    assert (sheet[2 : 2 + 56 : 2, 2 : 2 + 56 : 2] == first).all()


def test_a_data_set_of_two_images_without_classes_has_a_card():
    images = Images(np.zeros((2, 3, 4, 6), np.uint8), None)
    data = tt.Dataset(
        "<mine>", "<mine>", {"train": images}, None, "colour", "f", notes=("<a note>",)
    )
    assert repr(data) == "<Dataset '<mine>': 3×4×6 colour, 2 train>"
    found = read(data._repr_html_())
    assert "<mine>" in found.said and "<a note>" in found.said and "classes" not in found.said


def test_there_is_no_card_of_anything_else():
    with pytest.raises(TriptychError, match="no card of a int"):
        tt.card(3)


RESULTS = {
    "test/elbo": tt.Result(-99.5, 0.25, 1000, {"split": "test", "K": 1, "unit": "nats"}, "a note"),
    "test/knn_top1": tt.Result(0.5, 0.01, 1000, {"split": "test", "K": 20}),
    "verdict": tt.Result("healthy", None, 500, {"split": "test"}, "Healthy: spread out"),
    "test/missing": tt.Result.left_out("no labels", {"split": "test"}),
}


def test_results_are_a_table_of_values_with_errors_and_counts():
    results = tt.Results(RESULTS)
    assert list(results) == ["test/elbo", "test/knn_top1", "verdict"]
    assert results.left_out == {"test/missing": "no labels"}
    found = read(results._repr_html_())
    for said in ("−99.50 ± 0.25", "50.0 ± 1.0 %", "1,000", "Healthy: spread out", "K 20", "a note"):
        assert said in found.said
    assert "left out: test/missing: no labels" in found.said
    lines = repr(results).splitlines()
    assert lines[0] == "split test"
    assert lines[1].startswith("test/elbo") and "−99.500 ± 0.250" in lines[1]
    assert lines[-1] == "left out: test/missing (no labels)"


def test_results_say_how_they_were_measured_when_they_are_asked():
    results = tt.Results(RESULTS)
    assert results["test/elbo"].protocol["K"] == 1
    assert results.protocol("test/knn_top1") == {"split": "test", "K": 20}
    assert results.protocol() == {"split": "test"}
    assert results.records()["test/elbo"] == {
        "value": -99.5,
        "stderr": 0.25,
        "n": 1000,
        "protocol": {"split": "test", "K": 1, "unit": "nats"},
        "note": "a note",
    }


def test_a_name_that_is_not_among_the_results_is_explained():
    results = tt.Results(RESULTS)
    with pytest.raises(KeyError, match="did you mean 'test/elbo'"):
        results["test/elbos"]
    with pytest.raises(KeyError, match="'test/missing' was left out: no labels"):
        results["test/missing"]
    assert "test/missing" not in results
    assert results.get("nothing") is None
    assert 3 not in results


def test_results_as_a_frame_have_their_protocols_beside_them():
    frame = tt.Results(RESULTS).to_frame()
    assert list(frame.index) == ["test/elbo", "test/knn_top1", "verdict"]
    assert frame.loc["test/elbo", "stderr"] == 0.25
    assert frame["protocol.K"].tolist()[:2] == [1, 20]
    assert frame.loc["test/elbo", "note"] == "a note"


def test_no_results_are_shown_as_none():
    assert repr(tt.Results({})) == "no results"
    assert "no results" in read(tt.Results({})._repr_html_()).said


STUDY = """{"study": "<b>s", "control": "a", "seeds": [0, 1], "curves": [], "arms": {
 "a": {"verdicts": {"healthy": 2}, "runs": {"0": {"state": "done"}, "1": {"state": "done"}}},
 "b": {"verdicts": {}, "runs": {"0": {"state": "failed", "reason": "x"}, "1": {"state": "done"}}}},
 "metrics": {"test/knn_top1": {"protocol": {}, "findings": ["<i>b is lower"],
  "arms": {"a": {"n": 2, "mean": 0.5, "stderr": 0.01, "values": {"0": 0.5, "1": 0.5}},
           "b": {"n": 1, "mean": 0.4, "stderr": null, "values": {"1": 0.4}}},
  "differences": {"b": {"n": 2, "mean": -0.1, "stderr": 0.02, "low": -0.2, "high": 0.0, "holm": 0.04}}}}}"""


@pytest.fixture
def study(tmp_path: Path) -> tt.Study:
    (tmp_path / "study.json").write_text(STUDY)
    return tt.Study(str(tmp_path), {"b, seed 3": "<out of memory>"})


def test_a_study_is_a_table_of_arms_and_metrics(study: tt.Study):
    found = read(study._repr_html_())
    assert "50.0 ± 1.0 %" in found.said and "40.00 % (−10.0 ± 2.0 points)" in found.said
    assert "3 done, 1 failed" in found.said and "healthy 2/2" in found.said
    assert "<i>b is lower" in found.said and "b, seed 3: <out of memory>" in found.said
    assert repr(study).splitlines() == [
        "<b>s: 2 arms × 2 seeds, differences from a",
        "arm  test/knn_top1",
        "a    50.0 ± 1.0 %",
        "b    40.00 % (−10.0 ± 2.0 points)",
        "no outcome: b, seed 3: <out of memory>",
    ]


def test_a_study_as_a_frame_has_a_row_for_each_arm_and_metric(study: tt.Study):
    frame = study.to_frame()
    assert frame.loc["b", ["metric", "mean", "difference", "low", "high", "p"]].tolist() == [
        "test/knn_top1",
        0.4,
        -0.1,
        -0.2,
        0.0,
        0.04,
    ]
    assert frame.loc["a", "n"] == 2
    assert frame["difference"].isna().tolist() == [True, False]
