"""Agreement of views against values by hand, and its invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from triptych.objectives.similarity import cosine, symmetric_loss


def draws(count: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(50, 7, generator=generator, dtype=dtype) for _ in range(count)]


def test_cosines_by_hand():
    a = torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 0.0], [2.0, 2.0]], dtype=torch.float64)
    b = torch.tensor([[4.0, 3.0], [0.0, 5.0], [-2.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    expected = torch.tensor([24 / 25, 0.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(cosine(a, b), expected, rtol=1e-15, atol=1e-15)


def test_the_loss_by_hand():
    """Angles of 60° and 120° between predictions and the targets of the other view."""
    at = [0.0, math.pi / 2, math.pi / 2 + 2 * math.pi / 3, math.pi / 3]
    p1, p2, z1, z2 = (torch.tensor([[math.cos(a), math.sin(a)]], dtype=torch.float64) for a in at)
    expected = torch.tensor([-0.5 * (0.5 - 0.5)], dtype=torch.float64)
    torch.testing.assert_close(symmetric_loss(p1, p2, z1, z2), expected, rtol=0, atol=1e-15)
    expected = torch.tensor([-0.5 * (0.5 + math.cos(at[1]))], dtype=torch.float64)
    found = symmetric_loss(p1, p1, p2, z2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)


def test_each_prediction_meets_the_target_of_the_other_view():
    p1, p2, z1, z2 = draws(4)
    for row in range(50):
        terms = [
            float(p[row] @ z[row] / (p[row].norm() * z[row].norm()))
            for p, z in ((p1, z2), (p2, z1))
        ]
        found = symmetric_loss(p1, p2, z1, z2)[row].item()
        assert found == pytest.approx(-sum(terms) / 2, abs=1e-14)


def test_the_range_is_reached_and_never_left():
    a, b, c, d = draws(4)
    found = symmetric_loss(a, b, c, d)
    assert found.abs().max() < 1
    ends = torch.ones(50, dtype=torch.float64)
    torch.testing.assert_close(symmetric_loss(a, b, b, a), -ends, rtol=0, atol=1e-14)
    torch.testing.assert_close(symmetric_loss(a, b, -b, -a), ends, rtol=0, atol=1e-14)


def test_exchanging_the_views_changes_nothing():
    p1, p2, z1, z2 = draws(4)
    assert torch.equal(symmetric_loss(p1, p2, z1, z2), symmetric_loss(p2, p1, z2, z1))


def test_the_scale_of_a_row_does_not_matter():
    p1, p2, z1, z2 = draws(4)
    scales = torch.logspace(-6, 6, 50, dtype=torch.float64).unsqueeze(1)
    found = symmetric_loss(p1 * scales, p2 / scales, 3 * z1, z2 * scales)
    torch.testing.assert_close(found, symmetric_loss(p1, p2, z1, z2), rtol=0, atol=1e-14)


def test_a_row_of_zeros_has_the_loss_zero_and_no_gradient_that_is_none():
    p = torch.zeros(2, 3, requires_grad=True)
    found = symmetric_loss(p, p, torch.ones(2, 3), torch.ones(2, 3))
    assert torch.equal(found, torch.zeros(2))
    found.sum().backward()
    assert p.grad is not None and p.grad.isfinite().all()


def test_half_precision_is_compared_in_float32():
    """The cosines of bf16 rows are those of the same rows in float64, to float32's rounding."""
    rows = [x.bfloat16() for x in draws(4)]
    exact = symmetric_loss(*(x.double() for x in rows))
    with torch.autocast("cpu", torch.bfloat16):
        found = symmetric_loss(*rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-6)
    assert (found - found.bfloat16()).abs().max() > 1e-4, "bf16 would be a thousand times coarser"
