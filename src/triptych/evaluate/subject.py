"""What an evaluation looks at: a trained method, its data, and the words of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.data.spec import Binarize, Dataset
from triptych.data.stream import as_floats, place
from triptych.errors import unknown
from triptych.seeds import derive
from triptych.types import Method

__all__ = ["BLOCK", "Progress", "Subject", "generator"]

BLOCK = 500
"""Images in a block. Noise is drawn block by block, so it does not depend on memory or batch size."""

Progress = Callable[[str, int, int], None]
"""Told what is being computed, how much of it is done, and out of how much."""


def generator(device: torch.device, *purpose: str | int) -> torch.Generator:
    """A generator for one purpose of the evaluation, the same for every run that is evaluated.

    Not derived from a run's seed: two runs are to be measured with the same noise.
    """
    return torch.Generator(device).manual_seed(derive(0, "evaluate", *purpose))


@dataclass(frozen=True)
class Subject:
    """A method in ``eval()`` mode and the data to measure it on."""

    method: Method
    dataset: Dataset
    binarize: Binarize
    device: torch.device
    checkpoint: str = "last"
    progress: Progress = lambda what, done, total: None

    def blocks(self, split: str) -> Iterator[tuple[int, Tensor]]:
        """Number and images of each block of a split, N×C×H×W floats in [0, 1], in file order.

        Dynamic binarization is drawn once for each image here, the same for every run.
        """
        if split not in self.dataset.splits:
            raise unknown("split", split, self.dataset.splits)
        pixels = place(self.dataset.splits[split], self.device)
        for number, start in enumerate(range(0, len(pixels), BLOCK)):
            block = pixels[start : start + BLOCK].to(self.device)
            draw = generator(torch.device("cpu"), "binarize", split, number)
            yield number, as_floats(block, self.binarize, draw)

    def examples(self, split: str, count: int) -> Tensor:
        """``count`` images evenly spread over a split (which may be sorted by class)."""
        images = self.dataset.splits[split]
        index = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
        pixels = place(images, self.device)[index].to(self.device)
        draw = generator(torch.device("cpu"), "examples", split)
        return as_floats(pixels, self.binarize, draw)

    def protocol(self, split: str, **fields: str | int | float) -> dict[str, str | int | float]:
        """The fields that every result has, and those of one measurement."""
        binarization = "static" if self.dataset.values == "binary" else "none"
        return {
            "data": self.dataset.title,
            "split": split,
            "images": "x".join(map(str, self.dataset.shape)),
            "binarization": binarization if self.binarize == "none" else self.binarize,
            "checkpoint": self.checkpoint,
            **fields,
        }
