"""The same distances as torchmetrics', over the same features."""

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from triptych.evaluation.samples.distances import frechet_distance, kernel_distance

COUNT = 300


class Features(nn.Module):
    """Forty random directions of an image, rectified: float64, so that only the formula can differ."""

    num_features = 40

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.register_buffer("mix", torch.randn(3 * 25, 40, generator=draw, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.double().flatten(1) / 255 @ self.mix).relu()


def images(seed: int, darker: float) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    levels = torch.rand(COUNT, 3, 5, 5, generator=draw) ** darker
    return (levels * 255).to(torch.uint8)


@pytest.fixture(params=[1.0, 1.5], ids=["same", "darker"])
def pair(request) -> tuple[Tensor, Tensor]:
    return images(0, 1.0), images(1, request.param)


def test_frechet_distance(pair):
    network = Features()
    metric = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    metric.update(pair[0], real=True)
    metric.update(pair[1], real=False)
    expected = float(metric.compute())
    assert expected > 0.1
    assert frechet_distance(*map(network, pair)) == pytest.approx(expected, rel=1e-8)


def test_kernel_distance(pair):
    """One subset of all images: then theirs, too, is exact."""
    network = Features()
    with pytest.warns(UserWarning, match="will save all extracted features in buffer"):
        metric = KernelInceptionDistance(feature=network, subsets=1, subset_size=COUNT)
    metric.update(pair[0], real=True)
    metric.update(pair[1], real=False)
    expected = float(metric.compute()[0])
    assert kernel_distance(*map(network, pair)) == pytest.approx(expected, rel=1e-6, abs=1e-6)
