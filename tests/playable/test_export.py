"""The bundle of a real trained run."""

import base64
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, load
from triptych.evaluation.latent_space.pullback import principal_directions, pullback_metrics
from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import Subject, generator
from triptych.playable import export
from triptych.playable.export import far, write_playable
from triptych.playable.layers import apply, layers_of
from triptych.playable.quantise import BITS
from triptych.runs import Result, Run


def trained(path: Path, method: str, steps: int = 30, **changes):
    config = experiment.default_config(method, "demo")
    config = dataclasses.replace(
        config,
        method=dataclasses.replace(config.method, **changes),
        train=dataclasses.replace(config.train, duration=Duration(steps, "steps"), threads=1),
    )
    return experiment.train(config, path).path


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("explore") / "vae", "vae", 300)


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("explore") / "gan", "wgan", 10, latent=8, width=8)


def bundle(path):
    trained = experiment.open_trained(path, device="cpu")
    return export.bundle(trained.run, trained.subject)


def numbers(text, columns):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, columns)


@pytest.fixture(scope="module")
def two_levels(tmp_path_factory):
    small = {"upper": 3, "lower": 4, "hidden": (16,), "components": 5}
    return trained(tmp_path_factory.mktemp("explore") / "hvae", "hvae", 20, **small)


def test_a_decoder_plays_where_the_encoder_branches(two_levels):
    """What is drawn cannot be encoded there; held-out images were, and are where one starts."""
    found, method = bundle(two_levels), experiment.load_method(two_levels)
    assert "encode" not in found
    assert [layer["op"] for layer in found["decode"][:3]] == ["linear", "gate", "linear"]
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8)
    x = torch.from_numpy(pixels / np.float32(255)).view(-1, 1, 28, 28)
    with torch.no_grad():
        expected = method.encode(x).numpy()
    np.testing.assert_allclose(numbers(found["starts"], 7), expected, atol=1e-5)


def test_a_prior_that_no_browser_draws_from_comes_as_draws(two_levels, vae):
    found, method = bundle(two_levels), experiment.load_method(two_levels)
    draw = generator(torch.device("cpu"), "samples")
    noise = torch.cat([torch.randn(1, 7, generator=draw) for _ in range(128)])
    with torch.no_grad():
        expected = method.draw_prior(noise).numpy()
    np.testing.assert_allclose(numbers(found["draws"], 7), expected, atol=1e-6)
    assert "draws" not in bundle(vae)


def test_a_vae_starts_from_encoded_images(vae):
    found, method = bundle(vae), experiment.load_method(vae)
    assert (found["shape"], found["latent"]) == ([1, 28, 28], 20)
    assert found["binary"] is True
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8)
    x = torch.from_numpy(pixels / np.float32(255)).view(-1, 1, 28, 28)
    with torch.no_grad():
        np.testing.assert_allclose(numbers(found["starts"], 20), method.encode(x), atol=1e-5)


def test_a_generator_starts_from_the_prior(gan):
    found = bundle(gan)
    z = prior_latents(subject(gan), 12)
    np.testing.assert_array_equal(numbers(found["starts"], 8), z)
    assert "encode" not in found


def subject(path):
    method = experiment.load_method(path)
    dataset = load(DataConfig())
    return Subject(method, dataset, "none", torch.device("cpu"))


def test_the_bits_are_the_fewest_that_keep_every_pixel(gan):
    """One bit less would be seen; with those that were chosen no pixel is a level off."""
    (bits,) = {layer["bits"] for layer in bundle(gan)["decode"] if "bits" in layer}
    layers = layers_of(subject(gan).method, "sample", (8,))
    z = prior_latents(subject(gan), 128)
    rows = torch.from_numpy(numbers(bundle(gan)["directions"], 8).copy())
    z = torch.cat([z, far(z, rows)])
    with torch.no_grad():
        exact = apply(layers, z)

        def error(bits):
            return (apply([layer.quantised(bits) for layer in layers], z) - exact).abs().max()

        assert error(bits) <= 1 / 255
        assert bits == BITS[0] or error(bits - 1) > 1 / 255


def test_movement_is_the_root_mean_square_of_a_small_step(gan):
    """Against differences in the picture when one coordinate is nudged."""
    found, method = bundle(gan), experiment.load_method(gan).double()
    z = prior_latents(subject(gan), 128).double()
    with torch.no_grad():
        for coordinate in (0, 5):
            step = torch.zeros(8, dtype=torch.float64)
            step[coordinate] = 1e-4
            moved = (method.sample(z + step) - method.sample(z - step)) / 2e-4
            expected = moved.square().mean().sqrt()
            assert found["movement"][coordinate] == pytest.approx(float(expected), rel=0.01)


def test_directions_are_those_of_the_pullback_metric(gan):
    found = bundle(gan)
    metric = pullback_metrics(subject(gan).method.sample, prior_latents(subject(gan), 128))
    values, rows = principal_directions(metric.mean(0))
    np.testing.assert_allclose(numbers(found["directions"], 8), rows[:6], atol=1e-3)
    np.testing.assert_allclose(found["principal"], (values[:6] / 784).sqrt(), rtol=1e-2)


def test_what_an_evaluation_found_is_not_computed_again(gan):
    best = Run.open(gan).weights("best")
    run = Run(gan, best)
    rows = np.eye(8, dtype=np.float32)[::-1]
    run.save_arrays("principal", directions=rows)
    values = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    result = Result({"eigenvalues": values}, None, 1, best.protocol())
    run.record({"latent/principal_spectrum": result})
    found = bundle(gan)
    (gan / "samples" / "principal.npz").unlink()
    np.testing.assert_array_equal(numbers(found["directions"], 8), rows[:6])
    # Coordinate 7 lies along the largest: √(8 / 784).
    assert found["movement"][7] == pytest.approx((8 / 784) ** 0.5, rel=1e-3)


def test_a_file_is_written_for_what_makes_images_and_for_nothing_else(gan, tmp_path):
    path = write_playable(gan)
    assert json.loads(path.read_text())["format"] == 1
    features = trained(tmp_path / "simsiam", "simsiam", 1)
    assert write_playable(features) is None
    assert not (features / "playable.json").exists()
