"""The words follow the interval, and ask the control."""

import pytest

from triptych.evaluation.latent_space.finding import finding
from triptych.evaluation.statistics import Paired


def paired(mean: float, low: float, high: float) -> Paired:
    return Paired(256, mean, 0.1, low, high, 0.5)


def test_the_finding_follows_the_interval():
    def said(*interval: float) -> str:
        return finding(paired(*interval), None, "f")

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
def test_the_finding_asks_the_control(control: tuple[float, ...], sound: bool):
    said = finding(paired(-0.25, -0.4, -0.1), paired(*control), "f")
    assert said.endswith("nothing follows from it.") is not sound
