"""How often the class-histogram test raises a false alarm, and what it finds: an exact simulation.

    python benchmarks/class_histogram.py alarms [TRIALS [CLASSES ...]]
    python benchmarks/class_histogram.py power [TRIALS]

Where the null is true, samples have the classes' shares of the training images and the classifier sees them as it sees
real ones: n ~ Multinomial(N, π C), and the confusion that is known is Multinomial(m_i, C_i) for each class i. Every
setting is a shape of C, shares π, classes K, test images m a class and samples N; the share of trials in which any class
is flagged is the false alarms, which ALPHA is to bound. For power one class has a multiple of its share.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from triptych.evaluation.samples.histogram import ALPHA, Array, histogram_test

DRAWS = {2: 199, 3: 239, 5: 299, 10: 399}
"""Of the bootstrap in each trial, by classes: with one more, ALPHA of them over the classes is a whole number."""


def even(accuracy: float, classes: int) -> Array:
    """Every error equally likely."""
    channel = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    np.fill_diagonal(channel, accuracy)
    return channel


def one_way(share: float, classes: int, takers: int) -> Array:
    """A share of some classes, the last ones, is called the first; never the other way."""
    channel = np.eye(classes)
    last = np.arange(classes - takers, classes)
    channel[last, last], channel[last, 0] = 1 - share, share
    return channel


def never(classes: int, spread: bool) -> Array:
    """The last class is never recognised: called the first, or any other; the others are at 95 %."""
    channel = even(0.95, classes)
    channel[-1] = (1 / (classes - 1) if spread else 0.0) * (np.arange(classes) < classes - 1)
    channel[-1, 0] += not spread
    return channel


def channels(classes: int) -> dict[str, Array]:
    """The shapes of the true confusion."""
    ring = 0.85 * np.eye(classes) + 0.15 * np.roll(np.eye(classes), 1, 1)
    return {
        "accurate 0.99": even(0.99, classes),
        "even 0.9": even(0.9, classes),
        "mediocre 0.7": even(0.7, classes),
        "one way 0.3": one_way(0.3, classes, 1),
        "one way 0.1": one_way(0.1, classes, 1),
        "all called the first 0.3": one_way(0.3, classes, classes - 1),
        "all called the first 0.1": one_way(0.1, classes, classes - 1),
        "never recognised, called the first": never(classes, spread=False),
        "never recognised, called any": never(classes, spread=True),
        "ring 0.15": ring,
    }


def shares(classes: int) -> dict[str, Array]:
    """The classes' shares of the training images."""
    falling = 1 / np.arange(1.0, classes + 1)
    rare = np.append(np.full(classes - 1, 0.98 / (classes - 1)), 0.02)
    return {
        "equal": np.full(classes, 1 / classes),
        "falling": falling / falling.sum(),
        "one rare": rare,
    }


def trials(
    training: Array,
    channel: Array,
    images: int,
    samples: int,
    count: int,
    random: np.random.Generator,
    drawn: Array | None = None,
) -> tuple[Array, Array]:
    """Predicted counts and measured confusions, one of each a trial; the samples' shares are ``drawn``."""
    rows = [random.multinomial(images, row, size=count) for row in channel]
    counts = random.multinomial(samples, (training if drawn is None else drawn) @ channel, count)
    return counts, np.stack(rows, 1)


def alarms(count: int, numbers: Sequence[int]) -> Iterator[tuple[float, str]]:
    """The share of false alarms of every setting of so many classes."""
    random = np.random.default_rng(0)
    for classes, images, samples in product(numbers, (5, 10, 20, 50, 100, 1000), (500, 5000)):
        for (prior, training), (shape, channel) in product(
            shares(classes).items(), channels(classes).items()
        ):
            counts, confusion = trials(training, channel, images, samples, count, random)
            test = histogram_test(counts, training, confusion, random, DRAWS[classes])
            found = float(test.flagged.any(-1).mean())
            setting = f"{classes} classes, {images} images, {samples} samples, {prior}, {shape}"
            yield found, setting


def power(count: int) -> Iterator[tuple[float, str]]:
    """How often a class with a multiple of its share is flagged, of ten equal ones."""
    random, training = np.random.default_rng(0), np.full(10, 0.1)
    for images, accuracy, times in product(
        (5, 20, 50, 150, 1000), (0.9, 0.99), (0.0, 0.5, 0.8, 1.2, 1.5, 2.0)
    ):
        drawn = np.full(10, (1 - 0.1 * times) / 9)
        drawn[3] = 0.1 * times
        channel = even(accuracy, 10)
        counts, confusion = trials(training, channel, images, 10_000, count, random, drawn)
        test = histogram_test(counts, training, confusion, random, DRAWS[10])
        right = test.flagged[:, 3] & ((test.z[:, 3] > 0) == (times > 1))
        yield float(right.mean()), f"{images} images, accuracy {accuracy}, share × {times}"


def main() -> None:
    """Print every setting's share as it is found, and of alarms the largest."""
    what, numbers = sys.argv[1], [int(word) for word in sys.argv[2:]]
    count, found = numbers[0] if numbers else 1000, []
    measured = power(count) if what == "power" else alarms(count, numbers[1:] or tuple(DRAWS))
    for share, setting in measured:
        print(f"{share:.4f}  {setting}", flush=True)
        found.append((share, setting))
    if what == "alarms":
        over = [share for share, _ in found if share > ALPHA]
        print(
            f"largest {max(found)[0]:.4f} ({max(found)[1]}); {len(over)} of {len(found)} over {ALPHA}"
        )


if __name__ == "__main__":
    main()
