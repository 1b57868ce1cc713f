"""What an evaluation looks at: a trained method, its data, and the words of the protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych.data.hashing import digest
from triptych.data.spec import Binarize, Dataset, Images
from triptych.data.stream import as_floats, place
from triptych.errors import unknown
from triptych.progress import Progress, silent
from triptych.ranks import ALONE, Ranks
from triptych.seeds import derive
from triptych.types import Encodes, Method
from triptych.weights import Weights

__all__ = ["BLOCK", "Each", "Network", "Placed", "Subject", "as_arrays", "as_levels", "generator"]

S = TypeVar("S")
T = TypeVar("T")

Placed: TypeAlias = tuple[npt.NDArray[np.uint8], Tensor]
"""The pixels of a split, and the same where the method is."""

Network: TypeAlias = Callable[[Tensor], Tensor]
"""Anything that maps a batch to a batch: a generator, features, a classifier."""

Each: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""How a function is applied to one thing after the other: ``map``, or as `Subject.shared` does."""

BLOCK = 500
"""Images in a block. Noise is drawn block by block, so it does not depend on memory or batch size."""

PIECE = 100
"""Images that a core encodes at once: what a layer gives for them is in its cache when the next one asks."""

VALUES = 2**23
"""Values of images that an accelerator encodes at once, about: to it a block is little work and many launches."""


def generator(device: torch.device, *purpose: str | int) -> torch.Generator:
    """A generator for one purpose of the evaluation, the same for every run that is evaluated.

    Not derived from a run's seed: two runs are to be measured with the same noise.
    """
    return torch.Generator(device).manual_seed(derive(0, "evaluate", *purpose))


def as_levels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Floats in [0, 1] as the nearest of 256 levels, on the host.

    Example:
        >>> as_levels(torch.tensor([-0.1, 0.0, 0.5, 1.0])).tolist()
        [0, 0, 128, 255]
    """
    levels: npt.NDArray[np.uint8] = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return levels


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    """What is to be kept for pictures, on the host: images as levels, vectors as they are."""
    return {k: as_levels(v) if v.ndim > 2 else v.cpu().numpy() for k, v in tensors.items()}


@dataclass(frozen=True)
class Subject:
    """A method in ``eval()`` mode and the data to measure it on.

    Where several processes measure it together, all of them call the same functions in the same order. What goes over
    images, latents, directions or sets is `shared`: each rank does its part, nothing is done twice, and all have all of
    it. Every piece is the same whatever the number of ranks, so that the figures are as well. What follows from that
    by little work (a Fréchet distance, a rank, a picture) each rank does by itself; what is read from a cache or trained
    for it, such as the classifier that judges samples, is the first rank's, which hands it to the others.
    """

    method: Method
    dataset: Dataset
    binarize: Binarize
    device: torch.device
    checkpoint: str = "last"
    progress: Progress = silent
    step: int = 0
    """How long its weights were trained."""
    weights: str = ""
    """Their digest, as `triptych.checkpoint.weights_digest` gives it; none during a training."""
    trained_on: str = ""
    """The fingerprint of the images that they were trained on, where ``dataset`` has others."""
    method_name: str = ""
    """The method's name on the command line."""
    batch_norm: str = ""
    """Over what its training normalised, where that was not the whole batch."""
    placed: dict[str, Placed] = field(default_factory=dict, repr=False, compare=False)
    """Pixels of splits that are on the device already; those of the others go there when they are asked for."""
    ranks: Ranks = ALONE
    """Who measures it together."""
    _encoded: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def block_count(self, split: str) -> int:
        """How many blocks a split has; the last may be smaller."""
        if split not in self.dataset.splits:
            raise unknown("split", split, self.dataset.splits)
        return math.ceil(len(self.dataset.splits[split]) / BLOCK)

    def block(self, split: str, number: int) -> Tensor:
        """The images of one block of a split, N×C×H×W floats in [0, 1], in file order.

        Dynamic binarization is drawn once for each image here, the same for every run.
        """
        pixels = self._pixels(split, number * BLOCK, (number + 1) * BLOCK)
        draw = generator(torch.device("cpu"), "binarize", split, number)
        return as_floats(pixels, self.binarize, draw)

    def part(self, split: str, start: int, stop: int) -> Tensor:
        """Images ``start`` to ``stop`` of a split, as their blocks have them."""
        if self.binarize == "dynamic":
            first, last = start // BLOCK, math.ceil(stop / BLOCK)
            whole = torch.cat([self.block(split, number) for number in range(first, last)])
            return whole[start - first * BLOCK : stop - first * BLOCK]
        # Nothing is drawn, so nothing depends on where a block begins.
        return as_floats(self._pixels(split, start, stop), self.binarize)

    def _pixels(self, split: str, start: int, stop: int) -> Tensor:
        """The pixels of some images of a split on the device, where they stay if it is a GPU with room for them."""
        pixels = self.dataset.splits[split].pixels
        if self.device.type != "cuda":
            # A copy: several threads read blocks, and the map beneath is read-only.
            return torch.from_numpy(np.array(pixels[start:stop])).to(self.device)
        if split not in self.placed or self.placed[split][0] is not pixels:
            self.placed[split] = pixels, place(self.dataset.splits[split], self.device)
        return self.placed[split][1][start:stop].to(self.device)

    def blocks(self, split: str) -> Iterator[tuple[int, Tensor]]:
        """Number and images of each block of a split."""
        for number in range(self.block_count(split)):
            yield number, self.block(split, number)

    def shared(
        self, work: Callable[[S], T], things: Sequence[S], said: str = "", *, each: Each = map
    ) -> list[T]:
        """``work`` of every one of some things, in order, on every rank: each does its part of them.

        Args:
            work: must not call anything shared itself.
            things: the same on every rank.
            said: what progress calls them.
            each: how a rank goes through its part.
        """

        def part(mine: Sequence[S]) -> Iterator[T]:
            for done, found in enumerate(each(work, mine), start=1):
                if said:
                    self.progress(said, min(done * self.ranks.size, len(things)), len(things))
                yield found

        return self.ranks.shared(things, part)

    def map_blocks(self, split: str, work: Callable[[int], T], said: str = "") -> list[T]:
        """``work(number)`` of every block, `shared`; on a CPU each core takes a block of its own."""
        return self.shared(work, range(self.block_count(split)), said, each=self._on_every_core)

    def _on_every_core(self, work: Callable[[S], T], things: Sequence[S]) -> Iterator[T]:
        """``work`` of every thing, in order, on every core of a CPU.

        Nothing waits for a barrier between two small operations, and drawing noise is not serial any more.
        """
        threads = torch.get_num_threads()
        if self.device.type != "cpu" or threads == 1 or len(things) < threads:
            yield from map(work, things)
            return
        try:
            with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
                yield from pool.map(work, things)
        finally:
            # What a worker sets is also the default of threads that start later.
            torch.set_num_threads(threads)

    def features(self, split: str) -> Tensor:
        """What the method's ``encode`` makes of every image of a split, N×features in float32.

        They are remembered where the `weights` have a digest, since nobody trains these any further. A
        subject with other weights remembers its own.
        """
        if split in self._encoded:
            return self._encoded[split]
        found = self._encode(len(self.dataset.splits[split]), partial(self.part, split))
        if self.weights:
            self._encoded[split] = found
        return found

    def forget(self) -> None:
        """Let go of the features that are remembered: of a million images they are half a gigabyte and more."""
        self._encoded.clear()

    def encoded(self, images: Tensor) -> Tensor:
        """What ``encode`` makes of other images, N×features in float32."""
        return self._encode(len(images), lambda start, stop: images[start:stop])

    def _encode(self, count: int, images: Callable[[int, int], Tensor]) -> Tensor:
        method = self.method
        assert isinstance(method, Encodes)
        # A part of a block would draw the noise of all of it.
        piece = size = BLOCK
        if self.device.type != "cpu":
            piece = size = BLOCK * max(1, VALUES // (BLOCK * math.prod(self.dataset.shape)))
        elif self.binarize != "dynamic":
            piece = PIECE

        def work(begin: int) -> dict[str, Tensor]:
            end = min(begin + size, count)
            with torch.inference_mode():
                parts = [
                    method.encode(images(start, min(start + piece, end))).float()
                    for start in range(begin, end, piece)
                ]
                return {"features": torch.cat(parts)}

        return self.rows(range(0, count, size), work)["features"]

    def rows(self, starts: range, work: Callable[[int], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The rows that ``work`` gives from each start on, joined by name: `shared`, and on every core of a CPU.

        Each part goes into its place at once: kept one by one, values would lie scattered among layers' outputs, whose
        memory then fits no later layer's, and a process would grow by gigabytes.
        """

        def joined(mine: Sequence[int]) -> Iterator[dict[str, Tensor]]:
            found: dict[str, Tensor] = {}
            count = min(mine[-1] + starts.step, starts.stop) - mine[0]
            for start, part in zip(mine, self._on_every_core(work, mine), strict=True):
                for name, value in part.items():
                    if name not in found:
                        found[name] = value.new_empty(count, *value.shape[1:])
                    found[name][start - mine[0] : start - mine[0] + len(value)] = value
            yield found

        with torch.inference_mode():
            parts = self.ranks.shared(starts, joined)
            if len(parts) == 1:
                return parts[0]
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def examples(self, split: str, count: int) -> Tensor:
        """``count`` images evenly spread over a split (which may be sorted by class)."""
        return torch.cat(list(self.example_blocks(split, count)))

    def example_blocks(self, split: str, count: int) -> Iterator[Tensor]:
        """The same images a block at a time, so that memory does not grow with their number."""
        draw = generator(torch.device("cpu"), "examples", split)
        pixels, places = self.dataset.splits[split].pixels, self.spread(split, count)
        for start in range(0, len(places), BLOCK):
            levels = torch.from_numpy(pixels[places[start : start + BLOCK]]).to(self.device)
            yield as_floats(levels, self.binarize, draw)

    def levels(self, split: str, count: int) -> Tensor:
        """The same images as they are stored, uint8."""
        pixels = self.dataset.splits[split].pixels[self.spread(split, count)]
        return torch.from_numpy(pixels).to(self.device)

    def spread(self, split: str, count: int) -> npt.NDArray[np.int64]:
        """The places of ``count`` images evenly spread over a split."""
        last = len(self.dataset.splits[split]) - 1
        return torch.linspace(0, last, min(count, last + 1)).round().long().numpy()

    def thinned(self, most: Mapping[str, int]) -> Subject:
        """The same with no more than ``most`` images of each split that it names: every second, every third and so on.

        Itself where there are no more. What has a fingerprint gets one of its own; no pixel is copied.
        """
        splits = dict(self.dataset.splits)
        for name, images in self.dataset.splits.items():
            every = math.ceil(len(images) / most.get(name, len(images)))
            if every > 1:
                labels = None if images.labels is None else images.labels[::every]
                splits[name] = Images(images.pixels[::every], labels)
        if all(splits[name] is images for name, images in self.dataset.splits.items()):
            return self
        fingerprint = self.dataset.fingerprint
        if fingerprint:
            sizes = [f"{name} {len(images)}" for name, images in splits.items()]
            fingerprint = digest([fingerprint, "thinned", *sizes])[:16]
        return replace(
            self,
            dataset=replace(self.dataset, splits=splits, fingerprint=fingerprint),
            placed={
                k: v for k, v in self.placed.items() if k in splits and v[0] is splits[k].pixels
            },
        )

    def protocol(self, split: str, **fields: str | int | float) -> dict[str, str | int | float]:
        """The fields that every result has, and those of one measurement."""
        binarization = "static" if self.dataset.values == "binary" else "none"
        return {
            **({"method": self.method_name} if self.method_name else {}),
            "data": self.dataset.title,
            "fingerprint": self.dataset.fingerprint,
            "split": split,
            "images": "x".join(map(str, self.dataset.shape)),
            "binarization": binarization if self.binarize == "none" else self.binarize,
            "checkpoint": self.checkpoint,
            **(self.made_with.protocol() if self.weights else {}),
            **({"trained_on": self.trained_on} if self.trained_on else {}),
            **({"batch_norm": self.batch_norm} if self.batch_norm else {}),
            **fields,
        }

    @property
    def made_with(self) -> Weights:
        """Which weights its method has."""
        return Weights(self.checkpoint, self.step, self.weights)

    def with_weights(self, method: Method, weights: Weights) -> Subject:
        """The same data with other weights of the method."""
        return replace(self, method=method, **weights.protocol())  # type: ignore[arg-type]
