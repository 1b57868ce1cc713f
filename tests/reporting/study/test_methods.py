"""A study of several methods on the page: what is drawn together, what is not compared, and arms beside their variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from triptych.errors import TriptychError
from triptych.reporting.draw import draw_study
from triptych.reporting.page.page import write_page, write_tables
from triptych.reporting.study.findings import study_findings
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.panels import study_panels
from triptych.reporting.study.tables import study_markdown, study_tables
from triptych.runs import Run
from triptych.studies.compare import compare_metric
from triptych.studies.values import Number

METHODS = {"pairs": "one", "codes": "other", "mine": "third", "bare": "one", "lone": "other"}
OF = {"bare": "pairs", "lone": "codes"}
KNN = {"pairs": 0.5, "codes": 0.4, "mine": 0.3, "bare": 0.1, "lone": 0.2}
APART = [["pairs", "bare"], ["codes", "lone"], ["mine"]]
SEEDS = (0, 1, 2)


@pytest.fixture
def several(tmp_path: Path) -> StudyFolder:
    """Three methods, of two of which there is a variant that collapsed."""
    values: dict[str, Any] = {"train/loss": {}, "test/knn_top1": {}, "seconds": {}}
    arms: dict[str, Any] = {}
    for place, (arm, method) in enumerate(METHODS.items()):
        for seed in SEEDS:
            run = Run.create(
                tmp_path / arm / f"seed-{seed}", {"seed": seed, "method": {"name": method}}
            )
            knn = KNN[arm] + 0.01 * seed + 0.001 * ((place * seed) % 3)
            for step in (0, 1, 2):
                line = {"step": step, "epoch": float(step), "seconds": 60.0 * step * (1 + place)}
                run.log({**line, "train/loss": -knn * step, "test/knn_top1": knn * step / 2})
            run.finish("DONE", "trained")
            last = {
                "train/loss": -2 * knn,
                "test/knn_top1": knn,
                "seconds": 120.0 * (1 + place) + seed,
            }
            for name, value in last.items():
                values[name].setdefault(arm, {})[seed] = Number(value, {})
        verdict = "complete collapse" if arm in OF else "healthy"
        runs = {str(seed): {"state": "done", "verdict": verdict} for seed in SEEDS}
        of = {"of": OF[arm]} if arm in OF else {}
        arms[arm] = {"runs": runs, "verdicts": {verdict: 3}, "method": method, **of}
    metrics = {
        name: compare_metric(
            name, found, "pairs", of=OF, minimised=METHODS if "loss" in name else {}
        )
        for name, found in values.items()
    }
    found = {
        **{"study": "several", "control": "pairs", "seeds": list(SEEDS), "arms": arms},
        **{"curves": ["train/loss", "test/knn_top1"], "metrics": metrics},
        **{"apart": {"train/loss": APART}, "variant": "without its guard"},
    }
    (tmp_path / "study.json").write_text(json.dumps(found))
    return StudyFolder(tmp_path)


def test_losses_have_axes_of_their_own_and_variants_too(several: StudyFolder):
    drawn = {panel.title: [line.name for line in panel.lines] for panel in study_panels(several)}
    assert drawn == {
        "training loss of one": ["pairs"],
        "training loss of other": ["codes"],
        "training loss of third": ["mine"],
        "training loss of one without its guard": ["bare"],
        "training loss of other without its guard": ["lone"],
        "test kNN top-1, %": ["pairs", "codes", "mine"],
        "test kNN top-1 without its guard, %": ["bare", "lone"],
    }
    names = [panel.name for panel in study_panels(several)]
    assert len(set(names)) == len(names)
    assert several.look("bare") == several.look("pairs")
    assert len({several.number(arm) for arm in several.own_arms}) == 3


def test_arms_stand_beside_their_variants(several: StudyFolder):
    tables = {table.title: table for table in study_tables(several.found)}
    beside = tables["Each arm, and the same without its guard"]
    assert beside.rows == [
        ["pairs", "healthy 3/3", "bare", "complete collapse 3/3"],
        ["codes", "healthy 3/3", "lone", "complete collapse 3/3"],
    ]
    words = study_markdown(several.found)
    assert "| pairs | healthy 3/3 | bare" in words
    assert "the first weights of layers of one name and shape" in words.replace("\n", " ")
    names = [row[0] for row in tables["Differences from pairs"].rows]
    assert "bare − pairs: training loss" in names
    assert "codes: training loss" not in names
    assert "training loss" in tables["Arms"].caption
    ranking = {row[0]: row[1:] for row in tables["Ranking"].rows}
    assert ranking["test kNN top-1"][0] == "pairs, codes, mine"
    assert ranking["training time"][0] == "pairs, codes, mine"
    assert "training loss" not in ranking


def test_the_page_and_its_files_say_what_is_not_compared(several: StudyFolder, tmp_path: Path):
    page = write_page([tmp_path], tmp_path / "out.html").read_text()
    assert "Several methods with the same seeds" in page
    assert "codes and mine minimise something else than pairs" in page
    assert "2.0167 ± 0.0096 minutes" in page, "times are read in minutes"
    table, latex = write_tables([tmp_path], tmp_path / "out.html")
    lines = table.read_text().splitlines()
    assert lines[0].endswith("p_holm,from")
    assert next(line for line in lines if line.startswith("seconds,bare")).endswith(",pairs")
    assert latex.read_text().count(r"\begin{tabular}") == 4
    said = study_findings(several)["collapse"]
    assert said.title == "Collapse of the arms"
    assert said.sentence == (
        "bare and lone collapse in each of 3 seeds, by the spread or rank of the projections; pairs, codes and mine do not."
    )


def test_its_figures_are_drawn(several: StudyFolder, style):
    assert {path.name for path in draw_study(several.path) if path.suffix == ".png"} == {
        *("study-curves.png", "study-differences.png")
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["arms"]["bare"].update({"of": "nobody"}),
        lambda found: found["arms"]["pairs"].update({"of": "bare"}),
        lambda found: found["arms"]["bare"].update({"of": 3}),
        lambda found: found["apart"].update({"train/loss": [["nobody"]]}),
        lambda found: found["metrics"]["seconds"]["ranking"]["order"].append("nobody"),
        lambda found: found["metrics"]["seconds"]["differences"]["bare"].update({"from": "x"}),
        lambda found: found["metrics"]["seconds"]["ranking"]["pairs"][0].pop("certain"),
    ],
)
def test_what_does_not_hang_together_is_refused(several: StudyFolder, change):
    found = json.loads((several.path / "study.json").read_text())
    change(found)
    (several.path / "study.json").write_text(json.dumps(found))
    with pytest.raises(TriptychError, match="is no study of Triptych's"):
        StudyFolder(several.path)
