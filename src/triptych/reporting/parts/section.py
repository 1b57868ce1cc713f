"""One run or study as the page shows it: its card, and every finding with the pictures that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from triptych.metrics import metric
from triptych.reporting.families import family, headline
from triptych.reporting.findings.finding import Finding
from triptych.reporting.parts.atlas import Atlas
from triptych.reporting.parts.charts import Chart, repeated
from triptych.reporting.parts.pictures import Frames, Picture, inlined, mosaic
from triptych.reporting.parts.tables import Row, Table
from triptych.runs import Run

__all__ = ["Hero", "Section", "Shown", "Told", "directed", "first_chart", "run_hero"]

COLUMNS, ROWS = 8, 4
"""Samples in the picture."""


class Hero(NamedTuple):
    """A run or study at a glance: a number, what it is, and a picture or the chart whose lines stand for one."""

    value: str
    label: str
    url: str = ""
    alt: str = ""
    chart: Chart | None = None


def run_hero(run: Run, charts: Sequence[Chart]) -> Hero | None:
    """The number that says most about a run, with its samples, or with its curve where it draws none."""
    value, said = "", ""
    if (found := headline(run)) is not None:
        value, said = found.shown, directed(found.label, found.name)
    arrays = run.arrays("samples")
    moments = run.moments()
    images = arrays["images"] if arrays else moments[max(moments)] if moments else None
    if images is not None:
        images = np.ascontiguousarray(images[: COLUMNS * ROWS])
        return Hero(value, said, inlined(mosaic(images, COLUMNS), 80), f"{len(images)} samples")
    of = family(run.method())
    chart = first_chart(charts, of.charts if of else ())
    return Hero(value, said, chart=chart) if value or chart else None


def directed(said: str, name: str) -> str:
    """What a number is, and which way it gets better; a reader of a card knows of neither.

    Example:
        >>> directed("test Fréchet distance", "test/frechet"), directed("latent coordinates in use", "latent/active_units")
        ('test Fréchet distance, lower is better', 'latent coordinates in use')
    """
    better = metric(name).better
    return f"{said}, {better} is better" if better else said


def first_chart(charts: Sequence[Chart], names: Sequence[str]) -> Chart | None:
    """The first chart of these names that there is, else the first of all."""
    by_name = {chart.name: chart for chart in charts}
    return next((by_name[name] for name in names if name in by_name), next(iter(charts), None))


class Shown(NamedTuple):
    """What stands with a finding, or what is left for the end of a section."""

    charts: list[Chart]
    frames: list[Frames]
    figures: list[Picture]

    def __bool__(self) -> bool:
        return any(self[:])

    @property
    def names(self) -> list[str]:
        """Of all that is shown."""
        return [shown.name for kind in self for shown in kind]


class Told(NamedTuple):
    """A finding with its place on the page and its pictures."""

    anchor: str
    finding: Finding
    shown: Shown


@dataclass(frozen=True)
class Section:
    """One run or study on the page."""

    anchor: str
    name: str
    """The folder's."""
    title: str
    setting: str
    status: str
    """done, failed, running or interrupted; of a study also incomplete."""
    reason: str
    bar: str = ""
    """What it is called where there is little room."""
    idea: str = ""
    """What a method of this kind does, in a sentence."""
    about: str = ""
    """What this method is, in its own words."""
    formula: Markup | None = None
    """What it optimises."""
    changes: list[tuple[str, str]] = field(default_factory=list)
    """Of a study what each arm changes, in words."""
    look: str = ""
    """What is to be seen and done here, in a sentence."""
    findings: list[Finding] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    """Of a study."""
    alarms: list[tuple[int, str]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    """The runs of a study that have no numbers, and why."""
    said: list[str] = field(default_factory=list)
    """Every paired difference of a study, in words."""
    evidence: list[tuple[str, str]] = field(default_factory=list)
    """What the verdict of every run of a study rests on."""
    cautions: list[str] = field(default_factory=list)
    """What speaks against taking the weights, or the config, for what they seem to be."""
    left_out: list[tuple[str, list[str]]] = field(default_factory=list)
    """What was not measured: each reason with the names of the results."""
    not_comparable: str = ""
    """Why nothing here is held against a reference that was asked for."""
    lost: list[str] = field(default_factory=list)
    """What could not be read."""
    hero: Hero | None = None
    commands: list[str] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    config: str = ""
    playable: str = ""
    """JSON of the trained model, for the reader's browser to run."""
    atlas: Atlas | None = None
    """Thumbnails placed by their features."""
    opens: tuple[str, ...] = ()
    """What stands with the first finding: the first of these that there is, else the first that the finding asks for."""
    open: bool = False
    """Whether all coordinates are shown from the start."""

    @cached_property
    def told(self) -> list[Told]:
        """The findings, each with what shows it; what two findings ask for stands with the first.

        With the first stands one thing, that which opens the section: it is seen before anything is unfolded.
        """
        taken: set[str] = {self._opening} if self.findings else set()
        found = []
        for number, finding in enumerate(self.findings, 1):
            wanted = set(finding.shows) - taken
            first = {self._opening}
            taken |= wanted if number > 1 else first
            shown = self._shown((wanted if number > 1 else first).__contains__)
            found.append(Told(f"{self.anchor}-finding-{number}", finding, shown))
        return found

    @property
    def more(self) -> Shown:
        """What stands with no finding."""
        asked = {name for told in self.told for name in told.shown.names}
        return self._shown(lambda name: name not in asked)

    @property
    def _opening(self) -> str:
        """What stands with the first finding; empty where there is nothing."""
        wanted = (*self.opens, *self.findings[0].shows)
        there = self._shown(lambda name: name in wanted).names
        return min(there, key=wanted.index, default="")

    def _shown(self, wanted: Callable[[str], bool]) -> Shown:
        # What a chart shows is not shown again by a figure, which is for papers.
        again = repeated(self.charts, [figure.name for figure in self.figures])
        return Shown(
            [c for c in self.charts if wanted(c.name)],
            [f for f in self.frames if wanted(f.name)],
            [p for p in self.figures if wanted(p.name) and p.name not in again],
        )
