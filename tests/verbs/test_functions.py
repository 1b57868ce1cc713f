"""The verbs as a person calls them in a script or a notebook."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

import triptych as tt
from triptych import experiment
from triptych.config import Duration
from triptych.data.spec import Images
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.methods.vae import VAE
from triptych.reproduction.reproduce import Outcome
from triptych.studies.execute import Ended
from triptych.studies.plan import Cell, StudyConfig
from triptych.verbs import options

TINY: dict[str, Any] = {
    "method": {"hidden": [8], "latent": 2},
    "batch_size": 50,
    "threads": 1,
    "steps": 4,
}


def fields(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def test_the_options_that_are_completed_are_those_of_the_configs():
    """An editor offers what the TypedDicts name."""
    data = fields(tt.DataConfig) - {"name"}
    assert set(get_type_hints(options.DataOptions)) == data
    assert set(get_type_hints(options.TrainOptions)) == data | fields(tt.TrainConfig) | {
        "epochs",
        "steps",
    }
    assert fields(EvaluateConfig) <= set(get_type_hints(options.EvaluateOptions)) | {"threads"}
    assert options.StudyOptions.__optional_keys__ == fields(StudyConfig) - {"seeds"}


def test_a_preset_is_a_start_and_what_is_said_wins(tmp_path: Path):
    run = tt.train("vae", preset="demo", seed=7, out=str(tmp_path / "a"), **TINY)
    config = run.config
    assert config["seed"] == 7
    assert config["method"]["hidden"] == [8]
    assert config["data"]["binarize"] == "dynamic"
    assert config["train"]["duration"] == "4 steps"
    assert config["train"]["batch_size"] == 50


def test_python_and_the_command_line_train_the_same(tmp_path: Path):
    words = "--steps 4 --batch-size 50 --threads 1 --method.hidden 8 --method.latent 2 --seed 3"
    from triptych.cli.main import main

    assert main(["train", "vae", *words.split(), "--out", str(tmp_path / "typed")]) == 0
    called = tt.train("vae", seed=3, out=tmp_path / "called", **TINY)
    typed = tt.Run.open(tmp_path / "typed")
    assert called.config == typed.config
    assert called.weights("last").digest == typed.weights("last").digest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batchsize": 3}, "there is no option 'batchsize'; did you mean 'batch_size'"),
        ({"epochs": 3, "steps": 4}, "give one length: epochs or steps"),
        ({"steps": 0.5}, "is not a duration"),
        ({"epochs": "many"}, "is not a duration"),
        ({"method": {"latnet": 3}}, "there is no option 'method.latnet'; did you mean"),
        ({"batch_size": "many"}, "option 'train.batch_size' cannot be 'many'; it takes int"),
        ({"preset": "dmeo"}, "did you mean 'demo'"),
        ({"data": np.zeros(3)}, "data cannot be a ndarray; give a name, a path"),
        ({"data": "mnits-5k"}, "did you mean 'mnist-5k'"),
        ({"image_size": 0}, "is not a size"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, options, said):
    given = {"out": tmp_path / "run", **options}
    with pytest.raises(TriptychError, match=said) as found:
        tt.train("vae", **given)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a" * 5000])
@pytest.mark.parametrize(
    "verb",
    [
        lambda name: tt.train(f"{name}.py"),
        lambda name: tt.train("vae", preset=f"{name}.toml"),
        lambda name: tt.train("vae", data=name),
        lambda name: tt.train("vae", out=name),
        lambda name: tt.reproduce(f"{name}.toml"),
        lambda name: tt.study(f"{name}.toml"),
        tt.resume,
        tt.evaluate,
        tt.report,
        tt.load_method,
        tt.export,
        tt.explore,
        tt.Run.open,
    ],
)
def test_what_no_file_can_be_called_is_one_sentence(verb, name):
    with pytest.raises(TriptychError):
        verb(name)


def test_an_unknown_method_is_one_sentence():
    with pytest.raises(TriptychError, match="did you mean 'vae'"):
        tt.train("veas")


def test_a_method_may_be_its_class(tmp_path: Path):
    run = tt.train(VAE, out=tmp_path / "run", **TINY)
    assert run.config["method"]["name"] == "vae"


def test_a_class_of_no_file_is_refused_since_no_run_could_be_opened(tmp_path: Path):
    namespace: dict[str, Any] = {"Method": tt.Method, "__name__": "__main__"}
    exec("class Mine(Method):\n    pass", namespace)
    with pytest.raises(TriptychError, match=r"Mine stands in no file of its own.*%%writefile"):
        tt.train(namespace["Mine"], out=tmp_path / "run")


def test_data_may_be_a_name_a_path_a_config_or_loaded_already(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "mine.npy", pixels)
    given = [
        str(tmp_path / "mine.npy"),
        tmp_path / "mine.npy",
        tt.DataConfig(str(tmp_path / "mine.npy"), image_size=4),
        tt.load(tmp_path / "mine.npy", image_size=4),
    ]
    runs = [
        tt.train("vae", data=data, out=tmp_path / str(number), **TINY)
        for number, data in enumerate(given)
    ]
    tables = [run.config["data"] for run in runs]
    assert tables[0] == tables[1]
    assert tables[2] == tables[3]
    assert [table.get("image_size") for table in tables] == [None, None, 4, 4]
    # What was loaded is found again by the run.
    assert tt.evaluate(runs[3], samples=2)["test/elbo"].n == 8


def test_what_was_loaded_is_not_loaded_otherwise(tmp_path: Path):
    data = tt.load()
    with pytest.raises(TriptychError, match="'image_size' comes too late"):
        tt.train("vae", data=data, image_size=14)
    run = tt.train("vae", data=data, binarize="dynamic", out=tmp_path / "run", **TINY)
    assert run.config["data"] == {"name": "mnist-5k", "skip_broken": False} | {
        "colour": "auto",
        "binarize": "dynamic",
    }


def test_images_of_no_file_are_refused():
    images = Images(np.zeros((20, 1, 4, 4), np.uint8), None)
    data = tt.Dataset("mine", "Mine", {"train": images}, None, "grey", "f")
    with pytest.raises(TriptychError, match=r"save them as \.npy or \.npz and give the path"):
        tt.train("vae", data=data)


def test_load_takes_what_the_command_line_takes():
    assert tt.load("mnist-5k").shape == (1, 28, 28)
    assert tt.load(tt.DataConfig("mnist-5k"), image_size=14).shape == (1, 14, 14)
    with pytest.raises(TriptychError, match="did you mean 'image_size'"):
        tt.load("mnist-5k", imagesize=14)


def test_results_are_those_of_the_folder(trained: tt.Run):
    found = tt.results(str(trained.path))
    raw = json.loads((trained.path / "results.json").read_text())
    assert found["test/elbo"].value == raw["test/elbo"]["value"]
    assert found["test/elbo"].stderr == raw["test/elbo"]["stderr"]
    assert dict(found["test/elbo"].protocol) == raw["test/elbo"]["protocol"]
    assert found.left_out == trained.left_out()


def test_an_evaluation_takes_its_options_by_name(trained: tt.Run, tmp_path: Path):
    with pytest.raises(TriptychError, match="did you mean 'samples'"):
        tt.evaluate(trained, smaples=3)
    with pytest.raises(TriptychError, match="there is no split 'tset'; did you mean 'test'"):
        tt.evaluate(trained, split="tset")
    with pytest.raises(TriptychError, match="not a run folder"):
        tt.evaluate(tmp_path / "absent")
    with pytest.raises(TriptychError, match="a run cannot be 3; give a path"):
        tt.evaluate(3)


def test_a_loaded_method_computes_without_gradients(trained: tt.Run):
    model = trained.load()
    again = tt.load_method(trained.path)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    x = torch.rand(2, 1, 28, 28)
    images = model.decode(model.encode(x))
    assert images.shape == (2, 1, 28, 28)
    assert not images.requires_grad
    assert torch.equal(images, again.decode(again.encode(x)))
    images.numpy()


@pytest.mark.parametrize("which", ["bset", "../../other", None])
def test_weights_that_there_are_not_are_not_taken_for_the_last(trained: tt.Run, which: Any):
    with pytest.raises(TriptychError, match="there is no checkpoint"):
        trained.load(which)


def test_a_device_that_there_is_not_is_one_sentence(trained: tt.Run):
    with pytest.raises(TriptychError, match=r"there is no device 'gpu'.*cuda"):
        tt.load_method(trained, device="gpu")


def test_a_report_is_of_runs_by_any_name(trained: tt.Run, tmp_path: Path):
    out = str(tmp_path / "new" / "page.html")
    page = tt.report([trained, str(trained.path)], out, title="Mine & ours", compare=True)
    assert page == tmp_path / "new" / "page.html"
    assert "Mine &amp; ours" in page.read_text()
    assert "the same measurement" in page.read_text()
    assert (page.parent / "page-files" / "tables" / "1-run.csv").is_file()
    with pytest.raises(TriptychError, match="one run or study at least"):
        tt.report([])
    with pytest.raises(TriptychError, match="two runs or studies can be compared, and here are 1"):
        tt.report([trained], tmp_path / "c.html", compare=True)


NO_PATHS = (3, 1.5, b"x", {}, True, "\0", "x" * 5000, "\ud800", ["a"], object())


@pytest.mark.parametrize("path", NO_PATHS, ids=range(len(NO_PATHS)))
def test_what_is_no_path_is_one_sentence_wherever_it_is_given(trained: tt.Run, path: Any):
    calls: dict[str, Callable[[], object]] = {
        "train": lambda: tt.train("vae", steps=1, batch_size=8, out=path, progress=False),
        "train root": lambda: tt.train("vae", steps=1, batch_size=8, root=path, progress=False),
        "report": lambda: tt.report(trained, path),
        "explore": lambda: tt.explore(trained, path),
        "export": lambda: tt.export(trained, path),
        "study": lambda: tt.study({"default": {}}, path, method="vae", metrics=["valid/elbo"]),
        "reproduce": lambda: tt.reproduce("demo", path),
        "list_runs": lambda: tt.list_runs(path),
        "Run": lambda: tt.Run(path),
        "draw": lambda: tt.draw(path),
        "Study": lambda: tt.Study(path),
    }
    for verb, call in calls.items():
        with pytest.raises(TriptychError, match="give a path") as caught:
            call()
        assert str(caught.value).isprintable() and len(str(caught.value)) < 200, verb


def test_words_of_another_kind_are_one_sentence(trained: tt.Run):
    arms: dict[str, Any] = {"method": "vae", "metrics": ["valid/elbo"]}
    odd: Any = [3]
    with pytest.raises(TriptychError, match="there is no place"):
        tt.study({"default": {}}, on=odd, **arms)
    with pytest.raises(TriptychError, match="sbatch cannot be"):
        tt.study({"default": {}}, sbatch=odd, **arms)
    with pytest.raises(TriptychError, match="there is no format"):
        tt.export(trained, to=odd)
    with pytest.raises(TriptychError, match="there is no device"):
        tt.load_method(trained, device=odd)
    with pytest.raises(TriptychError, match="data cannot be"):
        tt.reproduce("demo", data=odd)


@pytest.mark.parametrize("what", [3, None, [3], [None]])
def test_what_is_no_run_is_one_sentence(what: Any):
    with pytest.raises(TriptychError, match="a run cannot be"):
        tt.report(what)
    with pytest.raises(TriptychError, match="a run cannot be"):
        tt.Run.open(what)


def test_a_page_is_not_written_in_the_place_of_a_folder(trained: tt.Run, tmp_path: Path, capsys):
    from triptych.cli.main import main

    for out in (tmp_path, "."):
        with pytest.raises(TriptychError, match="is a folder; name the page"):
            tt.report(trained, out)
        assert main(["report", str(trained.path), "--out", str(out)]) == 2
        assert "is a folder; name the page" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_figures_are_drawn_of_a_run_by_its_folder(trained: tt.Run):
    assert tt.draw(str(trained.path)) == tt.draw(trained)


def test_a_preset_may_be_a_path(trained: tt.Run):
    again = tt.default_config("vae", trained.path / "config.toml")
    assert again.train.duration == Duration.parse(trained.config["train"]["duration"])


def test_explore_opens_nothing_unless_it_is_asked_to(trained: tt.Run, tmp_path: Path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tt.explore(trained, tmp_path / "play.html")
    assert opened == []
    tt.explore(trained, page, open=True)
    assert opened == [page.resolve().as_uri()]


ARMS = {"default": {}, "narrow": {"method": {"hidden": [4]}}}


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tt.Study:
    options = {"train.threads=1", "train.batch_size=50", "train.duration='3 steps'"}
    return tt.study(
        ARMS,
        tmp_path_factory.mktemp("studied") / "study",
        name="widths",
        method="vae",
        metrics=["valid/elbo"],
        seeds=[0, 1],
        changes=[*sorted(options), "method.hidden=[8]", "method.latent=2"],
        evaluate=False,
        jobs=2,
    )


def test_a_study_of_arms_in_python(studied: tt.Study):
    assert studied.name == "widths"
    assert (studied.arms, studied.control, studied.seeds) == (
        ["default", "narrow"],
        "default",
        [0, 1],
    )
    assert studied.problems == {}
    runs = studied.runs("narrow")
    assert [run.config["method"]["hidden"] for run in runs] == [[4], [4]]
    assert [run.config["seed"] for run in runs] == [0, 1]
    ends = {
        arm: [run.metrics()[-1]["valid/elbo"] for run in studied.runs(arm)] for arm in studied.arms
    }
    frame = studied.to_frame().loc["narrow"]
    assert frame["mean"] == pytest.approx(np.mean(ends["narrow"]))
    assert frame["difference"] == pytest.approx(np.mean(ends["narrow"]) - np.mean(ends["default"]))
    assert "arm" in repr(studied).splitlines()[1]
    assert repr(studied).splitlines()[3].startswith("narrow")
    with pytest.raises(TriptychError, match="did you mean 'narrow'"):
        studied.runs("narow")


def test_a_study_that_is_done_is_only_read_again(studied: tt.Study):
    again = tt.study(str(studied.path / "study.toml"), studied.path)
    assert again.to_frame().equals(studied.to_frame())
    with pytest.raises(TriptychError, match="holds a study in which"):
        tt.study({"default": {}}, studied.path, method="vae", metrics=["valid/elbo"])


def test_a_study_that_is_stopped_says_how_to_go_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("triptych.studies.execute.check", lambda *a: None)
    ended = Ended(stopped=True, problems={})
    monkeypatch.setattr("triptych.studies.execute.execute", lambda *a, **k: ended)
    with pytest.raises(KeyboardInterrupt, match=f"'{tmp_path}' was stopped, everything is saved"):
        tt.study("simsiam-ablation-demo", tmp_path)


def test_runs_of_a_study_without_an_outcome_are_warned_of(studied: tt.Study, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(studied.path, tmp_path / "study"))
    ended = Ended(stopped=False, problems={Cell("narrow", 1): "out of memory"})
    monkeypatch.setattr("triptych.studies.execute.execute", lambda *a, **k: ended)
    with pytest.warns(UserWarning, match="narrow, seed 1 has no outcome, .*: out of memory"):
        again = tt.study(folder / "study.toml", folder)
    assert again.problems == {"narrow, seed 1": "out of memory"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tt.study("simsiam-ablatoin"), "did you mean 'simsiam-ablation"),
        (lambda: tt.study(ARMS, metrics=["x"]), "names its method"),
        (lambda: tt.study(ARMS, method="vae", metrics=["x"], jobs=0), "jobs 0 is too small"),
        (lambda: tt.study(ARMS, method="vae", metric=["x"]), "did you mean 'metrics'"),
        (lambda: tt.study(ARMS, method="vae", metrics=["x"], jobs="2"), "jobs cannot be '2'"),
        (lambda: tt.study(ARMS, method="vae", metrics=["x"], seeds=3), "seeds cannot be 3"),
        (lambda: tt.study(ARMS, method="vae", metrics=["x"], seeds=["a"]), "a seed cannot be 'a'"),
        (lambda: tt.study(ARMS, method=Path("no.py"), metrics=["x"]), "there is no file '.*no.py'"),
        (
            lambda: tt.study(ARMS, method="vae", metrics=["x"], changes="a.b=1"),
            "--set a.b=1: .*'a'",
        ),
        (lambda: tt.reproduce("demo", seed="x"), "cannot be 'x'; it takes a number"),
        (lambda: tt.reproduce("demo", threads="x"), "--threads cannot be 'x'"),
        (lambda: tt.study({"a": {"trian": {}}}, method="vae", metrics=["x"]), "arm 'a'.*'train'"),
    ],
)
def test_a_mistake_in_a_study_is_one_sentence(call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TriptychError, match=said):
        call()
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import os, signal, sys
import triptych as tt
from triptych.training import loop

real = loop.TrainState.read
def read(state):
    os.kill(os.getpid(), signal.SIGINT)
    return real(state)
loop.TrainState.read = read
tt.train("vae", method={"hidden": [8]}, batch_size=50, threads=1, steps=1000, log_every=10, out=sys.argv[1])
print("went on as if it were trained")
"""


def test_ctrl_c_saves_and_ends_the_script(tmp_path: Path):
    """As a file is read after a training, by someone who believes that it is there."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGINT
    assert "went on" not in done.stdout
    path = tmp_path / "run"
    assert (
        f"'{path}' was interrupted, everything is saved; go on with triptych.resume('{path}')"
        in (done.stderr)
    )
    run = tt.Run.open(path)
    assert run.about("last")["step"] >= 10
    assert run.status() == "interrupted"


def test_a_run_that_was_stopped_goes_on(tmp_path: Path):
    whole = tt.train("vae", out=tmp_path / "whole", seed=2, **TINY)
    config = experiment.default_config("vae")
    half = tt.train("vae", out=tmp_path / "half", seed=2, **TINY)
    # As a kill before the last checkpoint leaves it.
    (half.path / "DONE").unlink()
    for path in (half.path / "checkpoints").iterdir():
        path.unlink()
    assert tt.resume(str(half.path)).status() == "done"
    assert half.weights("last").digest == whole.weights("last").digest
    assert config.train.duration == Duration(20, "epochs")


def test_nothing_is_printed_where_nobody_watches(tmp_path: Path, capsys, recwarn):
    run = tt.train("vae", out=tmp_path / "run", **TINY)
    tt.evaluate(run, samples=2)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "triptych", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"triptych {tt.__version__}\n"


OWN = '''
from dataclasses import dataclass
from torch import nn
from triptych import Losses, Method, OptimizerConfig, Phase
from triptych.types import Group


@dataclass(frozen=True)
class Config:
    width: int = 3


class Mine(Method):
    """A layer that learns to be small."""

    Config = Config
    gauge = "size"

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.net = nn.Linear(spec.dimensions, config.width)

    def phases(self):
        return (Phase("fit", (Group(("net",), OptimizerConfig()),)),)

    def losses(self, phase, batch, noise, progress):
        size = self.net(batch.x.flatten(1)).square().sum(-1)
        return Losses(size, {"size": size})
'''


def test_a_method_may_be_a_file_of_ones_own_or_the_class_in_it(tmp_path: Path):
    from triptych import methods

    file = tmp_path / "mine.py"
    file.write_text(OWN)
    options = {"batch_size": 50, "threads": 1, "steps": 3, "method": {"width": 2}}
    run = tt.train(file, out=tmp_path / "a", **options)
    again = tt.train(methods.find(file), out=tmp_path / "b", **options)
    assert run.weights("last").digest == again.weights("last").digest
    assert run.load().net.weight.shape == (2, 784)
    with pytest.raises(TriptychError, match=r"did you mean 'method\.width'"):
        tt.train(str(file), method={"widht": 2})


@pytest.mark.parametrize("stopped", [True, False])
def test_a_reproduction_that_is_stopped_or_failed_says_so(tmp_path: Path, monkeypatch, stopped):
    outcome = Outcome(tmp_path, stopped, False, {"game": "the loss was not finite"}, {})
    monkeypatch.setattr("triptych.reproduction.reproduce.reproduce", lambda *a, **k: outcome)
    if stopped:
        with pytest.raises(KeyboardInterrupt, match=f"'{tmp_path}' was stopped"):
            tt.reproduce("demo", tmp_path)
    else:
        with pytest.warns(UserWarning, match="game has failed: the loss was not finite"):
            assert tt.reproduce("demo", str(tmp_path)).page == tmp_path / "report.html"
