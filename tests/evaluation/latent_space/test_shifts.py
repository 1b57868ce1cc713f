"""Attributes of drawn images, and shifts of samples against loops in float64."""

import colorsys
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from triptych.evaluation.latent_space.shifts import attributes, hue_change, survey

D = 24


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
    draw, shifts = torch.Generator().manual_seed(1), (0.5, 3.0, 20.0)
    a = torch.linalg.qr(torch.randn(48, D, generator=draw, dtype=torch.float64))[0]
    z = torch.randn(9, D, generator=draw, dtype=torch.float64)
    u = F.normalize(torch.randn(50, D, generator=draw, dtype=torch.float64))

    def sample(z):
        return torch.sigmoid(z @ a.T).view(-1, 3, 4, 4)

    found = survey(sample, z, u, shifts, logits)
    start = [sample(row[None])[0] for row in z]

    def distance(images):
        pairs = [(a - b).square().sum() for a in images for b in images]
        return math.sqrt(sum(pairs) / (len(images) * (len(images) - 1)))

    for i in range(len(u)):
        for shift in shifts:
            x = [sample((row + shift * u[i])[None])[0] for row in z]
            moves = [(a - b).square().mean().sqrt().item() for a, b in zip(x, start, strict=True)]
            assert found[f"movement@{shift:g}"][i] == pytest.approx(np.mean(moves))
            assert found[f"diversity@{shift:g}"][i] == pytest.approx(distance(x) / distance(start))
        # Of the last shift: where they go, and how surely.
        p = torch.cat([logits(a[None]) for a in x]).softmax(1).numpy()
        counts = np.bincount(p.argmax(1), minlength=4)
        assert found["share@20"][i] == pytest.approx(counts.max() / len(z))
        assert found["class@20"][i] == counts.argmax()
        assert found["confidence@20"][i] == pytest.approx(p[:, counts.argmax()].mean())
        first = torch.stack([sample((row + 0.5 * u[i])[None])[0] for row in z])
        before, after = attributes(torch.stack(start)), attributes(first)
        for name in before:
            assert found[name][i] == pytest.approx((after[name] - before[name]).mean().item())
        assert found["hue"][i] == pytest.approx(hue_change(torch.stack(start), first).item())
    assert "class@0.5" not in found, "classes are for large shifts"


def test_grey_images_have_no_hue_and_without_a_classifier_there_are_no_classes():
    found = survey(lambda z: torch.sigmoid(z).view(-1, 1, 4, 6), torch.randn(3, D), torch.eye(D))
    assert "hue" not in found
    assert not [name for name in found if name.startswith(("class", "share", "confidence"))]
