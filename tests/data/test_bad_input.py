"""Every wrong or damaged input is one sentence that names the file and says what to do."""

from __future__ import annotations

import os

import numpy as np
import pytest


def cut(path, share=0.6):
    os.truncate(path, int(path.stat().st_size * share))


def test_truncated_mat(tmp_path, mat, random_images, refusal):
    path = tmp_path / "train_32x32.mat"
    mat(path, random_images(50, 32, 32, 3), np.arange(50) % 10)
    for share in (0.9, 0.5, 0.1, 0.001, 0):
        cut(path, share)
        for name in (tmp_path, path):
            assert refusal(name).startswith(f"{path} is damaged, cut short or not a MATLAB file")


def test_mat_of_something_else(tmp_path, refusal):
    from scipy.io import savemat

    savemat(tmp_path / "train_32x32.mat", {"Z": np.zeros(3)})
    assert "X" in refusal(tmp_path)
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((4, 4, 3, 2)), "y": np.ones((2, 1))})
    assert "X is 4x4x3x2 of type float64" in refusal(tmp_path)


def test_truncated_parquet(tmp_path, parquet, random_images, refusal):
    path = tmp_path / "train-00000-of-00001.parquet"
    parquet(path, random_images(20, 6, 6), range(20))
    cut(path)
    assert refusal(tmp_path).startswith(f"{path} is damaged, cut short or not a Parquet file")


def test_parquet_with_bytes_overwritten_in_the_middle(tmp_path, parquet, random_images, refusal):
    path = tmp_path / "train.parquet"
    parquet(path, random_images(20, 6, 6), range(20))
    with path.open("r+b") as file:
        file.seek(10)
        file.write(b"\xff" * 300)
    message = refusal(tmp_path)
    assert str(path) in message or "do not decode" in message


def test_parquet_without_images(tmp_path, refusal):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "t.parquet")
    message = refusal(tmp_path / "t.parquet")
    assert "no column 'image' or 'img'" in message
    assert "text: string, label: int64" in message


def test_parquet_rows_that_do_not_decode(tmp_path, parquet, encode, random_images, refusal):
    rows = [encode(x) for x in random_images(20, 6, 6)]
    rows[3], rows[8] = b"nonsense", b""
    parquet(tmp_path / "train.parquet", rows, range(20))
    assert refusal(tmp_path) == (
        f"2 of 20 images in {tmp_path} do not decode (train.parquet: row 3: not an image; "
        "train.parquet: row 8: empty); repair or remove them (`triptych data info PATH --broken` "
        "lists all), or leave them out with --skip-broken true"
    )


def test_test_split_without_train(tmp_path, parquet, random_images, refusal):
    parquet(tmp_path / "test.parquet", random_images(5, 4, 4))
    assert "has files for test but none for train" in refusal(tmp_path)


def test_idx_with_wrong_magic(tmp_path, idx, random_images, refusal):
    path = tmp_path / "train-images-idx3-ubyte"
    idx(path, random_images(5, 4, 4)[0])  # two dimensions where three are due
    assert "it begins with 00000802, not 00000803" in refusal(tmp_path)
    path.write_bytes(b"\x00\x00\x08\x03\x00")
    assert "its header is incomplete" in refusal(tmp_path)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_truncated_idx(tmp_path, idx, random_images, refusal, end):
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    idx(path, random_images(50, 8, 8))
    cut(path)
    message = refusal(tmp_path)
    assert message.startswith(f"{path} is damaged, cut short or not an IDX file")
    assert end or "bytes where 3,200 are due" in message


def test_idx_labels_of_another_length(tmp_path, idx, random_images, refusal):
    idx(tmp_path / "train-images-idx3-ubyte", random_images(5, 4, 4))
    idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(4, np.uint8))
    assert "has 5 images but labels of shape 4" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0 1 1 0\n0 1 1\n", "line 2 has 3 numbers where line 1 has 4"),
        ("0 1 1 0\n0 2 1 0\n", "'2' at line 2, character 3"),
        ("0 1 1 0\n0 1,1 0\n", "',' at line 2, character 4"),
        ("0 1 1\n0 1 1\n", "3 numbers a line do not make a square image"),
        ("0 1 1 0\n0 1 1 0", "line 2 does not end"),
        ("0 1 1 0 \n0 1 1 0 \n", "line 1 has 4 numbers and a character too many"),
        ("", "it is empty"),
    ],
)
def test_amat(tmp_path, refusal, text, complaint):
    path = tmp_path / "train.amat"
    path.write_text(text)
    message = refusal(path)
    assert message.startswith(f"{path} is damaged, cut short or not a binarized .amat file")
    assert complaint in message


def test_folder_without_images(tmp_path, refusal):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert refusal(folder).startswith(f"{folder} holds no image; give a folder with images")
    (folder / "readme.txt").write_text("hello")
    assert "it holds 1 other files" in refusal(folder)
    (folder / "train").mkdir()
    assert "the split" in refusal(folder) or "holds no image" in refusal(folder)


def test_images_that_do_not_decode_are_named_and_counted(
    tmp_path, pictures, random_images, refusal
):
    folder = tmp_path / "d"
    pictures(folder, random_images(20, 16, 16, 3))
    for place in (2, 5, 7, 11):
        cut(folder / f"{place:03}.png", 0.5)
    (folder / "005.png").write_text("<html>not found</html>")
    message = refusal(folder)
    assert message.startswith(f"4 of 20 images in {folder} do not decode (002.png: ")
    assert "005.png: not an image; 007.png: " in message
    assert "; and others); repair or remove them (" in message


def test_mixed_modes(tmp_path, pictures, random_images, refusal):
    pictures(tmp_path / "d" / "a", random_images(6, 4, 4))
    pictures(tmp_path / "d" / "b", random_images(4, 4, 4, 3))
    assert refusal(tmp_path / "d") == (
        f"{tmp_path / 'd'} mixes 6 grey and 4 colour images; "
        "make them one mode with --colour grey or --colour rgb"
    )


def test_mixed_sizes(tmp_path, pictures, random_images, refusal):
    pictures(tmp_path / "d" / "a", random_images(6, 40, 40))
    pictures(tmp_path / "d" / "b", random_images(4, 50, 40))
    assert refusal(tmp_path / "d") == (
        f"{tmp_path / 'd'} holds images of 2 sizes (height x width: 40x40: 6, 50x40: 4); "
        "crop and resize them all, for example with --image-size 40"
    )


def test_splits_of_different_sizes(tmp_path, random_images, refusal):
    train, test = random_images(8, 6, 6), random_images(8, 5, 5)
    np.savez(tmp_path / "d.npz", x_train=train, x_test=test)
    assert "images of 2 sizes" in refusal(tmp_path / "d.npz")


def test_an_empty_class_folder(tmp_path, pictures, random_images, refusal):
    pictures(tmp_path / "d" / "full", random_images(6, 4, 4))
    (tmp_path / "d" / "hollow").mkdir()
    assert "the class folder 'hollow' in" in refusal(tmp_path / "d")


def test_images_beside_class_folders(tmp_path, pictures, random_images, refusal):
    pictures(tmp_path / "d", random_images(6, 4, 4))
    pictures(tmp_path / "d" / "more", random_images(6, 4, 4))
    assert "holds 6 images directly and others in the folder 'more'" in refusal(tmp_path / "d")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.full((5, 5, 5), 256), "of type int64 from 256 to 256; save them as uint8"),
        (np.zeros((4, 5, 5), complex), "are of type complex128"),
        (np.full((4, 5, 5), 255.0), "floats from 255 to 255; save them as floats from 0 to 1"),
        (np.full((4, 5, 5), -0.1), "floats from -0.1 to -0.1"),
        (np.full((4, 5, 5), np.nan), "100 of the 100 numbers of the images in"),
        (np.zeros((20, 784), np.uint8), "have the shape 20x784; save them as N x H x W"),
        (np.zeros((4, 5, 5, 7), np.uint8), "have the shape 4x5x5x7"),
        (np.zeros((0, 5, 5), np.uint8), "holds no image"),
        (np.array([{"a": 1}]), "is damaged, cut short or not an array of numbers"),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
def test_arrays(tmp_path, refusal, array, complaint):
    np.save(tmp_path / "d.npy", array, allow_pickle=True)
    assert complaint in refusal(tmp_path / "d.npy")


@pytest.mark.parametrize("name", ["d.npy", "d.npz"])
def test_truncated_arrays(tmp_path, random_images, refusal, name):
    path = tmp_path / name
    if name == "d.npy":
        np.save(path, random_images(10, 8, 8))
    else:
        np.savez_compressed(path, random_images(10, 8, 8))
    cut(path)
    assert refusal(path).startswith(f"{path} is damaged, cut short or not an")


def test_npz_damaged_inside(tmp_path, random_images, refusal):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, random_images(10, 8, 8))
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 100)
    assert refusal(path).startswith(f"{path} is damaged")


def test_npz_with_strange_names(tmp_path, random_images, refusal):
    np.savez(tmp_path / "d.npz", foo=random_images(3, 4, 4), bar=np.zeros(3))
    assert "(foo, bar); name them x_train" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (np.zeros(7, int), "has 8 images but labels of shape 7; give each image one label"),
        (np.zeros((8, 2), int), "labels of shape 8x2"),
        (np.zeros(8), "are of type float64; write them as integers from 0"),
        (np.arange(8) - 3, "has the label -3; number the classes from 0"),
    ],
)
def test_labels(tmp_path, random_images, refusal, labels, complaint):
    np.savez(tmp_path / "d.npz", images=random_images(8, 4, 4), labels=labels)
    assert complaint in refusal(tmp_path / "d.npz")


def test_a_file_of_another_kind(tmp_path, refusal):
    (tmp_path / "d.csv").write_text("1,2")
    assert "is not a kind of file that holds many images" in refusal(tmp_path / "d.csv")


def test_too_few_images(tmp_path, random_images, refusal):
    np.save(tmp_path / "d.npy", random_images(2, 4, 4))
    assert "1 of 1 training images cannot be held out for valid" in refusal(tmp_path / "d.npy")
    np.save(tmp_path / "d.npy", random_images(20, 4, 4))
    message = refusal(tmp_path / "d.npy", holdout=18)
    assert "18 of 18 training images cannot be held out for valid" in message


def test_options_out_of_range(refusal):
    assert refusal("mnist-5k", image_size=0) == "--image-size 0 is not a size; give 1 or more"
    for wrong in ("0x5", "5x0"):
        assert refusal("mnist-5k", image_size=wrong) == (
            f"--image-size {wrong} is not a size; give 1 or more"
        )
    for wrong in ("5x", "x5", "5 x 5", "-5x5", "5x5x5", "٣x٣", "", "5.0"):
        assert "is not a size; give pixels on a side, 32 say, or height x width" in refusal(
            "mnist-5k", image_size=wrong
        )
    assert "--image-size 5000 is too large" in refusal("mnist-5k", image_size="1x5000")
    assert refusal("mnist-5k", holdout=-1).startswith("--holdout -1 is not a number of images")


def test_unreadable_file(tmp_path, refusal):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.png").symlink_to(tmp_path / "nowhere")
    assert refusal(tmp_path / "d") == (
        f"1 of 1 images in {tmp_path / 'd'} do not decode (a.png: No such file or directory); "
        "give images that do"
    )


def test_failure_leaves_nothing_in_the_cache(tmp_path, cache, pictures, random_images, refusal):
    pictures(tmp_path / "d", [*random_images(600, 4, 4), random_images(1, 5, 5)[0]])
    refusal(tmp_path / "d")
    assert list((cache / "decoded").iterdir()) == []


@pytest.mark.parametrize("name", ["nowhere/pictures", "pictures.npz", "~/nothing-of-this-name"])
def test_paths_that_do_not_exist(refusal, name):
    assert refusal(name).startswith(f"there is no file or folder {name}; give an existing path")


def test_unknown_names(refusal):
    message = refusal("mnits")
    assert message.startswith("there is no data set 'mnits'; did you mean 'mnist'")
    assert "binarized-mnist, cifar10, cifar100, fashion-mnist" in message
