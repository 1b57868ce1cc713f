"""Augmented views per second: Pillow transforms in a DataLoader, and Triptych's batches, in turn.

    python benchmarks/views.py [--data-dir DIR] [--batch-size 512] [--rounds 12]

All make SimSiam's two views of images of CIFAR-10 on all cores: Pillow in as many workers, Triptych
in one process of as many threads, as a single training has them, and in as many processes of
one thread, as a study has them. A few batches of each in turn; medians of the ratios of neighbours
are given, since machines are shared and drift.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from triptych.config import ViewsConfig
from triptych.data import DataConfig, load
from triptych.data.spec import Images
from triptych.data.stream import Stream
from triptych.training.ahead import Ahead
from triptych.training.step import WINDOW
from triptych.types import Batch

CONFIG = ViewsConfig(flip=0.5)
PLAIN_BATCHES = 2
"""Batches that each worker of the plain way makes in its turn."""
OUR_BATCHES = 20
"""Batches in our turn."""

LONG = 10**6
"""Batches of a training that does not end before the measurement."""
ASKED = 6
"""The ratio that was asked for."""


def pillow_crop(height: int, width: int) -> tuple[int, int, int, int]:
    """A random crop as torchvision draws it: left, top, right, bottom."""
    low, high = CONFIG.crop_ratio
    for _ in range(10):
        area = height * width * random.uniform(*CONFIG.crop_scale)
        ratio = math.exp(random.uniform(math.log(low), math.log(high)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = random.randint(0, height - h), random.randint(0, width - w)
            return left, top, left + w, top + h
    return 0, 0, width, height


def pillow_hue(image: Image.Image) -> Image.Image:
    """Turn the hue by way of Pillow's HSV."""
    h, s, v = image.convert("HSV").split()
    turn = np.int32(random.uniform(-CONFIG.hue, CONFIG.hue) * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(np.asarray(h) + turn), s, v)).convert("RGB")


def enhance(
    kind: Callable[[Image.Image], ImageEnhance._Enhance], strength: float
) -> Callable[[Image.Image], Image.Image]:
    """One of Pillow's enhancers with a random factor."""
    return lambda image: kind(image).enhance(random.uniform(1 - strength, 1 + strength))


JITTER = [
    enhance(ImageEnhance.Brightness, CONFIG.brightness),
    enhance(ImageEnhance.Contrast, CONFIG.contrast),
    enhance(ImageEnhance.Color, CONFIG.saturation),
    pillow_hue,
]


def pillow_view(image: Image.Image) -> Tensor:
    """Crop, mirror, jitter, grey."""
    box = pillow_crop(image.height, image.width)
    image = image.crop(box).resize(image.size, Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < CONFIG.jitter:
        for change in random.sample(JITTER, 4):
            image = change(image)
    if random.random() < CONFIG.grey:
        image = image.convert("L").convert("RGB")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each image, one image at a time."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.pixels = pixels.transpose(0, 2, 3, 1).copy()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.fromarray(self.pixels[index])
        return pillow_view(image), pillow_view(image)


def plain_views(pixels: npt.NDArray[np.uint8], size: int, workers: int) -> Callable[[], float]:
    """Views per second of a DataLoader that starts and ends with nothing made ahead."""
    pairs = Pairs(pixels)
    some = RandomSampler(pairs, num_samples=PLAIN_BATCHES * workers * size)
    loader = DataLoader(pairs, size, sampler=some, num_workers=workers, persistent_workers=True)

    def measure() -> float:
        started = time.perf_counter()
        views = sum(len(first) + len(second) for first, second in loader)
        return views / (time.perf_counter() - started)

    return measure


def our_views(images: Images, size: int) -> Callable[[], float]:
    """Views per second of the batches as the training loop asks for them, tables of epochs included."""
    stream = Stream(images, size, 0, torch.device("cpu"), views=CONFIG)
    ahead = Ahead(stream.plan, WINDOW // size, LONG, torch.device("cpu"))
    numbers = count()

    def batch(number: int) -> Batch:
        ahead.before(number)
        return stream.look(ahead.pick(torch.tensor(number)))

    def measure() -> float:
        started = time.perf_counter()
        views = sum(2 * len(batch(next(numbers)).views[0]) for _ in range(OUR_BATCHES))
        return views / (time.perf_counter() - started)

    return measure


class Worker:
    """What each process of a study has for itself: its data, its one thread."""

    measure: Callable[[], float]

    @classmethod
    def start(cls, data_dir: str | None, size: int) -> None:
        torch.set_num_threads(1)
        cls.measure = our_views(load(DataConfig("cifar10", data_dir)).splits["train"], size)

    @classmethod
    def run(cls, _: int) -> float:
        return cls.measure()


def parted_views(data_dir: str | None, size: int, workers: int) -> Callable[[], float]:
    """Views per second of several processes together."""
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=Worker.start, initargs=(data_dir, size)
    )
    # The first turn starts the processes, and its figure is not used.
    return lambda: sum(pool.map(Worker.run, range(workers)))


def main() -> None:
    """Measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=12)
    chosen = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    images = load(DataConfig("cifar10", chosen.data_dir)).splits["train"]
    plain = plain_views(images.pixels, chosen.batch_size, cores)
    ours = {
        f"Triptych, one process of {cores} threads": our_views(images, chosen.batch_size),
        f"Triptych, {cores} processes of one thread": parted_views(
            chosen.data_dir, chosen.batch_size, cores
        ),
    }
    # The first turn of each is warm-up.
    turns = [[plain(), *(way() for way in ours.values())] for _ in range(chosen.rounds + 1)][1:]
    speeds = [statistics.median(speed) for speed in zip(*turns, strict=True)]
    print(f"views of 32×32 colour images on {cores} cores, batches of {chosen.batch_size}")
    print(f"Pillow in a DataLoader of {cores} workers: {speeds[0]:,.0f} a second")
    quarter = chosen.rounds // 4
    for place, name in enumerate(ours, 1):
        ratios = sorted(turn[place] / turn[0] for turn in turns)
        print(
            f"{name}: {speeds[place]:,.0f} a second, median ratio {statistics.median(ratios):.1f} "
            f"(quartiles {ratios[quarter]:.1f} to {ratios[-1 - quarter]:.1f}; asked {ASKED})"
        )


if __name__ == "__main__":
    main()
