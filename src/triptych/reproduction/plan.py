"""What a reproduction does: its panels, read from a scale's file, each a run or a study with a complete config."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from triptych import data as data_plane
from triptych import presets
from triptych.config import THREADS, Duration, limited, merge, read_toml
from triptych.errors import TriptychError, unknown
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig, default_config
from triptych.studies import plan as studies
from triptych.studies.card import on_card
from triptych.studies.forecast import LONGEST, Recorded
from triptych.studies.plan import Cell, Study

__all__ = ["REPORT", "RUNS", "Entry", "Plan", "RunPanel", "Scale", "StudyPanel", "plan", "read"]

REPORT = "report"
"""The part of a reproduction that no panel has: its page."""

RUNS = "all runs"
"""On a card the part of all of them, side by side; no panel can be called so."""

RESERVED = ("scale", "seed", REPORT, "report-files", "logs")
"""What no panel can be called: the record or the folder has something else of that name."""


@dataclass(frozen=True)
class Entry:
    """A panel as a scale's file names it: a method with a preset, or a study."""

    method: str = ""
    """The method of a run: a name, or a file of one's own beside the scale's."""
    preset: str | None = None
    """The preset of the run, by name or file."""
    study: str = ""
    """Instead of both, a study, by name or file."""
    duration: Duration | None = None
    """How long each run trains, where not for as long as preset or study say."""
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    """How the run is measured."""
    recorded: Recorded = field(default_factory=Recorded)
    """What the estimate is made from, beside a warm-up; of a study, of each of its runs."""

    def __post_init__(self) -> None:
        """Refuse what is neither or both."""
        if bool(self.method) == bool(self.study):
            raise TriptychError('a panel has either method = "..." or study = "..."')


@dataclass(frozen=True)
class Scale:
    """The file of a scale: how large each panel is."""

    about: str = ""
    """What it is for, in a line."""
    report: float = 15.0
    """Seconds that the page took where the panels' were recorded."""
    panels: Mapping[str, Entry] = field(default_factory=dict)
    """By the name of their folder, in their order."""


class RunPanel(NamedTuple):
    """A run, how it is measured, and its recorded seconds."""

    config: ExperimentConfig
    evaluate: EvaluateConfig
    recorded: Recorded


class StudyPanel(NamedTuple):
    """A study, and the recorded seconds of each of its runs."""

    study: Study
    recorded: Recorded


@dataclass(frozen=True)
class Plan:
    """Runs and studies by the name of their folder, in the order in which they are done and shown."""

    scale: str
    seed: int
    panels: Mapping[str, RunPanel | StudyPanel]
    report: float = Scale.report
    """Recorded seconds of the page."""
    data_dir: str | None = None
    """A local mirror of the named data sets; it may be another one when the work goes on."""
    threads: int | None = None
    """Cores that the work may take, all of them without a number; they may be others when it goes on."""
    jobs: int | None = None
    """Runs at once, of a study or on a card of all panels; without a number as many as pay."""

    @property
    def runs(self) -> dict[str, RunPanel]:
        """The panels that are a run."""
        return {name: p for name, p in self.panels.items() if isinstance(p, RunPanel)}

    @property
    def studies(self) -> dict[str, StudyPanel]:
        """The panels that are a study."""
        return {name: p for name, p in self.panels.items() if isinstance(p, StudyPanel)}

    @property
    def on_card(self) -> bool:
        """Whether everything is computed on a card: the runs of all panels are done side by side there."""
        arms = [arm for panel in self.studies.values() for arm in panel.study.arms.values()]
        return on_card([panel.config for panel in self.runs.values()] + arms)

    def tables(self) -> dict[str, Any]:
        """What the outcome depends on, as the record holds it."""
        runs = {name: panel.config.tables() for name, panel in self.runs.items()}
        arms = {name: panel.study.tables() for name, panel in self.studies.items()}
        panels = {name: (runs | arms)[name] for name in self.panels}
        found = {"scale": self.scale, "seed": self.seed, **panels}
        as_read: dict[str, Any] = json.loads(json.dumps(found))
        return as_read

    def here(self, config: ExperimentConfig) -> ExperimentConfig:
        """A run's config with the mirror and the cores of this call."""
        train = dataclasses.replace(config.train, threads=self.threads or config.train.threads)
        return dataclasses.replace(config.at(self.data_dir), train=train)

    def shown(self, name: str, folder: Path) -> Path:
        """The run of a panel that has pictures: itself, or of a study its control with the first seed."""
        panel = self.panels[name]
        if isinstance(panel, RunPanel):
            return folder / name
        config = panel.study.config
        return Cell(config.control, config.seeds[0]).path(folder / name)

    def sections(self, folder: Path) -> list[Path]:
        """What the report shows: every panel, before a study the run of it that has pictures."""
        every = (path for name in self.panels for path in (self.shown(name, folder), folder / name))
        return list(dict.fromkeys(every))


def plan(
    scale: str,
    *,
    seed: int = 0,
    data: Mapping[str, str] | None = None,
    data_dir: str | None = None,
    threads: int | None = None,
    jobs: int | None = None,
) -> Plan:
    """The reproduction of that scale, or of the scale in one's own file; the seeds of its studies are moved by ``seed``.

    ``data`` gives panels that are runs other images than their preset's: a name, or the path of one's own.

    Example:
        >>> small = plan("small", seed=10)
        >>> len(small.runs), [panel.study.config.seeds for panel in small.studies.values()]
        (2, [(10, 11, 12)])
    """
    limited("--threads", threads or 0, 0, THREADS)
    if jobs is not None:
        limited("--jobs", jobs, 1, THREADS)
    path = presets.scale_file(scale)
    chosen = read(path)
    panels = {name: _panel(path, name, entry, seed) for name, entry in chosen.panels.items()}
    for name, images in (data or {}).items():
        panel = panels.get(name)
        if not isinstance(panel, RunPanel):
            runs = [n for n, p in panels.items() if isinstance(p, RunPanel)]
            raise unknown(f"panel of {path.stem} that takes images", name, runs)
        panels[name] = panel._replace(config=_on(panel.config, images))
    return Plan(path.stem, seed, panels, chosen.report, data_dir, threads or None, jobs)


def read(path: Path) -> Scale:
    """The file of a scale, strictly; `TriptychError` names what is wrong, and in which panel."""
    tables = read_toml(path)
    panels = tables.pop("panels", {})
    scale = merge(Scale(), tables)
    limited("report", scale.report, 0, LONGEST)
    if not isinstance(panels, Mapping) or not panels:
        raise TriptychError(f"'{path}' has no panel: it needs a table [panels.NAME] for each")
    return dataclasses.replace(scale, panels={n: _entry(n, panels[n]) for n in panels})


def _entry(name: str, table: Any) -> Entry:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name) or name in RESERVED:
        raise TriptychError(
            f"a panel cannot be called '{name}': its name is that of a folder and of an option; use letters, "
            f"digits and hyphens, and none of {', '.join(RESERVED)}"
        )
    if not isinstance(table, Mapping):
        raise TriptychError(f"[panels.{name}] must be a table, not {table!r}")
    try:
        # Either word makes an entry; which, and that it is one, is seen when all are there.
        return merge(Entry(study="?"), {"study": "", **table})
    except TriptychError as error:
        raise TriptychError(f"panel '{name}': {error}") from None


def _panel(path: Path, name: str, entry: Entry, seed: int) -> RunPanel | StudyPanel:
    try:
        if entry.study:
            study = studies.load(
                studies.find(_near(path, entry.study, ".toml")),
                []
                if entry.duration is None
                else [f"train.duration={json.dumps(str(entry.duration))}"],
            )
            seeds = tuple(given + seed for given in study.config.seeds)
            moved = dataclasses.replace(study.config, seeds=seeds)
            return StudyPanel(dataclasses.replace(study, config=moved), entry.recorded)
        preset = entry.preset and _near(path, entry.preset, ".toml")
        method = _near(path, entry.method, ".py")
        config = default_config(method, preset, only_trusted=True)
        if entry.duration is not None:
            config = merge(config, {"train": {"duration": str(entry.duration)}})
        return RunPanel(dataclasses.replace(config, seed=seed), entry.evaluate, entry.recorded)
    except TriptychError as error:
        raise TriptychError(f"panel '{name}': {error}") from None


def _near(path: Path, name: str, suffix: str) -> str:
    """A name, or of a file the path as seen from the scale's."""
    return str(path.parent / Path(name).expanduser()) if name.endswith(suffix) else name


def _on(config: ExperimentConfig, data: str) -> ExperimentConfig:
    if data_plane.entry_for(data) is None:
        # The same images from whatever folder the command is given again.
        data = str(Path(data).expanduser().resolve())
    return dataclasses.replace(config, data=dataclasses.replace(config.data, name=data))
