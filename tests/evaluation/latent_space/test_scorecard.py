"""The scorecard on generators whose arc length and distance from the manifold are known.

Images are two coordinates of a plane, the features lift it to a height over the
origin: scaled to unit length, the circle that samples lie on is a circle of
latitude, and the overlay of two of them a great circle nearer to the pole.
Levels of bytes would be a coarse manifold, so a training image keeps each
coordinate in two of them, high and low: 16 bits.
"""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from triptych.data.spec import Dataset, Images
from triptych.evaluation.latent_space.interpolation import end_points
from triptych.evaluation.latent_space.scorecard import (
    entropy,
    nearest_distance,
    primary_sentence,
    scorecard,
)
from triptych.evaluation.statistics import Paired, holm
from triptych.evaluation.subject import Subject
from triptych.types import DataSpec, Method


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_nearest_distances_are_those_of_every_pair_in_float64(offset: float):
    """Also far from the origin, and next to a training image, where products would cancel."""
    draw = torch.Generator().manual_seed(0)
    bank = torch.randn(900, 8, generator=draw) + offset
    queries = torch.randn(1203, 8, generator=draw) + offset
    queries[:5] = bank[:5]
    wanted = (queries.double()[:, None] - bank.double()).norm(dim=2).amin(1)
    torch.testing.assert_close(
        nearest_distance(queries, bank).double(), wanted, rtol=1e-5, atol=1e-6
    )
    assert nearest_distance(queries, bank)[:5].tolist() == [0.0] * 5
    paths = queries.view(401, 3, 8)
    assert (
        nearest_distance(paths, bank).tolist()
        == nearest_distance(queries, bank).view(401, 3).tolist()
    )


def paired(mean: float, low: float, high: float) -> Paired:
    return Paired(256, mean, 0.1, low, high, 0.5)


def test_the_sentence_follows_the_interval():
    def said(*interval: float) -> str:
        return primary_sentence(paired(*interval), None, "f")

    assert "0.25 nearer to" in said(-0.25, -0.4, -0.1)
    assert "95 % interval −0.4 to −0.1, 256 pairs" in said(-0.25, -0.4, -0.1)
    assert "0.25 farther from" in said(0.25, 0.1, 0.4)
    for covers in (said(-0.25, -0.6, 0.1), said(0.25, -0.1, 0.6)):
        assert "is undecided: the distances differ by" in covers
        assert "farther" not in covers
    assert "differ by −0.25 (f; latent − pixel: 95 % interval −0.6 to 0.1" in said(-0.25, -0.6, 0.1)
    assert "equally far from the training images in each of 256 pairs" in said(0, 0, 0)


@pytest.mark.parametrize(
    ("control", "sound"),
    [((0.2, 0.1, 0.3), True), ((0.2, -0.1, 0.5), False), ((-0.2, -0.3, -0.1), False)],
)
def test_the_sentence_asks_the_control(control: tuple[float, ...], sound: bool):
    said = primary_sentence(paired(-0.25, -0.4, -0.1), paired(*control), "f")
    assert said.endswith("nothing follows from it.") is not sound


RADIUS, HEIGHT, TURN = 0.4, 0.6, 0.4
ALPHA = np.arange(11) / 10
MIDDLE = (3, 4, 5, 6, 7)
LEVEL = 2**-16


def arc(angle):
    """Points of the circle around (½, ½)."""
    return 0.5 + RADIUS * np.stack([np.cos(angle), np.sin(angle)], -1)


def turning(z):
    """A generator on the circle, at the angle of the first latent coordinate."""
    return arc(TURN * z[:, 0])


def straight(z):
    """A generator that is an affine map."""
    return 0.5 + z @ np.array([[0.1, 0.02], [-0.04, 0.08]])


class Curve(Method):
    """Samples are points of the plane, a function of two latent coordinates."""

    Config = object
    gauge = "none"
    latent = 2

    def __init__(self, curve: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(None, DataSpec((4, 1, 1), "colour"))
        self.curve = curve

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def sample(self, z):
        points = torch.from_numpy(self.curve(z.double().numpy())).float()
        # All in the high level, which need not be whole in a generated image.
        return torch.stack([points * 256 / 255, torch.zeros_like(points)], 2).view(-1, 4, 1, 1)


def plane(x):
    """The plane's coordinates, linear in the pixels."""
    high, low = x.view(-1, 2, 2).unbind(2)
    return (high * 255 + low * 255 / 256) / 256


def extract(x):
    """The plane at a height over the origin."""
    return torch.nn.functional.pad(plane(x) - 0.5, (0, 1), value=HEIGHT)


def unit(points: np.ndarray) -> np.ndarray:
    """What the features of points of the plane are on the unit sphere, float64."""
    lifted = np.concatenate([points - 0.5, np.full((*points.shape[:-1], 1), HEIGHT)], -1)
    return lifted / np.linalg.norm(lifted, axis=-1, keepdims=True)


def sphere_distance(radius, other=RADIUS):
    """Between points of the plane in one direction, at two distances from the centre."""
    return 2 * np.abs(np.sin((np.arctan(radius / HEIGHT) - np.arctan(other / HEIGHT)) / 2))


def images(points: np.ndarray) -> Images:
    levels = np.round(points / LEVEL).astype(np.int64)
    pixels = np.stack([levels // 256, levels % 256], 2).astype(np.uint8)
    return Images(pixels.reshape(-1, 4, 1, 1), None)


def subject(curve, train: np.ndarray, test: np.ndarray) -> Subject:
    splits = {"train": images(train), "test": images(test)}
    dataset = Dataset("d", "D", splits, None, "colour", "f")
    return Subject(Curve(curve).eval(), dataset, "none", torch.device("cpu"))


SPACING = 4 / 8000
BANK = arc(np.arange(-2, 2, SPACING))
HELD_OUT = 0.5 + (BANK[::400] - 0.5) * (1 + 0.03 / RADIUS)
"""Held-out images 0.03 outside of the circle."""

LATITUDE = RADIUS / math.hypot(RADIUS, HEIGHT)
"""Radius of the circle on the unit sphere."""

DISCRETE = 2 * LATITUDE * math.sin(SPACING / 4) + LEVEL / math.hypot(RADIUS, HEIGHT)
"""How far a point of the arc can be from the bank: half the spacing, and rounding to levels."""


@pytest.fixture(scope="module")
def curved():
    """Results on the arc, and the angles of every pair's ends, float64."""
    made = subject(turning, BANK, HELD_OUT)

    def classify(x):
        return plane(x) * torch.tensor([4.0, -2.0])

    results = scorecard(made, "test", extract, "the plane", classify)
    return results, TURN * end_points(made, 256)[:, :, 0].double().numpy()


def row(results, score: str, way: str = "linear"):
    rows = results["interpolation/scorecard"].value["differences"]
    (found,) = [r for r in rows if (r["score"], r["way"]) == (score, way)]
    return found


def chord(angles: np.ndarray) -> np.ndarray:
    """The overlay's points of the plane, pairs×11×2."""
    ends = arc(angles)
    return ends[:, :1] + ALPHA[:, None] * np.diff(ends, axis=1)


def off_the_arc(angles: np.ndarray, other=RADIUS) -> np.ndarray:
    """Distance of the chord at each α, r(α) from the centre, to the circle on the sphere, pairs×11."""
    half = np.diff(angles)[:, 0, None] / 2
    return sphere_distance(RADIUS * np.sqrt(1 - 4 * ALPHA * (1 - ALPHA) * np.sin(half) ** 2), other)


def test_latent_wins_by_the_sagitta_of_the_chord(curved):
    results, angles = curved
    gap = off_the_arc(angles)[:, MIDDLE].mean(1)
    assert gap.mean() > 20 * DISCRETE, "the bank is fine enough to see it"
    result = results["interpolation/latent_vs_pixel"]
    assert result.value == pytest.approx(-gap.mean(), abs=DISCRETE)
    assert result.stderr == pytest.approx(gap.std(ddof=1) / 16, rel=0.02)
    assert result.n == 256
    primary = results["interpolation/scorecard"].value["differences"][0]
    assert (primary["score"], primary["way"]) == ("distance to training", "linear")
    assert primary["mean"] == result.value
    assert primary["high"] < 0
    assert primary["p"] == primary["p_adjusted"] < 1e-10
    assert "nearer to the training images" in results["interpolation/scorecard"].value["verdict"]


def test_the_distance_of_every_alpha_is_the_one_of_the_curve(curved):
    results, angles = curved
    curves = results["interpolation/scorecard"].value["curves"]
    assert curves["alpha"] == ALPHA.tolist()
    for way in ("linear", "spherical"):
        assert 0 <= min(curves[way]) <= max(curves[way]) <= DISCRETE
    wanted = off_the_arc(angles).mean(0)
    excess = np.array(curves["pixel"]) - wanted
    assert (np.abs(excess) <= DISCRETE).all()


def test_path_length_and_largest_step_are_those_of_the_arc(curved):
    """Ten chords of a tenth of the circle of latitude; the overlay's points lie on a great circle."""
    results, angles = curved
    turned = np.abs(np.diff(angles)[:, 0])
    step = 2 * LATITUDE * np.sin(turned / 20)
    straight = 2 * LATITUDE * np.sin(turned / 2)
    assert (10 * step).mean() == pytest.approx((LATITUDE * turned).mean(), rel=1e-3), "R·θ nearly"
    mixed = np.linalg.norm(np.diff(unit(chord(angles)), axis=1), axis=2)
    for score, latent, pixel in (
        ("path length", 10 * step, mixed.sum(1)),
        ("relative path length", 10 * step / straight, mixed.sum(1) / straight),
        ("largest step", step, mixed.max(1)),
    ):
        level = results["interpolation/scorecard"].value["levels"][score]
        for way, wanted in (("linear", latent), ("pixel", pixel)):
            assert level[way]["mean"] == pytest.approx(wanted.mean(), rel=1e-4)
            assert level[way]["stderr"] == pytest.approx(wanted.std(ddof=1) / 16, rel=5e-3)
        found = row(results, score)
        assert found["mean"] == pytest.approx((latent - pixel).mean(), rel=5e-3)
    assert row(results, "path length")["low"] > 0, "a circle of latitude is longer than a great one"


def test_the_spherical_way_has_the_angles_of_turned_latents(curved):
    results, angles = curved
    z = end_points(subject(turning, BANK, HELD_OUT), 256).double().numpy()
    assert TURN * z[:, :, 0] == pytest.approx(angles)
    size = np.linalg.norm(z, axis=2)
    start = np.arctan2(z[:, 0, 1], z[:, 0, 0])
    turn = np.arctan2(z[:, 1, 1], z[:, 1, 0]) - start
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    along = np.cos(start[:, None] + ALPHA * turn[:, None])
    first = (size[:, :1] * (1 - ALPHA) + size[:, 1:] * ALPHA) * along
    steps = 2 * LATITUDE * np.abs(np.sin(TURN * np.diff(first) / 2))
    level = results["interpolation/scorecard"].value["levels"]
    assert level["path length"]["spherical"]["mean"] == pytest.approx(steps.sum(1).mean(), rel=1e-4)
    assert level["largest step"]["spherical"]["mean"] == pytest.approx(
        steps.max(1).mean(), rel=1e-4
    )


def test_the_entropy_is_the_one_of_the_classifier_over_the_middle(curved):
    results, angles = curved
    turned = angles[:, :1] + ALPHA * np.diff(angles)[:, 0, None]
    for way, points in (("linear", arc(turned)), ("pixel", chord(angles))):
        logits = points @ np.diag([4.0, -2.0])
        share = 1 / (1 + np.exp(logits[..., 1] - logits[..., 0]))
        wanted = -(share * np.log(share) + (1 - share) * np.log(1 - share))[:, MIDDLE].mean(1)
        level = results["interpolation/scorecard"].value["levels"]["entropy"][way]
        assert level["mean"] == pytest.approx(wanted.mean(), rel=1e-4)
        assert level["stderr"] == pytest.approx(wanted.std(ddof=1) / 16, rel=1e-3)


def test_the_floor_stands_beside_it(curved):
    """End points lie on the arc, held-out images were planted 0.03 outside of it."""
    floor = curved[0]["interpolation/scorecard"].value["floor"]
    assert 0 <= floor["end points"]["mean"] <= DISCRETE
    assert floor["end points"]["n"] == 512
    wanted = sphere_distance(RADIUS + 0.03)
    assert floor["held-out images"]["mean"] == pytest.approx(wanted, abs=2 * LEVEL)
    assert floor["held-out images"]["n"] == len(HELD_OUT)


def test_overlays_of_held_out_images_are_the_control_of_the_features(curved):
    """The first half of the images overlaid with the second, turned by 2 radians."""
    table = curved[0]["interpolation/scorecard"].value
    first = np.arange(-2, 0, 400 * SPACING)
    radius = (RADIUS + 0.03) * np.sqrt(1 - 4 * ALPHA * (1 - ALPHA) * math.sin(1) ** 2)
    wanted = sphere_distance(radius)[list(MIDDLE)].mean()
    overlays = table["floor"]["held-out overlays"]
    assert overlays["n"] == table["control"]["n"] == len(first) == 10
    assert overlays["mean"] == pytest.approx(wanted, abs=DISCRETE + 2 * LEVEL)
    assert table["control"]["mean"] == pytest.approx(
        overlays["mean"] - table["floor"]["held-out images"]["mean"], abs=1e-9
    )
    assert table["control"]["low"] > 0
    assert "nothing follows" not in table["verdict"]


def test_features_that_do_not_see_an_overlay_are_said_to_show_nothing():
    """All training images lie at the centre, where overlays go."""
    made = subject(turning, np.full((3, 2), 0.5), HELD_OUT)
    table = scorecard(made, "test", extract, "the plane")["interpolation/scorecard"].value
    assert table["control"]["high"] < 0
    assert table["verdict"].endswith("nothing follows from it.")


def test_the_length_of_features_does_not_matter(curved):
    made = subject(turning, BANK, HELD_OUT)

    def stretched(x):
        return extract(x) * (1 + 5 * plane(x)[:, :1])

    found = scorecard(made, "test", stretched, "the plane")["interpolation/latent_vs_pixel"]
    assert found.value == pytest.approx(curved[0]["interpolation/latent_vs_pixel"].value, rel=1e-3)


def test_all_but_the_primary_are_corrected_together(curved):
    rows = curved[0]["interpolation/scorecard"].value["differences"]
    assert len(rows) == 10
    assert [r["p_adjusted"] for r in rows[1:]] == holm([r["p"] for r in rows[1:]])


def test_a_straight_generator_shows_no_difference():
    """Both ways take the same points."""
    made = subject(straight, BANK[::100], HELD_OUT)
    results = scorecard(made, "test", extract, "the plane")
    table = results["interpolation/scorecard"].value
    assert results["interpolation/latent_vs_pixel"].value == 0
    assert "equally far from the training images in each of 256 pairs" in table["verdict"]
    assert {r["score"] for r in table["differences"]} == {
        "distance to training",
        "path length",
        "relative path length",
        "largest step",
    }, "no entropy without a classifier"
    for found in table["differences"]:
        if found["way"] == "linear":
            assert (found["mean"], found["p"]) == (0, 1)
    length = table["levels"]["path length"]
    assert length["linear"]["mean"] == pytest.approx(length["pixel"]["mean"], rel=1e-6)


def test_latent_loses_where_the_training_images_lie_inside_of_the_arc():
    """All training images are the centre: the arc is farther away from it than its chord."""
    made = subject(turning, np.full((3, 2), 0.5), HELD_OUT)
    results = scorecard(made, "test", extract, "the plane")
    angles = TURN * end_points(made, 256)[:, :, 0].double().numpy()
    wanted = sphere_distance(RADIUS, 0.0) - off_the_arc(angles, 0.0)[:, MIDDLE].mean()
    assert results["interpolation/latent_vs_pixel"].value == pytest.approx(wanted, abs=4 * LEVEL)
    said = results["interpolation/scorecard"].value["verdict"]
    assert "farther from the training images" in said


def test_a_collapsed_generator_has_a_scorecard_too():
    made = subject(lambda z: np.full((len(z), 2), 0.25), BANK, HELD_OUT)
    results = scorecard(made, "test", extract, "the plane", plane)
    for result in results.values():
        json.dumps(result.value, allow_nan=False)
    table = results["interpolation/scorecard"].value
    assert {r["p_adjusted"] for r in table["differences"]} == {1.0}
    assert table["levels"]["relative path length"]["pixel"]["mean"] == 1


def test_the_protocol_says_all_of_it(curved):
    protocol = curved[0]["interpolation/latent_vs_pixel"].protocol
    assert protocol["features"] == "the plane"
    assert protocol["bank"] == "train (8000)"
    assert protocol["pairs"] == 256
    assert (protocol["split"], protocol["fingerprint"]) == ("test", "f")


def test_the_bank_is_capped_and_spread_over_the_split(monkeypatch):
    monkeypatch.setattr("triptych.evaluation.latent_space.scorecard.BANK", 41)
    made = subject(turning, BANK, BANK[::200])
    found = scorecard(made, "test", extract, "the plane")["interpolation/scorecard"]
    assert found.protocol["bank"] == "train (41)"
    kept = BANK[np.linspace(0, 7999, 41).round().astype(int)]
    wanted = np.linalg.norm(unit(BANK[::200])[:, None] - unit(kept), axis=2).min(1).mean()
    floor = found.value["floor"]["held-out images"]
    assert floor["mean"] == pytest.approx(wanted, abs=2 * LEVEL)


def test_training_images_are_no_floor_for_themselves():
    made = subject(turning, BANK[:50], HELD_OUT)
    table = scorecard(made, "train", extract, "the plane")["interpolation/scorecard"].value
    assert list(table["floor"]) == ["end points"]
    assert table["control"] is None


def test_entropy_of_known_shares():
    shares = torch.tensor([[0.5, 0.25, 0.25], [1 / 3] * 3])
    assert entropy(shares.log() + 7).tolist() == pytest.approx([1.5 * math.log(2), math.log(3)])
