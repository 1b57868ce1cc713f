"""Networks against their formula written out, and against the reference's list of layers."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from triptych.errors import TriptychError
from triptych.nets.dcgan import Critic, ImageToVector, VectorToImage, halvings
from triptych.nets.initialise import Undrawn, initialise
from triptych.nets.mlp import mlp
from triptych.objectives.wasserstein import input_gradient


def test_mlp_is_the_formula():
    net = mlp(5, [4, 3], 2)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    (a, b, c) = (layer for layer in net if isinstance(layer, nn.Linear))
    hidden = F.elu(F.elu(x @ a.weight.T + a.bias) @ b.weight.T + b.bias)
    torch.testing.assert_close(net(x), hidden @ c.weight.T + c.bias)


def test_mlp_without_hidden_layers_is_linear():
    assert [type(layer) for layer in mlp(5, [], 2)] == [nn.Linear]


def layers(net: nn.Module) -> list[tuple]:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0])
        if isinstance(m, kinds)
        else type(m).__name__
        for m in net.modules()
        if not list(m.children())
    ]


def test_the_reference_generator_comes_out():
    assert layers(VectorToImage(100, (3, 32, 32), 64, batch_norm=True)) == [
        (100, 256, 4, 1, 0), "BatchNorm2d", "ReLU",
        (256, 128, 4, 2, 1), "BatchNorm2d", "ReLU",
        (128, 64, 4, 2, 1), "BatchNorm2d", "ReLU",
        (64, 3, 4, 2, 1),
    ]  # fmt: skip


def test_the_reference_critic_comes_out():
    assert layers(ImageToVector((3, 32, 32), 1, 64)) == [
        (3, 64, 4, 2, 1), "LeakyReLU",
        (64, 128, 4, 2, 1), "LeakyReLU",
        (128, 256, 4, 2, 1), "LeakyReLU",
        (256, 1, 4, 1, 0),
    ]  # fmt: skip


SIZES = [8, 10, 12, 14, 24, 28, 32, 40, 48, 56, 64, 96, 112, 128]


@pytest.mark.parametrize(
    ("height", "width"), [*((s, s) for s in SIZES), (32, 48), (28, 16), (8, 14)]
)
def test_halvings_multiply_back_to_the_size(height: int, width: int):
    count, base = halvings(height, width)
    assert tuple(side * 2**count for side in base) == (height, width)
    assert all(4 <= side <= 7 for side in base)
    z = torch.zeros(1, 3)
    image = VectorToImage(3, (2, height, width), 2, batch_norm=False)(z)
    assert image.shape == (1, 2, height, width)
    assert ImageToVector((2, height, width), 5, 2)(image).shape == (1, 5)


@pytest.mark.parametrize(
    ("height", "width", "near"),
    [
        *((1, 1, "8"), (7, 7, "8"), (9, 9, "10"), (18, 18, "20"), (31, 31, "32"), (100, 100, "96")),
        *((28, 36, "32x40"), (40, 36, "40"), (8, 64, "16x28"), (4096, 1, "112x64")),
    ],
)
def test_a_size_that_does_not_halve_is_one_sentence_with_the_nearest_that_does(height, width, near):
    with pytest.raises(TriptychError, match=f" and {height}×{width} cannot be halved so") as error:
        halvings(height, width)
    assert f"--image-size, to {near} for instance" in str(error.value)
    sides = [int(side) for side in near.split("x")]
    assert halvings(sides[0], sides[-1])[0] >= 1


@pytest.mark.parametrize("place", [(0, 0), (13, 20), (31, 31), (31, 47)])
def test_the_critic_sees_every_pixel(place: tuple[int, int]):
    net = ImageToVector((1, 32, 48), 1, 4)
    initialise(net, 0)
    x = torch.full((1, 1, 32, 48), 0.5, requires_grad=True)
    net(x).sum().backward()
    assert x.grad[0, 0, *place] != 0


class Two(nn.Module):
    def __init__(self, extra: bool) -> None:
        super().__init__()
        if extra:
            self.before = nn.Linear(9, 9)
        self.encoder = mlp(4, [3], 2)
        self.norm = nn.BatchNorm1d(2)


def weights(extra: bool = False, seed: int = 0) -> dict[str, torch.Tensor]:
    model = Two(extra)
    initialise(model, seed)
    return model.state_dict()


def test_initial_weights_follow_from_seed_and_name_alone():
    torch.manual_seed(1)
    first, state = weights(), torch.get_rng_state()
    torch.manual_seed(2)
    second, arm = weights(), weights(extra=True)
    for name, value in first.items():
        assert torch.equal(value, second[name])
        assert torch.equal(value, arm[name]), "a layer more elsewhere changes nothing here"
    assert not torch.equal(first["encoder.0.weight"], weights(seed=1)["encoder.0.weight"])
    model = Two(False)
    torch.set_rng_state(state)
    initialise(model, 0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_layers_of_one_shape_start_from_different_weights():
    model = mlp(6, [6], 6)
    initialise(model, 0)
    first, second = (layer.weight for layer in model if isinstance(layer, nn.Linear))
    assert not torch.equal(first, second)


def test_initial_weights_are_by_the_layers_own_rule():
    model = nn.Sequential(nn.Linear(100, 200))
    initialise(model, 0)
    bound = 100**-0.5
    weight = model[0].weight
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_initialise_resets_running_statistics_too():
    model = Two(False)
    model.norm.running_mean.fill_(7)
    initialise(model, 0)
    assert torch.equal(model.norm.running_mean, torch.zeros(2))


class Stubborn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))


def test_a_module_that_cannot_be_reset_is_refused_by_name():
    with pytest.raises(TypeError, match="Stubborn has parameters but no reset_parameters"):
        initialise(nn.Sequential(Stubborn()), 0)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (2, 8, 8)])
def test_the_critics_own_gradient_is_that_of_automatic_differentiation(shape):
    """And so is every derivative of it by the weights, which is what a penalty trains with."""
    critic = Critic(shape, 4).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter *= 3
    x = torch.randn(5, *shape, dtype=torch.float64)
    written, twice = critic.gradient(x), input_gradient(critic, x)
    torch.testing.assert_close(written, twice, rtol=1e-12, atol=1e-12)
    weights = [p for n, p in critic.named_parameters() if n.endswith("weight")]
    first, second = (
        torch.autograd.grad((g.flatten(1).norm(dim=1) - 1).square().sum(), weights)
        for g in (written, twice)
    )
    for a, b in zip(first, second, strict=True):
        assert a.any()
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_undrawn_networks_have_their_shapes_and_nothing_else():
    with Undrawn():
        layer = nn.Linear(2, 3)
        assert torch.add(torch.ones(()), 1) == 2, "whatever else is computed is"
    assert layer.weight.shape == (3, 2)
    assert nn.Linear(500, 500).weight.std() > 0, "afterwards they are drawn again"


def test_a_network_of_shapes_does_not_import_the_compiler():
    """Which takes seconds, and nobody asked for it."""
    program = (
        "import sys, torch\nfrom triptych.nets.initialise import Undrawn\n"
        "from triptych.nets.resnet import ResNet\n"
        "with torch.device('meta'), Undrawn(): ResNet(18, 'cifar', 8, 3)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
