"""Mean and deviation of channels: against NumPy in double precision, and where there is no deviation."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, load
from triptych.data import moments as module
from triptych.data.moments import MEASURED, moments
from triptych.data.spec import Dataset, Images


def levels(count: int, channels: int = 3, side: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        0, 256, (count, channels, side, side), dtype=np.uint8
    )


@pytest.mark.parametrize("count", [1, 7, 300, 2 * MEASURED + 3])
def test_they_are_numpys_over_images_evenly_spaced(count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK", 5000)
    x = levels(count, side=4)
    found = moments(x)
    exact = x[:: max(1, count // MEASURED)].astype(np.float64) / 255
    assert found.mean == pytest.approx(exact.mean((0, 2, 3)), abs=5.1e-7)
    assert found.std == pytest.approx(exact.std((0, 2, 3)), abs=5.1e-7)
    assert found.notes == ()


def test_six_digits_so_that_they_are_written_and_read_alike():
    found = moments(levels(50))
    assert all(round(v, 6) == v for v in (*found.mean, *found.std))


@pytest.mark.parametrize("level", [0, 1, 128, 200, 255])
def test_a_channel_that_never_changes_is_centred_and_divided_by_nothing(level: int):
    """In single precision its deviation was 3e-06 and not 0, and it was divided by that."""
    x = levels(600, side=32)
    x[:, 2] = level
    found = moments(x)
    assert found.mean[2] == round(level / 255, 6)
    assert found.std[2] == 1.0
    assert found.std[:2] == pytest.approx(x[:, :2].std((0, 2, 3)) / 255, abs=1e-6)
    (note,) = found.notes
    assert note.startswith(f"channel 3 of 3 is {level} everywhere")


def test_a_channel_of_noise_is_not_blown_up_to_the_size_of_the_others():
    x = levels(100)
    x[:, 1] = 128 + np.random.default_rng(1).integers(-1, 2, x[:, 1].shape)
    found = moments(x)
    assert found.std[1] == 1.0
    assert "channel 2 of 3 hardly changes (deviation 0.8" in found.notes[0]


def test_faint_images_keep_what_they_have():
    """Three levels of 255 are all there is: the same in every channel, so nothing is fainter than another."""
    x = levels(100) % 3
    found = moments(x)
    assert found.std == pytest.approx(x.std((0, 2, 3)) / 255, abs=1e-6)
    assert found.notes == ()
    dark = levels(100)
    dark[:, 2] //= (
        12  # An eighth of the others' deviation and more: a dark channel, not an empty one.
    )
    assert moments(dark).std[2] == pytest.approx(dark[:, 2].std() / 255, abs=1e-6)


def test_one_pixel_in_all_images_is_a_deviation():
    x = np.zeros((40, 1, 8, 8), np.uint8)
    x[3, 0, 1, 1] = 1
    assert moments(x).std[0] == pytest.approx(x.std() / 255, abs=1e-6)
    assert moments(x).std[0] > 0


def test_memory_does_not_grow_with_the_images():
    x = levels(400, side=112)
    tracemalloc.start()
    moments(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * module.CHUNK + 2**20


def test_a_data_set_measures_its_training_images_once(monkeypatch: pytest.MonkeyPatch):
    counted = []
    splits = {"train": Images(levels(9), None), "test": Images(levels(9, seed=1), None)}
    monkeypatch.setattr(
        "triptych.data.spec.moments", lambda pixels: counted.append(pixels) or moments(pixels)
    )
    dataset = Dataset("d", "D", splits, None, "colour", "")
    assert dataset.moments is dataset.moments
    assert dataset.moments == moments(splits["train"].pixels)
    assert len(counted) == 1 and counted[0] is splits["train"].pixels


def test_images_that_were_decoded_before_are_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "images.npy"
    np.save(path, levels(60).transpose(0, 2, 3, 1))
    few, more = (DataConfig(str(path), holdout=count) for count in (1, 20))
    found = [load(config).moments for config in (few, more)]
    assert found == [moments(load(config).splits["train"].pixels) for config in (few, more)]
    assert found[0] != found[1]
    monkeypatch.setattr("triptych.data.spec.moments", lambda pixels: pytest.fail("looked again"))
    assert found == [load(config).moments for config in (few, more)]


@pytest.mark.parametrize("damaged", ["", "{", '{"mean": [1], "std": [1.0], "notes": []}', "[]"])
def test_what_was_remembered_badly_is_measured_again(damaged: str, cache: Path):
    expected = load(DataConfig("mnist-5k")).moments
    (kept,) = (cache / "moments").iterdir()
    kept.write_text(damaged)
    assert load(DataConfig("mnist-5k")).moments == expected
    assert kept.read_text() != damaged
