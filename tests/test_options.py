"""Every field of every config with values that nobody means: taken, or refused in one sentence; never anything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from triptych import experiment, methods
from triptych.cli import train
from triptych.cli.main import main
from triptych.cli.options import _names, parse
from triptych.config import Duration, limited, merge
from triptych.data.spec import Dataset
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.training.watch import Watch

HUGE = (10**6, 10**7, 10**9, 10**12, 2**63, 10**30)

VALUES: list[Any] = [
    *(None, True, 0, -1, 1, 3, *HUGE, -(10**30), 0.5, 1.5, 1e-320, 1e30, -1e30, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
    *("", "3", "none", "nan", "\x1b[2J", "[/x]", "\ud800", "x" * 10_000, "١٢", "²"),
    *(
        "nan epochs",
        "inf steps",
        "0 steps",
        "-1 epochs",
        "0.1 steps",
        "1e308 epochs",
        "1e-300 epochs",
    ),
    *("١ epochs", "1", "epochs", "1 epochs 2", "10" * 400 + " steps"),
    *([], {}, [0], [-1], [3], [10**30], [float("nan")], [0.1, 0.2], [1e308, float("inf")], ["x"]),
    *([[[[[[]]]]]], {"x": {"y": 1}}, [1] * 30),
]

THIN = {"depth": 10, "stem": "half", "width": 2, "projector": [4]}
SMALL: dict[str, dict[str, Any]] = {
    "vae": {"hidden": [4], "latent": 2, "likelihood": "logistic", "width": 2},
    "hvae": {"upper": 2, "lower": 2, "hidden": [4], "likelihood": "logistic", "width": 2},
    "wgan": {"latent": 2, "width": 2},
    "gan": {"latent": 2, "width": 2},
    **{name: {**THIN, "predictor_width": 2} for name in ("simsiam", "byol")},
    **{name: THIN for name in ("simclr", "barlow", "vicreg")},
    "sigreg": {**THIN, "directions": 2},
}


def fields(config: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where every field is, those of configs within included."""
    for field in dataclasses.fields(config):
        yield (*at, field.name)
        inner = getattr(config, field.name)
        if dataclasses.is_dataclass(inner) and not isinstance(inner, Duration):
            yield from fields(inner, (*at, field.name))


def nested(at: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(at):
        value = {name: value}
    return value


def small(method: str) -> experiment.ExperimentConfig:
    tables = {"method": SMALL[method], "train": {"batch_size": 4, "threads": 1, "device": "cpu"}}
    return merge(experiment.default_config(method), tables)


def outcome(make: Callable[[], Any], what: str) -> str:
    try:
        make()
    except TriptychError as error:
        said = str(error)
        return "refused" if said.isprintable() and len(said) < 600 else f"{said[:300]} ({what})"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:100]} ({what})"
    return "taken"


FIELDS = [(name, at) for name in methods.names() for at in fields(small(name)) if at[0] == "method"]
# All optimizers are of one class.
FIELDS = [(name, at) for name, at in FIELDS if name == "vae" or "optimizer" not in "".join(at)]
FIELDS += [("vae", at) for at in fields(small("vae")) if at[0] != "method"]


@pytest.mark.parametrize(
    ("method", "at"),
    FIELDS,
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else value,
)
def test_a_value_from_a_file_is_taken_or_refused(
    planted: Callable[..., Dataset], method: str, at: tuple[str, ...]
):
    """What is taken can be built, and gives a batch."""
    dataset, config = planted(train=8, shape=(1, 16, 16)), small(method)

    def prepared(value: Any) -> None:
        changed = merge(config, nested(at, value))
        _, _, stream = experiment.prepare(changed, dataset)
        stream.batch(0)

    kinds = {outcome(lambda v=v: prepared(v), f"{at}: {str(v)[:40]}") for v in VALUES}
    assert kinds <= {"taken", "refused"}
    assert "refused" in kinds


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(EvaluateConfig)])
def test_an_option_of_the_evaluation_is_taken_or_refused(name: str):
    default = EvaluateConfig()
    kinds = {outcome(lambda v=v: merge(default, {name: v}), f"{name}: {v}"[:60]) for v in VALUES}
    assert kinds <= {"taken", "refused"}


TYPED = ("nan", "-1", "\x1b[31m [/x]")


@pytest.mark.parametrize("method", methods.names())
def test_a_value_that_is_typed_is_taken_or_refused(method: str):
    options = train._options(small(method))
    kinds = {
        outcome(lambda w=w: parse(options, [w], "triptych train", ""), w)
        for w in (f"{o}={TYPED[i % len(TYPED)]}" for i, o in enumerate(_names(options)))
    }
    assert kinds <= {"taken", "refused"}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    np.save("mine.npy", draw.integers(0, 256, (60, 8, 8)).astype(np.uint8))


WORDS = {
    "--log-every 1000000000000000": "--log-every 1000000000000000 is too large",
    "--validate-every 1e308_epochs": "is not a duration",
    "--steps 0.1": "of steps a whole one",
    "--epochs nan": "is not a duration",
    "--threads 100000": "--threads 100000 is too large; give 1,024 at most",
    "--method.latent 1000000000": "--method.latent 1000000000 is too large; give 1,000,000 at most",
    "--method.hidden 1000000 1000000": "weights, whose training takes",
    "--method.logit-offset 1e30": "--method.logit-offset 1e+30 is too large",
    "--method.optimizer.lr nan": "an optimizer needs a learning rate above 0",
    "--image-size 100000": "--image-size 100000 is too large",
    "--image-size 0": "--image-size 0 is not a size",
    "--seed 1000000000000000000000000000000": "--seed 1000000000000000000000000000000 is too large",
    "--batch-size 0": "--batch-size 0 is too small",
}


@pytest.mark.parametrize(("words", "said"), WORDS.items())
def test_a_mistake_on_the_command_line_is_one_sentence(images, capsys, words: str, said: str):
    given = [word.replace("_", " ") for word in words.split()]
    assert main(["train", "vae", "--data", "mine.npy", "--out", "run", *given]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("run").exists()


OWN = {
    "name = 3": "'name'",
    "method = 3": "'method' cannot be 3; it takes a table of options",
    "[method]\nname = 3": "is of 3",
    "[method]\nname = []": "is of []",
    'method_name = "wgan"': "the config is not of wgan",
    "method_name = 3": "method_name",
    "seed = 0x" + "f" * 5000: "more than 64 bits",
    "seed = true": "'seed' cannot be True",
    "train = []": "'train' cannot be []; it takes a table of options",
    "x." * 3000 + "y = 1": "nested",
}


@pytest.mark.parametrize(("text", "said"), OWN.items(), ids=range(len(OWN)))
def test_a_preset_of_ones_own_is_read_strictly(images, capsys, text: str, said: str):
    Path("own.toml").write_text(text)
    assert main(["train", "vae", "--preset", "own.toml", "--data", "mine.npy", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert len(error) < 500


TRAINED = [
    "train",
    "vae",
    "--data",
    "mine.npy",
    "--steps",
    "1",
    "--batch-size",
    "8",
    "--out",
    "run",
]


def test_a_config_that_names_no_method_by_a_word_is_refused(images, capsys):
    assert main(TRAINED) == 0
    text = Path("run/config.toml").read_text()
    Path("run/config.toml").write_text(text.replace('name = "vae"', "name = 3"))
    Path("run/DONE").unlink()
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 2
    assert "method.name is 3 in config.toml and was vae" in capsys.readouterr().err
    assert main(["train", "--resume", "run"]) == 2
    assert "method.name is 3 in config.toml and was vae" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samples", "0"], "--samples 0 is too small; give 1 or more"),
        (["--samples", "10000000000"], "is too large; give 1,000,000 at most"),
        (["--coordinates", "-1"], "--coordinates -1 is too small; give 0 or more"),
        (["--split", ""], "there is no split ''"),
        (["--threads", "0"], "--threads 0 is too small; give 1 or more"),
        (["--threads", "100000"], "--threads 100000 is too large; give 1,024 at most"),
        (["--features", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_in_an_evaluation_is_one_sentence(images, capsys, words, said):
    assert main(TRAINED) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_number_outside_of_its_range_is_told_on_which_side():
    limited("--x", 1, 1, 3)
    limited("--x", 3, 1, 3)
    for value, said in (
        (0, "too small; give 1"),
        (4, "too large; give 3"),
        (float("nan"), "no number"),
    ):
        with pytest.raises(TriptychError, match=said):
            limited("--x", value, 1, 3)


def test_what_is_watched_takes_the_same_memory_however_long_and_keeps_the_mean():
    """Single precision would have lost what is added last."""
    watch, at = Watch("fit", torch.zeros(())), torch.tensor(0)
    draw = np.random.default_rng(0).normal(loc=1e4, size=(3000, 2)).astype(np.float32)
    for row in draw:
        watch.see(torch.tensor(row), torch.zeros(()), ("objective", "error"), at)
    assert [kept.numel() for kept in watch.tensors()] == [2, 1, 2, 1]
    exact = draw.astype(np.float64).mean(0)[1]
    assert watch.read()["error"] == pytest.approx(exact, rel=1e-12)
