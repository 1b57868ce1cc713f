"""A study on the page: its curves, its tables, and the runs that have no outcome."""

import json

import pytest

from triptych.reporting.page.page import write_page, write_tables
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.section import _changes, study_charts


def test_curves_are_means_with_the_seeds_beside_them_in_per_cent(ablation, tmp_path):
    knn = next(c for c in study_charts(ablation(tmp_path)) if c.name == "test-knn-top1")
    line = knn.series[0]
    assert (line.name, len(line.threads)) == ("default", 2)
    assert line.values[-1] == pytest.approx(69.1)
    assert len({s.number for s in knn.series}) == 4


def test_runs_without_an_outcome_are_shown_plainly(ablation, tmp_path):
    lost = {"state": "failed", "reason": "the loss was not finite at step 7"}
    states = {("default", "1"): lost, ("no-predictor", "0"): {"state": "not done"}}
    ablation(tmp_path, states=states)
    page = write_page([tmp_path], tmp_path / "out.html").read_text()
    assert "<b>default, seed 1:</b> failed: the loss was not finite at step 7" in page
    assert "<b>no-predictor, seed 0:</b> not done" in page
    assert "incomplete" in page


def test_tables_of_a_study_hold_arms_and_differences(ablation, tmp_path):
    ablation(tmp_path / "s")
    table, latex = write_tables([tmp_path / "s"], tmp_path / "out.html")
    lines = table.read_text().splitlines()
    assert lines[0] == "metric,arm,seeds,mean,stderr,difference,low,high,p_holm"
    row = next(line for line in lines if line.startswith("test/knn_top1,no-predictor")).split(",")
    assert float(row[3]) == pytest.approx(0.111)
    assert float(row[5]) == pytest.approx(-0.58)
    assert latex.read_text().count(r"\begin{tabular}") == 3


def test_what_an_arm_changes_is_told_in_words_and_nothing_else(tmp_path):
    arms = {"default": {"runs": {}, "verdicts": {}}, "off": {"runs": {}, "verdicts": {}}}
    found = {
        "study": "s",
        "control": "default",
        "seeds": [0],
        "curves": [],
        "metrics": {},
        "arms": arms,
    }
    (tmp_path / "study.json").write_text(json.dumps(found))
    # As a study's folder has it: every field of every arm.
    text = "[arms.default.method]\nstop_gradient = true\nwidth = 4\n"
    (tmp_path / "study.toml").write_text(
        text + text.replace("default", "off").replace("true", "false")
    )
    assert _changes(StudyFolder(tmp_path)) == [("off", "stop-gradient off")]
