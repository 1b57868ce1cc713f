"""From a config to a measured run and back: what is written, what is refused, and that nothing is half done."""

import json
import math
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from triptych import checkpoint, experiment, presets
from triptych.config import merge
from triptych.data.places import cache_root
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.methods.vae import VAE, VAEConfig
from triptych.reporting.terminal import headline_words
from triptych.runs import Run
from triptych.types import DataSpec

PRESETS = Path(presets.__file__).parent

TABLES = {
    "method": {"latent": 3, "hidden": [16], "optimizer": {"lr": 3e-3}},
    "data": {"binarize": "threshold"},
    "train": {"duration": "40 steps", "log_every": 10, "compile": "off", "device": "cpu"},
}


def config(**changes) -> ExperimentConfig:
    return merge(merge(experiment.default_config("vae"), TABLES), changes)


def own_images(folder: Path, count: int, seed: int = 0) -> str:
    """A person's own grey images, with a pattern that a model can learn."""
    draw = np.random.default_rng(seed)
    levels = draw.integers(0, 256, (count, 1, 1)) + draw.integers(-20, 20, (count, 8, 8))
    path = folder / "mine.npy"
    np.save(path, np.clip(levels, 0, 255).astype(np.uint8))
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = experiment.train(config(), tmp_path_factory.mktemp("trained") / "run")
    experiment.evaluate(run.path, EvaluateConfig(samples=50, dtype="fp32"))
    return run


def test_a_run_holds_all_that_is_needed_to_repeat_it(trained: Run, tmp_path: Path):
    assert trained.status() == "done"
    recorded = ExperimentConfig.from_tables(trained.config)
    for table in ("method", "train"):
        assert "auto" not in json.dumps(trained.config[table]), "decided once, and recorded"
    assert recorded.train.threads >= 1
    again = experiment.train(recorded, tmp_path / "again")
    first, second = (checkpoint.load(r.checkpoint("last"))[0] for r in (trained, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    environment = json.loads((trained.path / "environment.json").read_text())
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == recorded.train.threads
    assert environment["data"]["images"] == {"train": 3500, "valid": 500, "test": 1000}
    assert environment["method"] == {
        "name": "vae",
        "title": "variational autoencoder",
        "about": "An encoder q(z|x) tells which hidden numbers z an image x may have, a decoder p(x|z) makes the image of them.",
        "formula": VAE(VAEConfig(latent=2), DataSpec((1, 8, 8), "binary")).formula(),
        "can": [
            *("Decodes", "Encodes", "Reconstructs"),
            *("HasLikelihood", "HasPrior", "HasImportanceBound"),
        ],
        "cosine": None,
        "source": None,
    }
    facts = trained.method()
    assert (facts.name, facts.title) == ("vae", "variational autoencoder")
    assert facts.can == set(environment["method"]["can"])


@pytest.mark.parametrize("told", [None, 3, {"name": "x"}, {"title": []}])
def test_a_folder_that_does_not_say_what_its_method_can_is_asked_for_its_log(
    trained: Run, tmp_path: Path, told
):
    copy = Run(Path(shutil.copytree(trained.path, tmp_path / "older")))
    environment = copy.environment()
    copy.write("environment.json", json.dumps({**environment, "method": told}))
    assert copy.method() == ("vae", "vae", "", {"HasLikelihood"}, "")


def test_evaluating_a_run_of_before_adds_what_its_method_can(trained: Run, tmp_path: Path):
    copy = Run(Path(shutil.copytree(trained.path, tmp_path / "older")))
    environment = copy.environment()
    told = environment.pop("method")
    copy.write("environment.json", json.dumps(environment))
    assert copy.method().title == "vae"
    experiment.evaluate(copy.path, EvaluateConfig(samples=1))
    assert copy.environment() == {**environment, "method": told}
    assert copy.method().title == "variational autoencoder"


@pytest.mark.parametrize("there", [True, False])
def test_the_precision_is_what_the_hardware_has(monkeypatch, tmp_path: Path, there: bool):
    """Emulated, bf16 takes many times as long as fp32: nobody wants it who has not asked for it."""
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: there)
    run = experiment.train(config(train={"dtype": "auto", "duration": "2 steps"}), tmp_path / "run")
    assert run.config["train"]["dtype"] == ("bf16" if there else "fp32")


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An x86 CPU without bf16."""
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_who_asks_for_an_emulated_precision_gets_it_and_is_told(emulated, tmp_path: Path):
    asked = config(train={"dtype": "bf16", "duration": "2 steps"})
    said = "this cpu has no bf16 products of its own.*dtype fp32"
    with pytest.warns(UserWarning, match=said):
        run = experiment.train(asked, tmp_path / "run")
    assert run.config["train"]["dtype"] == "bf16"
    with pytest.warns(UserWarning, match=said):
        found = experiment.evaluate(run.path, EvaluateConfig(samples=2, dtype="bf16"))
    assert found["test/log_likelihood"].note.startswith("bf16 differs from fp32 by")


def test_a_run_that_goes_on_keeps_an_emulated_precision_and_is_told(monkeypatch, tmp_path: Path):
    """It began where bf16 is fast; `--resume` takes no `--dtype`."""
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: True)
    run = experiment.train(config(train={"dtype": "auto", "duration": "2 steps"}), tmp_path / "run")
    (run.path / "DONE").unlink()
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "checkpoints").mkdir()
    monkeypatch.setattr("triptych.environment.has_bf16", lambda device: False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.warns(UserWarning, match="this cpu has no bf16 products of its own") as said:
        again = experiment.resume(run.path)
    assert str(said[0].message).endswith("; the run keeps the precision that it began with")
    assert "--dtype" not in str(said[0].message)
    assert again.config["train"]["dtype"] == "bf16"


def test_before_an_evaluation_on_several_devices_an_emulated_precision_is_told(
    emulated, trained: Run, monkeypatch
):
    """Its ranks say it to nobody."""
    monkeypatch.setattr("triptych.experiment.measurement.on_devices", lambda *job: [])
    with pytest.warns(UserWarning, match=r"this cpu has no bf16 .*auto chooses"):
        experiment.evaluate(trained.path, EvaluateConfig(devices=2, dtype="bf16"))
    experiment.evaluate(trained.path, EvaluateConfig(devices=2, dtype="auto"))


def dtypes(table: dict[str, Any]) -> list[str]:
    """Wherever a table or one within it names a precision: presets have theirs in [train], studies and scales deeper."""
    found = [table["dtype"]] if "dtype" in table else []
    return found + [
        name for value in table.values() if isinstance(value, dict) for name in dtypes(value)
    ]


@pytest.mark.parametrize("path", sorted(PRESETS.rglob("*.toml")), ids=lambda path: path.stem)
def test_no_preset_asks_for_what_a_processor_may_lack(path: Path):
    """`auto` is bf16 where the hardware has it: written out, it is emulated where it has not."""
    assert {*dtypes(tomllib.loads(path.read_text()))} <= {"auto", "fp32"}
    assert dtypes({"arms": {"a": {"train": {"dtype": "bf16"}}}}) == ["bf16"]


def test_another_seed_is_another_run(trained: Run, tmp_path: Path):
    other = experiment.train(config(seed=1), tmp_path / "other")
    first, second = (checkpoint.load(r.checkpoint("last"))[0] for r in (trained, other))
    assert not torch.equal(first["weights.encoder.1.weight"], second["weights.encoder.1.weight"])


def test_training_raises_the_elbo_and_validation_sees_it(trained: Run):
    _, train = trained.curve("train/elbo")
    assert len(train) == 4
    assert train[-1] > train[0] + 50
    epochs, valid = trained.curve("valid/elbo")
    assert valid[-1] == pytest.approx(train[-1], abs=40)
    assert epochs[-1] == pytest.approx(40 / (3500 // 64), abs=1e-3)
    for line in trained.metrics():
        if "train/elbo" in line:
            parts = line["train/reconstruction"] - line["train/kl"]
            assert line["train/elbo"] == pytest.approx(parts, abs=1e-2)


def test_results_have_their_names_protocols_and_errors(trained: Run):
    results = trained.results()
    expected = {
        "valid/elbo", "test/elbo", "test/reconstruction", "test/kl", "test/log_likelihood",
        "test/bits_per_dimension", "test/effective_sample_size",
        "test/log_likelihood_curve", "latent/active_units", "latent/kl_per_dimension",
        "test/knn_top1", "test/knn_top1_pixels",
    }  # fmt: skip
    assert expected <= results.keys()
    assert "the delta method is no estimate" in trained.left_out()["test/importance_bias"]
    for name, result in results.items():
        assert result["n"] in (500, 1000), name
        assert (result["stderr"] is not None) or result["note"], name
        assert result["protocol"]["binarization"] == "threshold", name
        assert result["protocol"]["method"] == "vae", name
        assert result["protocol"]["split"] == ("valid" if name.startswith("valid/") else "test")
    elbo, likelihood = results["test/elbo"], results["test/log_likelihood"]
    assert elbo["value"] < likelihood["value"] < 0
    assert elbo["protocol"]["likelihood"] == "Bernoulli"
    curve = results["test/log_likelihood_curve"]["value"]
    assert curve["value"] == sorted(curve["value"])
    assert curve["value"][0] == pytest.approx(elbo["value"], abs=4 * elbo["stderr"])
    assert curve["value"][-1] == pytest.approx(likelihood["value"], abs=1e-4)
    bits = -likelihood["value"] / 784 / math.log(2)
    assert results["test/bits_per_dimension"]["value"] == pytest.approx(bits)


def test_an_evaluation_is_the_same_each_time(trained: Run):
    again = experiment.evaluate(trained.path, EvaluateConfig(samples=50, dtype="fp32"))
    before = trained.results()
    assert again["test/log_likelihood"].value == before["test/log_likelihood"]["value"]


def test_best_and_last_are_told_apart_in_the_protocol(trained: Run):
    before = trained.results()
    last = experiment.evaluate(trained.path, EvaluateConfig(samples=5, checkpoint="last"))
    assert last["test/elbo"].protocol["checkpoint"] == "last"
    assert before["test/elbo"]["protocol"]["checkpoint"] == "best"


def test_a_run_that_is_done_is_not_resumed(trained: Run):
    with pytest.raises(TriptychError, match="done already"):
        experiment.resume(trained.path)


def test_nothing_is_written_where_method_and_data_do_not_fit(tmp_path: Path):
    bad = config(data={"binarize": "none"}, method={"likelihood": "bernoulli"})
    with pytest.raises(TriptychError, match="needs binary images"):
        experiment.train(bad, tmp_path / "run")
    with pytest.raises(TriptychError, match="batch of 4000"):
        experiment.train(config(train={"batch_size": 4000}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_as_it_was(trained: Run):
    before = {p: p.stat().st_mtime_ns for p in trained.path.rglob("*")}
    with pytest.raises(TriptychError, match="exists already"):
        experiment.train(config(), trained.path)
    assert {p: p.stat().st_mtime_ns for p in trained.path.rglob("*")} == before


def small(tmp_path: Path, **changes) -> Run:
    tables = {
        "data": {"name": own_images(tmp_path, 60), "binarize": "none"},
        "train": {"duration": "4 steps", "batch_size": 8},
    }
    return experiment.train(merge(config(**tables), changes), tmp_path / "run")


def forget(run: Run) -> None:
    """Remove what the cache has of the run's data."""
    shutil.rmtree(cache_root() / "decoded" / run.environment()["data"]["decoded"])


def test_a_damaged_checkpoint_is_refused(tmp_path: Path):
    run = small(tmp_path)
    for which in ("last", "best"):
        path = run.checkpoint(which)
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TriptychError, match="damaged"):
        experiment.evaluate(run.path)
    (run.path / "DONE").unlink()
    with pytest.raises(TriptychError, match="damaged"):
        experiment.resume(run.path)
    assert "damaged" in run.reason() or run.status() == "interrupted"


def test_a_config_that_was_edited_is_refused_and_the_field_named(tmp_path: Path):
    run = small(tmp_path)
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("latent = 3", "latent = 5"))
    with pytest.raises(TriptychError, match=r"method\.latent is 5 in config\.toml and was 3"):
        experiment.evaluate(run.path)


def test_a_run_resumed_with_other_data_is_refused(tmp_path: Path):
    run = small(tmp_path)
    (run.path / "DONE").unlink()
    own_images(tmp_path, 60, seed=1)
    forget(run)
    with pytest.raises(TriptychError, match=r"other (data|images)"):
        experiment.resume(run.path)


@pytest.mark.parametrize(
    ("count", "said"), [(60, "of other content"), (80, "48 train images then and 64")]
)
def test_a_run_measured_on_other_data_says_so(tmp_path: Path, count: int, said: str):
    """The test split is another, and no longer one that training has not seen."""
    run = small(tmp_path)
    trained_on = run.about("best")["data"]
    own_images(tmp_path, count, seed=1)
    forget(run)
    with pytest.warns(UserWarning, match=said):
        found = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    assert found["test/elbo"].n == count // 10
    for result in found.values():
        assert result.protocol["trained_on"] == trained_on != result.protocol["fingerprint"]


@pytest.mark.parametrize("change", ["moved", "grown"])
def test_a_run_finds_its_data_by_content(tmp_path: Path, change: str):
    """In the cache, where the folder is gone or holds more; the numbers are those of before to the bit."""
    run = small(tmp_path)
    before = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    if change == "moved":
        (tmp_path / "mine.npy").rename(tmp_path / "moved.npy")
    else:
        own_images(tmp_path, 80, seed=1)
    said = "there is no file or folder" if change == "moved" else "48 train images then and 64"
    with pytest.warns(UserWarning, match=said):
        assert experiment.evaluate(run.path, EvaluateConfig(samples=5)) == before
    whole = checkpoint.load(run.checkpoint("last"))[0]
    for name in ("checkpoints", "DONE"):
        path = run.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run.path / "checkpoints").mkdir()
    with pytest.warns(UserWarning, match="from the cache"):
        again = experiment.resume(run.path)
    found = checkpoint.load(again.checkpoint("last"))[0]
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_moved_data_are_named_and_nothing_else_is_said(tmp_path: Path):
    run = small(tmp_path)
    (tmp_path / "mine.npy").rename(tmp_path / "moved.npy")
    forget(run)
    with pytest.raises(TriptychError, match="--data PATH"):
        experiment.evaluate(run.path)
    found = experiment.evaluate(
        run.path, EvaluateConfig(samples=5), data=str(tmp_path / "moved.npy")
    )
    assert "trained_on" not in found["test/elbo"].protocol


def test_images_that_a_person_names_are_meant(tmp_path: Path):
    """Though the cache has those of the training: these are measured, and their name is theirs."""
    run = small(tmp_path)
    (tmp_path / "other").mkdir()
    other = own_images(tmp_path / "other", 40, seed=2)
    with pytest.warns(UserWarning, match="as many|48 train images then and 32"):
        found = experiment.evaluate(run.path, EvaluateConfig(samples=5), data=other)
    assert found["test/elbo"].n == 4
    assert found["test/elbo"].protocol["trained_on"] == run.about("best")["data"]
    assert "on other images than trained on" in headline_words(run)
    (run.path / "DONE").unlink()
    with pytest.raises(TriptychError, match="cannot go on with other data"):
        experiment.resume(run.path, data=other)


def test_images_from_the_cache_have_the_name_of_the_training(tmp_path: Path):
    run = small(tmp_path)
    title = run.environment()["data"]["title"]
    (tmp_path / "mine.npy").rename(tmp_path / "moved.npy")
    with pytest.warns(UserWarning, match="read from the cache"):
        found = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    assert found["test/elbo"].protocol["data"] == title


def test_a_run_is_named_by_a_text_or_a_path(trained: Run):
    assert experiment.load_method(str(trained.path)).latent == 3
    opened = experiment.open_trained(str(trained.path))
    assert opened.run.path == trained.path


def test_a_method_is_loaded_without_its_data(tmp_path: Path):
    run = small(tmp_path)
    (tmp_path / "mine.npy").unlink()
    forget(run)
    assert experiment.load_method(run.path).latent == 3


@pytest.mark.parametrize("count", [15, 60])
def test_a_small_folder_of_own_images_is_measured_all_the_way(tmp_path: Path, count: int):
    """Fifteen images leave one for the test split, sixty leave six: fewer than the pictures want."""
    tables = {
        "data": {"name": own_images(tmp_path, count), "binarize": "none"},
        "train": {"duration": "4 steps", "batch_size": 8},
    }
    run = experiment.train(config(**tables), tmp_path / "run")
    found = experiment.evaluate(run.path, EvaluateConfig(samples=10))
    assert found["test/log_likelihood"].n == max(1, count // 10)
    assert found["test/log_likelihood"].protocol["likelihood"] == "logistic over 256 levels"


def test_an_unknown_split_is_refused(trained: Run):
    with pytest.raises(TriptychError, match="did you mean 'test'"):
        experiment.evaluate(trained.path, EvaluateConfig(split="tset"))


def test_a_run_without_its_environment_gets_one_when_it_goes_on(tmp_path: Path):
    run = experiment.train(config(), tmp_path / "run")
    before = json.loads((run.path / "environment.json").read_text())
    (run.path / "environment.json").unlink()
    (run.path / "DONE").unlink()
    experiment.resume(run.path)
    assert json.loads((run.path / "environment.json").read_text()) == before


def test_a_run_that_was_killed_before_its_first_step_goes_on_from_the_start(tmp_path: Path):
    whole = experiment.train(config(), tmp_path / "whole")
    tables = whole.config
    begun = Run.create(tmp_path / "begun", tables)
    resumed = experiment.resume(begun.path)
    first, second = (checkpoint.load(r.checkpoint("last"))[0] for r in (whole, resumed))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert (begun.path / "environment.json").exists()


def rewritten(run: Run, was: str, now: str) -> None:
    """The config edited in the folder and in what the checkpoint says of it, as a forger would."""
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace(was, now))
    tensors, about = checkpoint.load(run.checkpoint("last"))
    checkpoint.save(run.checkpoint("last"), tensors, {**about, "config": run.config})


def test_an_optimizer_of_another_kind_does_not_go_on_from_these_moments(tmp_path: Path):
    run = experiment.train(config(), tmp_path / "run")
    (run.path / "DONE").unlink()
    rewritten(run, 'name = "adam"', 'name = "sgd"')
    with pytest.raises(TriptychError, match="made for another config: it has no optimizer state"):
        experiment.resume(run.path)


@pytest.mark.parametrize("kept", [{"sums": torch.zeros(5, 4)}, {"sums": torch.zeros(3)}, {}])
def test_a_log_that_does_not_fit_the_checkpoint_is_refused(tmp_path: Path, kept):
    """Saved between two lines of the log, with other terms than it names, or with none."""
    made = experiment.train(
        config(train={"duration": "8 steps", "log_every": 1000}), tmp_path / "run"
    )
    path = made.checkpoint("last")
    tensors, about = checkpoint.load(path)
    del tensors["watch.elbo.sums"]
    tensors |= {f"watch.elbo.{name}": value for name, value in kept.items()}
    checkpoint.save(path, tensors, about)
    (made.path / "DONE").unlink()
    with pytest.raises(TriptychError, match="what phase 'elbo' has logged does not fit"):
        experiment.resume(made.path)
