"""The reference's facts, and which runs may stand beside them."""

import pytest

from triptych.reporting.draw import figures
from triptych.reporting.reference import simsiam as reference_simsiam
from triptych.reporting.reference import vae as reference
from triptych.reporting.reference import wgan as reference_wgan
from triptych.reporting.reference.protocol import scope
from triptych.reporting.reference.report import lines


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
        ("method", "beta", 4.0),
        ("method", "free_bits", 0.1),
        ("method", "samples", 5),
        ("method", "gradient", "doubly-reparameterised"),
        ("method", "prior", "vamp"),
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
    *(
        "train.device",
        "train.devices",
        "train.compile",
        "train.capture",
        "train.threads",
        "train.log_every",
    ),
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
def test_a_reference_holds_for_its_own_method_by_name(known, name, data):
    def of(method: str, images: str) -> str:
        config = {"method": {"name": method}, "data": {"name": images}}
        return scope(known.PROTOCOL, config)

    assert of(name, data) == "same data"
    assert of(name, "/home/me/photos") == "other data"
    # A method of somebody's own, with all the same fields, is another method.
    assert of("iwae", data) == of("iwae", "/home/me/photos") == ""


EPOCHS = [float(epoch) for epoch in range(1, 21)]


def overlaid(run, name, asked=True):
    """The values of the line that is the reference's in a figure, and what the figure says."""
    figure = figures(run, reference=asked)[name](run)
    drawn = [line for line in figure.axes[0].get_lines() if "reference" in line.get_label()]
    return [list(line.get_ydata()) for line in drawn], " ".join(t.get_text() for t in figure.texts)


def test_its_curve_is_laid_over_a_run_of_its_protocol_that_asks_for_it(plant, style):
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    found, said = overlaid(plant.run, "elbo-curve")
    assert found == [list(reference.ELBO_CURVE)]
    assert "approximate" in said and "bf16" not in said
    assert overlaid(plant.run, "elbo-curve", asked=False)[0] == []


def test_a_bf16_run_keeps_its_curve_and_says_so(planted_with, style):
    plant = planted_with("train.dtype", "bf16")
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    found, said = overlaid(plant.run, "elbo-curve")
    assert len(found) == 1 and "bf16" in said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method.name", "iwae"),
        ("train.batch_size", 128),
        ("data.name", "mnist-5k"),
        ("data.binarize", "dynamic"),
        ("method.hidden", [300]),
        ("method.logit_offset", 0.0),
        ("method.optimizer.schedule", "cosine"),
        ("method.optimizer.lr", 1e-3),
    ],
)
def test_it_is_laid_over_no_other_protocol(planted_with, style, field, value):
    plant = planted_with(field, value)
    plant.log("valid", EPOCHS, [-150.0 + epoch for epoch in EPOCHS])
    plant.curve()
    for name in ("elbo-curve", "k-curve"):
        found, said = overlaid(plant.run, name)
        assert found == [] and "eference" not in said
    assert lines(plant.run) == {}


def test_its_likelihood_is_a_level_beside_test_images(plant, style):
    plant.curve()
    found, said = overlaid(plant.run, "k-curve")
    assert found == [[-95.75, -95.75]]
    assert "after 20 epochs" in said


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
