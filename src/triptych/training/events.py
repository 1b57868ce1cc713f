"""A run's log as TensorBoard reads it, beside metrics.jsonl and never otherwise than that."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from triptych.errors import TriptychError, machine
from triptych.runs import Run

__all__ = ["FOLDER", "Followed", "need"]

FOLDER = "tensorboard"
"""The folder of the event files in the run's."""


def need() -> None:
    """Raise a `TriptychError` that says what to install, where TensorBoard is not there."""
    if importlib.util.find_spec("tensorboard") is None:
        raise TriptychError(
            "the log for TensorBoard needs a package more: pip install 'triptych[tensorboard]'"
        )


class Followed(Run, AbstractContextManager["Followed"]):
    """A run of which every logged line goes into an event file too, numbers as scalars and words as texts.

    Where the log is rewound, for a run that goes on or begins again, the events are written anew from it: both
    hold the same steps after any death. Times are of training, counted from the making of the run's folder.
    """

    _writer: Any = None

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl, and its events."""
        super().log(entry)
        if self._writer is None:
            self._begin()
        else:
            with machine("write into", self.path / FOLDER):
                self._write(entry)
                self._writer.flush()

    def rewind(self, step: int) -> None:
        """Drop metrics and events of steps after ``step``."""
        super().rewind(step)
        self._begin()

    def _begin(self) -> None:
        """An event file of what the log has, in the place of all others."""
        from torch.utils.tensorboard import SummaryWriter

        self._close()
        folder = self.path / FOLDER
        if folder.is_symlink():
            raise TriptychError(f"'{folder}' is a link; delete it first")
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._began = (self.path / "config.toml").stat().st_mtime
        with machine("write into", folder):
            self._writer = SummaryWriter(str(folder))
            # Only the first of several ranks is here.
            for entry in Run(self.path).metrics():
                self._write(entry)
            self._writer.flush()

    def _write(self, entry: Mapping[str, Any]) -> None:
        step, when = entry["step"], self._began + entry.get("seconds", 0.0)
        for name, value in entry.items():
            if "/" in name:
                self._writer.add_scalar(name, value, step, when)
            elif isinstance(value, str):
                self._writer.add_text(name, value, step, when)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
