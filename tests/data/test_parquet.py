"""Parquet as others write it: which file is which split, which column is what, and whose classes are whose."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triptych.data import DataConfig, catalog, load, whereabouts

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
KINDS = [10, 200] * 6


@pytest.fixture
def images(encode):
    """A column of images, each of one level."""
    return lambda levels=KINDS: pa.array(
        [{"bytes": encode(np.full((4, 4), x, np.uint8)), "path": None} for x in levels], IMAGE
    )


def write(path, names=None, column="label", **columns):
    """A file, and in its schema the class names as the hub's library writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names is not None:
        features = {column: {"names": names, "_type": "ClassLabel"}}
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    pq.write_table(table, path)


def pairs(path, **options):
    """Split → the pairs of an image's level and its class (or label), and the data."""
    data = load(DataConfig(str(path), **{"holdout": 0} | options))
    named = data.classes or range(1_000)
    return {
        split: part.labels is not None
        and {(int(x), named[k]) for x, k in zip(part.pixels[:, 0, 0, 0], part.labels, strict=True)}
        for split, part in data.splits.items()
    }, data


CAT_AND_DOG = {(10, "cat"), (200, "dog")}


def test_classes_of_another_split_in_another_order(tmp_path, images):
    write(tmp_path / "train.parquet", ["cat", "dog"], image=images(), label=[0, 1] * 6)
    write(tmp_path / "test.parquet", ["dog", "cat"], image=images(), label=[1, 0] * 6)
    found, data = pairs(tmp_path)
    assert found == {"train": CAT_AND_DOG, "test": CAT_AND_DOG}
    assert data.classes == ("cat", "dog")
    assert data.notes == (
        "the files list their classes in different ways; they were matched by name",
    )


def test_classes_of_another_shard_in_another_order(tmp_path, images):
    write(
        tmp_path / "train-00000-of-00002.parquet", ["cat", "dog"], image=images(), label=[0, 1] * 6
    )
    write(
        tmp_path / "train-00001-of-00002.parquet",
        ["emu", "dog", "cat"],
        image=images(),
        label=[2, 1] * 6,
    )
    write(tmp_path / "test.parquet", image=images(), label=[0, 1] * 6)
    found, data = pairs(tmp_path)
    assert found == {"train": CAT_AND_DOG, "test": CAT_AND_DOG}
    assert data.classes == ("cat", "dog", "emu")
    assert "their numbers were taken for the same" in data.notes[-1]


def test_words_are_classes_over_all_splits(tmp_path, images):
    words = pa.array(["cat", "dog"] * 6)
    write(tmp_path / "train.parquet", image=images(), label=words.dictionary_encode())
    write(tmp_path / "test.parquet", image=images(), label=["ant", "dog"] * 6)
    found, data = pairs(tmp_path)
    assert found == {"train": CAT_AND_DOG, "test": {(10, "ant"), (200, "dog")}}
    assert data.classes == ("ant", "cat", "dog")


def test_words_and_named_numbers_go_together(tmp_path, images):
    write(tmp_path / "train.parquet", ["cat", "dog"], image=images(), label=[0, 1] * 6)
    write(tmp_path / "test.parquet", image=images(), label=["cat", "dog"] * 6)
    assert pairs(tmp_path)[0] == {"train": CAT_AND_DOG, "test": CAT_AND_DOG}


@pytest.mark.parametrize("column", ["label", "labels", "target", "class", "fine_label", "category"])
def test_a_single_column_of_labels(tmp_path, images, column):
    write(tmp_path / "d.parquet", image=images(), **{column: [0, 1] * 6})
    found, data = pairs(tmp_path / "d.parquet")
    assert found["train"] == {(10, 0), (200, 1)}
    said = f"the labels are those in the column '{column}'"
    assert (said in data.notes) == (column != "label")


def test_a_column_that_the_schema_describes_as_labels(tmp_path, images):
    write(tmp_path / "d.parquet", ["cat", "dog"], "pet", image=images(), pet=[0, 1] * 6)
    assert pairs(tmp_path / "d.parquet")[0]["train"] == CAT_AND_DOG


def test_cifar100(tmp_path, images):
    write(tmp_path / "d.parquet", img=images(), coarse_label=[7] * 12, fine_label=[0, 1] * 6)
    found, data = pairs(tmp_path / "d.parquet")
    assert found["train"] == {(10, 0), (200, 1)}
    assert "left out other columns of labels than 'fine_label': coarse_label" in data.notes


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([0.0, 1.0] * 6),
        pa.array([False, True] * 6),
        pa.array([0, 1] * 6, pa.uint8()),
        pa.array([0, 1] * 6).dictionary_encode(),
    ],
    ids=lambda labels: str(labels.type),
)
def test_types_of_labels(tmp_path, images, labels):
    write(tmp_path / "d.parquet", image=images(), label=labels)
    assert pairs(tmp_path / "d.parquet")[0]["train"] == {(10, 0), (200, 1)}


@pytest.mark.parametrize("labels", [[[1]] * 12, [{"a": 1}] * 12])
def test_what_gives_no_image_one_class_is_said(tmp_path, images, labels):
    write(tmp_path / "d.parquet", image=images(), label=labels)
    found, data = pairs(tmp_path / "d.parquet")
    assert found["train"] is False
    assert "gives no image one class, so it was not taken for labels" in data.notes[0]


def test_a_split_whose_labels_are_all_missing_has_none(tmp_path, images):
    write(tmp_path / "train.parquet", image=images(), label=[0, 1] * 6)
    write(tmp_path / "test.parquet", image=images(), label=pa.array([None] * 12, pa.int64()))
    found, data = pairs(tmp_path)
    assert found == {"train": {(10, 0), (200, 1)}, "test": False}
    assert data.notes == ("the images of test have no labels",)


@pytest.mark.parametrize(
    ("names", "columns", "complaint"),
    [
        (["cat"], {"label": [0, 1] * 6}, "has the label 1 and names only 1 classes (cat)"),
        (["a", "a"], {"label": [0, 1] * 6}, "names two classes 'a'"),
        (None, {"label": [None, 1] * 6}, "6 labels in"),
        (None, {"label": [0.5, 1.0] * 6}, "of type float64 and not all whole"),
        (None, {"label": pa.array([2**63, 1] * 6, pa.uint64())}, "do not fit 64 bits"),
        (
            None,
            {"labels": [0] * 12, "target": [1] * 12},
            "several columns of labels (labels, target)",
        ),
    ],
)
def test_labels_that_are_refused(tmp_path, images, refusal, names, columns, complaint):
    write(tmp_path / "d.parquet", names, image=images(), **columns)
    assert complaint in refusal(tmp_path / "d.parquet")


def test_numbers_and_words(tmp_path, images, refusal):
    write(tmp_path / "train.parquet", image=images(), label=[0, 1] * 6)
    write(tmp_path / "test.parquet", image=images(), label=["cat", "dog"] * 6)
    assert "some files have numbers for labels and some have words" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["binary", "large", "dictionary", "fixed"])
def test_columns_of_bytes(tmp_path, encode, kind):
    files = [encode(np.full((4, 4), x, np.uint8)) for x in KINDS]
    column = {
        "binary": lambda: pa.array(files),
        "large": lambda: pa.array(files, pa.large_binary()),
        "dictionary": lambda: pa.array(files).dictionary_encode(),
        "fixed": lambda: pa.array([files[0]] * 12, pa.binary(len(files[0]))),
    }[kind]()
    write(tmp_path / "d.parquet", image=column)
    levels = load(DataConfig(str(tmp_path / "d.parquet"))).splits["train"].pixels[:, 0, 0, 0]
    assert set(levels.tolist()) == ({10} if kind == "fixed" else {10, 200})


def test_other_columns_of_images_are_said(tmp_path, images, refusal):
    write(tmp_path / "a.parquet", image=images(), mask=images([0] * 12))
    _, data = pairs(tmp_path / "a.parquet")
    assert data.splits["train"].pixels.max() == 200
    assert data.notes == ("left out other columns of images than 'image': mask",)
    write(tmp_path / "b.parquet", photo=images())
    assert pairs(tmp_path / "b.parquet")[1].notes == ("the images are those in the column 'photo'",)
    write(tmp_path / "c.parquet", image_1=images(), image_2=images())
    assert "several columns of images (image_1, image_2)" in refusal(tmp_path / "c.parquet")


@pytest.mark.parametrize("column", [["a.png"] * 12, [[[1, 2], [3, 4]]] * 12, [7] * 12])
def test_a_column_called_image_that_holds_no_files(tmp_path, refusal, column):
    write(tmp_path / "d.parquet", image=column)
    assert "has no column 'image' or 'img' of encoded images (it has image: " in refusal(
        tmp_path / "d.parquet"
    )


def test_rows_with_a_path_and_no_bytes(tmp_path, refusal):
    write(tmp_path / "d.parquet", image=pa.array([{"bytes": None, "path": "a.png"}] * 3, IMAGE))
    assert "d.parquet: a.png: it has a path but no bytes" in refusal(tmp_path / "d.parquet")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            ["train-00001-of-00003", "test"],
            "has 1 of the 3 files of train: 00000, 00002 of 00003 missing",
        ),
        (["train", "train-00000-of-00001"], "has train.parquet and train-00000-of-00001.parquet"),
        (["train", "train-extra"], "has train.parquet and train-extra.parquet for train"),
        (["train-0-of-2", "train-1-of-2", "train-0-of-1"], "more than one set of files for train"),
        (["a-train", "a-test", "b-train"], "holds 2 data sets"),
        (["train-new", "train-old"], "nothing says that they belong together as train"),
        (["mine", "yours"], "nothing says that they belong together as train"),
        (["test-00000-of-00001", "val"], "has files for test and valid but none for train"),
        (["a/train", "b/train"], "holds Parquet files in several folders (a, b); give one of them"),
        (["data/train-0-of-2"], "has 1 of the 2 files of train: 00001 of 00002 missing"),
    ],
)
def test_files_that_are_refused(tmp_path, images, refusal, names, complaint):
    for name in names:
        write(tmp_path / "d" / f"{name}.parquet", image=images())
    assert complaint in refusal(tmp_path / "d")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test"),
        ("Training-0", "Testing-0"),
        ("train-00000-of-00001-0f3c9a", "test-00000-of-00001-99ab01"),
        ("train-1-of-1", "test-1-of-1"),
        ("digits-train", "digits-test"),
        ("data/train-00000-of-00001", "data/test-00000-of-00001"),
        ("default/train/0000", "default/test/0000"),
        ("train/0000", "test/0000"),
    ],
)
def test_files_that_are_known(tmp_path, images, names):
    for name, level in zip(names, (10, 200), strict=True):
        write(tmp_path / "d" / f"{name}.parquet", image=images([level] * 12))
    (tmp_path / "d" / "README.md").write_text("")
    splits = load(DataConfig(str(tmp_path / "d"), holdout=0)).splits
    assert {s: set(np.unique(part.pixels)) for s, part in splits.items()} == {
        "train": {10},
        "test": {200},
    }


def test_shards_that_are_only_counted(tmp_path, images):
    for place in range(12):
        write(tmp_path / "d" / f"{place:04}.parquet", image=images([place] * 12))
    data = load(DataConfig(str(tmp_path / "d")))
    assert sum(map(len, data.splits.values())) == 144
    assert data.notes[0].startswith("no name says which split it is, so all is train: 0000.parquet")


def test_what_is_left_out_is_said(tmp_path, images):
    write(tmp_path / "d" / "train.parquet", image=images())
    write(tmp_path / "d" / "extra-00000-of-00002.parquet", image=images())
    (note,) = load(DataConfig(str(tmp_path / "d"))).notes
    assert note == f"left out beside the data in {tmp_path / 'd'}: extra-00000-of-00002.parquet"


def test_one_shard_alone(tmp_path, images):
    write(tmp_path / "train-00000-of-00003.parquet", image=images())
    data = load(DataConfig(str(tmp_path / "train-00000-of-00003.parquet")))
    assert data.notes == ("this is one of 3 files; their folder has all of them",)


def test_a_table_that_tells_of_images_beside_it(tmp_path, pictures, random_images):
    pictures(tmp_path / "d", random_images(10, 4, 4))
    write(tmp_path / "d" / "metadata.parquet", file_name=["000.png"])
    data = load(DataConfig(str(tmp_path / "d")))
    assert sum(map(len, data.splits.values())) == 10
    assert data.notes == ("left out metadata.parquet that are no images",)


def test_a_pipe_is_not_waited_for(tmp_path, refusal):
    os.mkfifo(tmp_path / "train.parquet")
    assert "no regular file" in refusal(tmp_path)


def test_rows_that_the_metadata_count_wrong(tmp_path, images, refusal):
    """The count of rows (12, a zigzag varint) changed in the footer alone."""
    out = io.BytesIO()
    pq.write_table(pa.table({"image": images()}), out)
    data = out.getvalue()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    place = data.index(b"\x16\x18", footer)
    (tmp_path / "d.parquet").write_bytes(data[: place + 1] + b"\x1a" + data[place + 2 :])
    assert "is damaged, cut short or not a Parquet file" in refusal(tmp_path / "d.parquet")


PEAK = """
import sys
from triptych.data.images import Decoder
from triptych.data.picture import Fit
from triptych.data.sources import source_at
from pathlib import Path
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024
source = source_at(Path(sys.argv[1]))
part = source.read("train", source.files["train"], Decoder(Fit()))
before, most = anonymous(), 0
for _ in part.blocks:
    most = max(most, anonymous())
print(most - before)
"""


def test_a_file_is_not_kept_in_memory_whole(tmp_path, encode):
    """120 MB in one row group took 180 MB, twice as many 290; it is some 75 MB now, whatever the size."""
    image = encode(np.random.default_rng(0).integers(0, 256, (120, 120), np.uint8))
    rows = [{"bytes": image + bytes([i % 256, i // 256]), "path": None} for i in range(8_000)]
    table = pa.table({"image": pa.array(rows, IMAGE)})
    pq.write_table(table, tmp_path / "d.parquet", compression="none", write_batch_size=16)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "d.parquet")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < (tmp_path / "d.parquet").stat().st_size // 2**20


def test_a_download_that_broke_off_is_not_at_hand(tmp_path, images):
    """One split of two, or one shard of two: to be downloaded, not an error of whoever lists the data."""
    write(tmp_path / "ylecun" / "mnist" / "mnist" / "test-00000-of-00001.parquet", image=images())
    write(tmp_path / "uoft-cs/cifar10/plain_text/train-00000-of-00002.parquet", image=images())
    for name in ("mnist", "cifar10"):
        entry = next(entry for entry in catalog() if entry.name == name)
        assert whereabouts(entry, str(tmp_path)) is None
