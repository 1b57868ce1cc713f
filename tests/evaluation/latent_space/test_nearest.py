"""Distances to the nearest against every pair in float64."""

import pytest
import torch

from triptych.evaluation.latent_space.nearest import nearest


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_nearest_distances_are_those_of_every_pair_in_float64(offset: float):
    """Also far from the origin, and next to a training image, where products would cancel."""
    draw = torch.Generator().manual_seed(0)
    bank = torch.randn(900, 8, generator=draw) + offset
    queries = torch.randn(1203, 8, generator=draw) + offset
    queries[:5] = bank[:5]
    wanted = (queries.double()[:, None] - bank.double()).norm(dim=2).amin(1)
    torch.testing.assert_close(nearest(queries, bank).double(), wanted, rtol=1e-5, atol=1e-6)
    assert nearest(queries, bank)[:5].tolist() == [0.0] * 5
    paths = queries.view(401, 3, 8)
    assert nearest(paths, bank).tolist() == nearest(queries, bank).view(401, 3).tolist()
