"""Strict configs: what is accepted, what is refused and in which words, and the way to TOML and back."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest

from triptych import experiment, methods, presets
from triptych.config import Duration, OptimizerConfig, dump, merge, read_toml, to_dict
from triptych.errors import TriptychError, unknown
from triptych.experiment import ExperimentConfig


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("20 epochs", 20, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("0.5 epochs", 0.5, "epochs"),
        ("50_000 steps", 50_000, "steps"),
        ("1 step", 1, "steps"),
        ("  3   steps ", 3, "steps"),
        ("1e3 steps", 1000, "steps"),
    ],
)
def test_a_duration_is_an_amount_and_a_unit(text: str, amount: float, unit: str):
    assert Duration.parse(text) == Duration(amount, unit)
    assert Duration.parse(str(Duration.parse(text))) == Duration(amount, unit)


@pytest.mark.parametrize(
    "text",
    ["", "20", "epochs", "20epochs", "twenty epochs", "20 minutes", "-1 steps", "0 epochs",
     "inf steps", "nan epochs", "20 epochs 3", "20 epochs steps"],
)  # fmt: skip
def test_anything_else_is_not_a_duration_and_the_sentence_shows_one_that_is(text: str):
    with pytest.raises(TriptychError, match="such as '20 epochs' or '50_000 steps'") as error:
        Duration.parse(text)
    assert f"'{text}'" in str(error.value)


def test_a_duration_in_steps():
    assert Duration.parse("20 epochs").steps(781) == 15_620
    assert Duration.parse("0.5 epochs").steps(781) == 390
    assert Duration.parse("700 steps").steps(781) == 700
    assert Duration.parse("0.001 epochs").steps(5) == 1, "at least one"


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    count: int = 3
    on: bool = False
    size: int | None = None
    widths: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.1, 0.2)
    length: Duration = Duration(1, "epochs")
    name: str = "x"
    inner: Inner = field(default_factory=Inner)


def test_merge_replaces_what_is_given_and_keeps_the_rest():
    values = {
        "count": 5,
        "on": True,
        "size": 28,
        "widths": [4, 5, 6],
        "pair": [0, 1],
        "length": "7 steps",
        "inner": {"kind": "b"},
    }
    found = merge(Outer(), values)
    expected = Outer(5, True, 28, (4, 5, 6), (0.0, 1.0), Duration(7, "steps"), "x", Inner(0.1, "b"))
    assert found == expected
    assert type(found.pair[0]) is float
    assert merge(Outer(), {"inner": {"rate": 2}}).inner.rate == 2.0
    assert merge(Outer(), {}) == Outer()


def test_dashes_are_underscores():
    @dataclass(frozen=True)
    class Dashed:
        batch_size: int = 1

    assert merge(Dashed(), {"batch-size": 9}).batch_size == 9


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cuont": 1}, "there is no option 'cuont'; did you mean 'count'"),
        ({"inner": {"rat": 1}}, "there is no option 'inner.rat'; did you mean 'inner.rate'"),
        ({"inner": {"kind": "c"}}, "option 'inner.kind' cannot be 'c'; it takes one of 'a', 'b'"),
        ({"count": 1.0}, "option 'count' cannot be 1.0; it takes int"),
        ({"count": True}, "option 'count' cannot be True; it takes int"),
        ({"count": "3"}, "option 'count' cannot be '3'; it takes int"),
        ({"on": 1}, "option 'on' cannot be 1; it takes bool"),
        ({"size": "big"}, "option 'size' cannot be 'big'; it takes int"),
        ({"name": 3}, "option 'name' cannot be 3; it takes str"),
        ({"inner": {"rate": True}}, "option 'inner.rate' cannot be True; it takes a finite number"),
        ({"inner": {"rate": "x"}}, "option 'inner.rate' cannot be 'x'; it takes a finite number"),
        ({"widths": [1, "2"]}, "option 'widths' cannot be '2'; it takes int"),
        ({"widths": 3}, "option 'widths' cannot be 3; it takes tuple"),
        ({"pair": [1.0]}, "option 'pair' cannot be [1.0]; it takes tuple"),
        ({"length": "7"}, "'7' is not a duration"),
    ],
)
def test_a_wrong_key_or_value_is_one_sentence_that_names_it(values, sentence: str):
    with pytest.raises(TriptychError) as error:
        merge(Outer(), values)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_duration_without_a_unit_is_refused_with_an_example():
    """``duration = 20`` is the mistake that durations with units are there for."""
    with pytest.raises(TriptychError, match="'20 epochs'"):
        merge(Outer(), {"length": 20})


def test_a_word_where_a_table_belongs_is_refused_without_the_name_of_a_class():
    with pytest.raises(TriptychError, match="'inner'") as error:
        merge(Outer(), {"inner": "fast"})
    assert "Inner" not in str(error.value)


def test_none_is_a_value_of_an_option_that_may_be_none():
    assert merge(Outer(size=28), {"size": None}).size is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_rate_that_is_no_number_is_refused(value: float):
    """TOML can spell both."""
    with pytest.raises(TriptychError, match="lr"):
        merge(OptimizerConfig(), {"lr": value})


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Outer().count = 4


def test_a_config_goes_to_toml_and_back():
    config = Outer(
        5, True, None, (), (1e-7, 3.0), Duration(0.25, "epochs"), 'a "b" \\ é', Inner(1e30)
    )
    assert merge(Outer(), tomllib.loads(dump(to_dict(config)))) == config


def every_preset() -> list[tuple[str, str | None]]:
    return [(m, p) for m in methods.names() for p in (None, *presets.names(m))]


@pytest.mark.parametrize(("method", "preset"), every_preset())
def test_an_experiment_goes_to_its_folder_and_back(method: str, preset: str | None, tmp_path):
    config = dataclasses.replace(experiment.default_config(method, preset), seed=7)
    (tmp_path / "config.toml").write_text(dump(config.tables()), encoding="utf-8")
    assert ExperimentConfig.from_tables(read_toml(tmp_path / "config.toml")) == config


def test_the_reference_preset_is_the_reference():
    config = experiment.default_config("vae", "reference")
    assert config.method.latent == 100
    assert config.method.hidden == (300, 300)
    assert config.method.net == "mlp"
    assert config.method.likelihood == "bernoulli"
    assert config.method.logit_offset == -5
    assert config.method.kl == "analytic"
    assert config.method.kl_warmup == 0
    assert config.method.optimizer == OptimizerConfig("adam", lr=3e-4)
    assert config.train.duration == Duration(20, "epochs")
    assert config.train.batch_size == 64
    assert config.train.dtype == "fp32"
    assert config.data.name == "binarized-mnist"
    assert config.data.binarize == "none"


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({}, "names no method"),
        ({"method": {"name": "vea"}}, "there is no method 'vea'; did you mean 'vae' or 'hvae'?"),
        ({"method": {"name": "vae", "latnet": 3}}, "'method.latnet'; did you mean 'method.latent'"),
        ({"method": "vae"}, "method"),
        ({"method": {"name": "vae"}, "sede": 1}, "there is no option 'sede'; did you mean 'seed'?"),
    ],
)
def test_a_config_that_is_wrong_is_refused(tables, sentence: str):
    with pytest.raises(TriptychError) as error:
        ExperimentConfig.from_tables(tables)
    assert sentence in str(error.value)


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(TriptychError, match="did you mean 'reference'"):
        experiment.default_config("vae", "refrence")


def test_a_toml_file_that_cannot_be_read_is_named(tmp_path):
    broken = tmp_path / "broken.toml"
    for content in (b"a = [", b"\xff\xfe", b"a = 1\na = 2"):
        broken.write_bytes(content)
        with pytest.raises(TriptychError, match=r"broken\.toml' is not valid TOML"):
            read_toml(broken)
    with pytest.raises(TriptychError, match="there is no file"):
        read_toml(tmp_path / "absent.toml")


def test_an_unknown_name_lists_what_there_is():
    error = unknown("thing", "qqq", ["b", "a"], hint=" (or make one)")
    assert str(error) == "there is no thing 'qqq' (there are: a, b) (or make one)"


def test_numbers_of_numpy_are_numbers():
    """Who sweeps a rate walks along an array."""
    found = merge(
        OptimizerConfig(), {"lr": np.logspace(-3, -1, 3)[1], "betas": np.float32([0, 0.5]).tolist()}
    )
    assert type(found.lr) is float
    assert found.lr == pytest.approx(0.01)
    config = merge(experiment.default_config("vae"), {"seed": np.arange(3)[2]})
    assert type(config.seed) is int
    with pytest.raises(TriptychError, match="it takes int"):
        merge(config, {"seed": np.float64(1.5)})
    with pytest.raises(TriptychError, match="a finite number"):
        merge(OptimizerConfig(), {"lr": np.float64("nan")})
