"""What the page is told: every run in a row, and of those that are chosen the charts and what the same latents became."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Template

from triptych.enclosed import enclosed
from triptych.errors import TriptychError, printable
from triptych.files import as_path, read_bytes
from triptych.live.laid import laid_over
from triptych.live.row import Watched, differing
from triptych.reporting.fields import field_words
from triptych.reporting.page.page import compose, environment
from triptych.reporting.parts.charts import Chart
from triptych.reporting.words import called
from triptych.runs import list_runs

__all__ = ["OVERLAID", "State"]

OVERLAID = 8
"""Runs whose lines are laid over each other at most: more cannot be told apart."""

MOST = 1000
"""Runs that are followed; of more the newest."""

OFTEN, SOUGHT = 1.0, 5.0
"""Seconds at least between two looks at the runs, and between two searches for new ones."""

COST = 200.0
"""Seconds of pause for every second of a core that an answer takes: half a per cent of one."""

PATIENCE = 0.3
"""Seconds for which new runs are read before the page gets its answer; the others follow with the next."""

QUIET = 10.0
"""Seconds without news after which it is asked whether somebody still trains a run, and after which it is asked again."""

PICTURE, PNG = 16_000_000, b"\x89PNG\r\n\x1a\n"
"""Bytes of a picture of a training that are handed on at most, and those with which it begins."""

CHART = '{% import "show.html.j2" as show %}{{ show.chart(c) }}'


class State:
    """The runs in some folders, as they are now.

    They are looked at when a page asks, and not more often than costs half a per cent of a core. Runs that are read for
    the first time, and curves that a reader chooses, come at once, and the pauses are up to twice as long until that is
    paid for too. A run that cannot be read is a row that says so, and hides no other. Several pages may ask at once.

    Example:
        >>> State([run.path]).told("", None)[:12]
        b'{"version": '
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = [as_path(folder, "a run or a folder of runs") for folder in folders]
        for folder in self.folders:
            if not folder.is_dir():
                raise TriptychError(
                    f"there is no folder '{folder}'; name a run, a study or a folder of runs"
                )
        self.title = ", ".join(printable(str(folder)) for folder in self.folders)
        self.ended = False
        """Whether that is over for which all this was begun: what is told now is the last."""
        self._lock = threading.Lock()
        self._runs: dict[int, Watched] = {}
        self._numbers: dict[str, int] = {}
        self._version = self._members = 0
        self._next = self._sought = float("-inf")
        self._owed = 0.0
        """Seconds of pause for what could not wait, which no look was put off for by now."""
        self._drawn: dict[str, tuple[Chart, str]] = {}
        self._fields: tuple[int, list[str]] = (-1, [])
        self._beyond = 0

    def told(self, since: str, wanted: Sequence[int] | None) -> bytes | None:
        """All that a page shows, as JSON; none where it is as ``since``, the ``version`` of the last answer.

        Args:
            since: what the page has.
            wanted: the numbers of the runs that are to be shown; the newest ones where nobody has chosen.
        """
        # A page that has an answer does not wait while another's is made: it asks again.
        if not self._lock.acquire(blocking=self.ended or not self._has(since, wanted)):
            return None
        try:
            return self._told(since, wanted)
        finally:
            self._lock.release()

    def _has(self, since: str, wanted: Sequence[int] | None) -> bool:
        """Whether a page has an answer, an older one perhaps, for the runs that it wants."""
        if not since or wanted is None:
            return bool(since)
        there = [str(number) for number in wanted[:OVERLAID] if number in self._runs]
        return since.split(".")[1:2] == ["-".join(there)]

    def _told(self, since: str, wanted: Sequence[int] | None) -> bytes | None:
        looks = time.monotonic() >= self._next or self.ended
        began = time.thread_time()
        if looks:
            self._look()
        looked = time.thread_time()
        # What is read for the first time cannot wait, or 200 runs would come one by one.
        self._read_new()
        read = time.thread_time()
        shown = self._chosen(wanted)
        numbers = "-".join(str(watched.number) for watched in shown)
        version = f"{self._version}.{numbers}.{self.ended:d}"
        if version == since:
            answer = None
        else:
            told = {"version": version, **self._table(), **self._pictured(shown)}
            answer = json.dumps(told, allow_nan=False).encode()
        drew = time.thread_time() - read
        # Nor can what a reader has just chosen.
        chose = since.split(".")[1:2] != [numbers]
        pace, urgent = looked - began + (not chose) * drew, read - looked + chose * drew
        self._pay(pace, urgent, OFTEN if looks else 0.0)
        return answer

    def _pay(self, pace: float, urgent: float, at_least: float) -> None:
        """Put the next look off for what this answer cost in seconds of a core, and a part of what is owed."""
        pause = COST * pace
        self._owed += COST * urgent
        more = min(self._owed, max(pause, at_least))
        self._owed -= more
        self._next = max(self._next, time.monotonic() + at_least) + pause + more

    def moment(self, number: int, step: int) -> bytes | None:
        """The picture of what the same latents had become, as it lies in the run's folder; none where there is none.

        Raises `TriptychError` where something in the folder leads out of it.
        """
        found = self._runs.get(number)
        if found is None or found.run is None:
            return None
        enclosed(found.path)
        path = found.run.moments().paths.get(step)
        data = None if path is None else read_bytes(path, PICTURE)
        return data if data and data.startswith(PNG) else None

    def report(self, number: int) -> str | None:
        """The report of a run, composed in memory; none where there is no such run. Raises `TriptychError`."""
        found = self._runs.get(number)
        return None if found is None else compose([found.path], f"Report of {found.name}").html

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._sought >= SOUGHT or self.ended:
            self._sought = now
            self._seek()
        read = [w for w in self._runs.values() if w.run is not None]
        self._version += sum(watched.follow() for watched in read)
        # To ask takes up to a second: one at a look, unless it is the last.
        quiet = [w for w in read if w.run is not None and w.run.quiet(0 if self.ended else QUIET)]
        quiet.sort(key=lambda watched: watched.run.asked if watched.run else 0.0)
        self._version += sum(watched.ask() for watched in quiet[: None if self.ended else 1])

    def _seek(self) -> None:
        """Find runs that are new, and forget those that are gone."""
        found: dict[str, tuple[Path, str]] = {}
        for folder in self.folders:
            for run in list_runs(folder):
                found.setdefault(
                    os.path.abspath(run.path), (run.path, self._name(run.path, folder))
                )
        begun = {key: _begun(path) for key, (path, _) in found.items()}
        kept = sorted(found, key=lambda key: begun[key], reverse=True)[:MOST]
        self._beyond = len(found) - len(kept)
        gone = self._numbers.keys() - set(kept)
        for key in gone:
            del self._runs[self._numbers.pop(key)]
        new = [key for key in reversed(kept) if key not in self._numbers]
        for key in new:
            self._members += 1
            number = self._numbers[key] = self._members
            self._runs[number] = Watched(number, *found[key], begun[key])
        # One that could not be opened is tried again: what was wrong with it may be deleted by now.
        broken = [w for w in self._runs.values() if w.run is None and w.row]
        self._version += sum(watched.open() for watched in broken)
        if gone or new:
            self._members += len(gone)
            self._version += 1

    def _name(self, path: Path, folder: Path) -> str:
        """By its way from the folder, by which it can be named; the folder itself by its own name."""
        if path == folder:
            return called(path)
        inside = str(path.relative_to(folder))
        return inside if len(self.folders) == 1 else f"{folder.resolve().name}/{inside}"

    def _read_new(self) -> None:
        until = time.monotonic() + PATIENCE
        for watched in sorted(self._unread(), key=lambda watched: -watched.begun):
            if watched.row:
                self._version += watched.follow()
            else:
                watched.open()
                self._members += 1
                self._version += 1
            if time.monotonic() > until:
                break

    def _unread(self) -> list[Watched]:
        """The runs of which nothing, or not all of a long log, was read."""
        return [w for w in self._runs.values() if not w.row or (w.run and w.run.tail.more)]

    def _chosen(self, wanted: Sequence[int] | None) -> list[Watched]:
        if wanted is not None:
            return [self._runs[number] for number in wanted[:OVERLAID] if number in self._runs]
        newest = sorted(self._runs.values(), key=lambda watched: -watched.begun)
        # In the order in which they were begun, so that a new one changes no other's colour at first.
        return sorted(newest[:OVERLAID], key=lambda watched: watched.begun)

    def _table(self) -> dict[str, Any]:
        runs = [watched for watched in self._runs.values() if watched.row]
        if self._fields[0] != self._members:
            self._fields = self._members, differing([w.settings for w in runs if w.settings])
        fields = self._fields[1]
        return {
            "title": self.title,
            "ended": self.ended,
            "unread": len(self._unread()),
            "beyond": self._beyond,
            "fields": fields,
            "words": [field_words(field) for field in fields],
            "rows": [{**w.row, "settings": [w.settings.get(f, "") for f in fields]} for w in runs],
        }

    def _pictured(self, shown: Sequence[Watched]) -> dict[str, Any]:
        charts = (
            shown[0].charts()
            if len(shown) == 1
            else laid_over([(printable(w.name), w.single()) for w in shown])
        )
        drawn = {}
        for chart in charts:
            before = self._drawn.get(chart.name)
            # What did not change is not drawn again.
            same = before is not None and before[0] == chart
            drawn[chart.name] = before if same else (chart, self._template.render(c=chart))
        self._drawn = drawn  # type: ignore[assignment]
        moments = [(w, w.moments()) for w in shown]
        return {
            "shown": [watched.number for watched in shown],
            "charts": [[name, html] for name, (_, html) in self._drawn.items()],
            "moments": [[w.number, printable(w.name), steps] for w, steps in moments if steps],
        }

    @cached_property
    def _template(self) -> Template:
        return environment().from_string(CHART)


def _begun(path: Path) -> float:
    try:
        return (path / "config.toml").stat().st_mtime
    except OSError:
        return 0.0
