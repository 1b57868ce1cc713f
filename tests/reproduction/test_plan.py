"""What each scale does, and which folders are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from triptych import methods, presets
from triptych.cli.main import main
from triptych.errors import TriptychError
from triptych.experiment import default_config
from triptych.reproduction.plan import plan
from triptych.reproduction.record import RECORD, Record, refuse_another
from triptych.reproduction.reproduce import _check, reproduce
from triptych.studies.where import Where

OWN = Path(__file__).parents[1] / "evaluation" / "own" / "follower.py"
"""A method of one's own."""


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
    assert list(found.panels) == ["vae", "wgan", "simsiam-ablation"]
    assert {name: panel.config for name, panel in found.runs.items()} == {
        "vae": dataclasses.replace(default_config("vae", vae), seed=3),
        "wgan": dataclasses.replace(default_config("wgan", wgan), seed=3),
    }
    study = found.studies["simsiam-ablation"].study
    assert study.config.seeds == seeds
    assert study.config.checkpoint == "last", "the best weights are from before a collapse"
    assert study.arms["default"] == default_config("simsiam", simsiam)
    arms = study.arms.items()
    switches = {n: (c.method.stop_gradient, c.method.predictor) for n, c in arms}
    assert switches == {
        "default": (True, "mlp"),
        "no-stop-gradient": (False, "mlp"),
        "no-predictor": (True, "none"),
        "fixed-predictor": (True, "fixed-random"),
    }


def test_the_demo_needs_no_data_that_is_not_embedded():
    demo = plan("demo")
    configs = [panel.config for panel in demo.runs.values()]
    configs += [arm for panel in demo.studies.values() for arm in panel.study.arms.values()]
    assert {config.data.name for config in configs} == {"mnist-5k"}


def test_the_quick_one_is_the_demo_trained_for_moments():
    quick, demo = plan("quick"), plan("demo")

    def steps(config) -> int:
        return config.train.duration.steps(3500 // config.train.batch_size)

    def but_for_the_length(config):
        return dataclasses.replace(config, train=dataclasses.replace(demo_train, duration=None))

    pairs = [(panel.config, demo.runs[name].config) for name, panel in quick.runs.items()]
    (panel,) = quick.studies.values()
    (whole,) = demo.studies.values()
    pairs += [(arm, whole.study.arms[name]) for name, arm in panel.study.arms.items()]
    assert len(pairs) == 6
    for short, long in pairs:
        demo_train = long.train
        assert steps(short) <= steps(long) / 25
        assert short.train == dataclasses.replace(long.train, duration=short.train.duration)
        assert but_for_the_length(short) == but_for_the_length(long)


def test_the_quick_demo_is_its_own_folder(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "triptych.cli.reproduce.reproduce_and_say", lambda *given: asked.append(given) or 0
    )
    assert main(["demo", "--quick", "--seed", "2"]) == 0
    assert main(["demo"]) == 0
    (quick, folder, command), (demo, other, _) = asked
    assert (quick.scale, quick.seed, folder.name) == ("quick", 2, "quick")
    assert command == ["demo", "--quick", "--seed", "2"], "given again it goes on"
    assert (demo.scale, other.name) == ("demo", "demo")


def test_own_images_for_the_wgan_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    given = plan("small", data={"wgan": "mine"})
    assert given.runs["wgan"].config.data.name == str(tmp_path.resolve() / "mine")
    assert plan("small", data={"wgan": "mnist"}).runs["wgan"].config.data.name == "mnist"
    assert given.runs["vae"] == plan("small").runs["vae"]
    with pytest.raises(
        TriptychError, match="no panel of small that takes images 'simsiam-ablation'"
    ):
        plan("small", data={"simsiam-ablation": "mine"})


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
        (["reproduce", "--scale", "nowhere.toml"], "no file 'nowhere.toml'"),
        (["reproduce", "--scale", "demo", "--vea-data", "x"], "did you mean '--vae-data'"),
        (["reproduce", "--scale", "demo", "--threads", "9999"], "--threads 9999 is too large"),
        (["demo", "--threads", "-1"], "--threads -1 is too small"),
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
    assert set(presets.scales()) == {"demo", "quick", "small", "reference"}


ENTRIES = {
    "": "has no panel",
    "panels = 3": "has no panel",
    "abuot = 3": "no option 'abuot'",
    "report = -1.0\n[panels.a]\nmethod = 'vae'": "report -1.0 is too small",
    "[panels.a]": "panel 'a': a panel has either method",
    "[panels.a]\nmethod = 'vae'\nstudy = 'simsiam-ablation'": "panel 'a': a panel has either method",
    "[panels.a]\nmethod = 'vae'\nduration = 'long'": "panel 'a': 'long' is not a duration",
    "[panels.a]\nstudy = 'simsiam-ablation'\nduration = 'long'": "panel 'a': 'long' is not a duration",
    "[panels.a]\nmethod = 'vea'": "panel 'a': there is no method 'vea'",
    "[panels.a]\nmethod = 'vae'\npreset = 'dmeo'": "panel 'a': there is no preset of vae 'dmeo'",
    "[panels.a]\nstudy = 'nothing'": "panel 'a': there is no study file 'nothing'",
    "[panels.a]\nmethod = 'vae'\nrecorded.step = -1.0": "panel 'a': recorded.step -1.0 is too small",
    "[panels.a]\nmethod = 'vae'\nevaluate.samples = 0": "panel 'a': --samples 0 is too small",
    "[panels]\na = 3": "[panels.a] must be a table",
    "[panels.report]\nmethod = 'vae'": "a panel cannot be called 'report'",
    "[panels.'../a']\nmethod = 'vae'": "a panel cannot be called '../a'",
}


@pytest.mark.parametrize(("text", "said"), ENTRIES.items(), ids=range(len(ENTRIES)))
def test_a_scale_of_ones_own_is_read_strictly(tmp_path, monkeypatch, capsys, text, said):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(text)
    assert main(["reproduce", "--scale", "own.toml", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_files_that_a_scale_names_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "there"
    place.mkdir()
    (place / "narrow.toml").write_text("[method]\nlatent = 3\n")
    # Of a content that no other test has executed in this process, which is trust enough.
    (place / "mine.py").write_text(f"{OWN.read_text()}\n# {tmp_path}\n")
    (place / "quick.toml").write_text('[train]\nduration = "3 steps"\n')
    (place / "latents.toml").write_text(
        '[study]\nmethod = "mine.py"\npreset = "quick.toml"\nmetrics = ["train/loss"]\n[arms.default]\n'
    )
    (place / "own.toml").write_text(
        '[panels.a]\nmethod = "vae"\npreset = "narrow.toml"\nevaluate.samples = 7\n'
        '[panels.b]\nstudy = "latents.toml"\n'
        '[panels.c]\nmethod = "mine.py"\npreset = "quick.toml"\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TriptychError, match=r"panel 'b': .*triptych trust"):
        plan("there/own.toml")
    methods.trust(place / "mine.py")
    given = plan("there/own.toml", seed=2)
    assert given.scale == "own"
    assert given.runs["a"].config.method.latent == 3
    assert given.runs["a"].evaluate.samples == 7
    study = given.studies["b"].study
    assert study.config.seeds == (2, 3, 4)
    assert study.arms["default"].train == given.runs["c"].config.train
    assert {study.arms["default"].method_name, given.runs["c"].config.method_name} == {"mine"}
    assert str(study.arms["default"].train.duration) == "3 steps"
    assert "preset" not in study.tables()["study"], "it would be looked for beside study.toml"
    assert given.sections(Path("out")) == [
        *(Path("out/a"), Path("out/b/default/seed-2"), Path("out/b"), Path("out/c")),
    ]


def test_the_options_for_images_are_the_panels_of_the_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text('[panels.my-own]\nmethod = "vae"\n')
    with pytest.raises(SystemExit):
        main(["reproduce", "--scale", "own.toml", "--help"])
    said = capsys.readouterr().out
    assert "--my-own-data NAME|PATH" in said
    assert "--wgan-data" not in said
    with pytest.raises(SystemExit):
        main(["reproduce", "--help"])
    said = capsys.readouterr().out
    assert "--vae-data NAME|PATH" in said
    assert "--wgan-data NAME|PATH" in said


def test_threads_are_those_of_this_call_and_no_other_config(tmp_path):
    given = plan("demo", threads=3)
    assert given.here(given.runs["vae"].config).train.threads == 3
    refuse_another(given, begun(tmp_path / "there"))
    assert plan("demo", threads=0).threads is None


def test_a_check_says_nothing_of_the_cpu_that_stands_in_for_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A panel in bf16, checked on a CPU that emulates it: a warning would be an error here."""
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "preset.toml").write_text('[method]\nhidden = [8]\n[train]\ndtype = "bf16"\n')
    (tmp_path / "one.toml").write_text('[panels.first]\nmethod = "vae"\npreset = "preset.toml"\n')
    asked = plan(str(tmp_path / "one.toml"))
    _check(asked, tmp_path / "out", Where("ray"))
    with pytest.warns(UserWarning, match="this cpu has no bf16"):
        _check(asked, tmp_path / "out", Where())
