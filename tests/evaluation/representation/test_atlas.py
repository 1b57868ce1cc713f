"""Maps of features against a naive projection, and neighbours against a full sort of all cosines."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.representation.atlas import (
    feature_map,
    nearest_others,
    neighbours,
    project,
)
from triptych.evaluation.subject import BLOCK, Subject
from triptych.runs import Run
from triptych.types import DataSpec, Method


def clusters(count: int, spread: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four bundles of directions in twelve dimensions, at lengths that differ a hundredfold."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    x = np.eye(12)[labels] + spread * draw.normal(size=(count, 12))
    return x * np.exp(draw.uniform(-2.3, 2.3, (count, 1))), labels


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def same_nearest(points: np.ndarray, labels: np.ndarray) -> float:
    """Share of points whose nearest other point has their label."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(1)] == labels).mean())


def test_pca_is_the_svd_of_centred_directions():
    x, _ = clusters(70)
    centred = unit(x) - unit(x).mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    found = project(x)
    expected = (u * s)[:, :2]
    signs = np.sign((found["pca"] * expected).sum(0))
    assert found["pca"] == pytest.approx(expected * signs, abs=1e-6)
    assert found["shares"] == pytest.approx((s**2 / (s**2).sum())[:2], rel=1e-5)
    assert found["variance"] == pytest.approx(1 - (unit(x).mean(0) ** 2).sum(), rel=1e-5)


def test_tsne_keeps_neighbours_by_cosine_together_whatever_their_lengths():
    x, labels = clusters(80)
    found = project(x)
    assert found["perplexity"] == pytest.approx(79 / 3)
    assert same_nearest(found["tsne"], labels) == 1
    powers = 2.0 ** np.random.default_rng(1).integers(-4, 5, (80, 1))
    assert (project(x * powers)["tsne"] == found["tsne"]).all()
    assert trustworthiness(unit(x), found["tsne"], n_neighbors=8) > 0.9


def test_the_map_is_the_same_each_time():
    x, _ = clusters(40)
    first, again = project(x), project(x)
    assert all((first[name] == again[name]).all() for name in first)


def test_the_perplexity_stays_at_thirty_where_there_are_many():
    assert project(clusters(120)[0])["perplexity"] == 30


def test_features_that_have_nearly_collapsed_are_still_told_apart():
    """What is left of the bundles is a millionth: of squares, below what single precision has."""
    x, labels = clusters(60)
    found = project(1.0 + 1e-4 * unit(x))
    assert same_nearest(found["tsne"], labels) == 1
    assert 0 < np.ptp(found["pca"]) < 1e-3


def test_features_that_are_all_the_same_are_one_point_without_a_share():
    found = project(np.ones((10, 6), np.float32) * np.arange(1, 11)[:, None])
    assert not found["pca"].any()
    assert not found["tsne"].any()
    assert found["shares"].tolist() == [0, 0]


@pytest.mark.parametrize("count", [4, 5, 7])
def test_a_handful_of_images_is_enough(count: int):
    found = project(clusters(count)[0])
    assert np.isfinite(found["tsne"]).all()
    assert np.ptp(found["tsne"], axis=0).min() > 0


def test_what_cannot_be_mapped_is_refused():
    with pytest.raises(TriptychError, match="4 images or more; there are 3"):
        project(np.eye(3))
    with pytest.raises(TriptychError, match="not finite"):
        project(np.array([[1.0, np.nan]] * 6))


@dataclass(frozen=True)
class Nothing:
    pass


class Slopes(Method):
    """Encodes an image as its pixels, centred, some of them turned round: a fixed map."""

    Config = Nothing
    gauge = ""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(Nothing(), DataSpec(shape, "grey"))

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def encode(self, x):
        return x.flatten(1).flip(1) - 0.4


def subject(splits: dict[str, Images], classes: tuple[str, ...] | None = None) -> Subject:
    method = Slopes(tuple(splits["train"].pixels.shape[1:])).eval()
    data = Dataset("d", "D", splits, classes, "grey", "")
    return Subject(method, data, "none", torch.device("cpu"), "best")


def split(count: int, seed: int, classes: int = 3, labelled: bool = True) -> Images:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (count, 1, 4, 5)).astype(np.uint8)
    return Images(pixels, draw.permutation(np.arange(count) % classes) if labelled else None)


def encoded(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)[:, ::-1] / 255 - 0.4


def test_a_map_is_of_images_evenly_spread_with_their_own_labels_and_pixels():
    splits = {"train": split(8, 0), "test": split(BLOCK + 101, 1)}
    found = feature_map(subject(splits, ("a", "b", "c")), "test", count=61)
    index = np.round(np.linspace(0, BLOCK + 100, 61)).astype(int)
    assert found["index"].tolist() == index.tolist()
    assert (found["images"] == splits["test"].pixels[index]).all()
    assert (found["labels"] == splits["test"].labels[index]).all()
    assert found["classes"].tolist() == ["a", "b", "c"]
    expected = project(encoded(splits["test"].pixels[index]))
    assert np.abs(found["pca"]) == pytest.approx(np.abs(expected["pca"]), abs=1e-5)
    assert found["shares"] == pytest.approx(expected["shares"], rel=1e-4)


def test_thumbnails_of_large_images_keep_proportions_and_levels():
    levels = np.arange(10, dtype=np.uint8)[:, None, None, None] * 25
    pixels = np.broadcast_to(levels, (10, 1, 80, 48)).copy()
    pixels[:, :, :40] //= 5
    found = feature_map(subject({"train": Images(pixels, None)}), "train")["images"]
    assert found.shape == (10, 1, 32, 19)
    assert (found[:, 0, 20:].astype(int) == levels[:, :, 0]).all()
    assert (found[:, 0, :12].astype(int) == levels[:, :, 0] // 5).all()


def test_what_is_kept_is_read_back_without_pickles(tmp_path):
    splits = {"train": split(30, 0), "test": split(20, 1)}
    run = Run.create(tmp_path / "run", {"seed": 0})
    for name, arrays in (
        ("feature-map", feature_map(subject(splits, ("a", "é", "写")), "test")),
        ("neighbours", neighbours(subject(splits), "test")),
    ):
        run.save_arrays(name, **arrays)
        back = run.arrays(name)
        assert back.keys() == arrays.keys()
        assert all((back[key] == arrays[key]).all() for key in arrays)
        assert (str(back["split"]), str(back["checkpoint"])) == ("test", "best")
    assert back["classes"].tolist() == ["0", "1", "2"], "numbers where nobody named them"


def test_the_nearest_others_on_a_map_are_those_of_a_full_sort_among_the_shown():
    splits = {"train": split(8, 0), "test": split(BLOCK + 400, 1)}
    found = feature_map(subject(splits), "test", count=650)
    shown, n = found["shown"], 600
    assert shown.tolist() == np.round(np.linspace(0, 649, n)).astype(int).tolist()
    x = unit(encoded(found["images"][shown]))
    cosine = x @ x.T
    np.fill_diagonal(cosine, -np.inf)
    index = np.argsort(-cosine, axis=1)[:, :8]
    assert (found["nearest"] == index).all()
    assert found["similarity"] == pytest.approx(np.take_along_axis(cosine, index, 1), abs=1e-5)


def test_fewer_than_are_shown_are_all_shown_and_have_all_others_as_neighbours():
    found = feature_map(subject({"train": split(6, 0, labelled=False)}), "train")
    assert found["shown"].tolist() == list(range(6))
    assert [sorted(row) for row in found["nearest"].tolist()] == [
        [other for other in range(6) if other != own] for own in range(6)
    ]


def test_a_row_is_never_its_own_neighbour_but_copies_of_it_are():
    copies = torch.tensor([[0.3, 0.1, -0.7]]).repeat(20, 1) * torch.arange(1, 21)[:, None]
    features = torch.cat([copies, torch.eye(3)])
    cosine, place = nearest_others(features, k=8)
    assert not (place == torch.arange(23)[:, None]).any()
    assert all(len(set(row)) == 8 for row in place.tolist())
    assert (place[:20] < 20).all()
    assert cosine[:20].numpy() == pytest.approx(1, abs=1e-6)


def test_neighbours_are_those_of_a_full_sort():
    splits = {"train": split(BLOCK + 80, 0), "test": split(BLOCK + 50, 1)}
    found = neighbours(subject(splits, ("a", "b", "c")), "test", queries=9, k=5)
    bank, wanted = splits["train"].pixels, splits["test"].pixels[found["query_index"]]
    cosine = unit(encoded(wanted)) @ unit(encoded(bank)).T
    index = np.argsort(-cosine, axis=1)[:, :5]
    assert found["index"].tolist() == index.tolist()
    assert found["similarity"] == pytest.approx(np.take_along_axis(cosine, index, 1), abs=1e-5)
    assert (found["queries"] == wanted).all()
    assert (found["images"] == bank[index]).all()
    assert (found["labels"] == splits["train"].labels[index]).all()
    assert (found["query_labels"] == splits["test"].labels[found["query_index"]]).all()
    assert found["query_labels"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("classes", "queries", "expected"),
    [
        (10, 12, list(range(10))),
        (5, 12, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (40, 4, [0, 13, 26, 39]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_queries_are_of_every_class_as_far_as_they_go(classes, queries, expected):
    splits = {"train": split(200, 0, classes), "test": split(200, 1, classes)}
    found = neighbours(subject(splits), "test", queries)
    assert found["query_labels"].tolist() == expected
    assert len(set(found["query_index"].tolist())) == len(expected)


def test_queries_of_a_class_are_spread_over_it():
    labels = np.zeros(100, np.int64)
    test = Images(split(100, 1).pixels, labels)
    found = neighbours(subject({"train": split(20, 0, 1), "test": test}), "test", 4)
    assert found["query_index"].tolist() == [12, 37, 62, 87]


def test_a_class_of_fewer_images_gives_those_it_has():
    test = Images(split(9, 1).pixels, np.array([0] * 8 + [1]))
    found = neighbours(subject({"train": split(20, 0, 2), "test": test}), "test", 6, k=30)
    assert found["query_labels"].tolist() == [0, 0, 0, 1]
    assert found["index"].shape == (4, 20), "all training images where there are fewer than k"


def test_without_labels_queries_are_spread_over_the_split_and_nothing_is_named():
    splits = {"train": split(30, 0), "test": split(23, 1, labelled=False)}
    found = neighbours(subject(splits), "test", 12, k=3)
    assert found["query_index"].tolist() == list(range(0, 23, 2))
    assert not {"labels", "query_labels", "classes"} & found.keys()
    assert not {"labels", "classes"} & feature_map(subject(splits), "test").keys()
