"""Shifts along directions of planted generators: one special axis is found by name, a turned space has none."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluation.generation import generation
from triptych.evaluation.latent_space.axes import axes_sentence, comparisons
from triptych.evaluation.latent_space.directions import directions
from triptych.evaluation.latent_space.shifts import SHIFTS, survey
from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.subject import Subject, as_levels
from triptych.runs import Run

D = 24


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rotation(d: int, draw: torch.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(d, d, generator=draw))
    return q * r.diagonal().sign()


class Toy(nn.Module):
    """σ(A z) as colour images 3×4×4; one column of A may be longer, or the latent space scaled and turned."""

    latent = D

    def __init__(self, special: float = 1.0, turn: torch.Tensor | None = None) -> None:
        super().__init__()
        a = torch.linalg.qr(torch.randn(48, D, generator=rng(1)))[0]
        a[:, 7] *= special
        self.a = a if turn is None else a @ turn

    def sample(self, z):
        return torch.sigmoid(z @ self.a.T).view(-1, 3, 4, 4)


def subject(method: nn.Module, progress=lambda *said: None) -> Subject:
    dataset = Dataset(
        "d", "D", {"train": Images(np.zeros((4, 3, 4, 4), np.uint8), None)}, None, "colour", ""
    )
    return Subject(method.eval(), dataset, "none", torch.device("cpu"), progress=progress)


def logits(x: torch.Tensor) -> torch.Tensor:
    """Which quarter of the numbers is the largest: four classes."""
    return 20 * x.flatten(1).unflatten(1, (4, 12)).mean(2)


def planted(names: tuple[str, ...]) -> LabelClassifier:
    """A judge that takes `logits` for its opinion."""
    return LabelClassifier(logits, names, 1.0, np.eye(4, dtype=int), np.ones(4, int), "planted")


def test_in_turned_spaces_axes_are_found_special_no_more_often_than_promised():
    """150 spaces turned at random, half of them with one direction that does most."""
    verdicts, alone, together = [], [], []
    for seed in range(150):
        draw = rng(seed)
        lengths = torch.linspace(0.3, 2, D)
        lengths[-1] *= 1 + 3 * (seed % 2)
        toy = Toy(turn=torch.diag(lengths) @ rotation(D, draw))
        z = torch.randn(5, D, generator=draw)
        u = F.normalize(torch.randn(200, D, generator=draw))
        both = survey(toy.sample, z, torch.cat([torch.eye(D), u]), (1.0, 10.0))
        found = comparisons(
            {k: v[:D] for k, v in both.items()}, {k: v[D:] for k, v in both.items()}
        )
        verdicts.append("not shown to be special" not in axes_sentence(found))
        alone.append(found["movement@1"].p.min() < 0.05)
        together.append(found["movement@1"].together < 0.05)
        assert verdicts[-1] or not any(c.special for c in found.values())
    high = stats.binom.ppf(0.999, 150, 0.05) / 150
    assert max(np.mean(verdicts), np.mean(alone), np.mean(together)) <= high
    assert np.mean(together) > 0, "a test that never alarms is none"


def test_one_special_axis_is_found_by_its_number():
    results, kept = directions(subject(Toy(special=8.0, turn=0.1 * torch.eye(D))))
    value = results["latent/coordinates"].value
    assert value["order"][0] == 7
    assert value["comparison"]["movement@1"]["axes beyond chance"] == [7]
    assert value["sentences"][0].startswith("1 of 24 latent coordinates is special: it differs")
    assert re.search(
        r"the movement of the image at ε = 1 is higher along coordinate 7 \(corrected p (< 0\.001|= 0\.00)",
        value["sentences"][0],
    )
    assert "hue" not in value["sentences"][0]
    assert value["sentences"][1].startswith("1 of 24 coordinates move the image more than chance")
    assert kept["coordinates"].tolist() == value["order"][:3]


def test_a_turned_space_has_no_special_axes():
    value = directions(subject(Toy(1.5, rotation(D, rng(4)))))[0]["latent/coordinates"].value
    assert value["sentences"][0].startswith(
        "The latent coordinates are not shown to be special: in none of 9"
    )
    assert value["sentences"][1].startswith("0 of 24 coordinates")


def test_the_table_holds_every_axis_with_its_class_by_name():
    names = ("zero", "one", "two", "three")
    toy = Toy()
    results, kept = directions(subject(toy), planted(names))
    result = results["latent/coordinates"]
    json.dumps(result.value, allow_nan=False)
    assert result.protocol["judge"] == "planted" and result.protocol["random"] == 200
    assert result.stderr is None and result.note
    z = prior_latents(subject(toy), result.n)
    naive = survey(toy.sample, z, torch.eye(D), SHIFTS, logits)
    table = result.value["axes"]
    for name in ("movement@10", "diversity@100", "share@50", "confidence@20", "hue", "stroke"):
        assert table[name] == pytest.approx(naive[name].tolist(), rel=1e-3, abs=1e-9)
    assert table["class@100"] == [names[int(i)] for i in naive["class@100"]]
    spread = kept["random_movement@10"]
    assert spread.shape == (200,)
    assert result.value["random"]["movement@10"]["mean"] == pytest.approx(spread.mean(), rel=1e-3)
    ends = result.value["destinations"]
    assert list(ends) == list(names)
    begin = result.value["start"]
    assert begin["share"] == pytest.approx(
        max(float((logits(toy.sample(z)).argmax(-1) == k).float().mean()) for k in range(4))
    )
    full = (np.array(table["share@100"]) > 0.9) & (np.array(table["share@100"]) >= begin["least"])
    assert sum(e["axes"] for e in ends.values()) == full.sum()
    assert result.value["converged"]["100"]["axes"] == pytest.approx(full.mean())
    assert "over 90 % in one class" in result.value["sentences"][2]


def test_the_grids_are_the_samples_shifted_along_what_was_asked_for():
    toy = Toy()
    made = subject(toy)
    _, kept = directions(made, coordinates=(23, 0))
    assert kept["coordinates"].tolist() == [23, 0]
    assert kept["shifts"].tolist() == [0, 1, 10, 20, 50, 100]
    assert kept["images"].shape == (2, 6, 10, 3, 4, 4)
    z = prior_latents(made, 10)
    for row, coordinate in enumerate((23, 0)):
        for column, shift in enumerate(kept["shifts"]):
            moved = z.clone()
            moved[:, coordinate] += shift
            wanted = as_levels(toy.sample(moved)).astype(int)
            assert np.abs(kept["images"][row, column] - wanted).max() <= 1
    # No axis gives the random direction's pictures.
    step = torch.logit(torch.from_numpy(kept["random_images"][1] / 255)).flatten(1) @ toy.a.double()
    start = (
        torch.logit(torch.from_numpy(kept["random_images"][0] / 255)).flatten(1) @ toy.a.double()
    )
    u = (step - start).mean(0)
    assert u.norm().item() == pytest.approx(1, abs=0.05)
    assert u.abs().max() < 0.7


@pytest.mark.parametrize("wrong", [-1, 24])
def test_a_coordinate_that_is_not_there_is_refused(wrong):
    with pytest.raises(
        TriptychError, match=rf"no latent coordinate {wrong}.*--coordinates from 0 to 23"
    ):
        directions(subject(Toy()), coordinates=(3, wrong))


def test_a_wrong_coordinate_is_said_before_anything_is_measured(tmp_path):
    class Untouched(Toy):
        def sample(self, z):
            raise AssertionError("a sample was drawn")

    run = Run.create(tmp_path / "run", {})
    with pytest.raises(TriptychError, match="no latent coordinate 24"):
        generation(subject(Untouched()), run, "train", coordinates=(24,))


def test_a_generator_that_does_not_listen_is_described_too():
    class Dead(Toy):
        def sample(self, z):
            return torch.full((len(z), 3, 4, 4), 0.5)

    value = directions(subject(Dead()), planted(tuple("0123")))[0]["latent/coordinates"].value
    json.dumps(value, allow_nan=False)
    assert "not shown to be special" in value["sentences"][0]
    assert value["start"]["share"] == 1 and value["start"]["diversity"] == 0
    assert value["converged"]["100"] == {"axes": 0, "random": 0, "p": 1}
    assert value["sentences"][2].startswith("Nothing follows from where the samples end")
