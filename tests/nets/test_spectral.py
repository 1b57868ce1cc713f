"""Spectral normalisation against the singular value decomposition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from triptych.nets.dcgan import Critic
from triptych.nets.initialise import initialise
from triptych.nets.sngan import ResidualCritic
from triptych.nets.spectral import Spectral, SpectralConv2d, SpectralLinear, iterate, normalised

LAYERS = {
    "matrix": lambda: SpectralLinear(7, 5),
    "row": lambda: SpectralLinear(7, 1, bias=False),
    "convolution": lambda: SpectralConv2d(3, 4, 4, stride=2, padding=1),
    "rectangle": lambda: SpectralConv2d(3, 1, (4, 6)),
}


def norm(weight: torch.Tensor) -> float:
    """The largest singular value of a weight as a matrix with a row an output."""
    return float(torch.linalg.svdvals(weight.detach().double().flatten(1))[0])


@pytest.mark.parametrize("kind", LAYERS)
def test_after_many_iterations_the_norm_is_one_by_svd(kind):
    layer = LAYERS[kind]().double()
    layer.advance(3000)
    sigma = norm(layer.weight)
    assert norm(layer.normalised()) == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(layer.normalised(), layer.weight / sigma, rtol=1e-9, atol=1e-12)
    u, _, v = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)
    assert abs(u[:, 0] @ layer.left) == pytest.approx(1, abs=1e-6)
    assert abs(v[0] @ layer.right) == pytest.approx(1, abs=1e-6)


def test_one_iteration_is_the_formula():
    layer = SpectralConv2d(3, 4, 3)
    with torch.no_grad():
        layer.weight.normal_()
    w, u = layer.weight.detach().flatten(1), layer.left.clone()
    layer.advance()
    v = F.normalize(w.T @ u, dim=0)
    torch.testing.assert_close(layer.right, v)
    torch.testing.assert_close(layer.left, F.normalize(w @ v, dim=0))
    torch.testing.assert_close(layer.normalised(), layer.weight / (layer.left @ w @ layer.right))


def test_before_the_first_update_the_norm_is_nearly_one():
    """Of every layer of both critics: σ is never above the norm, so no layer is flatter than it was to be."""
    for network in (
        Critic((3, 32, 32), 16, spectral=True),
        ResidualCritic((3, 32, 32), 16, spectral=True),
    ):
        initialise(network, 0)
        layers = [layer for layer in network.modules() if isinstance(layer, Spectral)]
        assert len(layers) >= 4
        for layer in layers:
            assert 1 - 1e-5 < norm(layer.normalised()) < 1.1


def test_it_follows_weights_that_move():
    """One iteration an update is enough where updates are small (Miyato et al. 2018, section 2.1)."""
    torch.manual_seed(0)
    layer = SpectralLinear(20, 20)
    layer.advance(500)
    for _ in range(50):
        with torch.no_grad():
            layer.weight += 0.005 * torch.randn(20, 20) * layer.weight.std()
        iterate(nn.Sequential(nn.ReLU(), layer))
    assert norm(layer.normalised()) == pytest.approx(1, abs=0.02)


def test_looking_moves_nothing():
    """Neither in training nor in eval mode, forwards or backwards: only `iterate` does."""
    network = Critic((1, 8, 8), 2, offset=True, spectral=True)
    initialise(network, 0)
    before = {name: value.clone() for name, value in network.named_buffers()}
    x = torch.rand(2, 1, 8, 8)
    for mode in (True, False):
        network.train(mode)
        (network(x).sum() + network.gradient(x).square().sum()).backward()
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    iterate(network)
    assert not all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_vectors_follow_from_seed_and_name_and_are_saved():
    def state(seed, more=False):
        layers = [nn.Linear(5, 5)] if more else []
        network = nn.ModuleDict({"a": SpectralLinear(5, 4), "b": nn.Sequential(*layers)})
        initialise(network, seed)
        return network.state_dict()

    torch.manual_seed(1)
    first = state(0)
    torch.manual_seed(2)
    again, other = state(0, more=True), state(1)
    assert {"a.left", "a.right", "a.weight"} <= set(first)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["a.left"], other["a.left"])


def test_the_gradient_is_that_of_the_paper():
    """∂L/∂W = (G − ⟨G, W̄⟩ u vᵀ) / σ for a gradient G by W̄ (Miyato et al. 2018, eq. 12), with u and v constant."""
    layer = SpectralLinear(6, 4, bias=False).double()
    given = torch.randn(4, 6, dtype=torch.float64)
    (layer.normalised() * given).sum().backward()
    sigma = layer.left @ layer.weight @ layer.right
    own = (given * layer.weight / sigma).sum()
    expected = (given - own * torch.outer(layer.left, layer.right)) / sigma
    torch.testing.assert_close(layer.weight.grad, expected)


def test_second_derivatives_agree_with_finite_differences():
    layer = SpectralConv2d(2, 3, 2).double()

    def normed(weight):
        return torch.func.functional_call(Bare(layer), {"layer.weight": weight}, ())

    weight = layer.weight.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(normed, (weight,), atol=1e-8)
    assert torch.autograd.gradgradcheck(normed, (weight,), atol=1e-7)


class Bare(nn.Module):
    """A layer's normalised weight as a function of its weight."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self) -> torch.Tensor:
        return self.layer.normalised()


def test_a_map_of_images_is_no_steeper_than_the_places_of_the_kernel_that_meet_allow():
    """The convolution itself, written out as a matrix: at most √(4·4 / 2·2) = 2 for a kernel of 4 and steps of 2."""
    layer = SpectralConv2d(2, 3, 4, stride=2, padding=1).double()
    layer.advance(3000)
    bias = layer(torch.zeros(1, 2, 8, 8, dtype=torch.float64))
    columns = torch.eye(128, dtype=torch.float64).view(128, 2, 8, 8)
    matrix = (layer(columns) - bias).flatten(1).T
    steepest = torch.linalg.svdvals(matrix)[0].item()
    assert 1 < steepest <= 2 + 1e-9


def test_a_layer_of_zeros_gives_zeros_and_comes_back():
    layer = SpectralLinear(4, 3)
    with torch.no_grad():
        weight = layer.weight.clone()
        layer.weight.zero_()
        layer.advance()
        assert torch.equal(layer.normalised(), torch.zeros(3, 4))
        layer.weight.copy_(weight)
        layer.advance(500)
    assert norm(layer.normalised()) == pytest.approx(1, abs=1e-5)


def test_autocast_does_not_round_the_norm():
    layer = SpectralConv2d(8, 8, 3)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer.normalised()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer.normalised(), rtol=1e-6, atol=0)


def test_a_plain_layer_works_with_its_weight():
    layer = nn.Conv2d(1, 2, 3)
    assert normalised(layer) is layer.weight
