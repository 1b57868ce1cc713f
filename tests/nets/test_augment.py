"""Differentiable augmentation in cases small enough to be written down."""

import pytest
import torch

from triptych.nets.augment import DRAWS, augment, coloured, cut, moved


def draws(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def images(count: int = 3, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return 2 * torch.rand(count, channels, height, width, generator=draw) - 1


def uniform(count: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_at_strength_zero_it_is_the_identity_to_the_bit():
    x = images()
    assert torch.equal(augment(x, uniform(), 0.0, 0.0, 0.0), x)
    assert torch.equal(moved(x, uniform()[:, 3:5], 0.0), x)
    assert torch.equal(cut(x, uniform()[:, 5:], 0.0), x)
    torch.testing.assert_close(coloured(x, uniform()[:, :3], 0.0), x, rtol=0, atol=1e-7)


def test_every_image_has_its_own_transform_and_no_other_image_matters():
    x, u = images(4), uniform(4)
    together = augment(x, u, 1.0, 0.25, 0.5)
    for i in range(4):
        torch.testing.assert_close(
            together[i : i + 1], augment(x[i : i + 1], u[i : i + 1], 1.0, 0.25, 0.5)
        )
    same = augment(x[:1].expand(4, -1, -1, -1), u, 1.0, 0.25, 0.5)
    assert len({tuple(image.flatten().tolist()) for image in same}) == 4


def test_an_image_and_a_sample_that_are_equal_are_seen_equal():
    x = images()
    assert torch.equal(
        augment(x, uniform(), 1.0, 0.25, 0.5), augment(x.clone(), uniform(), 1.0, 0.25, 0.5)
    )


def test_colours_by_hand():
    """Brightness ½·(2u − 1)/1, saturation × 2u, contrast × (u + ½), one after the other (the authors' ranges)."""
    x = torch.tensor([[[[0.2, -0.4]], [[0.6, 0.0]], [[-0.2, 0.1]]]], dtype=torch.float64)
    u = torch.tensor([[0.9, 0.25, 0.8]], dtype=torch.float64)
    y = x + 0.4
    grey = y.mean(1, keepdim=True)
    y = grey + (y - grey) * 0.5
    y = y.mean() + (y - y.mean()) * 1.3
    torch.testing.assert_close(coloured(x, u, 1.0), y)


def test_the_extremes_of_the_colours():
    x = images(1)
    flat = coloured(x, draws(0.5, 0.0, 0.5), 1.0)
    torch.testing.assert_close(flat, x.mean(1, keepdim=True).expand_as(x))
    torch.testing.assert_close(coloured(x, draws(1.0, 0.5, 0.5), 1.0), x + 0.5)
    half = coloured(x, draws(0.5, 0.5, 0.0), 1.0)
    assert half.std().item() == pytest.approx(0.5 * x.std().item(), rel=1e-5)


def test_a_grey_image_has_no_saturation():
    x = images(2, channels=1)
    one, other = (coloured(x, draws(0.3, s, 0.8).expand(2, -1), 1.0) for s in (0.0, 0.9))
    torch.testing.assert_close(one, other)


def test_an_image_moves_by_whole_pixels_and_zeros_come_in():
    x = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    # A quarter of 4 is one pixel: shifts −1, 0, 1 for the three thirds of u. Down by one, left by one.
    found = moved(x, draws(0.9, 0.1), 0.25)[0, 0]
    assert found.tolist() == [[0, 0, 0, 0], [2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]]
    assert torch.equal(moved(x, draws(0.5, 0.5), 0.25), x)


def test_every_shift_is_as_likely_and_none_is_larger():
    x = torch.zeros(700, 1, 16, 16)
    x[:, :, 8, 8] = 1
    u = torch.stack([(torch.arange(700) + 0.5) / 700, torch.full((700,), 0.5)], 1)
    rows = moved(x, u, 0.2).flatten(2).argmax(2).flatten() // 16
    # 0.2 of 16 are 3 pixels.
    assert torch.bincount(rows, minlength=16).tolist() == [0] * 5 + [100] * 7 + [0] * 4


def test_a_hole_is_half_the_side_and_reaches_every_pixel():
    x = torch.ones(81, 1, 8, 8)
    u = torch.cartesian_prod(*[(torch.arange(9) + 0.5) / 9] * 2)
    found = cut(x, u, 0.5)
    holes = (found == 0).flatten(1)
    assert holes.any(0).all()
    # In the middle it is 4×4; its middle may lie on the edge, where half of it is left.
    assert holes.sum(1).max() == 16
    assert holes[0].sum() == 4 and holes[40].sum() == 16
    assert found[40, 0].tolist() == [[1] * 8] * 2 + [[1, 1, 0, 0, 0, 0, 1, 1]] * 4 + [[1] * 8] * 2


def test_an_odd_hole_has_a_pixel_in_its_middle():
    found = cut(torch.ones(1, 1, 5, 6), draws(0.5, 0.99), 0.5)[0, 0]
    # 3×3 around row 2 and the last column.
    assert found.tolist() == [[1] * 6, *[[1, 1, 1, 1, 0, 0]] * 3, [1] * 6]


def test_gradients_agree_with_finite_differences():
    x = images(2, height=4, width=6).double().requires_grad_(True)
    u = uniform(2).double()
    assert torch.autograd.gradcheck(lambda x: augment(x, u, 0.7, 0.25, 0.4), (x,))


def test_autocast_rounds_no_image():
    x = images()
    with torch.autocast("cpu", torch.bfloat16):
        found = augment(x, uniform(), 0.0, 0.25, 0.0)
    assert found.dtype == torch.float32
    assert set(found.flatten().tolist()) <= {*x.flatten().tolist(), 0.0}
