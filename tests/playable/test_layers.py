"""Layers read from a method's graph compute what the method computes."""

import pytest
import torch
from torch import nn

from triptych.errors import TriptychError
from triptych.methods.gan import GAN, GANConfig
from triptych.methods.hvae import HVAE, HVAEConfig
from triptych.methods.vae import VAE, VAEConfig
from triptych.methods.wgan import WGAN, WGANConfig
from triptych.playable.layers import Linear, apply, layers_of
from triptych.types import DataSpec


def lived_in(method):
    """Weights and running statistics as after some training: none at a value that hides a mistake."""
    draw = torch.Generator().manual_seed(0)
    for name, tensor in method.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 2.0, generator=draw)
        elif tensor.is_floating_point():
            tensor.normal_(0.0, 0.2, generator=draw)
    return method.eval()


GREY, COLOUR, WIDE, SMALL = (
    DataSpec((1, 28, 28), "grey"),
    DataSpec((3, 32, 32), "colour"),
    DataSpec((1, 20, 28), "grey"),
    DataSpec((1, 8, 8), "binary"),
)
CASES = [
    (VAE(VAEConfig(latent=5, hidden=(20, 10), net="mlp"), SMALL), "decode", (5,)),
    (VAE(VAEConfig(latent=5, hidden=(20, 10), net="mlp"), SMALL), "encode", (1, 8, 8)),
    (VAE(VAEConfig(latent=6, net="conv", width=4), GREY), "decode", (6,)),
    (VAE(VAEConfig(latent=6, net="conv", width=4), COLOUR), "encode", (3, 32, 32)),
    *(
        (HVAE(HVAEConfig(upper=2, lower=3, hidden=(20, 10), layers=kind), SMALL), "decode", (5,))
        for kind in ("gated", "elu")
    ),
    (HVAE(HVAEConfig(upper=2, lower=3, hidden=(9,), net="conv", width=4), COLOUR), "decode", (5,)),
    (WGAN(WGANConfig(latent=7, width=4), COLOUR), "sample", (7,)),
    (WGAN(WGANConfig(latent=7, width=4, ema=0.9), GREY), "sample", (7,)),
    (GAN(GANConfig(latent=7, width=4), GREY), "sample", (7,)),
    (GAN(GANConfig(latent=7, width=3, net="resnet", ema=0.9), COLOUR), "sample", (7,)),
    (GAN(GANConfig(latent=7, width=3, net="resnet"), WIDE), "sample", (7,)),
]


@pytest.mark.parametrize(("method", "name", "shape"), CASES)
def test_the_layers_compute_the_function(method, name, shape):
    lived_in(method)
    x = torch.randn(9, *shape, generator=torch.Generator().manual_seed(1))
    x = x.sigmoid() if name == "encode" else x
    with torch.no_grad():
        expected = getattr(method, name)(x).flatten(1)
        found = apply(layers_of(method, name, shape), x.flatten(1))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_batch_normalisation_is_folded_away():
    method = lived_in(WGAN(WGANConfig(latent=7, width=4), COLOUR))
    kinds = [getattr(layer, "kind", "take") for layer in layers_of(method, "sample", (7,))]
    assert kinds == ["linear", *["relu", "deconv"] * 3, "tanh", "affine", "affine"]


def test_a_residual_block_is_a_sum_and_its_first_norm_a_layer_of_its_own():
    method = lived_in(GAN(GANConfig(latent=7, width=4, net="resnet"), SMALL))
    first, block, *rest = layers_of(method, "sample", (7,))
    assert first.kind == "linear"
    kinds = [[layer.kind for layer in part] for part in (block.one, block.other)]
    assert kinds == [["scale", "relu", "enlarge", "conv", "relu", "conv"], ["conv", "enlarge"]]
    assert [layer.kind for layer in rest] == ["scale", "relu", "conv", "tanh", "affine", "affine"]


class Sums(nn.Module):
    """Sums of two chains, one within the other, beside the identity, and of parts that fork early."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (nn.Linear(4, 4) for _ in range(3))
        self.norm = nn.BatchNorm1d(4, affine=False)

    def branch(self, x):
        return self.one(x) + self.two(x)

    def skip(self, x):
        return self.norm(x + self.one(x).relu())

    def nested(self, x):
        within = self.two(x).tanh() + x
        return self.one(x) + self.three(within) + within


@pytest.mark.parametrize("name", ["branch", "skip", "nested"])
def test_sums_are_computed(name):
    net = lived_in(Sums())
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, layers = getattr(net, name)(x), layers_of(net, name, (4,))
    torch.testing.assert_close(apply(layers, x), expected)
    rough = apply([layer.quantised(8) for layer in layers], x)
    assert 0 < (rough - expected).abs().max() < 0.05


class Strange(nn.Module):
    """Networks that the runner must refuse rather than get wrong."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 1)
        self.grouped = nn.Conv2d(4, 4, 1, groups=2)
        self.dilated = nn.Conv2d(1, 1, 2, dilation=2)
        self.oblong = nn.Conv2d(1, 1, (1, 3))
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)

    def product(self, x):
        return x * self.one(x)

    def twice(self, x):
        return x + x

    def broadcast(self, x):
        return x + self.two(x)

    def weighted(self, x):
        return torch.add(x, self.one(x), alpha=2)

    def of_the_batch(self, x):
        return self.norm(torch.cat([x, 2 * x]))[:1]

    def stretched(self, x):
        return nn.functional.interpolate(x.view(-1, 1, 2, 2), size=(4, 6))

    def smooth(self, x):
        return nn.functional.interpolate(x.view(-1, 1, 2, 2), scale_factor=2, mode="bilinear")

    def constant(self, x):
        return self.one.weight * 2

    def unknown(self, x):
        return self.one(x).softmax(-1)

    def second_half(self, x):
        return self.one(x).chunk(2, -1)[1]

    def groups(self, x):
        return self.grouped(x[:, :, None, None])

    def dilation(self, x):
        return self.dilated(x.view(-1, 1, 2, 2).repeat(1, 1, 2, 2))

    def shape(self, x):
        return self.oblong(x.view(-1, 1, 1, 4))


@pytest.mark.parametrize("name", [name for name in vars(Strange) if not name.startswith("_")])
def test_a_network_that_the_runner_cannot_compute_is_refused(name):
    with pytest.raises(TriptychError):
        layers_of(Strange().eval(), name, (4,))


def test_fewer_bits_change_the_weights_and_many_hardly():
    layer = Linear("linear", torch.randn(3, 50), torch.zeros(3))
    x = torch.randn(2, 50)
    rough, fine = ((layer.quantised(b)(x) - layer(x)).abs().max() for b in (8, 16))
    assert 0 < fine < rough / 50
