"""Folders of image files: flat, in classes, in splits, and what else lies about."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from triptych.data import DataConfig, find, load


def seen(data):
    """All images of all splits, as a sorted list of bytes."""
    return sorted(x.tobytes() for part in data.splits.values() for x in part.pixels)


def test_flat(tmp_path, pictures, random_images):
    images = random_images(30, 5, 5, 3)
    pictures(tmp_path / "pets", images)
    data = load(DataConfig(str(tmp_path / "pets")))
    assert data.title == "pets (random split train/valid/test 24/3/3)"
    assert data.classes is None
    assert all(part.labels is None for part in data.splits.values())
    assert seen(data) == sorted(x.transpose(2, 0, 1).tobytes() for x in images)


def test_class_folders_at_any_depth(tmp_path, pictures):
    for label, name in enumerate(["ant", "bee", "cow/young"]):
        pictures(tmp_path / "d" / name, np.full((12, 4, 4), 10 * label, dtype=np.uint8))
    data = load(DataConfig(str(tmp_path / "d")))
    assert data.classes == ("ant", "bee", "cow")
    assert sum(map(len, data.splits.values())) == 36
    for part in data.splits.values():
        np.testing.assert_array_equal(part.labels * 10, part.pixels[:, 0, 0, 0])


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_splits_with_classes(tmp_path, pictures, random_images, valid):
    images = random_images(6, 4, 4)
    for split, count in (("train", 6), (valid, 4), ("test", 3)):
        pictures(tmp_path / "d" / split / "no", images[:count])
        pictures(tmp_path / "d" / split / "yes", images[:count])
    data = load(DataConfig(str(tmp_path / "d")))
    assert data.title == "d"
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 12,
        "valid": 8,
        "test": 6,
    }
    np.testing.assert_array_equal(data.splits["valid"].pixels[4:, 0], images[:4])
    assert data.splits["valid"].labels.tolist() == [0] * 4 + [1] * 4


def test_one_class_folder_is_no_label(tmp_path, pictures, random_images):
    pictures(tmp_path / "d" / "images", random_images(10, 4, 4))
    assert load(DataConfig(str(tmp_path / "d"))).classes is None


def test_links_are_followed_and_strangers_ignored(tmp_path, pictures, random_images):
    images = random_images(12, 4, 4)
    pictures(tmp_path / "elsewhere", images)
    folder = tmp_path / "d"
    (folder / "a").mkdir(parents=True)
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    for path in sorted((tmp_path / "elsewhere").iterdir()):
        (folder / "a" / path.name).symlink_to(path)
    (folder / "a" / "loop").symlink_to(folder / "a")
    (folder / "a" / "notes.txt").write_text("not an image")
    (folder / "a" / ".hidden.png").write_text("nor this")
    (folder / ".git").mkdir()
    data = load(DataConfig(str(folder)))
    assert sum(map(len, data.splits.values())) == 24
    assert data.classes == ("a", "b")
    assert find(DataConfig(str(folder))).ignored == 1


def test_the_same_files_split_the_same_way_anywhere(tmp_path, pictures, random_images):
    fingerprints = set()
    for place in ("here", "there"):
        pictures(tmp_path / place, random_images(20, 4, 4))
        fingerprints.add(load(DataConfig(str(tmp_path / place))).fingerprint)
    assert len(fingerprints) == 1


def test_resized_to_one_size(tmp_path, pictures, random_images):
    for size in ((9, 9), (20, 12), (8, 30)):
        pictures(tmp_path / "d" / f"{size[0]}", random_images(5, *size, 3))
    data = load(DataConfig(str(tmp_path / "d"), image_size=8))
    assert data.shape == (3, 8, 8)
    assert sum(map(len, data.splits.values())) == 15


def test_the_working_directory(tmp_path, pictures, random_images, monkeypatch):
    pictures(tmp_path / "mine", random_images(10, 4, 4))
    monkeypatch.chdir(tmp_path / "mine")
    assert load(DataConfig(".")).title.startswith("mine (")


def test_a_folder_may_have_the_name_of_a_data_set(tmp_path, pictures, random_images, monkeypatch):
    pictures(tmp_path / "mnist-5k", random_images(10, 4, 4))
    monkeypatch.chdir(tmp_path)
    assert load(DataConfig("mnist-5k")).shape == (1, 28, 28)
    assert load(DataConfig("./mnist-5k")).shape == (1, 4, 4)


def test_photographs_stand_upright(tmp_path):
    """EXIF orientation 6: the camera was turned, the picture is to be turned back."""
    upright = np.zeros((40, 20, 3), dtype=np.uint8)
    upright[:20] = 255
    lying = Image.fromarray(np.rot90(upright).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "d").mkdir()
    for place in range(10):
        lying.save(tmp_path / "d" / f"{place}.png", exif=exif)
    data = load(DataConfig(str(tmp_path / "d"), image_size=20))
    image = data.splits["train"].pixels[0]
    assert (image[:, :8] == 255).all()
    assert (image[:, 12:] == 0).all()


def test_unreadable_names_do_not_matter(tmp_path, pictures, random_images):
    pictures(tmp_path / "d", random_images(10, 4, 4))
    os.rename(tmp_path / "d" / "000.png", tmp_path / "d" / "ñ 花 %s {}.PNG")
    assert sum(map(len, load(DataConfig(str(tmp_path / "d"))).splits.values())) == 10
