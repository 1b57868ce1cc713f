"""The order of the batches and the draws of dynamic binarization."""

import math

import numpy as np
import pytest
import torch

from triptych.data.spec import Images
from triptych.data.stream import Stream
from triptych.errors import TriptychError

CPU = torch.device("cpu")


def stream(count: int = 43, batch_size: int = 8, seed: int = 0, binarize: str = "none") -> Stream:
    """Image i has the level i everywhere, so that a batch says which images it holds."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(2, 2).repeat(3, 3)
    return Stream(Images(pixels, None), batch_size, seed, CPU, binarize)


def test_a_batch_holds_the_images_that_it_names():
    batch = stream().batch(3)
    assert batch.x.shape == (8, 1, 2, 3)
    expected = (batch.index.float() / 255)[:, None, None, None].expand(8, 1, 2, 3)
    assert torch.equal(batch.x, expected)


def test_an_epoch_visits_each_image_at_most_once_and_leaves_out_the_rest():
    made = stream()
    assert made.batches_per_epoch == 5
    for epoch in range(4):
        numbers = range(5 * epoch, 5 * epoch + 5)
        index = torch.cat([made.batch(n).index for n in numbers])
        assert len(index) == len(set(index.tolist())) == 40
        assert sorted(made.order(epoch).tolist()) == list(range(43))


def test_what_is_left_out_changes_from_epoch_to_epoch():
    made = stream()
    visited = {i for n in range(5 * 12) for i in made.batch(n).index.tolist()}
    assert visited == set(range(43))


def test_a_batch_as_large_as_the_data_is_all_of_it():
    index = stream(8, 8).batch(5).index
    assert sorted(index.tolist()) == list(range(8))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [tuple(stream(seed=s).order(e).tolist()) for s in range(5) for e in range(20)]
    assert len(set(orders)) == 100


def test_every_place_in_an_epoch_is_as_likely_for_every_image():
    """χ² of 4,000 orders of 8 images: 49 degrees of freedom, 100 is beyond one in 10⁵."""
    made = stream(8, 8)
    counts = np.zeros((8, 8))
    for epoch in range(4000):
        counts[np.arange(8), made.order(epoch).numpy()] += 1
    assert ((counts - 500) ** 2 / 500).sum() < 100


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_a_batch_does_not_depend_on_what_was_asked_before(binarize: str):
    forward, backward = stream(binarize=binarize), stream(binarize=binarize)
    expected = {n: forward.batch(n) for n in range(20)}
    for n in [*reversed(range(20)), 3, 3, 17, 4]:
        found = backward.batch(n)
        assert torch.equal(found.index, expected[n].index)
        assert torch.equal(found.x, expected[n].x)


def test_a_batch_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    stream(binarize="dynamic").batch(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_dynamic_binarization_has_the_grey_level_as_its_mean():
    levels = np.array([0, 1, 51, 128, 200, 254, 255], dtype=np.uint8)
    pixels = levels[:, None, None, None].repeat(8, 2).repeat(8, 3)
    made = Stream(Images(pixels, None), 7, 0, CPU, "dynamic")
    total, epochs = torch.zeros(7, dtype=torch.float64), 400
    for n in range(epochs):
        batch = made.batch(n)
        assert set(batch.x.unique().tolist()) <= {0.0, 1.0}
        total[batch.index] += batch.x.double().mean((1, 2, 3))
    mean, expected = total / epochs, torch.from_numpy(levels / 255.0)
    stderr = (expected * (1 - expected) / (epochs * 64)).sqrt()
    assert ((mean - expected).abs() <= 4 * stderr).all()
    assert mean[0] == 0
    assert mean[-1] == 1


def test_dynamic_binarization_is_drawn_anew_at_each_visit():
    pixels = np.full((8, 1, 8, 8), 128, dtype=np.uint8)
    made = Stream(Images(pixels, None), 8, 0, CPU, "dynamic")
    draws = {made.batch(n).x[made.batch(n).index == 0].numpy().tobytes() for n in range(50)}
    assert len(draws) == 50
    other = Stream(Images(pixels, None), 8, 1, CPU, "dynamic").batch(0)
    assert not torch.equal(other.x, made.batch(0).x)


def test_neighbouring_pixels_are_drawn_independently():
    pixels = np.full((64, 1, 32, 32), 128, dtype=np.uint8)
    x = Stream(Images(pixels, None), 64, 0, CPU, "dynamic").batch(0).x.double() - 128 / 255
    for shift in ((0, 1), (1, 0)):
        product = x[..., : 32 - shift[0], : 32 - shift[1]] * x[..., shift[0] :, shift[1] :]
        assert product.mean().abs() < 4 * 0.25 / math.sqrt(product.numel())


def test_threshold_cuts_at_one_half():
    made = Stream(
        Images(np.array([127, 128], dtype=np.uint8)[:, None, None, None], None),
        2,
        0,
        CPU,
        "threshold",
    )
    batch = made.batch(0)
    assert dict(zip(batch.index.tolist(), batch.x.flatten().tolist(), strict=True)) == {0: 0, 1: 1}


def test_a_batch_larger_than_the_data_is_one_sentence_with_a_size_that_works():
    with pytest.raises(TriptychError) as error:
        stream(10, 64)
    message = str(error.value)
    assert "64" in message
    assert "10" in message
    assert "\n" not in message
    suggested = int(message.split("--batch-size ")[1].split()[0])
    assert stream(10, suggested).batches_per_epoch >= 1


@pytest.mark.parametrize("size", [0, -4])
def test_a_batch_of_nothing_is_refused(size: int):
    with pytest.raises(TriptychError, match="batch"):
        stream(10, size)
