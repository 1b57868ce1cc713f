"""Maps made in a process of their own: the same bits, and made here where no process can be had."""

import sys

import numpy as np
import pytest

from triptych.evaluation.representation import projection
from triptych.evaluation.representation.projection import maps, maps_aside


def rows(count: int = 40) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(count, 6)) * [3, 2, 1, 1, 1, 1]
    return x - x.mean(0)


def test_another_process_finds_the_same_bits(monkeypatch: pytest.MonkeyPatch):
    x = rows()
    expected = maps(x, 15.0, 5.0)
    monkeypatch.setattr(projection, "maps", None)  # Whoever made them here would fail.
    with maps_aside(x, 15.0, 5.0) as made:
        found = made()
    assert found.keys() == expected.keys() == {"pca", "tsne", "shares"}
    assert all((found[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize("program", ["/there/is/no/such/program", "/bin/false", None])
def test_where_no_process_can_be_had_they_are_made_here(program, monkeypatch: pytest.MonkeyPatch):
    x = rows()
    expected = maps(x, 15.0, 5.0)
    monkeypatch.setattr(sys, "executable", program)
    with maps_aside(x, 15.0, 5.0) as made:
        found = made()
    assert all((found[name] == expected[name]).all() for name in expected)


def test_the_axes_of_the_pca_have_the_largest_shares():
    x = rows()
    found = maps(x, float(x.var(0).sum()), 5.0)
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    assert found["shares"] == pytest.approx(values[:2] / values.sum())
    assert np.var(found["pca"], axis=0, ddof=1) == pytest.approx(values[:2])
