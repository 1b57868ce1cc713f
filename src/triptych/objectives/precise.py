"""Sums over a batch in single precision at least, whatever the networks compute in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["precise"]


@contextmanager
def precise(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors in float32 where they were in less, and products of them as well: autocast would round these to bf16.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), precise(torch.ones(2, 2)) as (x,):
        ...     (x @ x).dtype
        torch.float32
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(x if x.dtype.itemsize > 2 else x.float() for x in tensors)
