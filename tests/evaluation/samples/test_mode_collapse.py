"""The alarm on planted sets and histories."""

import math

import pytest
import torch

from triptych.evaluation.looks import GRACE
from triptych.evaluation.samples.mode_collapse import LOW, collapsed, spread


def test_spread_is_the_median_distance_to_the_nearest_other():
    points = torch.randn(17, 3)
    nearest = [
        min(math.dist(a, b) for j, b in enumerate(points.tolist()) if j != i)
        for i, a in enumerate(points.tolist())
    ]
    assert spread(points) == pytest.approx(sorted(nearest)[8], rel=1e-5)


def test_two_modes_are_seen_though_their_mean_distance_is_large():
    points = torch.cat([torch.zeros(32, 4), torch.full((32, 4), 9.0)])
    assert spread(points + 1e-3 * torch.randn(64, 4)) < 0.01
    assert torch.cdist(points, points).mean() > 5


GOOD, BAD = LOW + 0.3, LOW - 0.1


@pytest.mark.parametrize(
    ("looks", "since"),
    [
        ([GOOD] * 10, None),
        ([BAD, BAD, GOOD, GOOD], None),
        ([GOOD, GOOD, BAD], None),
        ([GOOD, GOOD, BAD, BAD], 3200),
        ([GOOD, BAD, GOOD, BAD], None),
        ([GOOD, BAD, BAD, GOOD, BAD, BAD], 3400),
        ([BAD] * 4, 3000),
        ([LOW] * 10, None),
    ],
)
def test_collapse_needs_two_low_looks_in_a_row_at_the_end(looks, since):
    assert collapsed([(3000 + 100 * i, v) for i, v in enumerate(looks)], 10_000) == since


@pytest.mark.parametrize(("total", "first"), [(20, None), (600, 200), (5000, 1000), (50_000, 2000)])
def test_what_is_noise_at_the_beginning_does_not_count(total: int, first: int | None):
    """Whatever the noise looked like: only two low looks after the first fifth, 200 to 2,000 steps, do."""
    history = [(step, GOOD if step == 10 else BAD) for step in range(0, total + 1, 10)]
    found = [collapsed(history[: i + 1], total) for i in range(len(history))]
    fired = [since for since in found if since is not None]
    assert (fired[0] if fired else None) == first
    assert GRACE == (0.2, 200, 2000)


def test_what_is_not_a_number_is_no_collapse():
    assert collapsed([(1000, 0.8), (2000, math.nan), (3000, math.nan)], total=5000) is None
    assert collapsed([(1000, 0.1), (2000, math.nan), (3000, 0.1), (4000, 0.1)], total=5000) == 3000
