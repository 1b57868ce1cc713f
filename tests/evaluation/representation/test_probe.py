"""Linear probes against Newton's method, a known Bayes accuracy, a loop over torch's own SGD, and chance."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ndtr
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.representation import probe as module
from triptych.evaluation.representation import softmax_regression
from triptych.evaluation.representation.probe import Fold, logistic_probe, probe, sgd_probe
from triptych.evaluation.subject import Subject, generator
from triptych.types import DataSpec, Method

PROBES = [sgd_probe, logistic_probe]


def gaussians(count: int, seed: int, apart: float = 2.0, d: int = 20) -> Fold:
    """Two classes, N(±apart/2 · u, I): the best accuracy is Φ(apart / 2), reached by a hyperplane."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, count)
    direction = np.ones(d) / math.sqrt(d)
    x = draw.normal(size=(count, d)) + (labels - 0.5)[:, None] * apart * direction
    return Fold(torch.from_numpy(x).float(), labels)


def triangle(count: int, seed: int) -> Fold:
    """Three overlapping classes in four dimensions of very different scales."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, count)
    x = 1.5 * np.eye(3, 4)[labels] + draw.normal(size=(count, 4))
    return Fold(torch.from_numpy(x * [1, 10, 0.1, 3] + [0, 5, 1, -2]).float(), labels)


def newton(fold: Fold, strength: float, queries: torch.Tensor) -> np.ndarray:
    """Multinomial logistic regression by the whole Hessian, in double precision."""
    x = fold.x.double().numpy()
    mean, deviation = x.mean(0), x.std(0, ddof=1)
    a = np.c_[(x - mean) / deviation, np.ones(len(x))]
    classes = fold.labels.max() + 1
    onehot, d = np.eye(classes)[fold.labels], a.shape[1]
    w = np.zeros((classes, d))
    ridge = np.tile(np.r_[np.ones(d - 1), 1e-9], classes)
    for _ in range(30):
        p = np.exp(a @ w.T)
        p /= p.sum(1, keepdims=True)
        gradient = strength * ((p - onehot).T @ a).ravel() + ridge * w.ravel()
        hessian = np.diag(ridge)
        for i in range(classes):
            for j in range(classes):
                weight = p[:, i] * ((i == j) - p[:, j])
                block = strength * (a * weight[:, None]).T @ a
                hessian[i * d : (i + 1) * d, j * d : (j + 1) * d] += block
        w -= np.linalg.solve(hessian, gradient).reshape(w.shape)
    asked = (queries.double().numpy() - mean) / deviation
    return (np.c_[asked, np.ones(len(asked))] @ w.T).argmax(1)


@pytest.mark.parametrize("fit", PROBES)
def test_separable_classes_are_separated(fit):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 5, 600)
    x = torch.from_numpy(np.eye(5)[labels] * 6 + 0.1 * draw.normal(size=(600, 5)))
    fold = Fold(x, labels)
    assert (fit(fold, fold, x).predicted == labels).all()


@pytest.mark.parametrize("strength", [1e-3, 1e-1])
def test_the_logistic_probe_is_newtons_solution(strength: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRENGTHS", (strength,))
    train, queries = triangle(500, 0), triangle(4000, 1)
    found = logistic_probe(train, queries, queries.x)
    expected = newton(train, strength, queries.x)
    assert found.chosen == strength
    assert found.note == ""
    assert (found.predicted == expected).mean() > 0.998
    assert 0.5 < (expected == queries.labels).mean() < 0.9


def test_sgd_is_torchs_own_on_one_learning_rate(monkeypatch: pytest.MonkeyPatch):
    """All rates are trained in one product; each must be what it is by itself."""
    monkeypatch.setattr(module, "EPOCHS", 3)
    train = triangle(1000, 0)
    x = F.pad(train.x, (0, 1), value=1)
    y = torch.from_numpy(train.labels)
    rates = torch.tensor([0.001, 0.02])
    found = module._trained(train.x, y, 3, rates).view(2, 3, 5)
    for place, rate in enumerate(rates.tolist()):
        layer = nn.Linear(5, 3, bias=False)
        nn.init.zeros_(layer.weight)
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)
        draw = generator(torch.device("cpu"), "probe")
        for _ in range(3):
            for rows in torch.randperm(1000, generator=draw)[:768].split(256):
                optimizer.zero_grad()
                F.cross_entropy(layer(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
        assert torch.allclose(found[place], layer.weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fit", PROBES)
def test_overlapping_gaussians_are_told_apart_as_well_as_can_be(fit):
    train, choice, test = (gaussians(n, s) for n, s in ((6000, 0), (1000, 1), (20_000, 2)))
    share = (fit(train, choice, test.x).predicted == test.labels).mean()
    best = float(ndtr(1.0))
    assert best - 0.02 < share < best + 3 * math.sqrt(best * (1 - best) / 20_000)


@pytest.mark.parametrize("scale", [30, 1e4])
def test_the_learning_rate_knows_the_scale_of_the_features(scale: float):
    train, test = gaussians(3000, 0), gaussians(3000, 1)
    scaled = train._replace(x=train.x * scale)
    share = (sgd_probe(scaled, scaled, test.x * scale).predicted == test.labels).mean()
    assert abs(share - float(ndtr(1.0))) < 0.03


@pytest.mark.parametrize("fit", PROBES)
def test_permuted_labels_give_chance(fit):
    draw = np.random.default_rng(5)
    train, choice, test = (triangle(n, s) for n, s in ((3000, 0), (500, 1), (6000, 2)))
    train = train._replace(labels=draw.permutation(train.labels))
    share = (fit(train, choice, test.x).predicted == test.labels).mean()
    assert abs(share - 1 / 3) < 0.12
    shuffled = draw.permutation(test.labels)
    assert abs((fit(train, choice, test.x).predicted == shuffled).mean() - 1 / 3) < 0.025


@pytest.mark.parametrize("fit", PROBES)
def test_the_setting_is_chosen_on_its_own_images(fit):
    """Where the choice's labels are flipped, the setting that learned least does best."""
    train, test = gaussians(1000, 0), gaussians(500, 1)
    honest, flipped = (fit(train, Fold(test.x, y), test.x) for y in (test.labels, 1 - test.labels))
    again = fit(train, Fold(test.x, test.labels), test.x)
    assert (honest.predicted == again.predicted).all(), "deterministic"
    right = [(p.predicted == test.labels).sum() for p in (honest, flipped)]
    assert right[0] >= right[1]


def test_a_fit_that_has_not_converged_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ITERATIONS", 1)
    train = triangle(500, 0)
    assert logistic_probe(train, train, train.x).note == "not converged within 1 iterations"


@pytest.mark.parametrize("fit", PROBES)
def test_constant_features_and_single_classes(fit):
    fold = Fold(torch.full((50, 3), 0.3), np.arange(50) % 2)
    assert len(set(fit(fold, fold, fold.x).predicted.tolist())) == 1
    with pytest.raises(TriptychError, match="two classes"):
        fit(Fold(fold.x, np.zeros(50, np.int64)), fold, fold.x)


class Flat(Method):
    """Encodes an image as its pixels, centred."""

    Config = type("Config", (), {})
    gauge = ""

    def __init__(self) -> None:
        super().__init__(None, DataSpec((1, 2, 2), "grey"))

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def encode(self, x):
        return x.flatten(1) - 0.5


def planted(names: dict[str, int]) -> Subject:
    splits = {}
    for seed, (name, count) in enumerate(names.items()):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, 4, count)
        pixels = 100 + 40 * np.eye(4)[labels] + 30 * draw.normal(size=(count, 4))
        splits[name] = Images(pixels.clip(0, 255).astype(np.uint8).reshape(-1, 1, 2, 2), labels)
    data = Dataset("d", "D", splits, None, "grey", "")
    return Subject(Flat().eval(), data, "none", torch.device("cpu"))


def test_results_say_how_they_were_made():
    subject = planted({"train": 900, "valid": 200, "test": 300})
    found = probe(subject, "test")
    assert set(found) == {"test/linear_top1", "test/logistic_top1"}
    train, valid, test = (
        Fold(subject.features(name), subject.dataset.splits[name].labels)
        for name in ("train", "valid", "test")
    )
    for name, fit, setting in (
        ("linear", sgd_probe, "learning rate"),
        ("logistic", logistic_probe, "C"),
    ):
        result, fitted = found[f"test/{name}_top1"], fit(train, valid, test.x)
        assert result.value == (fitted.predicted == test.labels).mean() > 0.5
        assert result.n == 300
        assert result.stderr == pytest.approx(math.sqrt(result.value * (1 - result.value) / 300))
        assert result.protocol["chosen_on"] == "valid (200)"
        assert result.protocol["augmentation"] == "none"
        assert re.fullmatch(
            rf"95 % interval 0\.\d+ to 0\.\d+ \(Wilson\); {setting} {fitted.chosen:.3g}",
            result.note,
        )


def test_without_other_images_a_tenth_of_the_training_images_chooses():
    subject = planted({"train": 905, "test": 300})
    result = probe(subject, "test")["test/logistic_top1"]
    assert result.protocol["chosen_on"] == "every tenth of train (91)"
    assert result.protocol["train"] == "train (814)"
    x, labels = subject.features("train"), subject.dataset.splits["train"].labels
    held = np.arange(905) % 10 == 0
    folds = Fold(x[~held], labels[~held]), Fold(x[held], labels[held])
    expected = logistic_probe(*folds, subject.features("test")).predicted
    assert result.value == (expected == subject.dataset.splits["test"].labels).mean()


def relabelled(subject: Subject, **labels: np.ndarray | None) -> Subject:
    splits = {
        name: Images(images.pixels, labels.get(name, images.labels))
        for name, images in subject.dataset.splits.items()
    }
    return replace(subject, dataset=replace(subject.dataset, splits=splits))


@pytest.mark.parametrize("valid", [None, np.full(200, 9), np.r_[np.full(191, 9), np.zeros(9, int)]])
def test_validation_images_that_cannot_choose_leave_it_to_training_images(valid):
    """Without labels, of classes that nobody was taught, or too few."""
    subject = relabelled(planted({"train": 905, "valid": 200, "test": 300}), valid=valid)
    found = probe(subject, "test")
    assert found["test/logistic_top1"].protocol["chosen_on"] == "every tenth of train (91)"
    bare = planted({"train": 905, "valid": 200, "test": 300})
    del bare.dataset.splits["valid"]
    assert {k: v.value for k, v in found.items()} == {
        k: v.value for k, v in probe(bare, "test").items()
    }


def test_the_only_image_of_a_class_is_trained_on_and_not_held_out():
    subject = planted({"train": 40, "test": 30})
    labels = np.where(np.arange(40) == 10, 3, np.arange(40) % 3)
    found = probe(relabelled(subject, train=labels), "test")
    assert found["test/linear_top1"].protocol["chosen_on"] == "every tenth of train (3)"
    two = planted({"train": 2, "test": 30})
    found = probe(relabelled(two, train=np.array([0, 1])), "test")
    assert found["test/linear_top1"].protocol["chosen_on"] == "train itself (2)"


@pytest.mark.parametrize("fit", PROBES)
def test_classes_are_the_values_that_occur(fit):
    fold, test = triangle(300, 0), triangle(100, 1)
    far = fold._replace(labels=fold.labels * 3_000_000_000 + 7)
    near = fit(fold, fold, test.x).predicted
    assert (fit(far, far, test.x).predicted == near * 3_000_000_000 + 7).all()


@pytest.mark.parametrize("fit", PROBES)
def test_features_in_small_blocks_are_fitted_as_whole_ones(fit, monkeypatch: pytest.MonkeyPatch):
    train, queries = triangle(3000, 0), triangle(500, 1)
    monkeypatch.setattr(module, "EPOCHS", 3)
    whole = fit(train, queries, queries.x)
    monkeypatch.setattr(module, "TOGETHER", 1)
    monkeypatch.setattr(softmax_regression, "ROWS", 100)
    parts = fit(train, queries, queries.x)
    assert parts.chosen == pytest.approx(whole.chosen, rel=1e-6)
    assert (parts.predicted == whole.predicted).all()


def test_what_is_standardised_in_place_is_the_standardised(monkeypatch: pytest.MonkeyPatch):
    """Rows, some at a time, against all of them in double precision."""
    seen: list[torch.Tensor] = []
    objective = softmax_regression._objective

    def kept(rows: torch.Tensor, *given):
        seen.append(rows)
        return objective(rows, *given)

    monkeypatch.setattr(softmax_regression, "_objective", kept)
    monkeypatch.setattr(softmax_regression, "ROWS", 64)
    train = triangle(1000, 0)
    logistic_probe(train, train, train.x)
    x = train.x.double()
    z = (x - x.mean(0)) / x.std(0)
    (rows,) = seen
    # Turned to the principal axes: lengths and products stay.
    turned = rows[:, :-1].double()
    assert torch.allclose(turned @ turned.T, z @ z.T, atol=1e-4)
    assert (rows[:, -1] == 1).all()
