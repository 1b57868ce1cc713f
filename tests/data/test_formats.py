"""Every layout, written here to the letter, is read back to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, load

N = {"train": 23, "test": 9}


@pytest.fixture
def grey(random_images):
    return {split: random_images(count, 6, 6) for split, count in N.items()}


@pytest.fixture
def colour(random_images):
    return {split: random_images(count, 6, 6, 3) for split, count in N.items()}


@pytest.fixture
def labels():
    return {split: np.arange(count) % 10 for split, count in N.items()}


def check(path, images, labels=None):
    """Train and test in the order of the files, once nothing is held out."""
    data = load(DataConfig(str(path), holdout=0))
    assert list(data.splits) == ["train", "test"]
    for split, found in data.splits.items():
        assert found.pixels.dtype == np.uint8
        expected = images[split][:, None] if images[split].ndim == 3 else images[split]
        expected = expected.transpose(0, 3, 1, 2) if expected.shape[-1] == 3 else expected
        np.testing.assert_array_equal(found.pixels, expected)
        if labels is None:
            assert found.labels is None
        else:
            assert found.labels.dtype == np.int64
            np.testing.assert_array_equal(found.labels, labels[split])
    return data


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_idx(tmp_path, idx, grey, labels, end, dash):
    for split, prefix in (("train", "train"), ("test", "t10k")):
        idx(tmp_path / "d" / f"{prefix}-images{dash}idx3-ubyte{end}", grey[split])
        small = labels[split].astype(np.uint8)
        idx(tmp_path / "d" / f"{prefix}-labels{dash}idx1-ubyte{end}", small)
    assert check(tmp_path / "d", grey, labels).values == "grey"


def test_idx_without_labels(tmp_path, idx, grey):
    for split, prefix in (("train", "train"), ("test", "t10k")):
        idx(tmp_path / "d" / f"{prefix}-images-idx3-ubyte", grey[split])
    check(tmp_path / "d", grey)


def test_svhn_mat(tmp_path, mat, colour, labels):
    for split in N:
        mat(tmp_path / "d" / f"{split}_32x32.mat", colour[split], labels[split])
    data = check(tmp_path / "d", colour, labels)
    assert 0 in data.splits["train"].labels
    assert 10 not in data.splits["train"].labels
    assert data.values == "colour"


def test_amat(tmp_path, amat, grey):
    bits = {split: images & 1 for split, images in grey.items()}
    for split in N:
        amat(tmp_path / "d" / f"binarized_mnist_{split}.amat", bits[split])
    black_white = {split: images * 255 for split, images in bits.items()}
    assert check(tmp_path / "d", black_white).values == "binary"


@pytest.mark.parametrize("column", ["image", "img"])
def test_parquet(tmp_path, parquet, colour, labels, column):
    names = [f"class {i}" for i in range(10)]
    for split in N:
        path = tmp_path / "d" / f"{split}-00000-of-00001.parquet"
        parquet(path, colour[split], labels[split], column, names)
    assert check(tmp_path / "d", colour, labels).classes == tuple(names)


def test_parquet_shards_go_in_the_order_of_their_names(tmp_path, parquet, grey, labels):
    for shard, rows in enumerate((slice(0, 10), slice(10, None))):
        path = tmp_path / "d" / f"train-0000{shard}-of-00002.parquet"
        parquet(path, grey["train"][rows], labels["train"][rows])
    parquet(tmp_path / "d" / "test-00000-of-00001.parquet", grey["test"], labels["test"])
    check(tmp_path / "d", grey, labels)


def test_parquet_labels_held_back_by_the_hub_are_none(tmp_path, parquet, grey, labels):
    parquet(tmp_path / "d" / "train.parquet", grey["train"], labels["train"])
    parquet(tmp_path / "d" / "test.parquet", grey["test"], [-1] * N["test"])
    data = load(DataConfig(str(tmp_path / "d"), holdout=0))
    assert data.splits["train"].labels is not None
    assert data.splits["test"].labels is None


@pytest.mark.parametrize(
    ("images", "numbers"),
    [
        ("x_{}", "y_{}"),
        ("{}_images", "{}_labels"),
        ("X_{}", "Y_{}"),
    ],
)
def test_npz_by_names(tmp_path, colour, labels, images, numbers):
    arrays = {images.format(split): colour[split] for split in N}
    arrays |= {numbers.format(split): labels[split][:, None] for split in N}
    np.savez(tmp_path / "d.npz", **arrays)
    check(tmp_path / "d.npz", colour, labels)


@pytest.mark.parametrize("layout", ["NHW", "NHW1", "N1HW", "NHWC", "NCHW"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_npy_layouts_and_types(tmp_path, random_images, layout, kind):
    channels = 3 if layout.count("C") else 1
    wanted = random_images(20, channels, 5, 5)
    arrange = {
        "NHW": wanted[:, 0],
        "NHW1": wanted.transpose(0, 2, 3, 1),
        "NHWC": wanted.transpose(0, 2, 3, 1),
    }
    array = arrange.get(layout, wanted)
    array = array if kind == "uint8" else array.astype(kind) / 255
    np.savez(tmp_path / "d.npz", x_train=array, x_test=array[:3])
    found = load(DataConfig(str(tmp_path / "d.npz"), holdout=0)).splits
    np.testing.assert_array_equal(found["train"].pixels, wanted)
    np.testing.assert_array_equal(found["test"].pixels, wanted[:3])


@pytest.mark.parametrize("kind", ["bool", "uint8", "float32"])
def test_zeros_and_ones_are_black_and_white(tmp_path, random_images, kind):
    bits = random_images(20, 4, 4) & 1
    np.savez(tmp_path / "d.npz", x_train=bits.astype(kind), x_test=bits[:2].astype(kind))
    data = load(DataConfig(str(tmp_path / "d.npz"), holdout=0))
    assert data.values == "binary"
    np.testing.assert_array_equal(data.splits["train"].pixels[:, 0], bits * 255)


def test_a_single_npy_is_split_at_random_and_nothing_is_lost(tmp_path, random_images):
    images = random_images(57, 4, 4)
    np.save(tmp_path / "mine.npy", images)
    data = load(DataConfig(str(tmp_path / "mine.npy")))
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 47,
        "valid": 5,
        "test": 5,
    }
    assert data.title == "mine (random split train/valid/test 47/5/5)"
    together = np.concatenate([part.pixels[:, 0] for part in data.splits.values()])
    assert not (together == images).all()
    assert sorted(image.tobytes() for image in together) == sorted(
        image.tobytes() for image in images
    )


def test_labels_move_with_their_images(tmp_path):
    values = np.arange(100, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (100, 2, 2))
    np.savez(tmp_path / "d.npz", images=images, labels=values)
    for part in load(DataConfig(str(tmp_path / "d.npz"))).splits.values():
        np.testing.assert_array_equal(part.pixels[:, 0, 0, 0], part.labels)


@pytest.mark.parametrize(
    ("holdout", "sizes"), [(0, {"train": 18, "test": 2}), (7, {"train": 11, "valid": 7, "test": 2})]
)
def test_holdout(tmp_path, random_images, holdout, sizes):
    np.save(tmp_path / "d.npy", random_images(20, 4, 4))
    splits = load(DataConfig(str(tmp_path / "d.npy"), holdout=holdout)).splits
    assert {split: len(part) for split, part in splits.items()} == sizes


def test_the_pixels_are_mapped_and_cannot_be_changed_by_accident(tmp_path: Path, random_images):
    np.save(tmp_path / "d.npy", random_images(20, 4, 4))
    pixels = load(DataConfig(str(tmp_path / "d.npy"))).splits["train"].pixels
    assert isinstance(pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0
