"""A study's folder may be a stranger's: its names lead nowhere else, its shape is known or refused in one sentence."""

import json

import pytest

from triptych.errors import TriptychError
from triptych.reporting.page.page import compose, write_page, write_tables


def spoiled(folder, change):
    found = json.loads((folder / "study.json").read_text())
    change(found)
    (folder / "study.json").write_text(json.dumps(found))


@pytest.mark.parametrize("seed", ["../../x", "0/../../../x", "/etc", "", "1e3"])
def test_a_seed_that_leads_out_is_refused(ablation, tmp_path, seed):
    ablation(tmp_path / "s")

    def change(found):
        found["arms"]["default"]["runs"][seed] = {"state": "done"}

    spoiled(tmp_path / "s", change)
    with pytest.raises(TriptychError, match="is no folder in it"):
        compose([tmp_path / "s"])


@pytest.mark.parametrize("arm", ["..", ".", "", "a/b", "../private", "/etc"])
def test_an_arm_that_leads_out_is_refused(ablation, tmp_path, arm):
    ablation(tmp_path / "s")
    (tmp_path / "private").mkdir()

    def change(found):
        found["arms"][arm] = found["arms"]["default"]

    spoiled(tmp_path / "s", change)
    with pytest.raises(TriptychError, match="is no folder in it"):
        compose([tmp_path / "s"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("arms", []),
        ("arms", None),
        ("metrics", {"m": 3}),
        (
            "metrics",
            {"m": {"protocol": {}, "arms": {"default": {}}, "differences": {}, "findings": []}},
        ),
        ("metrics", {"m": {"protocol": {}, "arms": {}, "differences": {"x": {}}, "findings": []}}),
        ("seeds", "012"),
        ("curves", [3]),
        ("control", "nobody"),
        ("study", {"a": 1}),
    ],
)
def test_a_study_of_another_shape_is_refused_in_one_sentence(ablation, tmp_path, key, value):
    ablation(tmp_path)
    spoiled(tmp_path, lambda found: found.update({key: value}))
    with pytest.raises(
        TriptychError, match=r"is no study of Triptych's: .*run triptych study again"
    ):
        compose([tmp_path])


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '{"a": NaN}', "null"])
def test_what_is_no_json_is_refused_in_one_sentence(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(TriptychError, match="is no study of Triptych's"):
        compose([tmp_path])


def test_names_of_a_study_cannot_become_script_or_formulas(ablation, tmp_path):
    evil = "=<img src=x onerror=alert(1)>"
    ablation(tmp_path / "s")

    def change(found):
        found["metrics"][evil] = found["metrics"].pop("train/loss")
        found["study"] = evil
        found["arms"]["default"]["verdicts"] = {evil: 1}
        found["arms"]["default"]["runs"]["0"]["evidence"] = evil

    spoiled(tmp_path / "s", change)
    page = write_page([tmp_path / "s"], tmp_path / "out.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    table = write_tables([tmp_path / "s"], tmp_path / "out.html")[0].read_text()
    assert "\n'=<img" in table
    assert "\n=<img" not in table
