"""Axes fit what is drawn, are cut at the beginning alone, and have ticks that can be read."""

import itertools

import pytest

from triptych.reporting.figures.scale import fitted, log_ticks, tick, ticks, ticks_of


def line(*values: float) -> list[tuple[float, float]]:
    """One value an epoch."""
    return [(float(epoch), value) for epoch, value in enumerate(values)]


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (-1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (-16_500.0, -15_800.0, [-16_400.0, -16_200.0, -16_000.0, -15_800.0]),
        (0.31, 0.43, [0.32, 0.34, 0.36, 0.38, 0.4, 0.42]),
        (0.0, 4e-12, [0.0, 1e-12, 2e-12, 3e-12, 4e-12]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, found: list[float]):
    assert ticks(low, high) == pytest.approx(found, rel=1e-9, abs=1e-20)


def test_what_is_counted_has_whole_ticks():
    counted = ticks_of(0.0, 2.0, [1, 2.0, 0])
    assert counted == [0.0, 1.0, 2.0]
    assert ticks_of(0.0, 2.0, [1, 2.0, 0.5]) == [0.0, 0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("size", [1e-4, 0.003, 1.0, 250.0, 16_512.5, 9_999_999.0])
def test_no_number_between_a_ten_thousandth_and_ten_millions_is_a_power_of_ten(size: float):
    for value in (size, -size):
        assert float(tick(value).replace("−", "-").replace(",", "")) == value
    assert "e" not in tick(-size)


def test_very_large_and_very_small_ticks_are_short():
    assert [tick(value) for value in ticks(0.0, 4e-6)] == [
        *("0", "1 × 10⁻⁶", "2 × 10⁻⁶", "3 × 10⁻⁶", "4 × 10⁻⁶"),
    ]
    assert tick(-25_000_000.0) == "−2.5 × 10⁷"


def test_logarithmic_ticks_are_inside_and_never_many():
    for high in (12.0, 100.0, 2048.0, 1e6):
        found = log_ticks(0.9, high)
        assert all(0.9 <= value <= high for value in found)
        assert 3 <= len(found) <= 8


def test_an_axis_has_all_values_but_a_beginning_that_would_flatten_them():
    gentle = line(-130.0, *(-110.0 + epoch for epoch in range(20)))
    low, high, cut = fitted(gentle, 20.0)
    assert (low < -130, high > -91, cut) == (True, True, False)
    steep = [(0.5, -900.0), *gentle[1:]]
    low, _, cut = fitted(steep, 20.0)
    assert -120 < low < -110 and cut


def test_a_line_of_two_points_is_whole():
    low, high, cut = fitted([(0.0, 1.0), (8.0, 3.0)], 8.0, [2.5])
    assert (low < 1, high > 3, cut) == (True, True, False)


def test_neither_an_end_nor_a_level_nor_a_reach_is_cut():
    falling = line(*[-100.0] * 20, -900.0)
    assert fitted(falling, 20.0).low < -900
    flat = line(*[0.7, 0.71] * 10)
    assert fitted(flat, 19.0, [0.1, 5.0]).low < 0.1
    assert fitted(flat, 19.0, [0.1, 5.0]).high > 5.0
    assert not fitted(flat, 19.0, [0.1, 5.0]).cut


def test_an_axis_ends_at_nothing_where_it_reaches_to_it():
    assert fitted(line(1.0, 2.0), 1.0, [0.0]).low == 0
    assert fitted(line(-1.0, -2.0), 1.0, [0.0]).high == 0
    assert fitted(line(-1.0, 2.0), 1.0, [0.0]).low < -1


def test_shares_begin_at_0_and_end_at_100():
    assert fitted(line(90.0, 99.5), 1.0, percent=True)[:2] == (0, 100)
    assert fitted(line(0.0, 0.1), 1.0, percent=True)[:2] == (0, 5)
    assert fitted(line(90.0, 101.0), 1.0, percent=True).high > 101, "no share, but not cut"


def test_an_axis_of_one_value_is_an_axis():
    for value, reach in itertools.product((0.0, -3.0, 1e-9, 5e7), ((), (0.0,))):
        low, high, _ = fitted([(1.0, value)], 1.0, reach)
        assert low <= value <= high and low < high
        assert ticks(low, high)
