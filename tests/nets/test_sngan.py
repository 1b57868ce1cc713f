"""The residual networks against the paper's table and its blocks written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from triptych.nets.initialise import initialise
from triptych.nets.sngan import ResidualCritic, ResidualGenerator
from triptych.nets.spectral import Spectral
from triptych.objectives.wasserstein import input_gradient


def convolutions(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d)]


def test_the_table_of_the_paper_comes_out():
    """Table 4 at 32×32: dense 4×4×256 and three blocks up; two blocks down, two plain ones, 128 wide."""
    generator = ResidualGenerator(128, (3, 32, 32), 256)
    assert tuple(generator.first.weight.shape) == (256 * 4 * 4, 128)
    block = [(256, 256, 3, 3), (256, 256, 3, 3), (256, 256, 1, 1)]
    assert convolutions(generator) == [*block * 3, (3, 256, 3, 3)]
    critic = ResidualCritic((3, 32, 32), 128, offset=True, spectral=True)
    first = [(128, 3, 3, 3), (128, 128, 3, 3), (128, 3, 1, 1)]
    down = [(128, 128, 3, 3), (128, 128, 3, 3), (128, 128, 1, 1)]
    assert convolutions(critic) == [*first, *down, *down[:2], *down[:2]]
    assert tuple(critic.last.weight.shape) == (1, 128)
    layers = [m for m in critic.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 11 and all(isinstance(m, Spectral) for m in layers)
    assert not any(isinstance(m, Spectral) for m in generator.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in critic.modules())


def lived_in(network: nn.Module) -> nn.Module:
    initialise(network, 0)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("bias") or "running_mean" in name:
                tensor.normal_(0, 0.3, generator=draw)
            if "running_var" in name:
                tensor.uniform_(0.5, 2, generator=draw)
    return network.double().eval()


def test_the_critic_is_the_paper_written_out():
    """Shortcuts halved after their convolution, as in the paper's code, and the last map summed."""
    critic = lived_in(ResidualCritic((3, 32, 32), 4, offset=True))
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    h = x
    for number, block in enumerate(critic.blocks):
        residual = h if number == 0 else F.relu(h)
        residual = F.conv2d(residual, block.conv1.weight, block.conv1.bias, padding=1)
        residual = F.conv2d(F.relu(residual), block.conv2.weight, block.conv2.bias, padding=1)
        beside = h
        if number < 2:
            residual = F.avg_pool2d(residual, 2)
            beside = F.avg_pool2d(F.conv2d(h, block.shortcut.weight, block.shortcut.bias), 2)
        h = residual + beside
    assert h.shape == (2, 4, 8, 8)
    expected = F.relu(h).sum((2, 3)) @ critic.last.weight[0] + critic.last.bias
    torch.testing.assert_close(critic(x), expected)


def test_the_generator_is_the_paper_written_out():
    generator = lived_in(ResidualGenerator(5, (3, 32, 32), 4))
    z = torch.randn(3, 5, dtype=torch.float64)

    def up(h):
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def norm(layer, h):
        shape = (1, -1, 1, 1)
        centred = (h - layer.running_mean.view(shape)) / (
            layer.running_var + layer.eps
        ).sqrt().view(shape)
        return layer.weight.view(shape) * centred + layer.bias.view(shape)

    h = (z @ generator.first.weight.T + generator.first.bias).view(3, 4, 4, 4)
    for block in generator.blocks:
        residual = up(F.relu(norm(block.norm1, h)))
        residual = F.conv2d(residual, block.conv1.weight, block.conv1.bias, padding=1)
        residual = F.relu(norm(block.norm2, residual))
        residual = F.conv2d(residual, block.conv2.weight, block.conv2.bias, padding=1)
        h = residual + F.conv2d(up(h), block.shortcut.weight, block.shortcut.bias)
    h = F.relu(norm(generator.norm, h))
    expected = F.conv2d(h, generator.last.weight, generator.last.bias, padding=1)
    torch.testing.assert_close(generator(z), expected)


@pytest.mark.parametrize(
    ("sides", "blocks"),
    [((8, 8), 3), ((14, 14), 3), ((28, 28), 3), ((32, 32), 4), ((20, 28), 3), ((64, 64), 5)],
)
@pytest.mark.parametrize("spectral", [False, True])
def test_other_sizes_have_their_halvings_and_a_written_out_gradient(sides, blocks, spectral):
    critic = lived_in(ResidualCritic((2, *sides), 3, offset=True, spectral=spectral))
    assert len(critic.blocks) == blocks
    image = ResidualGenerator(5, (2, *sides), 3).double()(torch.randn(2, 5, dtype=torch.float64))
    assert image.shape == (2, 2, *sides)
    x = torch.rand(3, 2, *sides, dtype=torch.float64)
    torch.testing.assert_close(critic.gradient(x), input_gradient(critic, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("spectral", [False, True])
def test_the_written_out_gradient_has_the_derivatives_of_the_differentiated_one(spectral):
    critic = lived_in(ResidualCritic((1, 16, 16), 3, spectral=spectral))
    x = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    found = []
    for way in (critic.gradient, lambda x: input_gradient(critic, x)):
        critic.zero_grad()
        way(x).square().sum().backward()
        found.append(
            {name: p.grad.clone() for name, p in critic.named_parameters() if p.grad is not None}
        )
    assert found[0].keys() <= found[1].keys()
    for name, gradient in found[1].items():
        own = found[0].get(name, torch.zeros_like(gradient))
        torch.testing.assert_close(own, gradient, rtol=1e-9, atol=1e-12)


def test_initial_weights_have_the_variance_of_their_rule():
    """2/(inputs + outputs) over all places of the kernel, twice as much within a block, and no offset."""
    critic = ResidualCritic((3, 32, 32), 64, offset=True, spectral=True)
    initialise(critic, 0)
    for layer, gain in ((critic.blocks[1].conv1, 2), (critic.blocks[1].shortcut, 1)):
        places = layer.kernel_size[0] ** 2
        assert layer.weight.var().item() == pytest.approx(gain * 2 / (128 * places), rel=0.05)
    assert all(not p.any() for name, p in critic.named_parameters() if name.endswith("bias"))
