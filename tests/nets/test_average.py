"""The moving average against its closed form."""

import torch
from torch import nn

from triptych.nets.average import follow


def test_after_n_steps_it_is_the_closed_form():
    """θₙ = k (a constant drift): the average is Σ (1 − dₙ) θₙ Π later d, written out."""
    net, mean, count = nn.Linear(1, 1).double(), nn.Linear(1, 1).double(), torch.zeros(())
    mean.weight.data.fill_(0.0)
    values, rates = [], []
    for n in range(25):
        net.weight.data.fill_(float(n))
        follow(mean, net, count, 0.7)
        values.append(float(n))
        rates.append(min(0.7, (1 + n) / (10 + n)))
    expected = 0.0
    for value, rate in zip(values, rates, strict=True):
        expected = rate * expected + (1 - rate) * value
    assert count.item() == 25
    torch.testing.assert_close(mean.weight.item(), expected, rtol=1e-6, atol=0)


def test_whole_numbers_are_copied_and_running_statistics_averaged():
    net, mean, count = nn.BatchNorm1d(2), nn.BatchNorm1d(2), torch.zeros(())
    net.running_mean.fill_(1.0)
    net.num_batches_tracked.fill_(9)
    follow(mean, net, count, 0.5)
    torch.testing.assert_close(mean.running_mean, torch.full((2,), 0.9))
    assert mean.num_batches_tracked.item() == 9
