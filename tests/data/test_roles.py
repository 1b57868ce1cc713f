"""What arrays mean is read from their names, said, or asked; never guessed in silence."""

from __future__ import annotations

import numpy as np
import pytest

from triptych.data import DataConfig, load


def photos(count: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)


X, MASKS, T = photos(30), photos(30, 1), photos(10, 2)
Y, WRONG, Z = np.arange(30) % 3, (np.arange(30) + 1) % 3, np.arange(10) % 3


@pytest.fixture
def opened(tmp_path):
    """The data set of an archive of these arrays."""

    def make(holdout=0, **arrays):
        np.savez(tmp_path / "d.npz", **arrays)
        return load(DataConfig(str(tmp_path / "d.npz"), holdout=holdout))

    return make


def is_whole(data, split, images, labels):
    """Whether a split has these images and labels, in any order (what is carved is shuffled first)."""
    found = data.splits[split]
    pairs = zip(found.pixels.transpose(0, 2, 3, 1), found.labels, strict=True)
    wanted = {(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)}
    return len(found) == len(images) and {(x.tobytes(), int(y)) for x, y in pairs} == wanted


@pytest.mark.parametrize(
    ("extra", "left"),
    [
        ({"x_train_masks": MASKS}, "'x_train_masks' (30x6x6x3 of uint8)"),
        ({"x_train_depth": MASKS[..., 0]}, "'x_train_depth' (30x6x6 of uint8)"),
        ({"y_train_pred": WRONG}, "'y_train_pred' (30 of int64)"),
        ({"y_train_noisy": WRONG}, "'y_train_noisy' (30 of int64)"),
        ({"y_train_coarse": WRONG}, "'y_train_coarse' (30 of int64)"),
        ({"x_unlabeled": MASKS}, "'x_unlabeled' (30x6x6x3 of uint8)"),
        ({"x_holdout": MASKS, "y_holdout": WRONG}, "'x_holdout' (30x6x6x3 of uint8), 'y_holdout'"),
        ({"image_ids": WRONG, "ids": WRONG}, "'image_ids' (30 of int64), 'ids' (30 of int64)"),
        ({"x": MASKS}, "'x' (30x6x6x3 of uint8)"),
        ({"x_trainval": MASKS}, "'x_trainval' (30x6x6x3 of uint8)"),
        ({"photos": MASKS}, "'photos' (30x6x6x3 of uint8)"),
        ({"y_valid": Z}, "'y_valid' (10 of int64)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("last", [False, True], ids=["before", "after"])
def test_the_plain_name_wins_and_what_is_left_is_said(opened, extra, left, last):
    plain = {"x_train": X, "y_train": Y, "x_test": T, "y_test": Z}
    data = opened(**(plain | extra if last else extra | plain))
    assert list(data.splits) == ["train", "test"]
    assert is_whole(data, "train", X, Y)
    assert is_whole(data, "test", T, Z)
    (note,) = data.notes
    assert "'x_train' as training images, 'y_train' as training labels" in note
    assert f"; left was {left}" in note


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_TRAIN", "Y_TRAIN", "X_TEST", "Y_TEST"),
        ("xTrain", "yTrain", "xTest", "yTest"),
        ("XTrain", "YTrain", "XTest", "YTest"),
        ("xtrain", "ytrain", "xtest", "ytest"),
        ("trainImages", "trainLabels", "testImages", "testLabels"),
        ("train/x", "train/y", "test/x", "test/y"),
        ("train-imgs", "train-targets", "t10k-imgs", "t10k-targets"),
        ("training data", "training target", "testing data", "testing target"),
        ("img_train", "label_train", "img_tst", "label_tst"),
    ],
    ids=lambda names: names[0],
)
def test_ways_to_write_the_same_name(opened, names):
    data = opened(**dict(zip(names, (X, Y, T, Z), strict=True)))
    assert is_whole(data, "train", X, Y)
    assert is_whole(data, "test", T, Z)
    assert data.notes == ()


@pytest.mark.parametrize("dev", ["val", "valid", "validation", "dev", "eval"])
def test_the_layout_of_medmnist(opened, dev):
    """Its labels are N×1; its validation split is called val."""
    arrays = {"train_images": X, "train_labels": Y[:, None], "test_images": T}
    arrays |= {"test_labels": Z[:, None], f"{dev}_images": MASKS, f"{dev}_labels": WRONG[:, None]}
    data = opened(None, **arrays)
    assert is_whole(data, "train", X, Y)
    assert is_whole(data, "valid", MASKS, WRONG)
    assert is_whole(data, "test", T, Z)
    assert data.notes == ()


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (
            {"imgs": X, "img": MASKS},
            "has 2 arrays that may be the training images (imgs: 30x6x6x3 of uint8, "
            "img: 30x6x6x3 of uint8); name the right one x_train and the others otherwise",
        ),
        ({"x_train": X, "x_val": T, "x_valid": T}, "2 arrays that may be the validation images"),
        (
            {"x": X, "labels_fine": Y, "labels_coarse": Y},
            "2 arrays that may be the training labels",
        ),
        ({"x_clean": X, "x_blurred": MASKS}, "(x_clean: 30x6x6x3 of uint8, x_blurred: 30x6x6x3"),
        ({"x": X, "y": Y, "target": Y}, "may be the training labels (y: 30 of int64, target: 30"),
        (
            {"x_test": T, "y_test": Z},
            "has no array of training images among its 2 (x_test, y_test)",
        ),
        ({"photos": X, "ages": Y}, "among its 2 (photos, ages); name them x_train"),
        ({"x_masks": MASKS, "x_test": T}, "has no array of training images"),
        ({"x": X, "y": Y[:7]}, "has 30 images but labels of shape 7"),
        ({"x": X, "y": np.float32(0.5)}, "labels of shape () (a single number)"),
        ({"x": X, "y": np.ones((30, 4))}, "labels of shape 30x4 ('y') that are not one-hot"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_told_is_asked(tmp_path, refusal, arrays, complaint):
    np.savez(tmp_path / "d.npz", **arrays)
    assert complaint in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({"face_images": X, "face_labels": Y, "ages": Y}, "'face_images' as training images"),
        ({"data": X, "target": Y, "bias": Y}, "'data' as training images, 'target' as training"),
        ({"data": X.reshape(30, -1), "images": X, "y": Y}, "left was 'data' (30x108 of uint8)"),
        ({"images": X, "image_labels": Y}, "'image_labels' as training labels"),
        ({"x_train": X, "y": Y, "meta": np.array(["a"])}, "'y' as training labels"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_the_only_one_that_may_be_is_taken_and_said(opened, arrays, note):
    data = opened(x_test=T, y_test=Z, **arrays)
    assert is_whole(data, "train", X, Y)
    assert note in data.notes[0]


def test_predictions_alone_are_no_labels(opened):
    data = opened(x=X, y_pred=Y)
    assert data.splits["train"].labels is None
    assert "left was 'y_pred' (30 of int64)" in data.notes[0]


@pytest.mark.parametrize("name", ["label_names", "class_names", "classes", "target_names"])
@pytest.mark.parametrize("kind", ["U5", "S5"])
def test_names_of_classes(opened, name, kind):
    names = np.array(["cat", "dog", "cow"], kind)
    data = opened(x_train=X, y_train=Y, x_test=T, y_test=Z, **{name: names})
    assert data.classes == ("cat", "dog", "cow")
    assert is_whole(data, "train", X, Y)
    assert data.notes == ()


def test_too_few_names_of_classes_are_left(opened):
    data = opened(x_train=X, y_train=Y, x_test=T, y_test=Z, label_names=np.array(["cat", "dog"]))
    assert data.classes is None
    assert is_whole(data, "train", X, Y)
    assert data.notes == ("2 names of classes were left, since labels go up to 2",)


def test_names_keep_the_numbers_of_labels_with_gaps(opened):
    names = np.array(["a", "b", "c", "d", "e"])
    data = opened(x_train=X, y_train=Y + 2, x_test=T, y_test=Z + 2, class_names=names)
    assert data.classes == tuple("abcde")
    assert is_whole(data, "train", X, Y + 2)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, bool])
def test_one_hot_labels(opened, kind):
    data = opened(x_train=X, y_train=np.eye(3)[Y].astype(kind), x_test=T, y_test=np.eye(3)[Z])
    assert is_whole(data, "train", X, Y)
    assert is_whole(data, "test", T, Z)
    assert data.notes[0] == "the labels 'y_train' are one-hot: the class is the place of the 1"


def test_an_archive_of_one_array(opened, tmp_path, refusal):
    assert opened(anything=X).notes == ()
    assert "'x_test' is the only array" in opened(x_test=X).notes[0]
    np.savez(tmp_path / "d.npz", y=Y)
    assert "have the shape 30; save them as" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([7, 3_000_000_007], np.int64),
        ([0, 2**62], np.uint64),
        ([5, 6], np.uint8),
        ([0, 2], np.int32),
        ([1, 40], np.int16),
    ],
)
def test_classes_are_the_values_that_occur_in_any_split(opened, values, kind):
    """A class in test only is one more; the same value is the same class everywhere."""
    known = np.array([values[0], values[1]], kind)[np.arange(30) % 2]
    data = opened(x_train=X, y_train=known, x_test=T, y_test=np.full(10, values[1], kind))
    assert data.classes == tuple(map(str, values))
    assert is_whole(data, "train", X, np.arange(30) % 2)
    assert is_whole(data, "test", T, np.ones(10))
    assert data.notes == (
        f"the classes are the 2 values that occur as labels: {values[0]}, {values[1]}",
    )


def test_labels_that_tell_images_apart(opened):
    data = opened(x=X, y=np.arange(30) * 10**12)
    assert data.classes is not None
    assert len(data.classes) == 30
    assert "no two images have the same label" in data.notes[1]


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (np.where(np.arange(30) < 4, -1, Y), "4 of the 30 labels in"),
        (np.full(30, 2**63, np.uint64), "which 64 bits with a sign do not hold"),
        (Y + 0.5, "are of type float64; write them as integers from 0"),
    ],
    ids=["partly -1", "beyond int64", "float"],
)
def test_labels_that_name_no_class(tmp_path, refusal, labels, complaint):
    np.savez(tmp_path / "d.npz", x=X, y=labels)
    assert complaint in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("kind", ["U5", "S5"])
def test_labels_in_words(opened, kind):
    """Of every split, in the order of the words: a word in test alone is a class too."""
    words = np.array(["cat", "dog", "ewe"], kind)
    data = opened(x_train=X, labels_train=words[Y % 2 + 1], x_test=T, labels_test=words[Z])
    assert data.classes == ("cat", "dog", "ewe")
    assert is_whole(data, "train", X, Y % 2 + 1)
    assert is_whole(data, "test", T, Z)


def test_a_split_without_labels_is_said(opened):
    held_back = np.full(10, -1)
    data = opened(None, x_train=X, y_train=Y, x_val=X[:10], y_val=held_back, x_test=T, y_test=Z)
    assert data.splits["valid"].labels is None
    assert is_whole(data, "test", T, Z)
    assert "the images of valid have no labels" in data.notes


def test_a_note_shows_what_a_terminal_would_obey(tmp_path):
    images = np.full((20, 8, 8), 200, np.uint8)
    np.savez(tmp_path / "d.npz", **{"x": images, "y": np.arange(20), "\x1b[31m": images})
    (note,) = (
        n
        for n in load(DataConfig(str(tmp_path / "d.npz"))).notes
        if "was left" in n or "left was" in n
    )
    assert note.endswith(r"left was '\x1b[31m' (20x8x8 of uint8)")
