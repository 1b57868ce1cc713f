"""Batches in an order that follows from (seed, epoch): nothing to save, nothing to restore."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from triptych.config import ViewsConfig
from triptych.data.spec import Binarize, Images
from triptych.data.views import Parameters, apply, draw, single_threaded
from triptych.errors import TriptychError
from triptych.ranks import ALONE, Ranks
from triptych.seeds import derive
from triptych.types import Batch

__all__ = ["Stream", "as_floats", "place"]


VIEWS = 2
"""Views in a batch, for a method that compares them."""


def place(images: Images, device: torch.device) -> Tensor:
    """The pixels as a uint8 tensor where the model is, if they fit there, else memory-mapped on the host."""
    with warnings.catch_warnings():
        # The map is read-only and stays so: the pixels are only ever indexed.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        pixels = torch.from_numpy(images.pixels)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if pixels.numel() < free // 2:
            return pixels.to(device)
    return pixels


def as_floats(
    pixels: Tensor,
    binarize: Binarize,
    generator: torch.Generator | None = None,
    rows: tuple[int, int] | None = None,
) -> Tensor:
    """uint8 levels as floats in [0, 1], binarized if asked.

    ``dynamic`` draws every pixel from Bernoulli(level / 255), as in Salakhutdinov and Murray (2008). Where the
    pixels are a part of what is drawn for together, ``rows`` says which row is their first, and of how many.
    """
    x = pixels.float().div_(255)
    if binarize == "dynamic":
        assert generator is not None
        first, count = rows or (0, len(x))
        shape = (count, *x.shape[1:])
        draw = torch.rand(shape, generator=generator, device=generator.device)
        return (draw.narrow(0, first, len(x)).to(x.device) < x).float()
    if binarize == "threshold":
        return (x >= 0.5).float()
    return x


class Stream:
    """Training batches by number: batch i is the same whenever and in whatever process it is asked for.

    Each epoch visits the images in a new order drawn from (seed, epoch); the last
    images that do not fill a batch are left out, so that every batch has one size.
    ``smallest`` is how many images a batch needs for the method. With ``views`` a batch has two of every image, from a table of draws that
    (seed, epoch) gives: what happens to an image does not depend on its batch. Of several ``ranks`` each makes its
    part of every batch, and together they make the same images as one alone.

    A batch is made in two parts: `plan` says on the host what is in it, and `look` makes it on the device.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        device: torch.device,
        binarize: Binarize = "none",
        fingerprint: str = "",
        views: ViewsConfig | None = None,
        smallest: int = 1,
        ranks: Ranks = ALONE,
    ) -> None:
        if batch_size < 1:
            raise TriptychError(f"--batch-size {batch_size} is too small; give 1 or more")
        if batch_size < smallest:
            raise TriptychError(
                f"--batch-size {batch_size} is too small for a network that is normalised over the batch; "
                f"give {smallest} or more"
            )
        if len(images) < batch_size:
            raise TriptychError(
                f"a batch of {batch_size} needs at least that many training images and there are "
                f"{len(images)}; say --batch-size {max(min(smallest, len(images)), len(images) // 2)} for instance"
            )
        if views is not None and binarize != "none":
            raise TriptychError("views are of grey or colour images; leave out --binarize")
        self.pixels = place(images, device)
        self.batch_size, self.seed, self.device, self.binarize = batch_size, seed, device, binarize
        self.fingerprint, self.views = fingerprint, views
        self.ranks, self.part = ranks, ranks.part(batch_size)
        self.batches_per_epoch = len(images) // batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._table: tuple[int, Parameters] | None = None
        self._orders = torch.Generator()

    def order(self, epoch: int) -> Tensor:
        """The permutation of one epoch, int64, on the host."""
        if epoch != self._epoch:
            self._orders.manual_seed(derive(self.seed, "order", epoch))
            self._epoch = epoch
            self._order = torch.randperm(len(self.pixels), generator=self._orders)
        return self._order

    @property
    def share(self) -> float:
        """How much of every batch is made here: all of it, where there is one rank."""
        start, stop = self.part
        return (stop - start) / self.batch_size

    def table(self, epoch: int) -> Parameters:
        """What is done to each view of each image in one epoch."""
        assert self.views is not None
        if self._table is None or self._table[0] != epoch:
            count, _, height, width = self.pixels.shape
            self._table = None  # Before the next is drawn: no step goes back.
            drawn = draw(self.views, (height, width), count, self.seed, epoch, VIEWS)
            self._table = epoch, drawn
        return self._table[1]

    @property
    def resident(self) -> bool:
        """Whether the pixels lie where the batches are made; else a plan brings those of its images along."""
        return self.pixels.device.type == self.device.type

    def plan(self, first: int, count: int) -> tuple[Tensor, ...]:
        """What ``count`` batches from number ``first`` on are made of, counted from the start of the training.

        Tensors on the host, count×images of a batch that are made here×…: the places of the images; with views what is drawn for each of them;
        and the pixels, where the device has no room for all.
        """
        parts = []
        number, end = first, first + count
        while number < end:
            epoch, position = divmod(number, self.batches_per_epoch)
            many = min(end - number, self.batches_per_epoch - position)
            start, stop = (at * self.batch_size for at in (position, position + many))
            order = self.order(epoch)[start:stop].view(many, self.batch_size)
            parts.append(self._planned(epoch, order[:, slice(*self.part)].flatten()))
            number += many
        joined = (torch.cat(same) for same in zip(*parts, strict=True))
        return tuple(part.view(count, -1, *part.shape[1:]) for part in joined)

    def _planned(self, epoch: int, index: Tensor) -> tuple[Tensor, ...]:
        drawn = () if self.views is None else self.table(epoch).at(index)
        pixels = () if self.resident else (self.pixels.index_select(0, index),)
        return index, *drawn, *pixels

    def look(
        self,
        planned: Sequence[Tensor],
        generator: torch.Generator | None = None,
        views: Callable[[Tensor, Parameters], Tensor] = apply,
    ) -> Batch:
        """The batch of one row of a plan, on the device, where nothing asks the host for anything.

        ``generator``, seeded for this batch, draws its dynamic binarization; ``views`` makes one view.
        """
        index, *rest = planned
        with single_threaded():
            pixels = self.pixels.index_select(0, index) if self.resident else rest.pop()
        if self.views is not None:
            both = ((values[:, view] for values in rest) for view in range(VIEWS))
            return Batch(tuple(views(pixels, Parameters(*one)) for one in both), index)
        rows = self.part[0], self.batch_size
        return Batch((as_floats(pixels, self.binarize, generator, rows),), index)

    def seed_of(self, number: int) -> int:
        """What the generator of a batch is seeded with."""
        return derive(self.seed, "binarize", number)

    def batch(self, number: int) -> Batch:
        """Batch ``number`` of the training, counted from its start."""
        planned = [part[0].to(self.device) for part in self.plan(number, 1)]
        generator = torch.Generator(self.device).manual_seed(self.seed_of(number))
        return self.look(planned, generator)
