"""An average that follows a network, against its closed form."""

from __future__ import annotations

import torch
from torch import nn

from triptych.nets.average import early, follow


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_each_step_goes_its_share_of_the_way():
    """ξ_n = θ + Π (1 − rate) (ξ_0 − θ) for a θ that stays; whole numbers are θ's own."""
    average, fixed = network(0).double(), network(1).double()
    fixed[1].num_batches_tracked += 7
    fixed[1].running_mean += 2
    start = {name: value.clone() for name, value in average.state_dict().items()}
    left = 1.0
    for rate in (0.5, 0.1, 0.004):
        follow(average, fixed, torch.tensor(rate))
        left *= 1 - torch.tensor(rate).double().item()
    for name, now in average.state_dict().items():
        goal = fixed.state_dict()[name]
        if now.is_floating_point():
            torch.testing.assert_close(
                now, goal + left * (start[name] - goal), rtol=1e-7, atol=1e-9
            )
        else:
            assert now == goal == 7


def test_the_network_itself_is_not_touched():
    average, leading = network(0), network(1)
    before = {name: value.clone() for name, value in leading.state_dict().items()}
    follow(average, leading, torch.tensor(0.5))
    assert all(torch.equal(value, before[name]) for name, value in leading.state_dict().items())
    assert all(parameter.grad is None for parameter in average.parameters())


def test_one_that_is_warmed_up_is_the_closed_form():
    """θₙ = n: the average is Σ (1 − dₙ) θₙ Π later d, written out."""
    net, mean, count = nn.Linear(1, 1).double(), nn.Linear(1, 1).double(), torch.zeros(())
    mean.weight.data.fill_(0.0)
    expected = 0.0
    for n in range(25):
        net.weight.data.fill_(float(n))
        follow(mean, net, early(count, 0.7))
        count += 1
        decay = min(0.7, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    torch.testing.assert_close(mean.weight.item(), expected, rtol=1e-6, atol=0)
