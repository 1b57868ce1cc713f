"""How far a training is, as a bar with the number that tells a person most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from triptych.progress import bars
from triptych.reporting.words import number
from triptych.training.loop import Display

__all__ = ["training_bar"]


@contextmanager
def training_bar(gauge: str, shown: bool = True) -> Iterator[Display]:
    """A `Display` of the value of ``gauge``, a term as `Method.gauge` names it, in training and validation.

    There is a bar where a terminal or a notebook has room for one, and none where ``shown`` is false.
    """
    latest: dict[str, str] = {}
    with bars(shown) as progress:

        def show(step: int, total: int, epoch: float, metrics: Mapping[str, float | str]) -> None:
            for part, word in (("train", gauge), ("valid", "valid")):
                value = metrics.get(f"{part}/{gauge}")
                if isinstance(value, float):
                    latest[part] = f"{word} {number(value)}"
            progress("training (steps)", step, total, ", ".join(latest.values()) or gauge)

        yield show
