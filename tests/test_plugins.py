"""Methods that do not come with Triptych: files of one's own and installed packages, what is executed and what is not."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import checkpoint, experiment, methods, plugins
from triptych.cli.main import main
from triptych.config import merge
from triptych.data.places import cache_root
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.reporting.page.page import write_page
from triptych.runs import Run
from triptych.studies.execute import execute
from triptych.studies.plan import load

OURS = sorted(
    path.stem for path in Path(methods.__file__).parent.glob("*.py") if path.stem != "__init__"
)

CODE = '''"""Codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from triptych.config import OptimizerConfig
from triptych.types import Group, Losses, Method, Phase


@dataclass(frozen=True)
class LinearConfig:
    """Of a linear autoencoder."""

    latent: int = 2
    """Number of principal directions."""
    start: Literal["zero", "random"] = "random"
    """A word that only this file's own names give a meaning."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3)
    """How it learns."""


class Linear(Method):
    """The plane nearest to all images."""

    Config = LinearConfig
    title = "linear autoencoder"
    gauge = "error"

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.latent = config.latent
        self.encoder = nn.Linear(spec.dimensions, config.latent)
        self.decoder = nn.Linear(config.latent, spec.dimensions)

    def phases(self):
        return (Phase("fit", (Group(("encoder", "decoder"), self.config.optimizer),)),)

    def losses(self, phase, batch, noise, progress):
        x = batch.x.flatten(1)
        error = (x - self.decoder(self.encoder(x))).float().square().sum(-1)
        return Losses(error, {"error": error})

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1)).float()
'''


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a new process: nothing is loaded, nothing is trusted, the folder is empty but for some images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_LOADED", {})
    draw = np.random.default_rng(0)
    np.save("mine.npy", draw.integers(0, 256, (40, 4, 4)).astype(np.uint8))
    plugins.packaged.cache_clear()
    yield
    plugins.packaged.cache_clear()


def another_process(monkeypatch: pytest.MonkeyPatch, cache: str | None = None) -> None:
    """Forget what was loaded; with ``cache``, on another machine."""
    monkeypatch.setattr(plugins, "_LOADED", {})
    if cache:
        monkeypatch.setenv("TRIPTYCH_CACHE", cache)


def written(name: str = "linear.py", code: str = CODE) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return path


def trained(out: str = "run", duration: str = "3 steps") -> Run:
    config = merge(
        experiment.default_config(written()),
        {
            "data": {"name": "mine.npy"},
            "train": {"duration": duration, "batch_size": 8, "threads": 1, "device": "cpu"},
        },
    )
    return experiment.train(config, out)


def test_a_file_is_a_method_and_its_name_is_the_files():
    kind = methods.find(written())
    assert kind is methods.find("linear.py") is methods.find("./linear.py")
    assert (kind.__name__, kind.gauge) == ("Linear", "error")
    config = experiment.default_config("linear.py")
    assert (config.method_name, config.method.latent) == ("linear", 2)
    assert "linear" not in methods.names()


def test_its_options_help_and_own_presets_are_those_of_any_method(capsys):
    written()
    with pytest.raises(SystemExit):
        main(["train", "./linear.py", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "The plane nearest to all images." in said
    assert "--method.latent INT Number of principal directions. (default: 2)" in said
    Path("mine.toml").write_text('[method]\nname = "linear"\nlatent = 3\n')
    words = ["--data", "mine.npy", "--steps", "2", "--batch-size", "8", "--method.start", "zero"]
    assert main(["train", "./linear.py", "--preset", "mine.toml", *words, "--out", "run"]) == 0
    recorded = Run.open(Path("run")).config["method"]
    assert (recorded["name"], recorded["latent"], recorded["start"]) == ("linear", 3, "zero")
    with pytest.raises(SystemExit):
        main(["train", "./linear.py", "--help"])
    assert "Presets:" not in capsys.readouterr().out
    assert main(["train", "./linear.py", "--preset", "wide"]) == 2
    assert "linear has no presets, and 'wide' is no file of options" in capsys.readouterr().err
    Path("presets/linear").mkdir(parents=True)
    Path("presets/linear/wide.toml").write_text("method.latent = 9\n")
    with pytest.raises(SystemExit):
        main(["train", "./linear.py", "--help"])
    assert "Presets: wide." in capsys.readouterr().out
    assert experiment.default_config("linear.py", "wide").method.latent == 9
    words = ["--preset", "run/config.toml", "--out", "again"]
    assert main(["train", "run/linear.py", *words]) == 0
    first, second = (checkpoint.load(Run(Path(r)).checkpoint("last"))[0] for r in ("run", "again"))
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_an_option_that_it_does_not_have_is_refused_with_the_nearest(capsys):
    written()
    assert main(["train", "./linear.py", "--method.latnet", "3"]) == 2
    assert "did you mean '--method.latent'" in capsys.readouterr().err


def test_the_run_keeps_the_file_and_says_where_it_came_from():
    run = trained()
    assert (run.path / "linear.py").read_text() == CODE
    source = {"file": str(Path("linear.py").resolve()), "digest": plugins.digest_of(CODE.encode())}
    assert run.config["method"]["source"] == source
    assert run.environment()["method"] == {
        "name": "linear",
        "title": "linear autoencoder",
        "about": "The plane nearest to all images.",
        "formula": "",
        "can": ["Encodes"],
        "cosine": None,
        "source": source,
    }
    assert run.about("last")["config"]["method"]["source"] == source
    assert run.method() == ("linear", "linear autoencoder", "The plane nearest to all images.", {"Encodes"}, "")  # fmt: skip


@pytest.mark.parametrize("gone", [True, False])
def test_a_run_opens_where_the_file_and_the_folder_were_moved(gone: bool, monkeypatch):
    before = experiment.evaluate(trained().path, EvaluateConfig())
    if gone:
        Path("linear.py").unlink()
    Path("run").rename("moved")
    another_process(monkeypatch)
    assert experiment.load_method("moved").latent == 2
    assert experiment.evaluate("moved", EvaluateConfig()) == before


def test_a_run_goes_on_to_the_same_bits_without_the_file(monkeypatch):
    whole = checkpoint.load(trained("whole", "6 steps").checkpoint("last"))[0]
    run = trained("run", "6 steps")
    for name in ("last", "best"):
        run.checkpoint(name).unlink(missing_ok=True)
    (run.path / "DONE").unlink()
    Path("linear.py").unlink()
    another_process(monkeypatch)
    assert main(["train", "--resume", "run"]) == 0
    found = checkpoint.load(run.checkpoint("last"))[0]
    assert all(torch.equal(found[k], whole[k]) for k in whole)


def test_where_the_original_has_changed_it_is_said_and_the_copy_is_meant(monkeypatch):
    run = trained()
    written(code=CODE.replace("latent: int = 2", "latent: int = 3"))
    another_process(monkeypatch)
    with pytest.warns(UserWarning, match=r"linear\.py' has changed since the training"):
        method = experiment.load_method(run.path)
    assert method.Config().latent == 2


def doors(run: Path) -> list[list[str]]:
    return [["evaluate", str(run)], ["train", "--resume", str(run)], ["export", str(run)], ["explore", str(run)]]  # fmt: skip


@pytest.mark.parametrize("door", range(4))
def test_a_copy_that_was_edited_is_refused(door: int, capsys, monkeypatch):
    run = trained()
    (run.path / "linear.py").write_text(CODE + "\nraise SystemExit('executed')\n")
    another_process(monkeypatch)
    capsys.readouterr()
    assert main(doors(run.path)[door]) == 2
    assert "linear.py is not the file that it was trained with" in capsys.readouterr().err


def test_a_copy_that_was_edited_has_a_notice_on_the_page():
    run = trained()
    (run.path / "linear.py").write_text(CODE + "\n# mine\n")
    page = write_page([run.path], Path("page.html"), "x")
    assert "linear.py is not the file that it was trained with" in page.read_text()


def test_a_copy_that_is_gone_is_missed():
    run = trained()
    (run.path / "linear.py").unlink()
    with pytest.raises(TriptychError, match=r"linear\.py, the file of its method, is not there"):
        experiment.evaluate(run.path)


@pytest.mark.parametrize("door", range(4))
def test_the_code_of_a_strangers_run_is_not_executed(door: int, capsys, monkeypatch):
    run = trained()
    another_process(monkeypatch, "elsewhere")
    capsys.readouterr()
    assert main(doors(run.path)[door]) == 2
    said = capsys.readouterr().err
    assert "was not trained on this machine" in said
    assert f"triptych trust {(run.path / 'linear.py').resolve()}" in said
    assert not plugins._LOADED


def test_a_forger_who_changes_every_record_is_a_stranger_still(monkeypatch):
    """The digest in the folder is his too: what counts is what this machine knows."""
    run = trained()
    evil = CODE + "\nopen('executed', 'w').close()\n"
    digest = {"file": "x", "digest": plugins.digest_of(evil.encode())}
    (run.path / "linear.py").write_text(evil)
    text = (run.path / "config.toml").read_text()
    was = run.config["method"]["source"]
    text = text.replace(was["file"], "x").replace(was["digest"], digest["digest"])
    (run.path / "config.toml").write_text(text)
    for name in ("last", "best"):
        if run.checkpoint(name).exists():
            tensors, about = checkpoint.load(run.checkpoint(name))
            checkpoint.save(run.checkpoint(name), tensors, {**about, "config": run.config})
    another_process(monkeypatch)
    assert run.edited() == []
    with pytest.raises(TriptychError, match="not trained on this machine"):
        experiment.load_method(run.path)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "table", ['[method]\nname = "{0}"', 'method_name = "{0}"\n[method]\nname = "vae"']
)
@pytest.mark.parametrize("name", ["evil.py", "./run/evil.py"])
def test_no_config_names_a_file_to_execute(table: str, name: str, capsys):
    """A path is a method where a person says it, and nowhere else."""
    for folder in (".", "run"):
        written(f"{folder}/evil.py", "open('executed', 'w').close()\n")
    Path("run/config.toml").write_text(table.format(name))
    for words in (["evaluate", "run"], ["train", "--resume", "run"], ["train", "vae", "--preset", "run/config.toml"]):  # fmt: skip
        assert main(words) == 2
    assert "executed" not in capsys.readouterr().out
    assert not Path("executed").exists()


def test_who_trusts_a_file_may_open_all_runs_with_it(capsys, monkeypatch):
    run = trained()
    another_process(monkeypatch, "elsewhere")
    assert main(["trust", "run"]) == 0
    assert "trusted   run/linear.py" in capsys.readouterr().out
    shutil.copytree(run.path, "copied")
    assert experiment.load_method("copied").latent == 2
    (run.path / "linear.py").write_text(CODE + "\n")
    with pytest.raises(TriptychError):
        experiment.load_method(run.path)


def test_trust_in_a_run_is_in_the_file_that_it_names_alone(monkeypatch):
    """What else somebody put into the folder was read by nobody."""
    run = trained()
    another_process(monkeypatch, "elsewhere")
    written("run/other.py", CODE + "\n# another\n")
    assert methods.trust("run") == [run.path / "linear.py"]
    with pytest.raises(TriptychError, match="nor a run of one"):
        methods.trust(".")


def test_a_name_of_pythons_own_is_refused(capsys):
    """Python started in the run's folder would import the copy in the place of its module."""
    assert main(["train", str(written("random.py"))]) == 2
    assert "a module of Python has that name; rename it" in capsys.readouterr().err


def test_nothing_to_trust_is_said(capsys):
    assert main(["trust", "."]) == 2
    assert "there is neither a file of a method nor a run of one" in capsys.readouterr().err
    assert main(["trust"]) == 2
    assert main(["trust", "--help"]) == 0


def test_a_page_and_the_list_of_runs_execute_nothing(capsys, monkeypatch):
    run = trained()
    experiment.evaluate(run.path)
    (run.path / "linear.py").write_text("open('executed', 'w').close()\n")
    another_process(monkeypatch, "elsewhere")
    assert main(["runs"]) == 0
    assert main(["report", "run", "--out", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "triptych train ./linear.py --preset config.toml --out run" in page
    assert "linear autoencoder" in page
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", ["../linear", "a/b", "", "3"])
def test_a_folder_cannot_name_a_file_outside_of_it(name: str, monkeypatch):
    run = trained()
    text = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(text.replace('name = "linear"', f'name = "{name}"'))
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(TriptychError, match="is no name of a method"):
        experiment.evaluate(run.path)


@pytest.mark.parametrize("told", ["3", '"linear.py"', "{file = 3}", "{other = 'x'}", "{}"])
def test_a_source_of_another_kind_is_a_sentence(told: str):
    run = trained()
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "config.toml").write_text(f'[method]\nname = "linear"\nsource = {told}\n')
    with pytest.raises(TriptychError, match="it takes a table with file and digest"):
        experiment.evaluate(run.path)


def test_two_files_of_one_name_are_two_methods():
    other = CODE.replace("latent: int = 2", "latent: int = 7")
    first, second = written("a/linear.py"), written("b/linear.py", other)
    configs = [experiment.default_config(path) for path in (first, second)]
    assert [config.method.latent for config in configs] == [2, 7]
    assert [config.kind.Config().latent for config in configs] == [2, 7]
    assert configs[0].kind.__module__ != configs[1].kind.__module__
    assert methods.find(first) is configs[0].kind


@pytest.mark.needs_compiler("a method of one's own is compiled")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it loads its compiler
def test_it_is_compiled_as_any_other():
    config = merge(
        experiment.default_config(written()),
        {
            "data": {"name": "mine.npy"},
            "train": {"duration": "3 steps", "batch_size": 8, "threads": 1, "compile": "on"},
        },
    )
    assert experiment.train(config, "run").status() == "done"


WRONG = {
    "class :": "line 1: SyntaxError: ",
    "x = 1\n\ny = x.z\n": "line 3: AttributeError: 'int' object has no attribute 'z'",
    "import nowhere_at_all": "line 1: ModuleNotFoundError: No module named 'nowhere_at_all'",
    "import neighbour": "it imports 'neighbour', which lies beside it; a method is one file",
    "import sys\n\nsys.exit(3)": "line 3: SystemExit: 3",
    "x = 1": "defines no method",
    CODE + "\n\nclass Other(Linear):\n    pass\n": "defines Linear (line 26) and Other (line 51)",
    CODE.replace("    Config = LinearConfig\n", ""): "line 26: Linear names no config",
    CODE.replace("Config = LinearConfig", "Config = dict"): "line 26: Linear names no config",
    CODE.replace('    gauge = "error"\n', ""): "names no logged term for the progress bar",
    CODE.replace("def losses", "def loss"): "line 26: Linear lacks losses",
    CODE.replace("latent: int = 2", "latent: int"): "a config that cannot be made",
    CODE.replace("latent: int = 2", "latent: Missing = 2"): "name 'Missing' is not defined",
    CODE.replace("start:", "source:"): "a field 'source', a word that config.toml needs",
    CODE.replace("start:", "name:"): "a field 'name', a word that config.toml needs",
    CODE.replace("lr=1e-3", "lr=-1.0"): "line 22: TriptychError: an optimizer needs a learning rate",
    "\0": "'",
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), WRONG.items(), ids=range(len(WRONG)))
def test_a_mistake_in_the_file_is_a_sentence_with_its_line(code: str, said: str, capsys):
    Path("neighbour.py").write_text("")
    written("wrong.py", code)
    before = set(sys.modules)
    assert main(["train", "./wrong.py", "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert str(Path("wrong.py").resolve()) in error
    assert error.count("\n") == 1
    assert not {name for name in set(sys.modules) - before if name.startswith("triptych_method")}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vae.py", "a method called vae comes with Triptych; give the file another name"),
        ("3d.py", "cannot be a method: its file's name is the method's"),
        ("a b.py", "cannot be a method: its file's name is the method's"),
    ],
)
def test_a_file_of_a_name_that_is_none_is_refused(name: str, said: str):
    with pytest.raises(TriptychError, match=said):
        methods.find(written(name))


def test_a_file_may_begin_with_the_mark_of_its_encoding():
    """Editors of Windows write it, and Python reads over it."""
    Path("marked.py").write_text("\ufeff" + CODE, encoding="utf-8")
    assert methods.find("marked.py").gauge == "error"


def test_a_run_of_a_file_as_preset_of_another_method_names_the_file(capsys):
    trained()
    assert main(["train", "vae", "--preset", "run/config.toml"]) == 2
    assert "triptych train run/linear.py --preset run/config.toml" in capsys.readouterr().err


def test_a_file_that_is_not_there_or_named_without_its_ending(capsys):
    assert main(["train", "./nowhere.py"]) == 2
    assert "there is no file" in capsys.readouterr().err
    written()
    assert main(["train", "linear"]) == 2
    assert "a file of your own is named with its ending: linear.py" in capsys.readouterr().err


STUDY = """
[study]
method = "./linear.py"
metrics = ["train/error"]
evaluate = false
seeds = [0]
[base]
data.name = "{images}"
train = {{duration = "2 steps", batch_size = 8, device = "cpu", log_every = 1}}
[arms.two]
[arms.three]
method.latent = 3
"""


def study_file() -> Path:
    """Not where the command is given: the method lies beside the study's file."""
    methods.trust(written("plans/linear.py"))
    path = Path("plans/latents.toml")
    path.write_text(STUDY.format(images=Path("mine.npy").resolve()))
    return path


@pytest.mark.parametrize("verb", ["study", "reproduce"])
def test_a_strangers_study_or_scale_executes_nothing(verb: str, capsys):
    """Both are tables, which nobody reads as code; what stands beside them is."""
    written("theirs/evil.py", CODE + "\nopen('executed', 'w').close()\n")
    study, scale = Path("theirs/study.toml"), Path("theirs/scale.toml")
    study.write_text('[study]\nmethod = "evil.py"\nmetrics = ["train/error"]\n[arms.a]\n')
    scale.write_text('[panels.a]\nmethod = "evil.py"\n[panels.b]\nstudy = "study.toml"\n')
    words = ["study", str(study)] if verb == "study" else ["reproduce", "--scale", str(scale)]
    assert main(words) == 2
    assert "triptych trust" in capsys.readouterr().err
    assert not Path("executed").exists()


def test_the_workers_of_a_study_find_the_file(tmp_path: Path):
    study = load(study_file())
    assert {arm: config.method.latent for arm, config in study.arms.items()} == {"two": 2, "three": 3}  # fmt: skip
    ended = execute(study, Path("out"), jobs=2)
    assert ended.problems == {}
    assert Path("out/linear.py").read_text() == CODE
    for arm in ("two", "three"):
        assert (Path("out") / arm / "seed-0" / "DONE").exists()
    # The study's folder is a study by itself, wherever it is carried.
    shutil.rmtree("plans")
    Path("out").rename("carried")
    again = load(Path("carried/study.toml"))
    assert again.arms["three"].method.latent == 3
    assert again.tables() == study.tables()
    assert experiment.load_method("carried/three/seed-0").latent == 3


def test_a_study_does_not_go_on_with_another_file():
    path = study_file()
    execute(load(path), Path("out"), jobs=1)
    methods.trust(written("plans/linear.py", CODE + "\n# changed\n"))
    with pytest.raises(TriptychError, match=r"a study in which linear\.py was another file"):
        execute(load(path), Path("out"), jobs=1)


def installed(folder: str, name: str, points: dict[str, str], **files: str) -> None:
    """A package as pip leaves it."""
    info = Path(folder) / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    listed = "\n".join(f"{k} = {v}" for k, v in points.items())
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{listed}\n")
    for file, text in files.items():
        (Path(folder) / f"{file}.py").write_text(text)
    plugins.packaged.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = str(tmp_path / "site")
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("brought"):
            del sys.modules[name]


@pytest.mark.parametrize("point", ["brought_one", "brought_one:Linear"])
def test_an_installed_package_brings_a_method(site: str, point: str, capsys, monkeypatch):
    installed(site, "more-methods", {"planar": point}, brought_one=CODE)
    assert methods.names() == sorted(["planar", *OURS])
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "planar" in capsys.readouterr().out
    words = ["--data", "mine.npy", "--steps", "2", "--batch-size", "8", "--out", "run"]
    assert main(["train", "planar", *words]) == 0
    run = Run.open(Path("run"))
    file = Path(site) / "brought_one.py"
    source = {"file": str(file), "digest": plugins.digest_of(CODE.encode()), "package": "more-methods 1.2"}  # fmt: skip
    assert run.environment()["method"]["source"] == source
    assert not (run.path / "planar.py").exists()
    assert experiment.load_method("run").latent == 2
    file.write_text(CODE + "\n# a later version\n")
    with pytest.warns(UserWarning, match="is not as it was in the training"):
        experiment.load_method("run")
    shutil.rmtree(Path(site) / "more-methods-1.2.dist-info")
    plugins.packaged.cache_clear()
    with pytest.raises(
        TriptychError, match=r"it came with more-methods 1\.2, which is not installed"
    ):
        experiment.load_method("run")


def test_a_broken_package_keeps_nobody_from_the_other_methods(site: str, capsys):
    installed(site, "broken", {"odd": "brought_odd", "gone": "brought_nowhere"}, brought_odd="x = 1\n1 / 0\n")  # fmt: skip
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert main(["runs"]) == 0
    out = capsys.readouterr()
    assert "odd" in out.out and out.err == ""
    assert methods.find("vae").__name__ == "VAE"
    assert main(["train", "odd"]) == 2
    error = capsys.readouterr().err
    assert "the method 'odd' of broken 1.2 cannot be loaded" in error
    assert "brought_odd.py', line 2: ZeroDivisionError" in error
    with pytest.raises(TriptychError, match="No module named 'brought_nowhere'"):
        methods.find("gone")


def test_two_packages_with_one_name_are_told_apart_by_nobody(site: str):
    installed(site, "first", {"planar": "brought_one"}, brought_one=CODE)
    installed(site, "second", {"planar": "brought_two"}, brought_two=CODE)
    with pytest.raises(
        TriptychError, match=r"(first|second) 1\.2 and (first|second) 1\.2 both bring"
    ):
        methods.find("planar")


def test_a_package_cannot_take_the_name_of_one_of_ours(site: str):
    installed(site, "taker", {"vae": "brought_one", "bad name!": "brought_one"}, brought_one=CODE)
    with pytest.warns(UserWarning, match="left out") as said:
        assert methods.names() == OURS
    assert {"that name is Triptych's own" in str(w.message) for w in said} == {True, False}
    assert methods.find("vae").__module__ == "triptych.methods.vae"


def test_a_run_of_a_name_that_came_along_later_still_opens(monkeypatch):
    before = experiment.evaluate(trained().path, EvaluateConfig())
    monkeypatch.setattr(methods, "_own", lambda: {"linear", "vae"})
    another_process(monkeypatch)
    assert experiment.load_method("run").latent == 2
    assert experiment.evaluate("run", EvaluateConfig()) == before
    with pytest.raises(TriptychError, match="a method called linear comes with Triptych"):
        methods.find("linear.py")


def test_what_is_trusted_is_kept_in_the_cache():
    run = trained()
    (known,) = (cache_root() / "trusted-methods").iterdir()
    assert known.name == run.config["method"]["source"]["digest"]
    assert known.read_text() == f"{Path('linear.py').resolve()}\n"


def test_what_cannot_be_kept_is_not_said_to_be_trusted(capsys):
    written("linear.py")
    Path("cache").mkdir(exist_ok=True)
    Path("cache/trusted-methods").write_text("a file is in the way")
    assert main(["trust", "linear.py"]) == 2
    said = capsys.readouterr()
    assert "trusted   " not in said.out
    assert "it cannot be kept that" in said.err and said.err.count("\n") == 1


def test_a_cache_that_cannot_be_written_to_keeps_nobody_from_training(monkeypatch):
    Path("cache").mkdir()
    Path("cache/trusted-methods").write_text("a file is in the way")
    with pytest.warns(UserWarning, match="later commands will ask"):
        run = trained()
    assert json.loads((run.path / "environment.json").read_text())["method"]["name"] == "linear"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "formula() of Linear fails: division by zero"),
        ("return None", "formula() of Linear is to give LaTeX, and gives None"),
    ],
)
def test_a_formula_that_cannot_be_written_down_is_said_before_anything_is_trained(
    capsys, body, said
):
    written()
    text = Path("linear.py").read_text()
    marks = "    def phases(self)"
    assert marks in text
    Path("linear.py").write_text(
        text.replace(marks, f"    def formula(self):\n        {body}\n\n{marks}")
    )
    assert (
        main(
            [
                "train",
                "./linear.py",
                "--data",
                "mine.npy",
                "--steps",
                "2",
                "--batch-size",
                "8",
                "--out",
                "run",
            ]
        )
        == 2
    )
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("run").exists()
