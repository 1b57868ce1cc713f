"""Views, on the CPU and as they are made on a device, against Pillow operation by operation; their draws against torchvision's rule written naively."""

from __future__ import annotations

import colorsys
import itertools
import math
import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy.stats import chisquare, ks_2samp
from torch.utils._python_dispatch import TorchDispatchMode

from triptych.config import ViewsConfig
from triptych.data.views import CHUNK, Parameters, apply, apply_on_device, draw, single_threaded

LEVEL = 1 / 255
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
SIZES = [(32, 32), (28, 28), (19, 40)]
Ways = Callable[[torch.Tensor, Parameters], torch.Tensor]


@pytest.fixture(params=[apply, apply_on_device], ids=["apply", "apply_on_device"])
def way(request: pytest.FixtureRequest) -> Iterator[Ways]:
    """Both ways in which views are made; threads would only wait for each other here."""
    with single_threaded():
        yield request.param


def pictures(count: int, channels: int = 3, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    """Smooth patches and noise, with black, white, grey and saturated pixels among them."""
    from_seed = np.random.default_rng(count)
    patches = from_seed.integers(0, 256, (count, channels, 4, 4)).repeat(16, 2).repeat(16, 3)
    noise = from_seed.normal(0, 30, (count, channels, *size))
    levels = patches[..., : size[0], : size[1]] + noise * (from_seed.random((count, 1, 1, 1)) < 0.5)
    levels[0], levels[1] = 0, 255
    levels[2] = levels[2, :1]
    return torch.from_numpy(levels.clip(0, 255).round().astype(np.uint8))


def unchanged(count: int, size: tuple[int, int] = (32, 32)) -> Parameters:
    zero, one = torch.zeros(count, dtype=torch.int64), torch.ones(count)
    never = torch.zeros(count, dtype=torch.bool)
    order = torch.arange(4).repeat(count, 1)
    crop = zero, zero, zero + size[0], zero + size[1]
    return Parameters(*crop, never, never, one, one, one, one - 1, order, never)


def rows(config: ViewsConfig, count: int, size: tuple[int, int] = (32, 32)) -> Parameters:
    return draw(config, size, count, seed=5, epoch=0).rows(torch.arange(count), 0)


def image(levels: torch.Tensor) -> Image.Image:
    array = levels.permute(1, 2, 0).numpy()
    return Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0])


def turned(picture: Image.Image, turn: float) -> Image.Image:
    """As torchvision's Pillow backend does it, in the 8 bits of Pillow's HSV."""
    h, s, v = picture.convert("HSV").split()
    h = Image.fromarray(np.asarray(h) + np.int32(turn * 255).astype(np.uint8))
    return Image.merge("HSV", (h, s, v)).convert("RGB")


def by_pillow(levels: torch.Tensor, p: Parameters) -> torch.Tensor:
    """One image at a time, as the transforms of torchvision treat a Pillow image."""
    views = []
    for i, picture in enumerate(map(image, levels)):
        colour, whole = picture.mode == "RGB", picture.size
        left, top = int(p.left[i]), int(p.top[i])
        corners = left, top, left + int(p.width[i]), top + int(p.height[i])
        picture = picture.crop(corners).resize(whole, Image.Resampling.BILINEAR)
        if p.flip[i]:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for operation in p.order[i].tolist() if p.jitter[i] else ():
            if operation == BRIGHTNESS:
                picture = ImageEnhance.Brightness(picture).enhance(float(p.brightness[i]))
            elif operation == CONTRAST:
                picture = ImageEnhance.Contrast(picture).enhance(float(p.contrast[i]))
            elif operation == SATURATION and colour:
                picture = ImageEnhance.Color(picture).enhance(float(p.saturation[i]))
            elif operation == HUE and colour and p.hue[i] != 0:
                picture = turned(picture, float(p.hue[i]))
        if p.grey[i]:
            picture = picture.convert("L").convert(picture.mode)
        views.append(np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(views)).float() / 255


def in_doubles(levels: torch.Tensor, p: Parameters) -> torch.Tensor:
    """The same without rounding: Pillow's resize of floats, colours of single pixels by colorsys."""
    weights = np.array([0.299, 0.587, 0.114])
    views = []
    for i, picture in enumerate(levels.numpy() / 255):
        left, top = int(p.left[i]), int(p.top[i])
        corners = left, top, left + int(p.width[i]), top + int(p.height[i])
        size = picture.shape[2], picture.shape[1]
        planes = [Image.fromarray(plane.astype(np.float32)) for plane in picture]
        planes = [x.crop(corners).resize(size, Image.Resampling.BILINEAR) for x in planes]
        x = np.stack([np.asarray(plane, dtype=np.float64) for plane in planes], -1)
        x = x[:, ::-1] if p.flip[i] else x
        for operation in p.order[i].tolist() if p.jitter[i] else ():
            if operation == HUE:
                hsv = (colorsys.rgb_to_hsv(*pixel) for pixel in x.reshape(-1, 3).tolist())
                turn = float(p.hue[i])
                rgb = [colorsys.hsv_to_rgb((h + turn) % 1, s, v) for h, s, v in hsv]
                x = np.array(rgb).reshape(x.shape)
                continue
            f = float((p.brightness, p.contrast, p.saturation)[operation][i])
            grey = (x @ weights)[:, :, None]
            other = (0, grey.mean(), grey)[operation]
            x = (f * x + (1 - f) * other).clip(0, 1)
        if p.grey[i]:
            x = (x @ weights)[:, :, None].repeat(3, 2)
        views.append(x.transpose(2, 0, 1))
    return torch.from_numpy(np.stack(views)).float()


def assert_within(found: torch.Tensor, expected: torch.Tensor, most: float, mean: float) -> None:
    """Differences in levels of 255."""
    difference = (found - expected).abs() / LEVEL
    assert difference.max() <= most
    assert difference.mean() <= mean


def naive_crop(config: ViewsConfig, size: tuple[int, int], uniform: random.Random):
    """torchvision's RandomResizedCrop.get_params."""
    height, width = size
    for _ in range(10):
        area = height * width * uniform.uniform(*config.crop_scale)
        ratio = math.exp(uniform.uniform(*map(math.log, config.crop_ratio)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return uniform.randint(0, height - h), uniform.randint(0, width - w), h, w
    h, w = height, width
    if width / height < config.crop_ratio[0]:
        h = round(width / config.crop_ratio[0])
    elif width / height > config.crop_ratio[1]:
        w = round(height * config.crop_ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def test_an_unchanged_view_is_the_image(way: Ways):
    x = pictures(70)
    assert torch.equal(way(x, unchanged(70)), x.float() / 255)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_crop_and_flip_are_pillows(way: Ways, size: tuple[int, int], channels: int):
    x = pictures(300, channels, size)
    p = rows(ViewsConfig(flip=0.5, jitter=0, grey=0), 300, size)
    assert_within(way(x, p), by_pillow(x, p), most=1.01, mean=0.3)
    assert_within(way(x, p), in_doubles(x, p), most=1e-3, mean=1e-4)


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize("operation", ["brightness", "contrast", "saturation"])
def test_blends_are_pillows(way: Ways, operation: str, strength: float):
    """Pillow cuts the digits off, half a level on average, and rounds the greys that it blends with."""
    x, n = pictures(200), 200
    factor = torch.linspace(1 - strength, 1 + strength, n)
    p = unchanged(n)._replace(jitter=torch.ones(n, dtype=torch.bool), **{operation: factor})
    assert_within(way(x, p), by_pillow(x, p), most=1.5, mean=0.5)
    assert_within(way(x, p), in_doubles(x, p), most=1e-3, mean=1e-4)


def test_hue_is_that_of_colorsys_and_near_pillows_of_8_bits(way: Ways):
    n = 60
    x = pictures(n)
    p = unchanged(n)._replace(
        jitter=torch.ones(n, dtype=torch.bool), hue=torch.linspace(-0.5, 0.5, n)
    )
    assert_within(way(x, p), in_doubles(x, p), most=1e-3, mean=1e-4)
    # Three steps of Pillow's hue; one is 6 levels where a colour is pure.
    assert_within(way(x, p), by_pillow(x, p), most=18, mean=1)


def test_a_crop_of_one_pixel_is_that_pixel_everywhere(way: Ways):
    x, n = pictures(40, size=(19, 32)), 40
    top, left = torch.arange(n) % 19, torch.arange(n) % 32
    one, flip = torch.ones(n, dtype=torch.int64), torch.arange(n) % 3 == 0
    p = unchanged(n)._replace(top=top, left=left, height=one, width=one, flip=flip)
    expected = x[torch.arange(n), :, top, left][:, :, None, None].expand_as(x) / 255
    torch.testing.assert_close(way(x, p), expected, rtol=0, atol=1e-7)


def test_grey_is_pillows(way: Ways):
    x = pictures(100)
    p = unchanged(100)._replace(grey=torch.ones(100, dtype=torch.bool))
    assert_within(way(x, p), by_pillow(x, p), most=0.51, mean=0.25)


def test_all_operations_in_all_orders(way: Ways):
    orders = torch.tensor(list(itertools.permutations(range(4))))
    n = 5 * len(orders)
    x = pictures(n)
    p = rows(ViewsConfig(flip=0.5), n)._replace(order=orders.repeat(5, 1))
    assert_within(way(x, p), in_doubles(x, p), most=1e-3, mean=1e-4)
    assert_within(way(x, p), by_pillow(x, p), most=20, mean=1.5)


def test_a_grey_image_has_no_colours_to_change(way: Ways):
    x = pictures(150, channels=1)
    p = rows(ViewsConfig(flip=0.5, grey=0.5), 150)
    colourless = p._replace(
        saturation=torch.ones(150), hue=torch.zeros(150), grey=torch.zeros(150, dtype=torch.bool)
    )
    assert torch.equal(way(x, p), way(x, colourless))
    assert_within(way(x, p), by_pillow(x, p), most=4, mean=0.7)


def test_a_view_does_not_depend_on_the_batch(way: Ways):
    count = CHUNK // (3 * 32 * 32) + 44
    x = pictures(count)
    table = draw(ViewsConfig(flip=0.5), (32, 32), count, seed=1, epoch=2)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    for view in (0, 1):
        together = way(x[order], table.rows(order, view))
        for place in range(0, count, 7):
            one = order[place : place + 1]
            alone = way(x[one], table.rows(one, view))
            torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=1e-6)


def test_the_number_of_threads_is_left_as_it_was():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        apply(pictures(5), unchanged(5))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_seeds_epochs_and_views_differ_and_nothing_else_matters():
    config = ViewsConfig(flip=0.5)
    torch.manual_seed(3)
    table = draw(config, (32, 32), 500, seed=0, epoch=0)
    torch.manual_seed(4)
    for mine, again in zip(table, draw(config, (32, 32), 500, seed=0, epoch=0), strict=True):
        assert torch.equal(mine, again)
    for seed, epoch in ((1, 0), (0, 1)):
        other = draw(config, (32, 32), 500, seed=seed, epoch=epoch)
        for mine, theirs in zip(table, other, strict=True):
            assert (mine != theirs).float().mean() > 0.1
    for values in table:
        assert (values[:, 0] != values[:, 1]).float().mean() > 0.1


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ((32, 32), {}),
        ((28, 40), {"crop_scale": (0.3, 0.9), "crop_ratio": (0.5, 2.0)}),
        # One attempt in ten fits: the central crop is often taken.
        ((20, 60), {"crop_scale": (0.7, 1.0), "crop_ratio": (0.5, 2.2)}),
        ((60, 20), {"crop_scale": (0.7, 1.0), "crop_ratio": (0.45, 2.0)}),
    ],
)
def test_crops_are_distributed_as_torchvisions(size: tuple[int, int], changes: dict):
    config, n, uniform = ViewsConfig(flip=0.5, **changes), 20_000, random.Random(0)
    naive = np.array([naive_crop(config, size, uniform) for _ in range(n)]).T
    table = draw(config, size, n, seed=0, epoch=0)

    def marks(top, left, height, width):
        room = size[0] - height, size[1] - width
        share = top / np.maximum(room[0], 1), left / np.maximum(room[1], 1)
        return [top, left, height, width, height * width, width / height, *share, top - left]

    for view in (0, 1):
        ours = [values[:, view].numpy() for values in table[:4]]
        assert (ours[0] + ours[2] <= size[0]).all() and (ours[1] + ours[3] <= size[1]).all()
        for mine, theirs in zip(marks(*ours), marks(*naive), strict=True):
            assert ks_2samp(mine, theirs).pvalue > 1e-3


def test_a_crop_that_never_fits_is_the_central_one():
    config = ViewsConfig(flip=0.5, crop_scale=(1.0, 1.0), crop_ratio=(2.0, 3.0))
    table = draw(config, (30, 30), 50, seed=0, epoch=0)
    expected = naive_crop(config, (30, 30), random.Random(0))
    assert expected == (7, 0, 15, 30)
    for values, value in zip(table[:4], expected, strict=True):
        assert (values == value).all()


def test_colours_are_drawn_as_the_protocol_says():
    config, n = ViewsConfig(flip=0.3, jitter=0.8, brightness=0.4, contrast=1.0, hue=0.1), 40_000
    table = draw(config, (32, 32), n, seed=0, epoch=0)
    rates = {"flip": 0.3, "jitter": 0.8, "grey": config.grey}
    for name, rate in rates.items():
        found = getattr(table, name).float().mean(0)
        assert ((found - rate).abs() < 4 * math.sqrt(rate * (1 - rate) / n)).all()
    ranges = {"brightness": (0.6, 1.4), "contrast": (0, 2), "saturation": (0.6, 1.4)}
    for name, (low, high) in {**ranges, "hue": (-0.1, 0.1)}.items():
        uniform = np.random.default_rng(0).uniform(low, high, n)
        values = getattr(table, name)
        assert values.min() >= low and values.max() <= high
        for view in (0, 1):
            assert ks_2samp(values[:, view].numpy(), uniform).pvalue > 1e-3
    digits = torch.tensor([1000, 100, 10, 1])
    for view in (0, 1):
        _, counts = (table.order[:, view] * digits).sum(1).unique(return_counts=True)
        assert len(counts) == 24 and chisquare(counts.numpy()).pvalue > 1e-3


def test_nothing_drawn_follows_from_another():
    """No two columns of the table, of the same or of the other view, are correlated."""
    n = 20_000
    table = draw(ViewsConfig(flip=0.5), (32, 32), n, seed=0, epoch=0)
    free = [values.double() for name, values in table._asdict().items() if name != "order"]
    # A place is bounded by the size of its crop: its share of the room is free of it.
    places = [free[i] / (32 - free[i + 2]).clamp(min=1) for i in (0, 1)]
    columns = [column for values in (*places, *free[4:]) for column in values.T]
    columns += [(table.order[:, view] == HUE).double().argmax(1).double() for view in (0, 1)]
    correlation = torch.corrcoef(torch.stack(columns)).fill_diagonal_(0)
    assert correlation.abs().max() < 4.5 / math.sqrt(n)


def test_views_can_be_made_in_inference_mode_on_several_threads():
    """Inference mode belongs to a thread, and the chunks of a large batch go to others."""
    pixels = torch.randint(256, (600, 3, 32, 32), dtype=torch.uint8)
    table = draw(ViewsConfig(flip=0.5), (32, 32), 600, seed=0, epoch=0)
    rows = table.rows(torch.arange(600), 0)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        plain = apply(pixels, rows)
        with torch.inference_mode():
            assert torch.equal(apply(pixels, rows), plain)
    finally:
        torch.set_num_threads(threads)


def everything(size: tuple[int, int] = (32, 32)) -> Parameters:
    """Every order of the operations with and without jitter, mirrored and not, grey and not, with the wildest draws."""
    orders = torch.tensor(list(itertools.permutations(range(4)))).repeat(8, 1)
    place = torch.arange(len(orders)) // 24
    config = ViewsConfig(flip=0.5, brightness=1, contrast=1, saturation=1, hue=0.5)
    return rows(config, len(orders), size)._replace(
        order=orders, jitter=place % 2 == 0, flip=place // 2 % 2 == 0, grey=place // 4 == 0
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_both_ways_make_the_same_views(channels: int, size: tuple[int, int]):
    p = everything(size)
    x = pictures(len(p.top), channels, size)
    torch.testing.assert_close(apply_on_device(x, p), apply(x, p), rtol=0, atol=5e-6)


class Recorded(TorchDispatchMode):
    """Refuses what cannot be recorded as a CUDA graph: questions to the host, and whatever is not on the device."""

    REFUSED = (
        {"_local_scalar_dense", "item", "is_nonzero", "equal", "lift_fresh", "scalar_tensor"}
        | {"nonzero", "masked_select", "_unique2", "bincount", "sort", "argsort", "topk"}
        | {"index", "index_put_"}  # With a mask they count it.
    )

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        name = operation.overloadpacket.__name__
        assert name not in self.REFUSED, name
        found = operation(*arguments, **(keywords or {}))
        for leaf in torch.utils._pytree.tree_leaves((arguments, keywords, found)):
            assert not isinstance(leaf, torch.Tensor) or leaf.device == self.device, name
        return found


@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_on_a_device_asks_the_host_or_comes_from_there(channels: int, place: str):
    """Rows of an epoch's table picked there and views made there, as a captured step does it.

    The device "meta" shows what comes from the host, and the host's what is asked or copied.
    """
    device = torch.device(place)
    table = draw(ViewsConfig(flip=0.5), (19, 40), 50, seed=0, epoch=0).to(device)
    x, index = pictures(20, channels, (19, 40)).to(device), torch.arange(20, 40, device=device)
    with Recorded(device):
        for view in (0, 1):
            assert apply_on_device(x, table.rows(index, view)).shape == x.shape


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        ("cpu", lambda x: x.sum().item()),
        ("cpu", lambda x: x[x > 0]),
        ("cpu", lambda x: torch.tensor(1.0)),
        ("meta", lambda x: x + torch.zeros(())),
        ("meta", lambda x: torch.zeros(3).to("meta")),
    ],
)
def test_what_cannot_be_recorded_would_be_noticed(place: str, asked: Callable):
    device = torch.device(place)
    with pytest.raises(AssertionError), Recorded(device):
        asked(torch.ones(3, device=device))


def test_no_images_have_no_views(way: Ways):
    found = way(pictures(3)[:0], Parameters(*(values[:0] for values in unchanged(3))))
    assert found.shape == (0, 3, 32, 32) and found.dtype == torch.float32


def test_views_on_a_device_are_one_graph():
    """``fullgraph`` raises where there is a break."""
    torch._dynamo.reset()
    captured = torch.compile(apply_on_device, backend="eager", fullgraph=True, dynamic=False)
    p = everything()
    x = pictures(len(p.top))
    assert torch.equal(captured(x, p), apply_on_device(x, p))


@pytest.mark.needs_compiler("compiled views are those of the plain ones")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it loads its compiler
@pytest.mark.parametrize("channels", [1, 3])
def test_compiled_views_are_the_same(channels: int):
    torch._dynamo.reset()
    fused = torch.compile(apply_on_device, fullgraph=True, dynamic=False)
    p = everything((19, 40))
    x = pictures(len(p.top), channels, (19, 40))
    torch.testing.assert_close(fused(x, p), apply(x, p), rtol=0, atol=5e-6)


def test_the_rows_of_an_epoch_are_those_of_its_positions():
    table = draw(ViewsConfig(flip=0.5), (32, 32), 90, seed=0, epoch=0)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    positions = table.at(order)
    for view in (0, 1):
        expected = [values[order[20:30], view] for values in table]
        for found in (
            table.rows(order[20:30], view),
            positions.rows(torch.arange(20, 30), view),
        ):
            assert all(map(torch.equal, found, expected))


def test_draws_are_those_of_earlier_versions():
    """A run that an earlier version started goes on with the views that it would have had."""
    table = draw(ViewsConfig(flip=0.5), (32, 32), 4000, seed=7, epoch=3)
    some = [0, 1999, 3999]
    assert table.top[some].tolist() == [[1, 11], [3, 11], [0, 6]]
    assert table.left[some].tolist() == [[2, 14], [0, 13], [9, 0]]
    assert table.height[some].tolist() == [[31, 17], [22, 21], [20, 14]]
    assert table.width[some].tolist() == [[28, 15], [21, 18], [22, 13]]
    assert table.order[0].tolist() == [[3, 1, 2, 0], [3, 2, 1, 0]]
    sums = [41413, 41204, 172781, 172799, 4059, 6393]
    assert [int(values.sum()) for values in table[:6]] == sums and int(table.grey.sum()) == 1620
    factors = torch.stack([values[0, 0] for values in table[6:10]])
    expected = [1.3238143920898438, 0.7629868388175964, 1.0779309272766113, -0.041806090623140335]
    assert torch.equal(factors, torch.tensor(expected))
    assert [values.dtype for values in table[:4]] == [torch.int64] * 4


def test_views_are_the_same_on_several_threads_at_once_and_after_a_fork():
    pixels, p = pictures(600), rows(ViewsConfig(flip=0.5), 600)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        plain, found = apply(pixels, p), []
        others = [threading.Thread(target=lambda: found.append(apply(pixels, p))) for _ in range(4)]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
        assert len(found) == 4 and all(torch.equal(views, plain) for views in found)
        if "fork" in multiprocessing.get_all_start_methods():
            torch.set_num_threads(1)  # What OpenMP has started does not survive a fork.
            with multiprocessing.get_context("fork").Pool(1) as pool:
                assert torch.equal(pool.apply_async(apply, (pixels, p)).get(timeout=60), plain)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("together", [1, 7, 499, 500])
def test_draws_are_the_same_however_many_crops_are_tried_together(
    together: int, monkeypatch: pytest.MonkeyPatch
):
    config = ViewsConfig(flip=0.5)
    whole = draw(config, (32, 32), 500, seed=0, epoch=0)
    monkeypatch.setattr("triptych.data.views.DRAWN", together)
    for mine, expected in zip(draw(config, (32, 32), 500, seed=0, epoch=0), whole, strict=True):
        assert torch.equal(mine, expected)
