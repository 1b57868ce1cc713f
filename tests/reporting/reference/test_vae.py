"""The reference's facts, and which runs may stand beside them."""

import pytest

from triptych.reporting.reference import simsiam as reference_simsiam
from triptych.reporting.reference import vae as reference
from triptych.reporting.reference import wgan as reference_wgan
from triptych.reporting.reference.protocol import scope


def test_the_facts():
    assert len(reference.ELBO_CURVE) == 20
    assert list(reference.ELBO_CURVE) == sorted(reference.ELBO_CURVE)
    assert (reference.ELBO_CURVE[0], reference.ELBO_CURVE[-1]) == (-168.7, -101.5)
    assert reference.FINAL_ELBO == -100.49
    assert (reference.LOG_LIKELIHOOD, reference.SAMPLES) == (-95.75, 200)


def test_a_planted_config_follows_the_protocol(config):
    assert reference.differences(config) == []


def test_the_shipped_preset_follows_the_protocol():
    from triptych.experiment import default_config

    tables = default_config("vae", "reference").tables()
    assert reference.differences(tables) == []


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("method", "name", "iwae"),
        ("data", "name", "mnist"),
        ("data", "image_size", 14),
        ("data", "binarize", "dynamic"),
        ("method", "latent", 50),
        ("method", "kl", "monte-carlo"),
        ("method", "kl_warmup", 0.1),
        ("train", "batch_size", 256),
        ("train", "dtype", "fp16"),
    ],
)
def test_the_field_that_differs_is_named(config, table, name, value):
    config[table][name] = value
    assert reference.differences(config) == [f"{table}.{name}"]


def test_a_run_without_such_fields_is_not_of_the_protocol():
    assert "method.likelihood" in reference.differences({"method": {"name": "wgan"}})


NO_PROTOCOL = {
    *(
        "seed",
        "method.stop_gradient",
        "method.predictor",
        "method.mean",
        "method.std",
    ),
    *("train.device", "train.compile", "train.threads", "train.log_every"),
    *("train.validate_every", "train.checkpoint_every"),
}
"""Fields that change no number but by the seed or an arm; means and deviations are those of the data."""


def fields(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, dict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.parametrize(
    ("method", "known"), [("simsiam", reference_simsiam), ("wgan", reference_wgan)]
)
def test_presets_follow_their_protocol_and_every_field_of_theirs_counts(method, known):
    from triptych.experiment import default_config

    tables = default_config(method, "reference").tables()
    assert known.differences(tables) == []
    free = {*NO_PROTOCOL, *(f for f in fields(tables) if "optimizer" in f and _unused(tables, f))}
    for field in set(fields(tables)) - free:
        changed = default_config(method, "reference").tables()
        *path, name = field.split(".")
        table = changed
        for key in path:
            table = table[key]
        table[name] = "other"
        assert known.differences(changed) == [field]


def _unused(tables, field):
    """Momentum is SGD's, betas are Adam's."""
    _, optimizer, name = field.split(".")
    unused = {"sgd": "betas", "adam": "momentum"}
    return unused[tables["method"][optimizer]["name"]] == name


@pytest.mark.parametrize(
    ("known", "name", "data"),
    [
        (reference, "vae", "binarized-mnist"),
        (reference_wgan, "wgan", "svhn"),
        (reference_simsiam, "simsiam", "cifar10"),
    ],
)
def test_a_reference_stands_beside_its_own_method_on_its_own_data(known, name, data):
    def of(method: str, images: str, asked: bool) -> str:
        config = {"method": {"name": method}, "data": {"name": images}}
        return scope(known.PROTOCOL, config, asked)

    assert of(name, data, asked=False) == "same data"
    assert of(name, "/home/me/photos", asked=False) == ""
    assert of(name, "/home/me/photos", asked=True) == "other data"
    # A method of somebody's own, with all the same fields, is another method, whoever asks.
    assert of("iwae", data, asked=False) == of("iwae", data, asked=True) == ""


DEFAULT = {"name": "simsiam", "stop_gradient": True, "predictor": "mlp", "width": 64}


@pytest.mark.parametrize(
    ("arms", "known"),
    [
        ({"a": {}, "b": {"predictor": "none"}}, {"a": "default", "b": "no predictor"}),
        ({"slow": {}, "fast": {"optimizer": {"lr": 0.3}}}, {}),
        ({"default": {}, "no-predictor": {}}, {}),  # Names are no switches.
        ({"a": {}, "b": {"predictor": "none", "width": 16}}, {}),
        ({"a": {}, "b": {"stop_gradient": False, "predictor": "none"}}, {}),
        ({"a": {"stop_gradient": False}, "b": {"predictor": "none"}}, {}),
        ({"a": {}}, {}),
    ],
)
def test_a_study_is_the_references_ablation_by_its_switches_alone(arms, known):
    configs = {arm: {"method": {**DEFAULT, **changed}} for arm, changed in arms.items()}
    assert reference_simsiam.arms(configs) == known
