"""Arms of several methods, and variants of arms: what each starts from, who may be executed, and what a folder keeps."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import data, experiment, methods
from triptych.cli.main import main
from triptych.config import read_toml
from triptych.errors import TriptychError
from triptych.studies import pace
from triptych.studies.compare import write as compared
from triptych.studies.execute import coming, errand
from triptych.studies.pace import Pace
from triptych.studies.plan import Cell, Study, load, open_folder, planned, refuse_another
from triptych.studies.stopwatch import Looks

FILE = """
[study]
preset = "demo"
seeds = [0, 1]
metrics = ["test/knn_top1", "train/loss", "seconds"]
variant = "without its guard"

[base]
data.name = "mine.npy"
train.batch_size = 8

[arms.pairs]
method.name = "simsiam"
method.width = 4
method.projector = [16, 16]
method.predictor_width = 8

[arms.codes]
method.name = "vae"
method.hidden = [8]
method.latent = 3

[arms.mine]
method.name = "mine.py"
preset = "mine-preset.toml"

[arms.no-stop]
of = "pairs"
method.stop_gradient = false
"""

OWN = Path(methods.__file__).with_name("vae.py").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study of three methods, one of them a file of one's own, and a few images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    np.save("mine.npy", np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8))
    Path("mine-preset.toml").write_text("[method]\nlatent = 5\nhidden = [8]\n")
    # No other test has executed these very words.
    Path("mine.py").write_text(f"{OWN}\n# {tmp_path}\n")
    Path("several.toml").write_text(FILE)
    return tmp_path


def several(text: str = FILE) -> Study:
    Path("several.toml").write_text(text)
    return load(Path("several.toml"), only_trusted=False)


def refused(old: str, new: str) -> str:
    assert old in FILE
    with pytest.raises(TriptychError) as error:
        several(FILE.replace(old, new))
    return str(error.value)


def test_every_arm_starts_from_its_own_method_and_its_preset(here: Path):
    study = several()
    assert study.methods == {
        **{"pairs": "simsiam", "codes": "vae", "mine": "mine.py", "no-stop": "simsiam"}
    }
    demo = experiment.default_config("vae", "demo")
    assert study.arms["codes"].method.kl_warmup == demo.method.kl_warmup
    assert study.arms["codes"].train.duration == demo.train.duration
    assert study.arms["mine"].method.latent == 5, "an arm's own preset, beside the study file"
    assert {config.train.batch_size for config in study.arms.values()} == {8}
    assert study.config.control == "pairs"


def test_a_variant_starts_where_its_arm_ends(here: Path):
    study = several(FILE.replace("[arms.pairs]\n", "[arms.pairs]\ntrain.log_every = 7\n"))
    whole, variant = study.arms["pairs"], study.arms["no-stop"]
    assert (variant.method.width, variant.train.log_every) == (4, 7)
    assert (whole.method.stop_gradient, variant.method.stop_gradient) == (True, False)
    assert study.of == {"no-stop": "pairs"}


def test_mistakes_name_the_arm(here: Path):
    assert "arm 'codes' has no method; a study file names its method" in refused(
        'method.name = "vae"\n', ""
    )
    assert "arm 'codes': there is no method 'vea'; did you mean 'vae'" in refused('"vae"', '"vea"')
    assert "arm 'codes': there is no option 'method.latnet'" in refused("latent = 3", "latnet = 3")
    assert refused("mine-preset.toml", "gone.toml").startswith("arm 'mine': ")
    said = refused("train.batch_size = 8", "method.latent = 2")
    assert said.startswith("[base] in arm 'pairs': there is no option 'method.latent'")
    assert "arm 'no-stop': there is no arm 'piars'; did you mean 'pairs'" in refused(
        'of = "pairs"', 'of = "piars"'
    )
    assert "starts from its method and preset" in refused(
        'of = "pairs"', 'of = "pairs"\npreset = "demo"'
    )
    assert "starts from its method and preset" in refused(
        'of = "pairs"', 'of = "pairs"\nmethod.name = "vae"'
    )
    assert "'of'" in refused("[base]\n", '[base]\nof = "pairs"\n')
    assert "is of another itself" in refused(
        'of = "pairs"', 'of = "other"\n[arms.other]\nof = "pairs"'
    )
    assert "the control 'no-stop' is a variant of 'pairs'" in refused(
        "seeds = [0, 1]", 'seeds = [0]\ncontrol = "no-stop"'
    )
    assert "its method cannot be 3; give a name" in refused('"vae"', "3")


def test_a_study_file_of_somebody_else_executes_nothing(here: Path):
    Path("mine.py").write_text("open('executed', 'w').close()\n")
    for options in ({}, {"method": "vae"}):
        with pytest.raises(
            TriptychError, match=r"arm 'mine': '.*mine.py' is code of a method that"
        ):
            load(Path("several.toml"), options=options)
    assert main(["study", "several.toml"]) == 2
    assert not Path("executed").exists()


def test_whoever_names_a_method_means_a_file_here_and_not_one_beside_the_study_file(here: Path):
    from triptych.verbs.options import planned as read

    Path("theirs").mkdir()
    Path("theirs/mine.py").write_text("open('executed', 'w').close()\n")
    text = '[study]\nmetrics = ["seconds"]\n[arms.a]\nmethod.latent = 3\n'
    Path("theirs/study.toml").write_text(text)
    study = read("theirs/study.toml", {"method": "mine.py"}, (), ())
    assert study.arms["a"].source is not None
    assert study.arms["a"].source.file == str(here / "mine.py")
    Path("theirs/study.toml").write_text(text + 'method.name = "mine.py"\n')
    with pytest.raises(
        TriptychError, match=r"arm 'a': '.*theirs/mine.py' is code of a method that"
    ):
        read("theirs/study.toml", {"method": "mine.py"}, (), ())
    assert not Path("executed").exists()


def test_what_is_trusted_is_what_arms_name_too(here: Path):
    open_folder(Path("out"), several())
    Path("out/other.py").write_text("raise SystemExit\n")
    assert methods.trust("out") == [Path("out/mine.py")]


def test_the_folder_holds_every_method_and_is_read_again(here: Path):
    study, out = several(), Path("out")
    open_folder(out, study)
    Path("mine.py").unlink()
    Path("mine-preset.toml").unlink()
    again = load(out / "study.toml")
    assert again.tables() == study.tables(), "without presets and the file it was made from"
    assert (again.config, again.of) == (study.config, study.of)
    tables = read_toml(out / "study.toml")
    assert tables["arms"]["no-stop"]["of"] == "pairs"
    assert tables["arms"]["mine"]["method"]["name"] == "mine.py"
    assert (out / "mine.py").read_text() == again.files()["mine.py"]
    refuse_another(out, again)
    told = errand(again, out, Cell("mine", 0))
    assert told.reads == ("study.toml", "mine.py"), "what another machine gets"


def test_two_files_of_one_name_are_refused(here: Path):
    Path("b").mkdir()
    Path("b/mine.py").write_text(f"{OWN}\n# another {here}\n")
    text = FILE + '[arms.other]\nmethod.name = "b/mine.py"\npreset = "mine-preset.toml"\n'
    with pytest.raises(TriptychError, match="are two methods of one name; rename one"):
        several(text)


def test_a_study_of_one_method_may_grow_by_another_and_not_change_one(here: Path):
    """A folder as every study before wrote it: its arms name no method."""
    one = '[study]\nmethod = "vae"\nmetrics = ["seconds"]\n[arms.codes]\n'
    out = Path("out")
    open_folder(out, several(one))
    assert "name" not in read_toml(out / "study.toml")["arms"]["codes"]["method"]
    grown = several(
        one + '[arms.mine]\nmethod.name = "mine.py"\n[arms.pairs]\nmethod.name = "simsiam"\n'
    )
    open_folder(out, grown)
    other = several(one.replace('"vae"', '"wgan"'))
    open_folder(Path("first"), several(one))
    named = '[study]\nmetrics = ["seconds"]\n[arms.codes]\nmethod.name = "vae"\n'
    refuse_another(Path("first"), several(named))
    with pytest.raises(
        TriptychError, match=r"arms\.codes\.method\.name is 'vae' and now is 'wgan'"
    ):
        refuse_another(Path("first"), other)


def test_arms_in_python_may_be_classes_and_paths(here: Path):
    from triptych.methods.vae import VAE
    from triptych.verbs.options import planned as of_arms

    arms = {"a": {"method": {"name": VAE}}, "b": {"method": {"name": Path("mine.py")}}}
    study = of_arms(arms, {"metrics": ["seconds"]}, (), (0,))
    assert study.methods == {"a": "vae", "b": "mine.py"}


def test_arms_of_a_seed_share_images_draws_and_like_layers_and_nothing_else(here: Path):
    """Two files of one method are two methods with the same layers."""
    text = FILE.replace("latent = 3", "latent = 5").replace(
        "[arms.mine]", "[arms.mine]\nmethod.kl_warmup = 0.25"
    )
    study = several(text)
    seen, weights = {}, {}
    for arm in ("pairs", "codes", "mine"):
        config = study.experiment(Cell(arm, 0))
        _, method, stream = experiment.prepare(config, data.load(config.data))
        orders = [stream.batch(n).index.numpy().tobytes() for n in (0, 1, stream.batches_per_epoch)]
        seen[arm] = hashlib.sha256(b"".join(orders)).hexdigest()
        weights[arm] = method.state_dict()
    assert len(set(seen.values())) == 1, "the order of the images"
    assert all(torch.equal(weights["codes"][k], weights["mine"][k]) for k in weights["codes"])
    assert not set(weights["pairs"]) & set(weights["codes"])


def test_the_looks_of_every_method_are_timed(here: Path, monkeypatch, capsys):
    study, asked = several(), []

    def timed(config, looks=None, seconds=None):
        asked.append((config.method_name, looks))
        return Pace(1.0, looks or Looks(float(len(asked)), 0.0, 0.0), 5.0)

    monkeypatch.setattr(pace, "time_steps", timed)
    tables = [config.tables() for config in study.arms.values()]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([1.0, tables])))
    assert pace.main() == 0
    names = [name for name, _ in asked]
    assert names == ["simsiam", "vae", "mine", "simsiam"]
    assert [looks is None for _, looks in asked] == [True, True, True, False]
    kinds = [run.kind for run in coming(study, Path("nowhere"))]
    assert kinds == [*study.arms, *study.arms], "each arm is a kind of its own"


@pytest.fixture
def done(here: Path, finish) -> tuple[Study, Path]:
    text = FILE.replace(
        "train.batch_size = 8",
        'train.batch_size = 8\ntrain.duration = "6 steps"\ntrain.log_every = 2',
    )
    text = text.replace('metrics = ["', 'evaluate = false\nmetrics = ["').replace("[0, 1]", "[0]")
    study = several(text)
    open_folder(Path("out"), study)
    finish(Path("out"), study)
    return study, Path("out")


def test_a_study_of_several_methods_is_done_and_compared(done: tuple[Study, Path]):
    study, folder = done
    found = compared(study, folder)
    assert {arm: about.get("of") for arm, about in found["arms"].items()} == {
        **{"pairs": None, "codes": None, "mine": None, "no-stop": "pairs"}
    }
    assert found["arms"]["mine"]["method"] == "mine"
    assert found["variant"] == "without its guard"
    # The cosine that a method declares is one quantity whatever its config, and no other method's.
    assert found["apart"]["train/loss"] == [["pairs", "no-stop"], ["codes"], ["mine"]]
    assert list(found["metrics"]["train/loss"]["differences"]) == ["no-stop"]
    seconds = found["metrics"]["seconds"]
    assert set(seconds["arms"]) == set(study.arms)
    assert all(of["values"]["0"] > 0 for of in seconds["arms"].values())
    assert {"device", "threads"} <= seconds["protocol"].keys()
    assert planned(study.tables(), folder=folder).tables() == study.tables()
