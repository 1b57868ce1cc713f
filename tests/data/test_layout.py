"""What the names of folders are taken for: known and said, or refused with a way out; never a guess."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, broken_images, load

COUNT = 10


@pytest.fixture
def tree(tmp_path, encode):
    """Makes folders of ten images each; the level of an image is the place of its folder among them."""

    def make(*folders: str, root: str = "d") -> Path:
        for level, name in enumerate(folders):
            folder = tmp_path / root / name
            folder.mkdir(parents=True, exist_ok=True)
            for place in range(COUNT):
                image = np.full((4, 4), level, np.uint8)
                image[0] = 100 + place
                (folder / f"{level}_{place}.png").write_bytes(encode(image))
        return tmp_path / root

    return make


def found(path, **options):
    """Split → class (or None) → the levels of its images, that is the places of the folders they are from."""
    data = load(DataConfig(str(path), **{"holdout": 0} | options))
    return {
        split: {
            None if label is None else data.classes[label]: set(
                part.pixels[part.labels == label if label is not None else slice(None), 0, 3, 3]
            )
            for label in ([None] if part.labels is None else np.unique(part.labels))
        }
        for split, part in data.splits.items()
    }, data.notes


CLASSES = {"train": {"a": {0}, "b": {1}}, "test": {"a": {2}, "b": {3}}}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("training", "testing"),
        ("Training", "Test"),
        ("TRAIN", "TST"),
        ("train-images", "test_images"),
        ("Train_Set", "testSet"),
        ("train2017", "test2017"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set/training_set", "test_set/test_set"),
        ("images/train", "images/test"),
        ("data/raw/train", "data/raw/test"),
    ],
)
def test_splits_by_other_names(tree, train, test):
    splits, notes = found(tree(f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b"))
    assert splits == CLASSES
    assert bool(notes) == (train != "train")


@pytest.mark.parametrize("valid", ["val", "valid", "Validation", "dev", "eval", "val2017"])
def test_validation_by_other_names(tree, valid):
    splits, _ = found(tree("train", valid, "test"), holdout=None)
    assert splits == {"train": {None: {0}}, "valid": {None: {1}}, "test": {None: {2}}}


def test_splits_below_classes(tree):
    splits, _ = found(tree("a/train", "b/train", "a/test", "b/test"))
    assert splits == CLASSES


def test_domains_are_classes(tree):
    """CycleGAN's layout."""
    splits, notes = found(tree("trainA", "trainB", "testA", "testB"))
    assert splits == {"train": {"A": {0}, "B": {1}}, "test": {"A": {2}, "B": {3}}}
    assert "'trainB' is train, class B" in notes[0]


def test_a_flat_test_set_has_no_labels(tree):
    splits, notes = found(tree("train/a", "train/b", "test"))
    assert splits == {"train": {"a": {0}, "b": {1}}, "test": {None: {2}}}
    assert "the images of test have no labels" in notes


def test_tiny_imagenet(tree):
    splits, notes = found(tree("train/n1/images", "train/n2/images", "test/images"))
    assert splits == {"train": {"n1": {0}, "n2": {1}}, "test": {None: {2}}}
    assert any("count to the class: n1/images, n2/images" in note for note in notes)


@pytest.mark.parametrize(
    "litter",
    [
        *("@eaDir", "__MACOSX", ".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN", "@EADIR"),
        *("a/@eaDir", "a/.thumbnails"),
    ],
)
def test_litter_is_no_class(tree, litter):
    root = tree("a", "b", litter)
    (root / "a" / "._0_0.png").write_text("a fork of a Mac's file")
    (root / "Thumbs.db").write_text("a cache of Windows")
    data = load(DataConfig(str(root)))
    assert data.classes == ("a", "b")
    assert sum(map(len, data.splits.values())) == 2 * COUNT
    (note,) = (note for note in data.notes if "systems and tools" in note)
    assert litter in note
    assert "._0_0.png" in note
    assert "Thumbs.db" in note


@pytest.mark.parametrize(
    ("folders", "kept", "left"),
    [
        (("images", "masks"), 0, "masks"),
        (("depth", "img"), 1, "depth"),
        (("JPEGImages", "SegmentationClass"), 0, "SegmentationClass"),
        (("labels", "Images", "annotations"), 1, "annotations, labels"),
    ],
)
def test_masks_are_no_class(tree, folders, kept, left):
    data = load(DataConfig(str(tree(*folders)), holdout=0))
    assert data.classes is None
    assert {int(x) for part in data.splits.values() for x in part.pixels[:, 0, 3, 3]} == {kept}
    assert any(f"left out {COUNT * (len(folders) - 1)} in {left}" in note for note in data.notes)


def test_masks_beside_the_images_of_each_split(tree):
    splits, _ = found(tree("train/images", "train/masks", "test/images", "test/masks"))
    assert splits == {"train": {None: {0}}, "test": {None: {2}}}
    splits, notes = found(tree("train_images", "train_masks", "test_images", root="e"))
    assert splits == {"train": {None: {0}}, "test": {None: {2}}}
    assert "left out the folder 'train_masks' beside the splits: 10 images" in notes


def test_masks_in_the_same_folder(tree):
    root = tree("")
    for path in sorted(root.iterdir()):
        path.with_name(f"{path.stem}_mask.png").write_bytes(path.read_bytes())
    data = load(DataConfig(str(root)))
    assert sum(map(len, data.splits.values())) == COUNT
    assert data.notes[0].startswith(
        "left out 10 images that go with another of the same name: 0_0_m"
    )


def test_class_folders_with_a_mask_in_their_name(tree):
    splits, _ = found(tree("with_mask", "without_mask"))
    assert splits["train"].keys() == {"with_mask", "without_mask"}


def test_the_same_names_in_two_classes_are_said(tmp_path, pictures, random_images):
    for name in ("rgb", "thermal"):
        pictures(tmp_path / "d" / name, random_images(10, 4, 4))
    (note,) = load(DataConfig(str(tmp_path / "d"))).notes
    assert note.startswith("the folders rgb, thermal hold files of the same names")


def test_what_lies_beside_the_splits_is_said(tree):
    root = tree("train", "test", "pred", "cat", "")
    (root / "list.csv").write_text("1")
    splits, notes = found(root)
    assert splits == {"train": {None: {0}}, "test": {None: {1}}}
    assert notes == (
        "left out the folder 'cat' beside the splits: 10 images",
        "left out the folder 'pred' beside the splits: 10 images",
        f"left out 10 images directly in {root}: 4_0.png, 4_1.png, 4_2.png and 7 more",
        "left out list.csv that are no images",
    )


def test_a_class_may_be_called_test_in_a_split(tree):
    splits, notes = found(tree("train/test", "train/control", "test/test", "test/control"))
    assert splits == {"train": {"test": {0}, "control": {1}}, "test": {"test": {2}, "control": {3}}}
    assert "taken for classes, though the names could mean splits: test" in notes


def test_a_class_that_train_does_not_have_is_said(tree):
    _, notes = found(tree("train/a", "train/b", "test/a", "test/c"))
    assert "test has classes that train does not have: c" in notes


@pytest.mark.parametrize(
    ("folders", "complaint"),
    [
        (("cat", "dog", "test"), "'test' is the name of a split and cat, dog of none"),
        (("test", "control"), "put all of them into a folder 'train'"),
        (("train", "car", "bus"), "'train' is the name of a split and bus, car of none"),
        (("test/a", "val/a"), "has folders for test and valid but none for train (test, val)"),
        (("test/a", "test/b"), "has folders for test but none for train"),
        (("train/a", "Train/a"), "has two folders for one split (train: Train, train)"),
        (("train", "val", "validation"), "has two folders for one split (valid: val, validation)"),
        (
            ("train", "train_images", "test"),
            "two folders for one split (train: train, train_images)",
        ),
        (("images", "thumbs"), "holds the folder 'images' beside thumbs; give the one with the"),
        (("one_train", "one_test", "two_train", "two_test"), "holds several data sets"),
        (("a/train", "a/training"), "two folders for one split (train: train, training)"),
        (("tr/a", "tr/b", "te/a", "te/b"), "call them train, valid and test if they are splits"),
        (("fold0/a", "fold0/b", "fold1/a", "fold1/b"), "all hold folders of the same names (a, b)"),
    ],
)
def test_what_has_no_single_reading(tree, refusal, folders, complaint):
    assert complaint in refusal(tree(*folders))


def test_an_empty_split(tree, refusal):
    root = tree("train", "test")
    (root / "val").mkdir()
    assert f"the split 'valid' of {root} holds no image" in refusal(root)


def test_links_in_a_circle_end(tree):
    root = tree("a", "b")
    (root / "a" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to(root / "b")
    assert sum(map(len, load(DataConfig(str(root))).splits.values())) >= 2 * COUNT


def test_names_that_are_not_utf_8(tree):
    """A folder of a disk from Western Europe, and one of the same name in UTF-8 in the other split."""
    root = tree("train/the", "train/x", "test/the", "test/café")
    os.rename(bytes(root) + b"/train/x", bytes(root) + b"/train/caf\xe9")
    os.rename(bytes(root) + b"/test/the/2_0.png", bytes(root) + b"/test/the/\xff\x1b[31m.png")
    root = root.rename(root.with_name("d\n\x1b[31m"))
    splits, _ = found(root)
    assert splits == {"train": {"the": {0}, "café": {1}}, "test": {"the": {2}, "café": {3}}}
    data = load(DataConfig(str(root)))
    assert data.title == "d\\n\\x1b[31m"
    assert data.classes == ("café", "the")


def test_a_path_that_no_run_could_write_down(tree, refusal):
    named = os.fsdecode(bytes(tree("")) + b"\xe9")
    os.rename(tree(""), named)
    assert "dé is not in UTF-8, in which a run writes it down; rename" in refusal(named)


def test_two_classes_that_read_the_same(tree, refusal):
    root = tree("café", "x")
    os.rename(root / "x", bytes(root) + b"/caf\xe9")
    assert "have names that read the same (café, café); rename one" in refusal(root)


def test_a_name_that_a_terminal_would_obey(tree):
    data = load(DataConfig(str(tree("a\x1b[31m\n[red]<b>", "b\u202e"))))
    assert data.classes == ("a\\x1b[31m\\n[red]<b>", "b\\u202e")


def test_what_is_no_regular_file_is_named_and_not_opened(tree, refusal):
    """A pipe nobody writes to and /dev/zero would be read for ever."""
    root = tree("")
    os.mkfifo(root / "fifo.png")
    (root / "gone.png").symlink_to(root / "nowhere")
    (root / "zero.png").symlink_to("/dev/zero")
    (root / "folder.png").mkdir()
    assert refusal(root).startswith(
        f"3 of 13 images in {root} do not decode (fifo.png: no regular file; gone.png: No such file "
        "or directory; zero.png: no regular file); repair or remove them"
    )
    assert broken_images(DataConfig(str(root))) == (
        13,
        (
            ("fifo.png", "no regular file"),
            ("gone.png", "No such file or directory"),
            ("zero.png", "no regular file"),
        ),
    )
    data = load(DataConfig(str(root), skip_broken=True))
    assert sum(map(len, data.splits.values())) == COUNT
    assert "left out folders without images: folder.png" in data.notes


@pytest.mark.parametrize("first", [True, False])
def test_labels_stay_with_their_images_when_some_are_left_out(tree, first):
    root = tree("train/a", "train/b", "test/a", "test/b")
    broken = ["train/a/0_0.png", "train/b/1_7.png", "test/a/2_3.png"]
    if first:  # a whole block without an image before the first that decodes
        broken += [f"train/a/0_{place}.png" for place in range(1, COUNT - 1)]
    for name in broken:
        (root / name).write_bytes(b"no image")
    for holdout in (0, 5):
        data = load(DataConfig(str(root), skip_broken=True, holdout=holdout))
        assert sum(map(len, data.splits.values())) == 4 * COUNT - len(broken)
        for split, part in data.splits.items():
            levels = {0: 2, 1: 3} if split == "test" else {0: 0, 1: 1}
            assert part.pixels[:, 0, 3, 3].tolist() == [levels[x] for x in part.labels.tolist()]
        seen = {
            (int(x[0, 3, 3]), int(x[0, 0, 0]) - 100)
            for part in data.splits.values()
            for x in part.pixels
        }
        gone = {tuple(map(int, Path(name).stem.split("_"))) for name in broken}
        assert seen == {(f, i) for f in range(4) for i in range(COUNT)} - gone
        assert f"{len(broken)} of 40 images in the data do not decode" in data.notes[-1]
    assert len(broken_images(DataConfig(str(root)))[1]) == len(broken)


def test_what_is_left_out_has_a_place_of_its_own_in_the_cache(tree, refusal):
    root = tree("")
    (root / "0_3.png").write_bytes(b"")
    load(DataConfig(str(root), skip_broken=True))
    assert "0_3.png: empty" in refusal(root)


def test_a_note_on_what_lies_beside_is_as_fresh_as_the_folder(tree):
    root = tree("")
    assert load(DataConfig(str(root))).notes == ()
    (root / "a.txt").write_text("x")
    assert load(DataConfig(str(root))).notes == ("left out a.txt that are no images",)
