"""Several sets in one folder, labels in a format's own numbers, images in two splits, options without effect."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from triptych.data import DataConfig, load


def test_two_sets_of_idx_in_one_folder(tmp_path, idx, random_images, refusal):
    for name in ("train", "t10k", "emnist-letters-train", "emnist-letters-test"):
        idx(tmp_path / "d" / f"{name}-images-idx3-ubyte", random_images(20, 6, 6))
    assert refusal(tmp_path / "d") == (
        f"{tmp_path / 'd'} holds 2 data sets (of emnist-letters-test-images-idx3-ubyte, "
        "t10k-images-idx3-ubyte); put the files of one of them into a folder of its own"
    )


def test_two_sets_of_amat_in_one_folder(tmp_path, amat, random_images, refusal):
    for name in ("binarized_mnist_train", "other_train"):
        amat(tmp_path / "d" / f"{name}.amat", random_images(9, 3, 3) & 1)
    assert "holds 2 data sets (of binarized_mnist_train.amat, other_train.amat)" in refusal(
        tmp_path / "d"
    )


def test_two_files_for_one_split(tmp_path, idx, random_images, refusal):
    for name in ("train", "t10k", "test"):
        idx(tmp_path / "d" / f"{name}-images-idx3-ubyte", random_images(20, 6, 6))
    assert refusal(tmp_path / "d") == (
        f"{tmp_path / 'd'} has two files for test (t10k-images-idx3-ubyte, "
        "test-images-idx3-ubyte); leave one of them there"
    )


def test_the_same_file_gzipped_and_not_is_one(tmp_path, idx, random_images):
    images = random_images(20, 6, 6)
    for split, shown in (("train", images), ("t10k", images[:5])):
        path = tmp_path / "d" / f"{split}-images-idx3-ubyte"
        idx(path, shown)
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    data = load(DataConfig(str(tmp_path / "d"), holdout=0))
    np.testing.assert_array_equal(data.splits["train"].pixels[:, 0], images)
    left = "t10k-images-idx3-ubyte.gz, train-images-idx3-ubyte.gz"
    assert data.notes[0] == f"left out beside the data in {tmp_path / 'd'}: {left}"


def test_files_of_data_that_are_no_part_of_the_set_are_named(tmp_path, mat, random_images):
    for name in ("train", "test", "extra"):
        mat(tmp_path / "d" / f"{name}_32x32.mat", random_images(10, 8, 8, 3), np.arange(10))
    (tmp_path / "d" / "x.npz").touch()
    (tmp_path / "d" / "readme.txt").touch()
    note = load(DataConfig(str(tmp_path / "d"))).notes[0]
    left = "extra_32x32.mat, readme.txt, x.npz"
    assert note == f"left out beside the data in {tmp_path / 'd'}: {left}"


TEN = "the labels are from 1 to 10, and 10 was read as the digit 0, as SVHN writes it"


@pytest.mark.parametrize(
    ("train", "test", "classes", "digits", "noted"),
    [
        (range(1, 11), range(1, 11), None, [*range(1, 10), 0], True),
        (range(12), range(1, 11), None, range(12), False),
        (range(11), [10], None, range(11), False),
        (range(1, 13), [10, 1], tuple(map(str, range(1, 13))), range(12), False),
        ([3, 10], [3], ("0", "3"), [1, 0], True),
        (range(1, 10), [10], None, range(1, 10), True),
        (range(1, 10), [9], tuple("123456789"), range(9), False),
    ],
    ids=["svhn", "twelve", "eleven", "from 1 to 12", "two digits", "10 in test only", "no 10"],
)
def test_ten_is_zero_only_where_the_labels_are_1_to_10(
    tmp_path, random_images, train, test, classes, digits, noted
):
    """Decided over all splits together, so that a digit is the same class in each."""
    from scipy.io import savemat

    for split, values in (("train", train), ("test", test)):
        labels = np.array(values, np.uint8)
        images = random_images(8, 8, 3, len(labels))
        savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels[:, None]})
    data = load(DataConfig(str(tmp_path), holdout=0))
    np.testing.assert_array_equal(data.splits["train"].labels, digits)
    known = dict(zip(train, digits, strict=True)) | ({10: 0} if noted else {})
    np.testing.assert_array_equal(data.splits["test"].labels, [known[value] for value in test])
    assert data.classes == classes
    assert (TEN in data.notes) == noted


def test_other_variables_of_a_mat_are_named(tmp_path, random_images):
    from scipy.io import savemat

    held = {"X": random_images(8, 8, 3, 20), "y": np.arange(20)[None] % 10, "mask": np.ones(3)}
    savemat(tmp_path / "d.mat", held)
    assert (
        "variables beside X and y were left: mask"
        in load(DataConfig(str(tmp_path / "d.mat"))).notes
    )


def test_images_of_two_splits_are_counted(tmp_path, random_images):
    """By pixels, whatever their labels are, and each image of the split once for all its copies in train."""
    images = random_images(40, 5, 5)
    images[1] = images[0]
    test = np.concatenate([images[:3], 255 - images[:4]])
    np.savez(tmp_path / "d.npz", x_train=images, x_val=images[5:6], x_test=test)
    data = load(DataConfig(str(tmp_path / "d.npz")))
    assert data.duplicates == {"valid": 1, "test": 3}
    assert data.remarks == (
        "1 of 1 valid images occur in train as well, pixel by pixel",
        "3 of 7 test images occur in train as well, pixel by pixel",
    )


def test_images_of_splits_drawn_at_random_are_counted_too(tmp_path, random_images):
    images = random_images(60, 5, 5)
    np.save(tmp_path / "d.npy", np.concatenate([images, images[:30]]))
    data = load(DataConfig(str(tmp_path / "d.npy")))
    train = {image.tobytes() for image in data.splits["train"].pixels}
    for split in ("valid", "test"):
        copies = [image.tobytes() in train for image in data.splits[split].pixels]
        assert data.duplicates[split] == sum(copies)
    assert sum(data.duplicates.values()) > 0
    again = load(DataConfig(str(tmp_path / "d.npy"), holdout=30))
    assert again.duplicates["valid"] > data.duplicates["valid"]


def test_no_image_of_the_embedded_digits_is_in_two_splits():
    data = load(DataConfig())
    assert data.duplicates == {"valid": 0, "test": 0}
    assert data.notes == ()


def test_a_mirror_that_is_not_looked_into_is_said(tmp_path, random_images):
    np.save(tmp_path / "d.npy", random_images(20, 5, 5))
    (note,) = load(DataConfig(str(tmp_path / "d.npy"), dir="/mirror")).notes
    assert note == "--data-dir /mirror has no effect, since the data are a path"
    (note,) = load(DataConfig("mnist-5k", dir="/mirror")).notes
    assert note == "--data-dir /mirror has no effect, since mnist-5k comes with Triptych"


def test_data_are_known_by_content_wherever_they_lie(tmp_path, idx, random_images):
    images = random_images(20, 6, 6)
    idx(tmp_path / "a" / "train-images-idx3-ubyte", images)
    idx(tmp_path / "b" / "c" / "train-images-idx3-ubyte.gz", images)
    np.save(tmp_path / "d.npy", images)
    places = (tmp_path / "a", tmp_path / "b" / "c", tmp_path / "d.npy")
    assert len({load(DataConfig(str(place))).fingerprint for place in places}) == 1


def test_images_need_not_be_square(tmp_path, pictures, random_images):
    """Arrays and files of one size stay as they are; of several they are brought to the one that is asked for."""
    images = random_images(20, 7, 5)
    np.save(tmp_path / "d.npy", images)
    pictures(tmp_path / "same", images)
    for name in ("d.npy", "same"):
        data = load(DataConfig(str(tmp_path / name)))
        assert data.shape == (1, 7, 5)
        found = {image.tobytes() for split in data.splits.values() for image in split.pixels}
        assert found == {image.tobytes() for image in images}
    pictures(tmp_path / "mixed" / "a", random_images(10, 8, 12))
    pictures(tmp_path / "mixed" / "b", random_images(10, 30, 9))
    data = load(DataConfig(str(tmp_path / "mixed"), image_size="6x4"))
    assert data.shape == (1, 6, 4)
    assert DataConfig(image_size="6x6").image_size == 6
