"""Two random looks at every image, a whole batch at once, where the model is.

What is done to an image is drawn before, in one table for each (seed, epoch): it does not
depend on the batch that the image falls into, nor on the machine. The operations are those of
Pillow, in this order: crop and resize, mirror, jitter of the colours, grey.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from triptych.config import ViewsConfig
from triptych.seeds import derive

__all__ = ["Parameters", "apply", "apply_on_device", "draw", "single_threaded"]

ATTEMPTS = 10
"""Crops that are tried before the central one is taken, as torchvision does."""

CHUNK = 3 * 2**17
"""Values that pass through all operations together on a CPU, 128 images of CIFAR-10: they stay in its cache."""

DRAWN = 2**12
"""Images whose crops are tried together."""

LUMA = 0.299, 0.587, 0.114
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


class Parameters(NamedTuple):
    """What is done to each image in each of its views: tensors N×views, drawn on the host.

    The crop is in whole pixels; ``order`` has a last dimension of 4, the operations of the
    jitter (brightness, contrast, saturation, hue as 0 to 3) in the order in which they come.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    jitter: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: Tensor
    grey: Tensor

    def rows(self, index: Tensor, view: int) -> Parameters:
        """One view of some images: tensors of the index's length."""
        return Parameters(*(values[:, view].index_select(0, index) for values in self))

    def at(self, index: Tensor) -> Parameters:
        """All views of some images, in the order of the index: an epoch's table as its positions need it."""
        return Parameters(*(values.index_select(0, index) for values in self))

    def to(self, device: torch.device) -> Parameters:
        """The same tensors on a device; nothing waits where they are pinned or there already."""
        return Parameters(
            *(values.to(device, non_blocking=device.type == "cuda") for values in self)
        )


def draw(
    config: ViewsConfig, size: tuple[int, int], count: int, seed: int, epoch: int, views: int = 2
) -> Parameters:
    """The table of one epoch, from (seed, epoch).

    A crop covers a share of the image uniform in ``crop_scale``, its shape is log-uniform in
    ``crop_ratio`` (Szegedy et al. 2015), its place uniform; the factors of the jitter are uniform in
    [max(0, 1 − v), 1 + v], the turn of the hue in [−v, v], and all orders are equally likely.

    Args:
        config: what to draw from; ``flip`` must be decided.
        size: height and width of the images.
        count: how many images.
        seed: of the run.
        epoch: number of the epoch.
        views: looks at every image.

    Example:
        >>> table = draw(ViewsConfig(flip=0.5), (32, 32), 1000, seed=0, epoch=0, views=2)
        >>> table.top.shape, bool((table.top + table.height <= 32).all())
        (torch.Size([1000, 2]), True)
    """
    random = torch.Generator().manual_seed(derive(seed, "views", epoch))
    shape = count, views

    def uniform(low: float, high: float, *more: int) -> Tensor:
        return torch.rand(*shape, *more, generator=random).mul_(high - low).add_(low)

    def factor(strength: float) -> Tensor:
        return uniform(1 - strength, 1 + strength)

    assert config.flip is not None
    with single_threaded():
        top, left, height, width = _crops(config, size, shape, random)
        return Parameters(
            top,
            left,
            height,
            width,
            flip=uniform(0, 1) < config.flip,
            jitter=uniform(0, 1) < config.jitter,
            brightness=factor(config.brightness),
            contrast=factor(config.contrast),
            saturation=factor(config.saturation),
            hue=uniform(-config.hue, config.hue),
            order=uniform(0, 1, 4).argsort(-1),
            grey=uniform(0, 1) < config.grey,
        )


def _crops(
    config: ViewsConfig, size: tuple[int, int], shape: tuple[int, int], random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width, int64."""
    tall, wide = size
    low, high = config.crop_scale
    narrow, broad = (torch.tensor(r).log() for r in config.crop_ratio)
    central = _central(config, size)
    areas = torch.rand(*shape, ATTEMPTS, generator=random)
    found = torch.empty(shape, dtype=torch.bool)
    lengths = [torch.empty(shape, dtype=torch.int64) for _ in range(2)]
    # Of a few images at a time, in place and as floats: what is tried for a million would take a gigabyte, and
    # fresh memory costs more than the arithmetic. Numbers that are drawn in turn are the same in parts.
    for part in (slice(start, start + DRAWN) for start in range(0, shape[0], DRAWN)):
        area = areas[part].mul_(high - low).add_(low).mul_(tall * wide)
        ratio = torch.rand(area.shape, generator=random).mul_(broad - narrow).add_(narrow).exp_()
        widths, heights = (area * ratio).sqrt_().round_(), area.div_(ratio).sqrt_().round_()
        fits = (widths > 0) & (widths <= wide) & (heights > 0) & (heights <= tall)
        # Of equal values, the first.
        first = fits.view(torch.uint8).argmax(-1, keepdim=True)
        found[part] = fits.gather(-1, first).squeeze(-1)
        for length, tried, whole in zip(lengths, (heights, widths), central, strict=True):
            chosen = tried.gather(-1, first).squeeze(-1).long()
            length[part] = chosen.where(found[part], torch.tensor(whole))
    rooms = tall - lengths[0], wide - lengths[1]
    places = [
        # In float32 a draw close to 1 may round up to the whole.
        (torch.rand(*shape, generator=random) * (room + 1)).long().minimum(room)
        for room in rooms
    ]
    top, left = (place.where(found, room // 2) for place, room in zip(places, rooms, strict=True))
    return top, left, lengths[0], lengths[1]


def _central(config: ViewsConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest crop in the middle whose shape is allowed."""
    (tall, wide), (narrow, broad) = size, config.crop_ratio
    if wide / tall < narrow:
        return round(wide / narrow), wide
    if wide / tall > broad:
        return tall, round(tall * broad)
    return tall, wide


def apply(pixels: Tensor, parameters: Parameters) -> Tensor:
    """One view of each image: crop, mirror, jitter, grey (Chen and He 2021, appendix A), as Pillow computes them.

    Nothing is rounded between the operations as it is in Pillow: the results differ from its
    own by a level of 255, and by up to three steps of the 256 that its hue has.

    Args:
        pixels: uint8 N×C×H×W, C 1 or 3. What concerns colours leaves one channel as it is.
        parameters: rows of the table for these images, best on the device of the pixels.

    Returns:
        float32 N×C×H×W in [0, 1], on the device of the pixels.

    Example:
        >>> table = draw(ViewsConfig(flip=0.5), (8, 8), 100, seed=0, epoch=0)
        >>> pixels = torch.full((2, 3, 8, 8), 51, dtype=torch.uint8)
        >>> index = torch.tensor([7, 99])
        >>> first, second = (apply(pixels, table.rows(index, view)) for view in (0, 1))
        >>> first.shape, bool((first != second).any())
        (torch.Size([2, 3, 8, 8]), True)
    """
    if pixels.device.type != "cpu":
        return apply_on_device(pixels, parameters.to(pixels.device))
    if not len(pixels):
        return pixels.float()
    size = max(1, CHUNK // pixels.shape[1:].numel())
    parts = [slice(start, start + size) for start in range(0, len(pixels), size)]
    # Other threads do not know that this one may be in inference mode, and may not write to its tensors.
    with torch.inference_mode(False):
        out = torch.empty(pixels.shape)

    def part_done(part: slice) -> None:
        _apply(pixels[part], Parameters(*(values[part] for values in parameters)), out[part])

    with single_threaded() as workers:
        spread = _pool(workers).map if workers > 1 and len(parts) > 1 else map
        deque(spread(part_done, parts), maxlen=0)
    return out


def apply_on_device(pixels: Tensor, parameters: Parameters) -> Tensor:
    """What `apply` makes, by operations that can be recorded as a CUDA graph and compiled into a few kernels.

    Nothing asks the host, and no image is treated apart from the others: what is not its turn
    multiplies with one or is not chosen. Not compiled, it is several times slower than `apply` on a CPU.

    Args:
        pixels: uint8 N×C×H×W, C 1 or 3.
        parameters: rows of the table for these images, on the device of the pixels.

    Returns:
        float32 N×C×H×W in [0, 1].

    Example:
        >>> pixels = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
        >>> rows = draw(ViewsConfig(flip=0.5), (8, 8), 2, seed=0, epoch=0).rows(torch.arange(2), 0)
        >>> torch.allclose(apply_on_device(pixels, rows), apply(pixels, rows), atol=1e-5)
        True
    """
    levels = _sampled(pixels, parameters)
    p = Parameters(*(values[:, None, None] for values in parameters))
    planes = _jittered(levels.unbind(1), p)
    if len(planes) == 3:
        planes = _chosen(p.grey, (_grey(planes),) * 3, planes)
    return torch.stack(planes, 1)


def _sampled(pixels: Tensor, p: Parameters) -> Tensor:
    """Crops resized to the whole, N×C×H×W: two neighbours are mixed across, then two down."""
    height, width = pixels.shape[2:]
    across = _places(p.left, p.width, width, p.flip)[:, None, None, :].expand(pixels.shape)
    down = _places(p.top, p.height, height, torch.zeros_like(p.flip))
    down = down[:, None, :, None].expand(pixels.shape)

    def mixed(levels: Tensor, dim: int, place: Tensor) -> Tensor:
        first = place.long()
        second = (first + 1).clamp(max=levels.shape[dim] - 1)
        one, other = (levels.gather(dim, index).float() for index in (first, second))
        return one.lerp(other, place - first)

    return mixed(mixed(pixels, 3, across), 2, down) / 255


def _jittered(planes: tuple[Tensor, ...], p: Parameters) -> tuple[Tensor, ...]:
    """Change brightness, contrast, saturation and hue of planes N×H×W, in each image's own order; parameters N×1×1.

    Every image goes the same way: before and after the contrast, there before and after the hue,
    brightness and saturation in its own order. Each operation acts where the image has it.
    """
    colour = len(planes) == 3
    brightness, contrast, saturation, hue = (_position(p.order, which) for which in range(4))
    for past_contrast in (False, True):
        if past_contrast:
            factor = p.contrast.masked_fill(~p.jitter, 1)
            planes = _blended(planes, factor, 1 - factor, _grey(planes).mean((1, 2), keepdim=True))
        for past_hue in (False, True):
            if past_hue and colour:
                here = p.jitter & _beyond(hue, contrast, past_contrast)
                planes = _chosen(here, _turned(planes, 6 * p.hue), planes)
            for which in (brightness < saturation, saturation < brightness):
                position = brightness.where(which, saturation)
                here = p.jitter & _beyond(position, contrast, past_contrast)
                here &= _beyond(position, hue, past_hue)
                if not colour:
                    here &= which
                factor = p.brightness.where(which, p.saturation).masked_fill(~here, 1)
                share = (1 - factor).masked_fill(which, 0)
                planes = _blended(planes, factor, share, _grey(planes))
    return planes


def _position(order: Tensor, operation: int) -> Tensor:
    """Which place an operation has in each order."""
    return ((order == operation) * torch.arange(4, device=order.device)).sum(-1)


def _beyond(position: Tensor, other: Tensor, past: bool) -> Tensor:
    """Whether a position lies after another one, or before it if that is asked."""
    return position > other if past else position < other


def _chosen(
    here: Tensor, changed: tuple[Tensor, ...], planes: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The changed planes of some images and the planes of the others."""
    return tuple(new.where(here, old) for new, old in zip(changed, planes, strict=True))


def _blended(
    planes: tuple[Tensor, ...], factor: Tensor, share: Tensor, other: Tensor
) -> tuple[Tensor, ...]:
    """factor·x + share·other."""
    other = share * other
    return tuple((factor * plane + other).clamp(0, 1) for plane in planes)


@contextmanager
def single_threaded() -> Iterator[int]:
    """Torch's operations without its threads; gives how many there are.

    Short operations wait longer for threads to meet than these save, and on a busy machine
    many times longer.

    Example:
        >>> with single_threaded() as threads:
        ...     torch.get_num_threads(), threads >= 1
        (1, True)
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that each take a chunk at a time."""
    return ThreadPoolExecutor(workers, "views")


# The threads of a pool do not live on in a forked process.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _apply(pixels: Tensor, p: Parameters, out: Tensor) -> None:
    """All operations on one chunk, whose images stand in another order meanwhile."""
    count, channels, height, width = pixels.shape
    # Images whose hue turns at the same place lie together, then those that keep their colours.
    place = (p.order == HUE).int().argmax(1).where(p.jitter, torch.tensor(4))
    ranks = place.argsort()
    edges = place.bincount(minlength=5).cumsum(0).tolist()
    p = Parameters(*(values.index_select(0, ranks) for values in p))
    planes = _cropped(pixels.index_select(0, ranks), p)
    _jitter(planes, p, edges)
    if channels == 3:
        index = p.grey.nonzero().squeeze(1)
        # One plane at a time: selecting along the second dimension is many times slower.
        grey = _grey(torch.stack([plane.index_select(0, index) for plane in planes]))
        planes.index_copy_(1, index, grey.expand(3, *grey.shape))
    back = (ranks.argsort()[:, None] + count * torch.arange(channels)).flatten()
    rows = planes.view(channels * count, height * width)
    torch.index_select(rows, 0, back, out=out.view(count * channels, height * width))


def _cropped(pixels: Tensor, p: Parameters) -> Tensor:
    """Crops resized to the whole, C×N×(H·W): the planes of one colour lie together.

    Pillow's triangle filter. It would widen where an axis shrinks, but no crop is larger than
    its image: every value is a mixture of two neighbours.
    """
    count, channels, height, width = pixels.shape
    across = _places(p.left, p.width, width, p.flip)
    down = _places(p.top, p.height, height, torch.zeros_like(p.flip))
    column = torch.arange(width, dtype=torch.float32)[:, None]
    mixture = (1 - (column - across[:, None]).abs_()).clamp_(min=0)
    wide = pixels.float().div_(255).view(count, channels * height, width) @ mixture
    # Rows are whole, so that two are picked and mixed faster than multiplied with mostly zeros.
    above = down.long()
    below = (above + 1).clamp_(max=height - 1)
    share = down - above
    rows, shares = torch.stack([above, below], -1), torch.stack([1 - share, share], -1)
    first = height * torch.arange(count * channels).view(count, channels).t()
    planes = torch.nn.functional.embedding_bag(
        (first[:, :, None, None] + rows).reshape(-1, 2),
        wide.view(-1, width),
        mode="sum",
        per_sample_weights=shares.expand(channels, *shares.shape).reshape(-1, 2),
    )
    return planes.view(channels, count, height * width)


def _places(start: Tensor, length: Tensor, size: int, flip: Tensor) -> Tensor:
    """Where the pixels of a piece stretched to the whole lie on the axis that it was cut from, N×size.

    At the ends of the piece they lie on the outermost pixel, as Pillow leaves that one alone.
    """
    place = torch.arange(size, device=start.device).expand(len(start), size)
    place = torch.where(flip[:, None], size - 1 - place, place)
    centre = (place + 0.5) * (length / size)[:, None] - 0.5
    return centre.clamp_(min=0).minimum(length[:, None] - 1) + start[:, None]


def _jitter(planes: Tensor, p: Parameters, edges: list[int]) -> None:
    """Change brightness, contrast, saturation and hue in place, in each image's own order.

    The first three mix an image with another one, f·x + (1 − f)·y, where y is black, its mean
    grey or its own grey picture: one pass does whichever of them an image has next. Between
    the passes the hue of those images turns whose place it is; they end at ``edges``.
    """
    colour, count = len(planes) == 3, edges[3]
    others = p.order[:count][p.order[:count] != HUE].view(count, 3)
    factors = torch.stack([p.brightness, p.contrast, p.saturation], 1)[:count].gather(1, others)
    if not colour:
        factors = factors.where(others != SATURATION, 1.0)
    amounts = torch.stack(
        [factors, (1 - factors) * (others == SATURATION), (1 - factors) * (others == CONTRAST)]
    )
    turns = 6 * p.hue[:, None]
    for place in range(4):
        if colour:
            part = slice(edges[place - 1] if place else 0, edges[place])
            turning = planes[:, part].unbind()
            _turned(turning, turns[part], out=turning)
        if place < 3:
            _mix(planes[:, :count], *amounts[:, :, place, None])


def _mix(planes: Tensor, factor: Tensor, own: Tensor, even: Tensor) -> None:
    """factor·x + own·grey + even·mean grey, in place; amounts are N×1."""
    grey = _grey(planes)
    mean = grey.mean(1, keepdim=True)
    planes.mul_(factor).add_(grey.mul_(own).add_(mean.mul_(even))).clamp_(0, 1)


def _grey(planes: Tensor | tuple[Tensor, ...]) -> Tensor:
    """C×N×D → N×D."""
    if len(planes) == 1:
        return planes[0].clone()
    red, green, blue = planes
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _turned(
    planes: tuple[Tensor, ...], turn: Tensor, out: tuple[Tensor | None, ...] = (None,) * 3
) -> tuple[Tensor, ...]:
    """Turn the hue by sixths of the colour circle, by way of hue, value and chroma (Smith 1978).

    With value V, chroma C = V − m and the hue as an angle e in [−3, 3) from cyan, the colours are
    m + C·k(e), V − C·k(e + 1) and V − C·k(e − 1) where k(e) is |e| − 1 cut to [0, 1]. Hence
    |e| = 2 − (green + blue − red − m) / C, and e is negative where green exceeds blue.
    """
    red, green, blue = planes
    value = torch.maximum(red, green).maximum(blue)
    low = torch.minimum(red, green).minimum(blue)
    chroma = value - low
    angle = (red + low).sub_(green).sub_(blue).div_(chroma.clamp(min=1e-12)).add_(2)
    angle.copysign_(blue - green).add_(turn)
    angle.sub_((angle / 6).round_(), alpha=6)
    shares = ((angle + shift).abs_().sub_(1).clamp_(0, 1) for shift in (0, 1, -1))
    return tuple(
        torch.addcmul(base, chroma, share, value=sign, out=plane)
        for base, share, sign, plane in zip(
            (low, value, value), shares, (1, -1, -1), out, strict=True
        )
    )
