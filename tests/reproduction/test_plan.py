"""What each scale does, and which folders are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from triptych.cli.main import main
from triptych.config import merge
from triptych.errors import TriptychError
from triptych.experiment import default_config
from triptych.reproduction.carry_out import reproduce
from triptych.reproduction.plan import RECORD, plan, refuse_another
from triptych.reproduction.record import Record
from triptych.reproduction.scales import SCALES


@pytest.mark.parametrize(
    ("scale", "vae", "wgan", "simsiam", "seeds"),
    [
        ("demo", "demo", "demo", "demo", (3,)),
        ("small", "reference", "small", "small", (3, 4, 5)),
        ("reference", "reference", "reference", "reference", (3,)),
    ],
)
def test_a_scale_is_a_preset_of_each_panel(scale, vae, wgan, simsiam, seeds):
    found = plan(scale, seed=3)
    assert found.runs == {
        "vae": dataclasses.replace(default_config("vae", vae), seed=3),
        "wgan": dataclasses.replace(default_config("wgan", wgan), seed=3),
    }
    assert found.study.config.seeds == seeds
    assert found.study.config.checkpoint == "last", "the best weights are from before a collapse"
    expected = default_config("simsiam", simsiam)
    if scale == "demo":
        shorter = {
            "train": {"duration": "18 epochs"},
            "method": {"views": {"crop_scale": [0.6, 1.0]}},
        }
        expected = merge(expected, shorter)
    assert found.study.arms["default"] == expected
    arms = found.study.arms.items()
    switches = {n: (c.method.stop_gradient, c.method.predictor) for n, c in arms}
    assert switches == {
        "default": (True, "mlp"),
        "no-stop-gradient": (False, "mlp"),
        "no-predictor": (True, "none"),
        "fixed-predictor": (True, "fixed-random"),
    }


def test_the_demo_needs_no_data_that_is_not_embedded():
    demo = plan("demo")
    configs = [*demo.runs.values(), *demo.study.arms.values()]
    assert {config.data.name for config in configs} == {"mnist-5k"}


def test_own_images_for_the_wgan_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    given = plan("small", wgan_data="mine")
    assert given.runs["wgan"].data.name == str(tmp_path.resolve() / "mine")
    assert plan("small", wgan_data="mnist").runs["wgan"].data.name == "mnist"
    assert given.runs["vae"] == plan("small").runs["vae"]


def begun(folder: Path) -> Path:
    folder.mkdir()
    Record(plan("demo"), folder).begin({}, 0.0)
    return folder


@pytest.mark.parametrize(
    ("scale", "seed", "said"),
    [
        ("demo", 1, "seed is 0 and now is 1"),
        ("small", 0, "scale is 'demo' and now is 'small'"),
    ],
)
def test_another_config_is_refused_in_one_sentence(tmp_path, capsys, scale, seed, said):
    folder = begun(tmp_path / "there")
    before = (folder / RECORD).read_bytes()
    words = ["reproduce", "--scale", scale, "--seed", str(seed), "--out", str(folder)]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.splitlines()[-1].endswith("choose another --out, or delete it")
    assert (folder / RECORD).read_bytes() == before
    assert [p.name for p in folder.iterdir()] == [RECORD]


def test_another_mirror_of_the_same_data_is_no_other_config(tmp_path):
    refuse_another(plan("demo", data_dir="elsewhere"), begun(tmp_path / "there"))


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(TriptychError, match="holds no reproduction"):
        reproduce(plan("demo"), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}", '{"plan": 3}', '{"plan": {}}'])
def test_a_record_of_another_shape_is_damaged(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(TriptychError, match=r"damaged: .*; choose another --out"):
        reproduce(plan("demo"), tmp_path)


def test_a_call_that_ended_in_its_warm_up_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").touch()
    refuse_another(plan("demo"), tmp_path)


def test_data_that_are_not_there_are_told_before_anything_is_begun(tmp_path, plan_of, place):
    given = plan_of(place, wgan={"data": {"name": str(tmp_path / "nothing")}})
    with pytest.raises(TriptychError, match="nothing"):
        reproduce(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reproduce"], "name a scale"),
        (["reproduce", "--scale", "tiny"], "tiny"),
        (["reproduce", "--scael", "demo"], "did you mean '--scale'"),
        (["demo", "--epochs", "3"], "no option '--epochs'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_record_holds_the_plan_as_it_was_read(tmp_path):
    """Lists and tuples are the same in JSON: or every folder would be another one's."""
    read = json.loads((begun(tmp_path / "there") / RECORD).read_text())
    assert read["plan"] == plan("demo").tables()
    assert set(SCALES) == {"demo", "small", "reference"}
