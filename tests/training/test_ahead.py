"""What is picked on the device is what the host would have given, whichever window and thread it came through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from triptych.config import ViewsConfig
from triptych.data.spec import Images
from triptych.data.stream import Stream
from triptych.data.views import Parameters
from triptych.training.ahead import Ahead

CPU = torch.device("cpu")
Begin = Callable[..., Ahead]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Rings that are closed afterwards."""
    begun: list[Ahead] = []

    def one(*given, **named) -> Ahead:
        begun.append(Ahead(*given, **named))
        return begun[-1]

    yield one
    for ahead in begun:
        ahead.close()


def numbered(first: int, count: int) -> tuple[torch.Tensor, ...]:
    steps = torch.arange(first, first + count)
    return steps, (steps[:, None, None] * torch.ones(2, 3)).float()


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("start", [0, 1, 7, 8, 22, 29])
@pytest.mark.parametrize("window", [1, 2, 7, 100])
def test_every_step_finds_its_own_row(begin: Begin, window: int, start: int, aside: bool):
    ahead = begin(numbered, window, 30, CPU, aside=aside)
    for step in range(start, 30):
        ahead.before(step)
        ahead.before(step)
        number, filled = ahead.pick(torch.tensor(step))
        assert (number.item(), filled.shape) == (step, (2, 3))
        assert bool((filled == step).all())


def test_no_more_than_the_window_that_comes_is_made_and_none_beyond_the_end(begin: Begin):
    asked = []

    def make(first: int, count: int) -> tuple[torch.Tensor, ...]:
        asked.append((first, count))
        return numbered(first, count)

    ahead = begin(make, 4, 10, CPU, aside=True)
    seen = []
    for step in range(10):
        ahead.before(step)
        ahead.pick(torch.tensor(step))
        if ahead._next is not None:
            ahead._next[1].result()
        seen.append(list(asked))
    assert seen[0] == seen[3] == [(0, 4), (4, 4)]
    assert seen[4] == seen[7] == [(0, 4), (4, 4), (8, 2)]
    assert seen[9] == seen[4]


def test_the_next_window_is_made_while_this_one_is_read(begin: Begin):
    """The host waits for a window only where it begins."""
    going_on = threading.Event()

    def make(first: int, count: int) -> tuple[torch.Tensor, ...]:
        if first:
            assert going_on.wait(10)
        return numbered(first, count)

    ahead = begin(make, 5, 10, CPU, aside=True)
    began = time.perf_counter()
    for step in range(5):
        ahead.before(step)
        assert ahead.pick(torch.tensor(step))[0].item() == step
    assert time.perf_counter() - began < 5
    going_on.set()
    ahead.before(5)
    assert ahead.pick(torch.tensor(5))[0].item() == 5


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_missed(begin: Begin):
    def make(first: int, count: int) -> tuple[torch.Tensor, ...]:
        if first >= 4:
            raise OSError("the disk is gone")
        return numbered(first, count)

    ahead = begin(make, 4, 10, CPU, aside=True)
    for step in range(4):
        ahead.before(step)
    with pytest.raises(OSError, match="the disk is gone"):
        ahead.before(4)


class Carrying(Stream):
    """A stream whose pixels do not fit on the device."""

    resident = False


VIEWS = ViewsConfig(flip=0.5)


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("kind", [Stream, Carrying])
@pytest.mark.parametrize(
    ("views", "binarize"), [(None, "none"), (None, "dynamic"), (VIEWS, "none")]
)
def test_a_batch_that_is_picked_by_a_counter_is_the_one_of_its_number(
    begin: Begin, kind: type[Stream], views: ViewsConfig | None, binarize: str, aside: bool
):
    """Three batches a step, five an epoch: epochs end within steps, and steps within windows."""
    pixels = np.random.default_rng(0).integers(0, 256, (43, 3, 8, 6), dtype=np.uint8)
    stream, other = (
        of(Images(pixels, None), 8, 5, CPU, binarize, views=views) for of in (kind, Stream)
    )

    def make(first: int, count: int) -> tuple[torch.Tensor, ...]:
        return tuple(p.view(count, 3, *p.shape[1:]) for p in stream.plan(3 * first, 3 * count))

    ahead = begin(make, 4, 21, CPU, aside=aside)
    for step in range(2, 21):
        ahead.before(step)
        planned = ahead.pick(torch.tensor(step))
        for number in range(3):
            generator = torch.Generator().manual_seed(stream.seed_of(3 * step + number))
            found = stream.look([part[number] for part in planned], generator)
            expected = other.batch(3 * step + number)
            assert torch.equal(found.index, expected.index)
            assert len(found.views) == (1 if views is None else 2)
            for one, same in zip(found.views, expected.views, strict=True):
                assert torch.equal(one, same)


def test_a_plan_says_what_is_drawn_for_every_image():
    pixels = np.zeros((20, 3, 8, 8), dtype=np.uint8)
    stream = Stream(Images(pixels, None), 4, 0, CPU, views=VIEWS)
    index, *drawn = stream.plan(3, 4)
    assert index.shape == (4, 4)
    assert torch.equal(index[:2].flatten(), stream.order(0)[12:20])
    assert torch.equal(index[2:].flatten(), stream.order(1)[:8])
    for row, epoch in ((0, 0), (3, 1)):
        table = stream.table(epoch)
        for name, values in zip(Parameters._fields, drawn, strict=True):
            assert torch.equal(values[row], getattr(table, name)[index[row]]), name
