"""Batch normalisation over several ranks is that of one, with its gradients and theirs."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from triptych.nets.joint import JointBatchNorm, gathered, normalise_jointly
from triptych.ranks import Ranks


class Threads(Ranks):
    """Ranks that are threads of this process and add through its memory."""

    def __init__(self, rank: int, size: int, table: list, barrier: threading.Barrier) -> None:
        super().__init__(rank, size)
        self.table, self.barrier = table, barrier

    def add_(self, tensor: torch.Tensor) -> None:
        self.table[self.rank] = tensor.clone()
        self.barrier.wait()
        total = sum(self.table[1:], self.table[0])
        self.barrier.wait()
        tensor.copy_(total)


def together(size: int, work: Callable[[Ranks], object]) -> list:
    """What ``work`` gives each of so many ranks."""
    table, barrier, found = [None] * size, threading.Barrier(size, timeout=20), [None] * size

    def run(rank: int) -> None:
        try:
            found[rank] = work(Threads(rank, size, table, barrier))
        except BaseException as error:
            found[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [one for one in found if isinstance(one, BaseException)]
    # Who only waited for the one that failed is not to blame.
    errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
    if errors:
        raise errors[0]
    return found


def loss(norm: nn.Module, x: torch.Tensor, twice: bool) -> torch.Tensor:
    """A sum over images that depends on all of them; ``twice`` with a penalty on its own gradient."""
    value = (norm(x).tanh() ** 3).sum()
    if not twice:
        return value
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    return value + (gradient**2).sum()


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 4, 2)])
def test_values_and_gradients_are_those_of_the_whole_batch(shape, twice):
    torch.manual_seed(0)
    x = 5 + torch.randn(shape, dtype=torch.float64)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain = kind(3).double()
    with torch.no_grad():
        plain.weight.uniform_(0.5, 2)
        plain.bias.normal_()
    state = {k: v.clone() for k, v in plain.state_dict().items()}
    whole = x.clone().requires_grad_()
    loss(plain, whole, twice).backward()

    def work(ranks: Ranks):
        norm = kind(3).double()
        norm.load_state_dict(state)
        joint = nn.Sequential(norm)
        normalise_jointly(joint, ranks)
        assert isinstance(joint[0], JointBatchNorm)
        mine = x[slice(*ranks.part(len(x)))].clone().requires_grad_()
        loss(joint, mine, twice).backward()
        return mine.grad, norm.weight.grad, norm.bias.grad, dict(joint.state_dict())

    found = together(3, work)
    torch.testing.assert_close(
        torch.cat([g for g, *_ in found]), whole.grad, rtol=1e-10, atol=1e-10
    )
    for number, parameter in ((1, plain.weight), (2, plain.bias)):
        torch.testing.assert_close(
            sum(f[number] for f in found), parameter.grad, rtol=1e-10, atol=1e-10
        )
    for *_, after in found:
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(after[f"0.{name}"], value, rtol=1e-12, atol=1e-12)


def test_single_precision_does_not_cancel_far_from_zero():
    x = (1e4 + torch.randn(64, 2)).float()
    expected = nn.BatchNorm1d(2).double()(x.double())

    def work(ranks: Ranks):
        return JointBatchNorm(nn.BatchNorm1d(2), ranks)(x[slice(*ranks.part(64))])

    found = torch.cat(together(2, work)).double()
    # A step of single precision at 1e4 is 1e-3 of a standard deviation.
    assert float((found - expected).detach().abs().max()) < 5e-3


def test_a_loss_of_gathered_rows_has_the_gradient_of_one_batch():
    """InfoNCE (van den Oord et al. 2018) of 6 rows, each against the others."""
    torch.manual_seed(0)
    x = torch.randn(6, 4, dtype=torch.float64)

    def contrast(z: torch.Tensor) -> torch.Tensor:
        alike = (z @ z.T).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
        return nn.functional.cross_entropy(alike, torch.arange(len(z)).roll(1))

    whole = x.clone().requires_grad_()
    contrast(whole).backward()

    def work(ranks: Ranks):
        mine = x[slice(*ranks.part(6))].clone().requires_grad_()
        value = contrast(gathered(mine, ranks))
        # The loop weighs what each minimises by its share of the batch.
        (value * len(mine) / 6).backward()
        return float(value.detach()), mine.grad

    found = together(3, work)
    assert len({value for value, _ in found}) == 1
    torch.testing.assert_close(torch.cat([g for _, g in found]), whole.grad, rtol=1e-12, atol=1e-12)


def test_in_evaluation_it_is_the_plain_one():
    plain = nn.BatchNorm1d(3)
    plain(torch.randn(9, 3))
    joint = JointBatchNorm(plain, Ranks(0, 2)).eval()
    x = torch.randn(4, 3)
    assert torch.equal(joint(x), plain.eval()(x))


def test_in_evaluation_without_running_statistics_it_meets_nobody():
    plain = nn.BatchNorm1d(3, track_running_stats=False)
    x = torch.randn(4, 3)
    # The other rank never comes.
    joint = JointBatchNorm(plain, Threads(0, 2, [None] * 2, threading.Barrier(2, timeout=0.1)))
    assert torch.equal(joint.eval()(x), plain.eval()(x))
