"""Shifts along directions of planted generators: one special axis is found by name, a turned space has none."""

import colorsys
import json
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.errors import TriptychError
from triptych.evaluate.directions import (
    SHIFTS,
    attributes,
    axes_sentence,
    compare,
    comparisons,
    converged,
    converged_sentence,
    directions,
    hue_change,
    survey,
)
from triptych.evaluate.latent import prior_latents
from triptych.evaluate.paired import holm
from triptych.evaluate.subject import Subject, as_levels

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


def bar(width: int, dark: float, light: float, size: int = 20) -> torch.Tensor:
    image = torch.full((1, 1, size, size), dark)
    image[..., 5 : 5 + width] = light
    return image


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize(("dark", "light"), [(0.0, 1.0), (0.8, 0.3)])
def test_a_bar_has_a_stroke_as_wide_as_it_is_whatever_its_contrast(width, dark, light):
    found = attributes(bar(width, dark, light))
    share = width / 20
    assert found["stroke"].item() == pytest.approx(width * (1 - share), rel=1e-5)
    assert found["brightness"].item() == pytest.approx(dark + share * (light - dark), rel=1e-5)
    spread = abs(light - dark) * math.sqrt(share * (1 - share))
    assert found["contrast"].item() == pytest.approx(spread, rel=1e-5)
    across = attributes(bar(width, dark, light).mT)
    assert across["stroke"].item() == pytest.approx(found["stroke"].item(), rel=1e-5)


def test_colours_count_by_their_luma_and_an_even_image_has_no_stroke():
    green = torch.zeros(1, 3, 6, 6)
    green[:, 1] = 0.5
    found = attributes(green)
    assert found["brightness"].item() == pytest.approx(0.5 * 0.587)
    assert found["contrast"].item() == pytest.approx(0, abs=1e-7)
    assert attributes(torch.full((1, 1, 6, 6), 0.5))["stroke"].item() == 0


def one_colour(hue: float, saturation: float = 1.0) -> torch.Tensor:
    rgb = colorsys.hsv_to_rgb(hue / 360, saturation, 0.8)
    return torch.tensor(rgb).view(3, 1, 1).expand(3, 2, 2)


@pytest.mark.parametrize(("start", "turn"), [(0, 120), (0, -60), (240, 120), (300, 120), (60, 60)])
def test_hue_turns_by_the_shorter_way(start, turn):
    before, after = one_colour(start)[None], one_colour((start + turn) % 360)[None]
    assert hue_change(before, after).item() == pytest.approx(turn, abs=1e-3)


def test_grey_images_have_no_say_in_the_hue_and_pale_ones_little():
    grey = torch.full((1, 3, 2, 2), 0.5)
    before = torch.stack([one_colour(0), grey[0], one_colour(120, 0.01)])
    after = torch.stack([one_colour(60), grey[0], one_colour(120, 0.01)])
    assert hue_change(before[:2], after[:2]).item() == pytest.approx(60, abs=1e-3)
    assert hue_change(before, after).item() == pytest.approx(60, abs=0.1)
    moved = torch.stack([after, before])
    assert hue_change(before, moved).tolist() == pytest.approx([60, 0], abs=0.1)


def test_a_survey_is_what_one_direction_and_one_latent_at_a_time_give():
    """Against loops in float64, over more directions than are computed at once."""
    toy, shifts = Toy(), (0.5, 3.0, 20.0)
    toy.a = toy.a.double()
    z = torch.randn(9, D, generator=rng(2), dtype=torch.float64)
    u = F.normalize(torch.randn(50, D, generator=rng(3), dtype=torch.float64))
    told = []
    found = survey(toy.sample, z, u, shifts, logits, lambda *said: told.append(said[1:]))
    assert told[-1] == (50, 50) and len(told) > 1
    start = [toy.sample(row[None])[0] for row in z]

    def distance(images):
        pairs = [(a - b).square().sum() for a in images for b in images]
        return math.sqrt(sum(pairs) / (len(images) * (len(images) - 1)))

    for i in range(len(u)):
        for shift in shifts:
            x = [toy.sample((row + shift * u[i])[None])[0] for row in z]
            moves = [(a - b).square().mean().sqrt().item() for a, b in zip(x, start, strict=True)]
            assert found[f"movement@{shift:g}"][i] == pytest.approx(np.mean(moves))
            assert found[f"diversity@{shift:g}"][i] == pytest.approx(distance(x) / distance(start))
        # Of the last shift: where they go, and how surely.
        p = torch.cat([logits(a[None]) for a in x]).softmax(1).numpy()
        counts = np.bincount(p.argmax(1), minlength=4)
        assert found["share@20"][i] == pytest.approx(counts.max() / len(z))
        assert found["class@20"][i] == counts.argmax()
        assert found["confidence@20"][i] == pytest.approx(p[:, counts.argmax()].mean())
        first = torch.stack([toy.sample((row + 0.5 * u[i])[None])[0] for row in z])
        before, after = attributes(torch.stack(start)), attributes(first)
        for name in before:
            assert found[name][i] == pytest.approx((after[name] - before[name]).mean().item())
        assert found["hue"][i] == pytest.approx(hue_change(torch.stack(start), first).item())
    assert "class@0.5" not in found, "classes are for large shifts"


def test_grey_images_have_no_hue_and_without_a_classifier_there_are_no_classes():
    found = survey(lambda z: torch.sigmoid(z).view(-1, 1, 4, 6), torch.randn(3, D), torch.eye(D))
    assert "hue" not in found
    assert not [name for name in found if name.startswith(("class", "share", "confidence"))]


def test_an_axis_is_judged_by_its_rank_or_beyond_the_ranks_by_the_tail():
    draw = np.random.default_rng(0)
    random, axes = draw.normal(5, 2, 200), np.array([5.1, 4.0, -20.0, 25.0])
    found = compare(axes, random)
    tails = []
    for side, far in ((random, 25.0), (-random, 20.0)):
        u, *highest = sorted(side)[-21:]
        mean = np.mean(highest) - u
        tails.append(21 / 201 * stats.f.sf((far - u) / mean, 2, 40))
    above = [(1 + sum(side >= x)) / 201 for side, x in ((random, 5.1), (-random, -4.0))]
    assert found.p == pytest.approx(holm([2 * p for p in (*above, *reversed(tails))]))
    assert found.special == [2, 3]
    assert found.z[3] == pytest.approx((25 - random.mean()) / random.std(ddof=1))
    low, high = np.percentile(random, [2.5, 97.5])
    assert found.outside == sum(not low <= a <= high for a in axes)
    assert found.overall == pytest.approx(2 * min(found.together, found.p[3]))


@pytest.mark.parametrize("kind", ["exponential", "normal", "chi-square of 1"])
def test_the_tail_is_exact_for_an_exponential_and_never_too_small_for_others(kind):
    """How often 100 axes that are one more sample give any corrected p below 5 %, 400 times."""
    draw, found = np.random.default_rng(0), []
    for _ in range(400):
        x = draw.exponential(size=300) if kind == "exponential" else draw.normal(size=300)
        x = np.sqrt(5 + x**2) if kind == "chi-square of 1" else x
        found.append(compare(x[:100], x[100:]).p.min() < 0.05)
    assert np.mean(found) <= stats.binom.ppf(0.999, 400, 0.05) / 400
    if kind == "exponential":
        # The lower tail of an exponential ends: only the upper half of 5 % is left, less the union bound.
        assert np.mean(found) > 0.005


def test_axes_that_are_all_a_little_farther_out_are_special_together():
    draw = np.random.default_rng(0)
    random, wide, narrow = (draw.normal(0, s, n) for s, n in ((1, 200), (2, 60), (0.3, 60)))
    assert compare(wide, random).together < 1e-3
    assert compare(np.full(60, 1.5), random).together < 1e-3
    assert compare(narrow, random).overall > 0.9, "more alike than chance is not special"


def test_measures_that_never_vary_find_nothing():
    found = compare(np.zeros(5), np.zeros(200))
    assert found.overall == 1 and found.special == [] and (found.z == 0).all()


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
        verdicts.append("are special" in axes_sentence(found))
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
    assert value["sentences"][0].startswith("The coordinate axes are special: 24 axes")
    assert re.search(
        r"movement at ε = 1 \(coordinate 7, p (< 0\.001|= 0\.00)", value["sentences"][0]
    )
    assert "hue" not in value["sentences"][0]
    assert value["sentences"][1].startswith("1 of 24 coordinates move the image more than chance")
    assert kept["coordinates"].tolist() == value["order"][:3]


def test_a_turned_space_has_no_special_axes():
    value = directions(subject(Toy(1.5, rotation(D, rng(4)))))[0]["latent/coordinates"].value
    assert value["sentences"][0].startswith("The coordinate axes are not special: in none of 9")
    assert value["sentences"][1].startswith("0 of 24 coordinates")


def test_the_table_holds_every_axis_with_its_class_by_name():
    names = ("zero", "one", "two", "three")
    toy = Toy()
    results, kept = directions(subject(toy), logits, names, "planted")
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
    full = np.array(table["share@100"]) > 0.9
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
    with pytest.raises(TriptychError, match=rf"no latent coordinate {wrong}.*from 0 to 23"):
        directions(subject(Toy()), coordinates=(3, wrong))


def test_a_generator_that_does_not_listen_is_described_too():
    class Dead(Toy):
        def sample(self, z):
            return torch.full((len(z), 3, 4, 4), 0.5)

    value = directions(subject(Dead()), logits)[0]["latent/coordinates"].value
    json.dumps(value, allow_nan=False)
    assert "not special" in value["sentences"][0]


def test_samples_converge_by_class_or_without_one_by_lost_diversity():
    by_class = {"share@100": np.array([0.95, 0.9]), "diversity@100": np.array([0.5, 0.01])}
    assert converged(by_class, 100).tolist() == [True, False]
    assert converged({"diversity@100": np.array([0.5, 0.01])}, 100).tolist() == [False, True]


def test_the_reference_finding_is_put_to_the_test_whichever_way_it_goes():
    def many(true: int, of: int) -> np.ndarray:
        return np.arange(of) < true

    said = converged_sentence(many(97, 100), many(190, 200), "w")
    assert "along 97 of 100 coordinates and along 190 of 200 random directions" in said
    assert said.endswith("not a property of coordinates.")
    said = converged_sentence(many(97, 100), many(20, 200), "w")
    assert "p < 0.001" in said and said.endswith("more often than random directions.")
    assert converged_sentence(many(20, 100), many(190, 200), "w").endswith(
        "less often than random directions."
    )
    assert "hardly any direction" in converged_sentence(many(1, 100), many(3, 200), "w")
