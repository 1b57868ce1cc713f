"""What a reproduction is doing: every panel's state, its share, its latest numbers, and the time left in all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from triptych.metrics import DECLARED, Metric, metric
from triptych.reporting.words import number
from triptych.reproduction.record import Record
from triptych.studies.watch import Row

__all__ = ["Board", "Panel", "Show", "of_run", "of_study"]

FEW = 0.1
"""Once this share of a part is done, its own pace says more than the estimate."""

TRAINING = 0.8
"""About this share of the time of a study's run is its training; the rest is its evaluation."""


@dataclass(frozen=True)
class Panel:
    """One of the panels, or one run of its study."""

    name: str
    state: str = "waiting"
    share: float = 0.0
    """How much of its training is done, from 0 to 1."""
    latest: str = ""
    reason: str = ""
    """Why it failed."""
    runs: tuple[Panel, ...] = ()


Show: TypeAlias = Callable[["Board"], None]
"""Called at every change."""


@dataclass
class Board:
    """The panels, and the parts that are timed: who does the work tells the board, who displays it asks the board."""

    record: Record
    show: Show
    studies: Collection[str] = ()
    """The parts whose runs are done side by side: a study, on a card all."""
    panels: dict[str, Panel] = field(default_factory=dict)
    current: str = ""
    began: float = 0.0
    share: float | None = None
    """How much of the current part is done, where that is known."""
    start: float | None = None
    """The share of a training that was behind it when the part began: the estimate is of what was left."""

    def say(self, name: str, **changes: str | float) -> None:
        """Change a panel."""
        before = self.panels.get(name, Panel(name))
        self.panels[name] = replace(before, **changes)  # type: ignore[arg-type]
        self.show(self)

    @contextmanager
    def part(self, part: str) -> Iterator[None]:
        """Work on a part, which is timed."""
        self.current, self.began, self.share, self.start = part, time.monotonic(), None, None
        with self.record.timed(part):
            yield
        self.current, self.share = "", None

    def trained(self, name: str, share: float, metrics: Mapping[str, float | str]) -> None:
        """A training has come this far."""
        self.share = self._of_part(share)
        changes: dict[str, str | float] = {"share": share}
        if latest := in_words(headline(metrics)):
            changes["latest"] = latest
        self.say(name, **changes)

    def studied(self, name: str, rows: Iterable[Row]) -> None:
        """The runs of a study have come this far."""
        panel = of_study(name, rows)
        self.share = self._of_part(panel.share)
        self.panels[name] = panel
        self.show(self)

    def side_by_side(self, panels: Iterable[Panel], share: float) -> None:
        """The runs of all panels have come this far, and this share of the time of the part is behind them."""
        self.panels |= {panel.name: panel for panel in panels}
        self.share = share
        self.show(self)

    def _of_part(self, share: float) -> float:
        """The share of what was left when the part began."""
        if self.start is None:
            self.start = share
        return (share - self.start) / (1 - self.start) if self.start < 1 else 1.0

    def left(self) -> float:
        """Seconds to the end of everything: the estimate, put right by the parts that have been done."""
        parts = self.record.parts
        off = correction({n: p for n, p in parts.items() if n not in self.studies})
        later = sum(
            (p["predicted"] or 0.0) * self._factor(name, off)
            for name, p in parts.items()
            if p["actual"] is None and name != self.current
        )
        now = parts.get(self.current, {"predicted": 0.0})["predicted"] or 0.0
        gone = time.monotonic() - self.began
        return later + remaining(now * self._factor(self.current, off), gone, self.share)

    def _factor(self, part: str, off: float) -> float:
        """A study is no measure of the other parts, nor they of it: its runs have one thread each."""
        return 1.0 if part in self.studies else off


def of_study(name: str, rows: Iterable[Row]) -> Panel:
    """A study whose runs have come this far."""
    runs = tuple(
        Panel(str(row.cell), row.state, _of_all(row), in_words(row.latest), row.reason)
        for row in rows
    )
    done = all(run.state in ("done", "failed", "stuck") for run in runs)
    share = sum(run.share for run in runs) / len(runs)
    return Panel(name, "done" if done else "training", share, runs=runs)


def of_run(name: str, row: Row) -> Panel:
    """A run in a process of its own that has come this far."""
    return Panel(name, row.state, _of_all(row), in_words(headline(row.latest)), row.reason)


def correction(parts: Mapping[str, Mapping[str, float | None]]) -> float:
    """How many times longer than predicted the parts took that are done.

    Example:
        >>> correction({"a/train": {"predicted": 40.0, "actual": 50.0}, "report": {"predicted": 9.0, "actual": None}})
        1.25
    """
    done = [(p["actual"], p["predicted"]) for p in parts.values() if p["actual"]]
    predicted = sum(p or 0.0 for _, p in done)
    return sum(a or 0.0 for a, _ in done) / predicted if predicted > 0 else 1.0


def _of_all(row: Row) -> float:
    """How much of a run is done, its training and its evaluation together."""
    return row.share if row.ended else TRAINING * row.share


def remaining(predicted: float, gone: float, share: float | None) -> float:
    """Seconds left of a part, by its own pace once there is one.

    Example:
        >>> remaining(60.0, 20.0, None), remaining(60.0, 20.0, 0.05), remaining(60.0, 20.0, 0.5)
        (40.0, 57.0, 20.0)
    """
    if share is None:
        return max(0.0, predicted - gone)
    return gone * (1 - share) / share if share >= FEW else predicted * (1 - share)


def headline(metrics: Mapping[str, float | str]) -> dict[str, float]:
    """The numbers that say how a training goes: of what was validated that which the table of metrics has first, and the loss.

    Example:
        >>> headline({"valid/kl": 20.0, "valid/elbo": -99.84, "train/elbo": -98.0})
        {'valid/elbo': -99.84}
        >>> headline({"valid/two_views": 0.5, "train/loss": -0.9, "alarm": "no more images differ"})
        {'valid/two_views': 0.5, 'train/loss': -0.9}
    """
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    looked_at = (name for name in numbers if name.startswith(("valid/", "test/")))
    first = sorted(looked_at, key=_place)[:1]
    return {name: numbers[name] for name in (*first, "train/loss") if name in numbers}


def _place(name: str) -> int:
    declared = [known.title for known in DECLARED.values()]
    title = metric(name).title
    return declared.index(title) if title in declared else len(declared)


def in_words(metrics: Mapping[str, float]) -> str:
    """Numbers with what they are called.

    Example:
        >>> in_words({"test/knn_top1": 0.842, "train/loss": -0.9}), in_words({})
        ('kNN top-1 84.20 % · loss −0.9000', '')
    """
    return " · ".join(_said(metric(name), value) for name, value in metrics.items())


def _said(known: Metric, value: float) -> str:
    unit = " %" if known.unit == "%" else ""
    return f"{known.title} {number(known.scale * value)}{unit}"
