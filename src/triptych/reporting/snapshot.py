"""A run as it is at one moment: every file of it is read once, however many parts of a page ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy.typing as npt

from triptych.arrays import Moments
from triptych.runs import Run

__all__ = ["Snapshot"]

T = TypeVar("T")


class Snapshot(Run):
    """A run whose files are each read when they are first asked for, and then remembered.

    It is made at the start of a page and forgotten with it: a training that goes on meanwhile does not put the
    lines of two moments into one page. What it gives is not to be changed by whoever asks.

    Example:
        >>> run = Run.create(tmp_path / "live", {"method": {"name": "mine"}})
        >>> run.log({"step": 1})
        >>> then = Snapshot(run.path)
        >>> first = then.metrics()
        >>> run.log({"step": 2})
        >>> first is then.metrics(), len(then.metrics()), len(run.metrics())
        (True, 1, 2)
    """

    def _once(self, key: str, read: Callable[[], T]) -> T:
        """What ``read`` gave at the first time, or raised then."""
        kept: dict[str, tuple[Any, Exception | None]] = self.__dict__.setdefault("_kept", {})
        if key not in kept:
            try:
                kept[key] = read(), None
            except Exception as error:
                kept[key] = None, error
        found, raised = kept[key]
        if raised is not None:
            raise raised
        return found  # type: ignore[no-any-return]

    @property
    def config(self) -> dict[str, Any]:
        """The tables of config.toml."""
        return self._once("config", lambda: super(Snapshot, self).config)

    def environment(self) -> dict[str, Any]:
        """What environment.json holds."""
        return self._once("environment", super().environment)

    def about(self, which: str) -> dict[str, Any]:
        """What a checkpoint says of itself."""
        return self._once(f"about {which}", lambda: super(Snapshot, self).about(which))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return self._once("metrics", super().metrics)

    def results(self) -> dict[str, dict[str, Any]]:
        """What was measured."""
        return self._once("results", super().results)

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """The arrays of one file."""
        return self._once(f"arrays {name}", lambda: super(Snapshot, self).arrays(name))

    def moments(self, side: int = 8) -> Moments:
        """The moments of a training; each picture is read when it is asked for, as together they are large."""
        return self._once(f"moments {side}", lambda: super(Snapshot, self).moments(side))
