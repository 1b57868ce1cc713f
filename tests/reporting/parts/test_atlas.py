"""The atlas's data against the arrays it is made of, and what a damaged or hostile folder gets instead."""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from triptych.errors import TriptychError
from triptych.reporting.figures.features import LOOKS
from triptych.reporting.page.page import write_page
from triptych.reporting.parts.atlas import atlas

EVIL = "</script><script>document.title='owned'</script>"


def arrays(count=40, shown=30, channels=1, labelled=True, k=8) -> dict[str, np.ndarray]:
    """A map of random points and images, of which the last ones are shown."""
    draw = np.random.default_rng(0)
    others = np.array([draw.permutation(np.delete(np.arange(shown), i))[:k] for i in range(shown)])
    found = {
        "pca": draw.normal(size=(count, 2)).astype(np.float32),
        "tsne": (draw.normal(size=(count, 2)) * (30, 7) + 100).astype(np.float32),
        "shares": np.float32([0.421, 0.157]),
        "perplexity": np.float32(30),
        "variance": np.float32(0.04),
        "images": draw.integers(0, 256, (count, channels, 20, 32)).astype(np.uint8),
        "index": np.arange(count) * 7,
        "shown": np.arange(count - shown, count),
        "nearest": others,
        "similarity": np.sort(draw.uniform(-1, 1, (shown, k)).astype(np.float32))[:, ::-1],
        "split": np.array("test"),
        "checkpoint": np.array("best"),
    }
    if labelled:
        found |= {"labels": np.arange(count) % 3 + 1, "classes": np.array(["no", "a", "b", EVIL])}
    return found


def made(plant, found):
    plant.run.save_arrays("feature-map", **found)
    return atlas(plant.run)


def sheet(data) -> np.ndarray:
    with Image.open(BytesIO(base64.b64decode(data["sheet"].split(",")[1]))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_script_gets_the_arrays_of_the_images_that_are_shown(plant):
    found = arrays()
    data = json.loads(made(plant, found).data)
    assert data["nearest"] == found["nearest"].tolist()
    assert np.array(data["similarity"]) == pytest.approx(found["similarity"], abs=5.1e-4)
    assert data["index"] == list(range(70, 280, 7))
    assert [data["classes"][label][0] for label in data["labels"]] == [
        {1: "a", 2: "b", 3: EVIL[:40]}[label] for label in found["labels"][10:].tolist()
    ]
    assert [colour for _, colour in data["classes"]] == [colour for colour, _ in LOOKS[:3]]


def test_every_thumbnail_is_in_its_cell_without_loss(plant):
    found = arrays()
    data = json.loads(made(plant, found).data)
    width, height = data["tile"]
    assert (width, height) == (32, 20)
    pixels = sheet(data)
    for place, image in enumerate(found["images"][10:]):
        row, column = divmod(place, data["columns"])
        cell = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert (cell == image[0][..., None]).all()


@pytest.mark.parametrize("name", ["tsne", "pca"])
def test_positions_are_in_one_scale_and_fill_the_longer_side(plant, name):
    found = arrays()
    placed = np.array(json.loads(made(plant, found).data)["maps"][name]).reshape(-1, 2)
    points = found[name][10:] * (1, -1)
    scale = 4094 / np.ptp(points, axis=0).max()
    middle = (points.min(0) + points.max(0)) / 2
    assert placed == pytest.approx((points - middle) * scale, abs=0.51)
    assert np.abs(placed).max() == 2047


def test_what_is_said_of_shared_classes_is_counted_pair_by_pair(plant):
    found = arrays()
    labels = found["labels"][found["shown"]]
    shared = np.mean(
        [[labels[i] == labels[j] for j in row] for i, row in enumerate(found["nearest"])]
    )
    pairs = [labels[i] == labels[j] for i in range(30) for j in range(30) if i != j]
    said = made(plant, found)
    assert f"Of the 8 neighbours {8 * shared:.1f} share" in said.notes[-1]
    assert f"picked at random {8 * np.mean(pairs):.1f} would" in said.notes[-1]
    assert "30 images, evenly spread over the test split" in said.about
    assert "best weights" in said.about


def test_without_labels_nothing_is_said_of_classes(plant):
    said = made(plant, arrays(labelled=False))
    assert not {"labels", "classes"} & json.loads(said.data).keys()
    assert "label" not in said.about
    assert "class" not in said.notes[-1]


def test_classes_beyond_the_colours_have_none(plant):
    found = arrays(count=120, shown=120)
    found |= {
        "labels": np.r_[np.arange(60) % 10, 10 + np.arange(60) % 30],
        "classes": np.arange(40).astype(str),
    }
    classes = json.loads(made(plant, found).data)["classes"]
    assert [colour for _, colour in classes] == [colour for colour, _ in LOOKS] + [None] * 30


def test_six_hundred_images_in_colour_are_below_their_budget_even_if_they_are_noise(plant):
    found = arrays(count=600, shown=600, channels=3)
    found["images"] = np.random.default_rng(1).integers(0, 256, (600, 3, 32, 32)).astype(np.uint8)
    assert len(made(plant, found).data) < 1_200_000


def test_colours_survive_their_compression(plant):
    found = arrays(channels=3)
    found["images"] = np.broadcast_to(
        np.random.default_rng(2).integers(0, 256, (40, 3, 1, 1)), (40, 3, 32, 32)
    ).astype(np.uint8)
    data = json.loads(made(plant, found).data)
    pixels = sheet(data)[16::32, 16::32].reshape(-1, 3)[:30].astype(int)
    assert np.abs(pixels - found["images"][10:, :, 0, 0]).max() < 8


def test_a_run_without_neighbours_has_no_atlas(plant):
    assert atlas(plant.run) is None
    found = arrays()
    del found["nearest"]
    assert made(plant, found) is None


def test_features_that_are_one_point_have_no_atlas(plant):
    assert made(plant, arrays() | {"tsne": np.zeros((40, 2), np.float32)}) is None


HOSTILE = {
    "neighbour beyond the end": {"nearest": np.full((30, 8), 30)},
    "negative neighbour": {"nearest": np.full((30, 8), -1)},
    "neighbours of others": {"nearest": np.zeros((29, 8), int)},
    "no neighbours": {"nearest": np.zeros((30, 0), int), "similarity": np.zeros((30, 0))},
    "places that are no numbers": {"nearest": np.full((30, 8), "0")},
    "shown beyond the end": {"shown": np.arange(30) + 11},
    "label without a name": {"labels": np.full(40, 4)},
    "negative label": {"labels": np.full(40, -1)},
    "names that are numbers": {"classes": np.arange(4)},
    "not a number": {"tsne": np.full((40, 2), np.nan, np.float32)},
    "without end": {"pca": np.full((40, 2), np.inf, np.float32)},
    "too far to subtract": {"pca": np.array([[-1e308, 1e308]] * 40)},
    "similarity not a number": {"similarity": np.full((30, 8), np.nan)},
    "similarity of others": {"similarity": np.zeros((30, 7))},
    "positions in space": {"tsne": np.zeros((40, 3), np.float32)},
    "images of the wrong type": {"images": np.zeros((40, 1, 8, 8), np.float32)},
    "huge images": {"images": np.zeros((40, 1, 33, 8), np.uint8)},
    "empty images": {"images": np.zeros((40, 1, 0, 8), np.uint8)},
    "images in two channels": {"images": np.zeros((40, 2, 8, 8), np.uint8)},
    "flat images": {"images": np.zeros((40, 64), np.uint8)},
    "fewer images": {"images": np.zeros((39, 1, 8, 8), np.uint8)},
    "split that is a list": {"split": np.array(["test", "train"])},
    "index before the start": {"index": np.arange(40) - 1},
}


@pytest.mark.parametrize("changed", HOSTILE.values(), ids=HOSTILE)
def test_arrays_that_are_no_map_are_refused_in_one_sentence(plant, changed):
    with pytest.raises(TriptychError, match=r"feature-map\.npz' is damaged \(.*\); evaluate"):
        made(plant, arrays() | changed)


@pytest.mark.parametrize("name", sorted(set(arrays()) - {"nearest", "labels", "variance"}))
def test_an_array_that_is_missing_is_named(plant, name):
    found = arrays()
    del found[name]
    with pytest.raises(TriptychError, match=f"{name} are missing"):
        made(plant, found)


def test_pickles_and_files_of_another_kind_are_refused(plant, tmp_path):
    path = plant.run.path / "samples" / "feature-map.npz"
    np.savez(path, nearest=np.array([{}], object))
    with pytest.raises(TriptychError, match="damaged"):
        atlas(plant.run)
    for content in (b"", b"PK\x03\x04 no more", b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(TriptychError, match="damaged"):
            atlas(plant.run)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(TriptychError, match="damaged"):
        atlas(plant.run)


def test_names_end_nothing_on_the_page(plant, tmp_path):
    found = arrays() | {"split": np.array(EVIL), "classes": np.array(["x", "y", EVIL, "c" * 500])}
    assert "c" * 41 not in made(plant, found).data
    text = write_page([plant.run.path], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>document.title" not in text


def test_halves_of_characters_can_be_written(plant):
    found = arrays() | {"split": np.array("\ud800"), "classes": np.array(["\ud800"] * 4)}
    said = made(plant, found)
    assert (said.about + said.data).encode("utf-8")
    assert json.loads(said.data)["classes"][0][0] == "?"
