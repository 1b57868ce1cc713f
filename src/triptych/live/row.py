"""One run as the page has it in a row: how far it is, the number that says most about it, its alarms and its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triptych import records
from triptych.errors import TriptychError, printable
from triptych.live.follow import Followed
from triptych.metrics import label
from triptych.reporting.families import headline, titled
from triptych.reporting.figures.panels import Panel
from triptych.reporting.figures.quantities import single
from triptych.reporting.findings.divergence import diverged
from triptych.reporting.parts.charts import Chart, charts
from triptych.reporting.safe import Attempts
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["FIELDS", "Watched", "differing"]

ALARMS = 5
"""Alarms of a run that are told, the last ones."""

WORDS = 60
"""Letters of a value of a config that a table has room for."""

FIELDS = 10
"""Settings that a table has columns for."""

MOMENTS = 60
"""Pictures of a training that are offered, the last ones."""

PLACES = (
    *("data.dir", "train.device", "train.threads", "train.compile", "train.capture", "train.log"),
    *("train.log_every", "train.validate_every", "train.checkpoint_every"),
)
"""Settings that say where and how a run is done and looked at, and nothing of what comes of it."""

SENTENCE = 600
"""Letters of an alarm or a reason that are told."""


class Watched:
    """One run: its number and name on the page, and what was found when there was news of it the last time."""

    def __init__(self, number: int, path: Path, name: str, begun: float) -> None:
        self.number, self.path, self.name = number, path, name
        self.begun = begun
        """When it was made, in seconds since 1970."""
        self.run: Followed | None = None
        self.row: dict[str, Any] = {}
        self.settings: dict[str, str] = {}
        self._charts: list[Chart] | None = None
        self._single: dict[str, dict[str, Panel]] | None = None

    def open(self) -> bool:
        """Read the folder for the first time; whether there is anything to tell."""
        try:
            self.run = Followed(Run.open(self.path).path)
        except (TriptychError, OSError) as error:
            return self._cannot_be_read(error)
        return self.follow()

    def follow(self) -> bool:
        """Read what is new; whether anything was. Raises nothing: of what cannot be read the row says so."""
        return self._told(lambda run: run.follow())

    def ask(self) -> bool:
        """The same of whether somebody trains it, which no file says."""
        return self._told(lambda run: run.ask())

    def _told(self, look: Any) -> bool:
        if self.run is None:
            return False
        try:
            if not look(self.run):
                return False
            self._charts = self._single = None
            self.settings = _settings(self.run.config)
            self.row = {**self._named(), **_finite(self._found(self.run))}
        except Exception as error:
            # A stranger's folder may be broken in any way, and must hide no other.
            return self._cannot_be_read(error)
        return True

    def _cannot_be_read(self, error: Exception) -> bool:
        before = self.row
        why = printable(str(error) or type(error).__name__)
        self.row = {**self._named(), "status": "damaged", "reason": why}
        return self.row != before

    def _named(self) -> dict[str, Any]:
        return {"run": self.number, "name": printable(self.name), "begun": self.begun}

    def _found(self, run: Followed) -> dict[str, Any]:
        attempt, latest = Attempts(), run.tail.latest or {}
        found = attempt("headline", lambda: headline(run))
        broken = attempt("divergence", lambda: diverged(run, {})) is not None or any(
            isinstance(value, float) and not math.isfinite(value) for value in latest.values()
        )
        alarms = run.alarms()
        lost = [*attempt.lost, *([run.tail.wrong] if run.tail.wrong else [])]
        if run.tail.skipped:
            lost.append(f"the first {run.tail.skipped / 1e6:,.0f} MB of its log are not shown")
        return {
            "title": printable(titled(run.method())),
            "setting": printable(setting(run, seed=True)),
            "status": run.status(),
            "reason": _short(run.reason()),
            "step": latest.get("step"),
            "total": run.total(),
            "share": 1.0 if run.status() == "done" else run.share(),
            "left": run.left() if run.status() == "running" else None,
            "written": run.tail.written,
            "alarms": [[step, _short(said)] for step, said in alarms[-ALARMS:]],
            "value": "diverged" if broken else printable(found.shown) if found else "",
            # A browser's JSON has no NaN, and a verdict is no number.
            "number": found.value
            if found and isinstance(found.value, float) and not broken
            else None,
            "label": printable(label(found.name)) if found else "",
            "about": printable(found.label) if found else "",
            "lost": "; ".join(map(printable, lost)),
        }

    def charts(self) -> list[Chart]:
        """The run's own charts; none where they cannot be drawn."""
        if self._charts is None:
            run = self.run
            drawn = Attempts()("charts", lambda: charts(run)) if run is not None else None
            self._charts = drawn or []
        return self._charts

    def single(self) -> dict[str, dict[str, Panel]]:
        """What can be laid over other runs: panels of one line; none where they cannot be made."""
        if self._single is None:
            run = self.run
            found = Attempts()("charts", lambda: single(run)) if run is not None else None
            several = {
                term: {n: p for n, p in panels.items() if len(p.lines[0].epochs) > 1}
                for term, panels in (found or {}).items()
            }
            self._single = {term: panels for term, panels in several.items() if panels}
        return self._single

    def moments(self) -> list[int]:
        """The steps of which there are pictures of what the same latents had become."""
        return list(self.run.moments())[-MOMENTS:] if self.run is not None else []


def differing(every: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings that are not the same in all runs, those that most runs have first.

    Example:
        >>> differing([{"seed": "0", "method.latent": "2"}, {"seed": "0", "method.latent": "8"}])
        ['method.latent']
    """
    values: dict[str, list[str]] = {}
    for settings in every:
        for name, value in settings.items():
            values.setdefault(name, []).append(value)
    # What only some runs have differs from those that have none.
    found = [n for n, of in values.items() if len(set(of)) > 1 or len(of) < len(every)]
    return sorted(found, key=lambda name: -len(values[name]))[:FIELDS]


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same without numbers that no browser reads: a run that diverged has them."""
    wrong = {n for n, v in row.items() if isinstance(v, float) and not math.isfinite(v)}
    return {name: None if name in wrong else value for name, value in row.items()}


def _short(said: str) -> str:
    return printable(said if len(said) <= SENTENCE else f"{said[:SENTENCE]}…")


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in records.flat(config).items():
        if name not in PLACES:
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            said = Path(said).name if name == "data.name" else said
            found[name] = printable(said[:WORDS])
    return found
