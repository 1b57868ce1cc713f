"""Residual networks against torchvision's layout, a plain forward pass from a state dict, and exact cases."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.nets.initialise import initialise
from triptych.nets.resnet import ResNet, _Conv

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    fields = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{f}": (width,) for f in fields} | {f"{name}.num_batches_tracked": ()}


def torchvision_layout(depth: int) -> dict[str, tuple[int, ...]]:
    """Every name and shape of torchvision's ``resnet<depth>().state_dict()``, in its order."""
    wide = 4 if depth == 50 else 1
    found = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            shapes = [(width, inputs, 3, 3), (width, width, 3, 3)]
            if wide == 4:
                shapes = [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for number, shape in enumerate(shapes, 1):
                found[f"{name}.conv{number}.weight"] = shape
                found |= norm(f"{name}.bn{number}", shape[0])
            if block == 0 and inputs != wide * width:
                found[f"{name}.downsample.0.weight"] = (wide * width, inputs, 1, 1)
                found |= norm(f"{name}.downsample.1", wide * width)
            inputs = wide * width
    return found | {"fc.weight": (1000, inputs), "fc.bias": (1000,)}


def state_of(depth: int, seed: int = 0) -> dict[str, Tensor]:
    """A state dict as torchvision would write it, with values that no initialisation gives."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in torchvision_layout(depth).items():
        value = torch.randn(shape, generator=draw)
        if len(shape) == 4:
            value *= (2 / value[0].numel()) ** 0.5
        if name.endswith("running_var"):
            value = value.square() + 0.5
        found[name] = torch.tensor(7) if name.endswith("tracked") else value
    return found


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_names_shapes_and_order_are_torchvisions(depth: int, count: int):
    with torch.device("meta"):
        net = ResNet(depth)
    layout = torchvision_layout(depth)
    backbone = [(k, shape) for k, shape in layout.items() if not k.startswith("fc.")]
    assert [(k, tuple(v.shape)) for k, v in net.state_dict().items()] == backbone
    parameters = sum(p.numel() for p in net.parameters())
    assert parameters + 1000 * net.features + 1000 == count
    assert net.features == layout["fc.weight"][1]


@pytest.mark.parametrize("stem", ["cifar", "half"])
def test_other_stems_differ_in_the_first_layer_alone(stem: str):
    with torch.device("meta"):
        ours = {k: tuple(v.shape) for k, v in ResNet(18, stem).state_dict().items()}
    theirs = torchvision_layout(18)
    assert ours.pop("conv1.weight") == (64, 3, 3, 3)
    assert ours.items() <= theirs.items()


def functional_resnet18(x: Tensor, state: dict[str, Tensor], training: bool = False) -> Tensor:
    """ResNet-18 of He et al. (2016) in plain operations, from nothing but a state dict."""

    def batch_norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{f}"] for f in ("running_mean", "running_var", "weight", "bias")
        )
        if training:
            return F.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.1, 1e-5)

    x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(batch_norm(x, "bn1")), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            out = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            out = F.relu(batch_norm(out, f"{name}.bn1"))
            out = F.conv2d(out, state[f"{name}.conv2.weight"], padding=1)
            out = batch_norm(out, f"{name}.bn2")
            if f"{name}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = batch_norm(x, f"{name}.downsample.1")
            x = F.relu(out + x)
    return x.mean((2, 3))


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("training", [False, True])
def test_a_state_dict_of_torchvision_gives_the_same_features_here(size: int, training: bool):
    """At 32 pixels the last stage has one pixel, at 64 it has four: with and without the shortcut."""
    state = {k: v.double() for k, v in state_of(18).items()}
    net = ResNet(18).double().train(training)
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert (missing, unexpected) == ([], ["fc.weight", "fc.bias"])
    x = torch.randn(3, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        expected = functional_resnet18(x, state, training)
        assert expected.std() > 0.01
        torch.testing.assert_close(net(x), expected, rtol=1e-9, atol=1e-9)


def test_weights_come_back_as_they_went():
    state = state_of(50)
    net = ResNet(50)
    net.load_state_dict(state, strict=False)
    back = net.state_dict() | {k: v for k, v in state.items() if k.startswith("fc.")}
    assert list(back) == list(state)
    assert all(torch.equal(back[k], v) for k, v in state.items())


def assert_is_the_convolution(conv: _Conv, x: Tensor) -> None:
    """The value, and the gradients of image and weights, are those of PyTorch's convolution."""
    plain = F.conv2d(x, conv.weight, stride=conv.stride, padding=conv.padding)
    upstream = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, (x, conv.weight), upstream)
    found = conv(x)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, conv.weight), upstream), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        assert ours.any()


@pytest.mark.parametrize(
    ("size", "stride"), [((1, 1), 1), ((1, 1), 2), ((2, 2), 2), ((1, 2), 2), ((2, 1), 2)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_to_one_pixel_is_the_convolution(size, stride, layout):
    """The value, and the gradients of image and weights, those of the unused taps too."""
    conv = _Conv(5, 4, 3, stride).double().to(memory_format=layout)
    x = torch.randn(6, 5, *size, dtype=torch.float64).contiguous(memory_format=layout)
    x.requires_grad_()
    assert conv(x).shape == (6, 4, 1, 1)
    assert_is_the_convolution(conv, x)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2), (3, 3)])
def test_a_convolution_to_more_than_one_pixel_is_left_as_it_is(shape: tuple[int, int]):
    stride = 2 if shape == (3, 3) else 1
    conv, x = _Conv(5, 4, 3, stride).double(), torch.randn(6, 5, *shape, dtype=torch.float64)
    plain = F.conv2d(x, conv.weight, stride=stride, padding=1)
    assert plain.shape[2:].numel() > 1
    torch.testing.assert_close(conv(x), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (5, 5), (7, 4), (1, 6)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_shortcut_with_a_stride_is_the_convolution(size, layout):
    """By the pixels that it reads: the value, and the gradients of image and weights, 0 at the others."""
    conv = _Conv(5, 4, 1, 2).double().to(memory_format=layout)
    x = torch.randn(6, 5, *size, dtype=torch.float64).contiguous(memory_format=layout)
    x.requires_grad_()
    assert_is_the_convolution(conv, x)


LAPTOP = """
import torch
from triptych.nets.resnet import ResNet

torch.set_num_threads(1)
for stem in ("half", "imagenet", "cifar"):
    for width, channels in ((4, 1), (8, 3), (16, 3)):
        net = ResNet(10, stem, width, channels).to(memory_format=torch.channels_last)
        for size in (16, 28, 32):
            x = torch.randn(16, channels, size, size).contiguous(memory_format=torch.channels_last)
            net(x).square().mean().backward()
"""
"""81 gradients of strided shortcuts, each of which could end the process."""


def test_a_processor_without_avx512_trains_a_residual_network():
    """A process apart, that a signal could end; one with more instructions is told to do without."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    ended = subprocess.run(
        [sys.executable, "-c", LAPTOP], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_convolutions_start_by_hes_rule():
    """N(0, 2 / fan out), as torchvision's do; the default of PyTorch is narrower and uniform."""
    net = ResNet(18)
    initialise(net, 0)
    weight = net.layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert weight.abs().max() > 4 * weight.std(), "normal, not uniform"


@pytest.mark.parametrize("depth", [18, 50])
def test_silent_residuals_make_each_block_its_shortcut(depth: int):
    net = ResNet(depth, width=8).eval()
    initialise(net, 0)
    blocks = [block for stage in range(1, 5) for block in net.get_submodule(f"layer{stage}")]
    x = torch.randn(2, 8, 8, 8)

    def differences(x: Tensor) -> list[bool]:
        found = []
        for block in blocks:
            shortcut = F.relu(x if block.downsample is None else block.downsample(x))
            found.append(not torch.equal(block(x), shortcut))
            x = block(x)
        return found

    with torch.no_grad():
        assert all(differences(x)), "not so before"
        net.silence_residuals()
        assert not any(differences(x))
    silent = [
        n for n, m in net.named_modules() if hasattr(m, "running_mean") and not m.weight.any()
    ]
    last = "bn3" if depth == 50 else "bn2"
    assert [n.split(".")[-1] for n in silent] == [last] * len(blocks)


@pytest.mark.parametrize(
    ("stem", "sizes"),
    [("imagenet", [8, 8, 4, 2, 1]), ("cifar", [32, 32, 16, 8, 4]), ("half", [16, 16, 8, 4, 2])],
)
def test_sizes_of_the_maps_at_32_pixels(stem: str, sizes: list[int]):
    net, found = ResNet(10, stem, width=4), []
    for module in (net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        module.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:])))
    net(torch.zeros(2, 3, 32, 32))
    channels = [4, 4, 8, 16, 32]
    assert found == [(c, s, s) for c, s in zip(channels, sizes, strict=True)]


def test_features_are_the_mean_over_the_last_map():
    net, maps = ResNet(10, "cifar", width=4, channels=1).eval(), []
    net.layer4.register_forward_hook(lambda _, __, out: maps.append(out))
    x = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(net(x), maps[0].flatten(2).sum(-1) / 4)


def test_ten_layers_are_one_basic_block_a_stage():
    """Ten: the stem, two in each of four blocks, and the classifier that is left out."""
    net = ResNet(10)
    main = [m for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and "down" not in n]
    assert len(main) + 1 == 10
