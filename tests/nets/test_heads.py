"""The heads against their formula written out, and what is fixed in them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.nets.heads import predictor, projector, random_predictor
from triptych.nets.initialise import initialise


def drawn(head: nn.Module, seed: int = 0) -> nn.Module:
    initialise(head, seed)
    return head.double().train()


def normed(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def batch(width: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(40, width, generator=draw, dtype=torch.float64)


def linears(head: nn.Module) -> list[nn.Linear]:
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear)]


def test_the_projector_is_the_formula():
    """Linear, norm, ReLU twice; then linear and a norm without weights of its own."""
    head, x = drawn(projector(6, (9, 8, 5))), batch(6)
    a, b, c = (layer.weight for layer in linears(head))
    hidden = F.relu(normed(F.relu(normed(x @ a.T)) @ b.T))
    torch.testing.assert_close(head(x), normed(hidden @ c.T), rtol=1e-10, atol=1e-10)
    shapes = {"0.weight": (9, 6), "1.weight": (9,), "1.bias": (9,), "3.weight": (8, 9)}
    shapes |= {"4.weight": (8,), "4.bias": (8,), "6.weight": (5, 8)}
    assert {n: tuple(p.shape) for n, p in head.named_parameters()} == shapes


def test_the_predictor_is_the_formula():
    head, x = drawn(predictor(6, 3)), batch(6)
    a, b = linears(head)
    expected = F.relu(normed(x @ a.weight.T)) @ b.weight.T + b.bias
    torch.testing.assert_close(head(x), expected, rtol=1e-10, atol=1e-10)
    assert a.bias is None


def test_the_references_sizes():
    """512 → 512 → 512 → 2048 → 512 → 2048."""
    with torch.device("meta"):
        heads = projector(512, (512, 512, 2048)), predictor(2048, 512)
    sizes = [(layer.in_features, layer.out_features) for h in heads for layer in linears(h)]
    assert sizes == [(512, 512), (512, 512), (512, 2048), (2048, 512), (512, 2048)]


def test_a_projector_of_one_layer_is_a_linear_map_and_a_norm():
    head, x = drawn(projector(6, (4,))), batch(6)
    expected = normed(x @ linears(head)[0].weight.T)
    torch.testing.assert_close(head(x), expected, rtol=1e-10, atol=1e-10)


def test_the_last_norm_is_computed_in_float32_under_autocast():
    """Every column of the projections has mean 0 to float32's rounding, not to that of bf16."""
    head = projector(16, (32, 8))
    initialise(head, 0)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(batch(16).float())
    assert found.dtype == torch.float32
    assert found.mean(0).abs().max() < 1e-6
    assert found.bfloat16().float().mean(0).abs().max() > 1e-5


def test_random_weights_have_the_spread_of_the_protocol():
    head = random_predictor(256, 128)
    initialise(head, 0)
    first, second = linears(head)
    for weight in (first.weight, second.weight):
        assert abs(weight.mean().item()) < 3 * 0.01 / weight.numel() ** 0.5
        assert abs(weight.std().item() / 0.01 - 1) < 0.02
    assert not second.bias.any()
    learning = predictor(256, 128)
    assert learning.state_dict().keys() == head.state_dict().keys()
