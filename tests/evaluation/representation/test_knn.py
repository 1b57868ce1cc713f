"""Nearest neighbours against scikit-learn's and against all cosines in double precision."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest, norm
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.labels import judged
from triptych.evaluation.representation import cosine_neighbours as module
from triptych.evaluation.representation.cosine_neighbours import CHUNK, SMALL, nearest
from triptych.evaluation.representation.knn import (
    _voted,
    knn,
    knn_predict,
    pixels_top1,
    scored,
    scored_pixels,
    untrained_top1,
    voters,
)
from triptych.evaluation.statistics import proportion, share_error
from triptych.evaluation.subject import BLOCK, Subject
from triptych.intervals import wilson
from triptych.types import DataSpec, Method


def clouds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seven overlapping classes in twelve dimensions."""
    centres = np.random.default_rng(99).normal(size=(7, 12))
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 7, count)
    return (centres[labels] + 1.5 * draw.normal(size=(count, 12))).astype(np.float32), labels


def reference(bank, labels, queries, k: int, temperature: float) -> np.ndarray:
    model = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    )
    return model.fit(bank.astype(np.float64), labels).predict(queries.astype(np.float64))


@pytest.mark.parametrize(
    ("k", "temperature"), [(1, 0.1), (20, 0.1), (200, 0.1), (200, 0.07), (50, 1.0)]
)
def test_predictions_are_those_of_scikit_learn(k: int, temperature: float):
    bank, labels = clouds(800, 0)
    queries, _ = clouds(CHUNK + 200, 1)
    found = knn_predict(*map(torch.from_numpy, (bank, labels, queries)), k, temperature)
    expected = reference(bank, labels, queries, k, temperature)
    assert (found.numpy() == expected).mean() > 0.999, "but for ties that rounding decides"
    assert 0.3 < (expected == clouds(CHUNK + 200, 1)[1]).mean() < 0.95


def test_a_low_temperature_approaches_the_nearest_neighbour():
    """exp(cos / t) overflows single precision below t ≈ 0.011; the votes must not."""
    bank, labels = clouds(300, 0)
    queries, _ = clouds(200, 1)
    tensors = [torch.from_numpy(v) for v in (bank, labels, queries)]
    found = knn_predict(*tensors, 50, 0.005)
    assert (found.numpy() == reference(bank, labels, queries, 50, 0.005)).mean() > 0.99


def test_more_neighbours_than_there_are_is_all_of_them():
    bank, labels = clouds(30, 0)
    queries, _ = clouds(50, 1)
    found = knn_predict(*map(torch.from_numpy, (bank, labels, queries)), 200, 0.1)
    assert (found.numpy() == reference(bank, labels, queries, 30, 0.1)).all()


def blobs(count: int, seed: int, width: float) -> torch.Tensor:
    """Ten clusters in 48 dimensions through a ReLU, as a network's features are."""
    centres = torch.randn(10, 48, generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (count,), generator=draw)
    return (centres[labels] + width * torch.randn(count, 48, generator=draw)).relu()


def in_a_plane(count: int, seed: int) -> torch.Tensor:
    """Of rank two: thousands of neighbours nearer than half precision can tell."""
    axes = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)) @ axes


SETS = {
    "wide": lambda count, seed: blobs(count, seed, 4.0),
    "tight": lambda count, seed: blobs(count, seed, 0.05),
    "almost alike": lambda count, seed: 1 + 0.02 * blobs(count, seed, 4.0),
    "of rank two": in_a_plane,
}


def all_cosines(bank: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    unit = [x.double() / x.double().norm(dim=1, keepdim=True) for x in (queries, bank)]
    return unit[0] @ unit[1].T


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("k", [1, 8, 200])
@pytest.mark.parametrize("name", SETS)
def test_the_nearest_are_those_of_all_cosines(
    name: str, k: int, half: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "has_bf16", lambda _: half)
    bank, queries = SETS[name](SMALL + 5, 1), SETS[name](150, 2)
    similarity, index = nearest(bank, queries, k)
    cosines = all_cosines(bank, queries)
    expected = cosines.topk(k).values
    assert (similarity - expected).abs().max() < 1e-6
    assert (cosines.gather(1, index) - expected).abs().max() < 1e-6
    assert all(len(set(row)) == k for row in index.tolist())
    assert (similarity[:, :-1] >= similarity[:, 1:]).all()


@pytest.mark.parametrize(("bank", "k"), [(3, 2), (500, 500), (6000, 50)])
def test_an_accelerators_way_finds_the_same(bank: int, k: int, monkeypatch: pytest.MonkeyPatch):
    """By fp32 products alone, several chunks of queries at once; run here on the CPU."""
    monkeypatch.setattr(module, "ACCELERATED", 40 * bank)
    rows, centre = module._centred(blobs(bank, 0, 1.0))
    queries = blobs(130, 1, 1.0)
    units = queries / queries.norm(dim=1, keepdim=True)
    found, place = module._by_products(rows, F.pad(units - centre, (0, 1), value=1), k)
    expected, at = nearest(blobs(bank, 0, 1.0), queries, k)
    cosine = found + (units * centre).sum(1, keepdim=True)
    torch.testing.assert_close(cosine, expected, rtol=0, atol=1e-5)
    # Where neighbours differ they are equally near but for rounding.
    assert (place == at).float().mean() > 0.99
    assert (cosine.diff(dim=1) <= 1e-6).all()


def test_votes_do_not_depend_on_the_order_in_which_they_are_added():
    draw = torch.Generator().manual_seed(0)
    similarity = torch.rand(200, 150, generator=draw).sort(dim=1, descending=True).values
    index = torch.randint(0, 900, (200, 150), generator=draw)
    labels = torch.arange(900) % 3
    found = _voted(similarity, index, labels, 0.1)
    # The nearest stays first: the others are relative to it.
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(149, generator=draw)])
    assert torch.equal(_voted(similarity[:, order], index[:, order], labels, 0.1), found)
    weights = ((similarity - similarity[:, :1]).double() / 0.1).exp()
    votes = torch.stack([(weights * (labels[index] == c)).sum(1) for c in range(3)], 1)
    assert torch.equal(found, votes.argmax(1))
    # Two against one, each of half its weight: of equal votes the lower class.
    near = torch.tensor([[0.0, -math.log(2), -math.log(2)]])
    assert _voted(near, torch.tensor([[2, 0, 0]]), torch.tensor([0, 1, 2]), 1.0).tolist() == [0]


def test_half_precision_alone_would_be_wrong():
    """So that the test above tests something."""
    bank, queries = in_a_plane(SMALL + 5, 1), in_a_plane(150, 2)
    cosines = all_cosines(bank, queries)
    rough = (queries.bfloat16() @ bank.bfloat16().T).topk(200).indices
    assert (cosines.gather(1, rough).amin(1) < cosines.topk(200).values[:, -1] - 1e-5).any()


@pytest.mark.parametrize("half", [True, False])
def test_neighbours_do_not_depend_on_chunks_or_threads(half: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "has_bf16", lambda _: half)
    bank = blobs(SMALL + 5, 1, 4.0)
    bank[100:400] = bank[400:700]
    queries = blobs(90, 2, 4.0)
    torch.set_num_threads(1)
    expected = nearest(bank, queries, 20)
    torch.set_num_threads(2)
    monkeypatch.setattr(module, "CHUNK", 7)
    for found, wanted in zip(nearest(bank, queries, 20), expected, strict=True):
        assert torch.equal(found, wanted)
    assert torch.get_num_threads() == 2


def test_of_equal_neighbours_the_earlier_comes_first():
    bank = torch.eye(4)[[0, 1, 1, 0, 2]]
    similarity, index = nearest(bank, torch.eye(4)[[1, 0]], 3)
    assert index[:, :2].tolist() == [[1, 2], [0, 3]]
    assert similarity.numpy() == pytest.approx(np.array([[1, 1, 0], [1, 1, 0]]), abs=1e-6)


@pytest.mark.parametrize(("members", "count"), [(100, 3), (101, 3), (167, 5), (64, 40)])
def test_the_largest_by_group_maxima_are_the_largest(members: int, count: int):
    draw = torch.Generator().manual_seed(members)
    scores = torch.randint(0, 30, (200, members), generator=draw).float()
    index = module._largest(scores, count)
    found = scores.gather(1, index).sort(dim=1, descending=True).values
    assert torch.equal(found, scores.topk(count).values)
    assert all(len(set(row)) == count for row in index.tolist())


def test_a_row_of_zeros_is_like_nothing():
    bank = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    similarity, index = nearest(bank, torch.tensor([[2.0, 0.0], [0.0, 0.0]]), 3)
    assert index[0].tolist() == [1, 0, 2]
    assert similarity.numpy() == pytest.approx(np.array([[1, 0, -1], [0, 0, 0]]), abs=1e-6)


def test_mistakes_are_said():
    bank, labels = torch.eye(3), torch.arange(3)
    with pytest.raises(TriptychError, match=r"k, must be 1 or more, not 0"):
        knn_predict(bank, labels, bank, k=0)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(TriptychError, match="temperature"):
            knn_predict(bank, labels, bank, temperature=temperature)
    for bad in (math.nan, math.inf):
        with pytest.raises(TriptychError, match="not finite"):
            nearest(torch.full((3, 3), bad), bank, 1)
        with pytest.raises(TriptychError, match="not finite"):
            nearest(bank, torch.full((1, 3), bad), 1)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (6860, 10_000), (1, 3)])
def test_the_interval_of_a_share_is_wilsons(right: int, n: int):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)
    result = proportion(right / n, n, {}, "more")
    text = f"95 % interval {expected.low:.3f} to {expected.high:.3f} (Wilson)"
    assert result.note.startswith(text) and result.note.endswith("; more")
    if 0 < right < n:
        assert result.stderr == pytest.approx(math.sqrt(right * (n - right) / n**3))
        assert result.note == text + "; more"
    else:
        width = (expected.high - expected.low) / 2
        assert result.stderr == pytest.approx(width / norm.ppf(0.975), rel=1e-5), "not ± 0"
        assert "binomial one is 0" in result.note


@dataclass(frozen=True)
class Nothing:
    pass


class Mean(Method):
    """Encodes an image as its twelve pixels, in reverse and centred: a fixed map."""

    Config = Nothing
    gauge = ""

    def __init__(self) -> None:
        super().__init__(Nothing(), DataSpec((1, 3, 4), "grey"))
        self.flatten = nn.Flatten()

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def encode(self, x):
        return self.flatten(x).flip(-1) - 0.5


class Dark(Mean):
    """Sees only the first three pixels."""

    def encode(self, x):
        return super().encode(x)[:, -3:]


def split(count: int, seed: int) -> Images:
    values, labels = clouds(count, seed)
    pixels = np.clip(values * 20 + 128, 0, 255).astype(np.uint8).reshape(-1, 1, 3, 4)
    return Images(pixels, labels)


def test_accuracy_of_encoder_and_of_pixels_with_all_images_of_both_splits(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("triptych.evaluation.representation.knn.VOTERS", 30)
    splits = {"train": split(BLOCK + 40, 0), "test": split(BLOCK + 11, 1)}
    subject = Subject(
        Mean().eval(), Dataset("d", "D", splits, None, "grey", ""), "none", torch.device("cpu")
    )
    found = knn(subject, "test")
    found |= untrained_top1(replace(subject, method=Dark().eval()), "test")
    flat = {k: v.pixels.reshape(len(v), -1).astype(np.float64) / 255 for k, v in splits.items()}
    for name, shift in (("test/knn_top1", 0.5), ("test/knn_top1_pixels", 0.0)):
        bank, queries = flat["train"] - shift, flat["test"] - shift
        expected = reference(bank, splits["train"].labels, queries, 30, 0.1)
        share = (expected == splits["test"].labels).mean()
        result = found[name]
        assert result.n == BLOCK + 11
        assert result.value == pytest.approx(share, abs=1.5 / result.n)
        spread = math.sqrt(result.value * (1 - result.value) / result.n)
        assert result.stderr == pytest.approx(spread)
        assert result.protocol["k"] == 30
        assert result.protocol["bank"] == f"train ({BLOCK + 40})"
    assert (
        found["test/knn_top1"].protocol["features"]
        != found["test/knn_top1_pixels"].protocol["features"]
    )
    dark = scored(
        torch.from_numpy(flat["train"][:, :3] - 0.5),
        splits["train"].labels,
        torch.from_numpy(flat["test"][:, :3] - 0.5),
        splits["test"].labels,
        k=30,
    )
    untrained = found["test/knn_top1_untrained"]
    assert untrained.value == pytest.approx(dark.top1, abs=2.5 / untrained.n)
    assert untrained.value < found["test/knn_top1"].value - 0.05
    assert untrained.protocol["features"] == "output of the untrained encoder"
    assert "(Wilson)" in untrained.note
    assert subject.features("test").shape == (BLOCK + 11, 12)


@pytest.mark.parametrize(
    ("counts", "k"),
    [
        ([350] * 10, 200),  # mnist-5k
        ([4500] * 10, 200),  # CIFAR-10 with 5,000 held out
        ([5000] * 10, 200),
        ([450] * 100, 200),
        ([162, 18], 12),
        ([90, 90], 12),
        ([3000, 60], 60),
        ([3000, 3], 10),
        ([1, 1], 1),
        ([14, 1], 1),
        ([29, 1], 2),
    ],
)
def test_how_many_vote_follows_the_bank(counts: list[int], k: int):
    assert voters(np.repeat(np.arange(len(counts)) * 10**9, counts)) == k


def minority() -> tuple[torch.Tensor, np.ndarray, torch.Tensor, np.ndarray]:
    """Two clusters that hardly overlap, at a cosine of 0.9: 162 and 18 in the bank, 50 queries of each."""
    draw = np.random.default_rng(0)
    counts = {"bank": (162, 18), "queries": (50, 50)}
    labels = {name: np.repeat([0, 1], some) for name, some in counts.items()}
    centres = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 3.0]])
    bank, queries = (
        torch.from_numpy(centres[y] + 0.25 * draw.normal(size=(len(y), 3))).float()
        for y in labels.values()
    )
    return bank, labels["bank"], queries, labels["queries"]


def test_the_minority_is_not_voted_down_by_the_whole_bank():
    bank, labels, queries, truth = minority()
    all_vote, few_vote = (scored(bank, labels, queries, truth, k) for k in (200, None))
    assert (all_vote.k, few_vote.k) == (180, 12)
    assert few_vote.balanced > 0.9 > all_vote.balanced
    assert (
        few_vote.top1
        == (knn_predict(bank, torch.from_numpy(labels), queries, 12).numpy() == truth).mean()
    )


def test_balanced_is_the_mean_of_recalls_with_the_error_of_a_mean_of_shares():
    bank, labels, queries, truth = minority()
    rows = np.r_[:50, 50:57]
    found = scored(bank, labels, queries[rows], truth[rows], k=150)
    predicted = knn_predict(bank, torch.from_numpy(labels), queries[rows], k=150).numpy()
    assert found.balanced == pytest.approx(balanced_accuracy_score(truth[rows], predicted))
    assert found.top1 == (predicted == truth[rows]).mean()
    recall = [(predicted[truth[rows] == c] == c).mean() for c in (0, 1)]
    errors = [share_error(p, n) for p, n in zip(recall, (50, 7), strict=True)]
    assert found.error == pytest.approx(math.sqrt(sum(e**2 for e in errors)) / 2)
    assert (found.n, found.classes) == (57, 2)


def test_raw_pixels_are_compared_once_for_images_that_are_known(monkeypatch: pytest.MonkeyPatch):
    splits = {"train": split(300, 0), "test": split(100, 1)}
    calls = []

    def counted(*given):
        calls.append(given)
        return scored_pixels(*given)

    monkeypatch.setattr("triptych.evaluation.representation.knn.scored_pixels", counted)
    for fingerprint, times in (("", 2), ("known by this", 1)):
        data = Dataset("d", "D", splits, None, "grey", fingerprint)
        subject = Subject(Mean().eval(), data, "none", torch.device("cpu"))
        calls.clear()
        who = judged(data, "test")
        first, again = (pixels_top1(subject, "test", who) for _ in range(2))
        expected = scored_pixels(subject, "test", who)
        assert first == again == (expected.top1, expected.k)
        assert len(calls) == times


@pytest.mark.parametrize("size", [1, 10**9])
def test_raw_pixels_in_parts_vote_as_all_at_once(size: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triptych.evaluation.representation.knn.PART", size)
    splits = {"train": split(2 * BLOCK + 40, 0), "test": split(BLOCK + 11, 1)}
    data = Dataset("d", "D", splits, None, "grey", "")
    who = judged(data, "test")
    found = scored_pixels(Subject(Mean(), data, "none", torch.device("cpu")), "test", who, k=50)
    flat = {k: torch.from_numpy(v.pixels).flatten(1) / 255 for k, v in splits.items()}
    expected = scored(flat["train"], who.bank, flat["test"], who.labels, k=50)
    assert found == expected


def test_labels_as_large_as_they_like_are_voted_for():
    bank, labels, queries, _ = minority()
    far = torch.from_numpy(labels) * 3_000_000_000 + 7
    near = knn_predict(bank, torch.from_numpy(labels), queries, k=5)
    assert torch.equal(knn_predict(bank, far, queries, k=5), near * 3_000_000_000 + 7)


def test_queries_in_parts_vote_as_all_at_once(monkeypatch: pytest.MonkeyPatch):
    bank, queries, labels = blobs(300, 1, 4.0), blobs(100, 2, 4.0), torch.arange(300) % 3
    whole = knn_predict(bank, labels, queries, 20)
    monkeypatch.setattr("triptych.evaluation.representation.knn.ASKED", 7)
    assert torch.equal(knn_predict(bank, labels, queries, 20), whole)
