"""The alarm on planted sets and histories."""

import math

import pytest
import torch

from triptych.evaluate.collapse import GRACE, LOW, collapsed, spread


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
        ([GOOD, GOOD, BAD, BAD], 200),
        ([GOOD, BAD, GOOD, BAD], None),
        ([GOOD, BAD, BAD, GOOD, BAD, BAD], 400),
        ([LOW] * 10, None),
    ],
)
def test_collapse_needs_two_low_looks_in_a_row_at_the_end(looks, since):
    assert collapsed([(100 * i, v) for i, v in enumerate(looks)], 10_000) == since


def test_a_generator_that_was_never_diverse_has_time_to_become_so():
    share, least = GRACE
    steps = range(0, 1001, 50)
    history = [(step, BAD) for step in steps]
    fired = [s for i, s in enumerate(steps) if collapsed(history[: i + 1], 1000) is not None]
    assert fired[0] == max(share * 1000, least)
    assert collapsed([(0, BAD), (10, BAD), (20, BAD)], total=20) is None
