"""What the page shows of a run or of a study: everything that its folder has the numbers for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.errors import TriptychError
from triptych.report.figures import FIGURES
from triptych.report.page import pictures
from triptych.report.page.atlas import Atlas, atlas
from triptych.report.page.charts import Chart, charts
from triptych.report.page.findings import Finding, findings
from triptych.report.page.tables import Row, rows
from triptych.report.study import STUDY_FIGURES
from triptych.report.study_folder import StudyFolder
from triptych.report.style import styled
from triptych.report.words import setting
from triptych.runs import Run

__all__ = ["Section", "run_section", "study_section"]

METHODS = {
    "vae": ("A likelihood", "variational autoencoder"),
    "wgan": ("A game", "Wasserstein GAN with a Lipschitz penalty"),
    "simsiam": ("An agreement", "SimSiam"),
}
"""What the three panels are called; a method of somebody else's has its own name."""


@dataclass(frozen=True)
class Section:
    """One run or study on the page."""

    anchor: str
    name: str
    """The folder's."""
    title: str
    setting: str
    status: str
    """done, failed, running or interrupted."""
    reason: str
    findings: list[Finding] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    frames: list[pictures.Frames] = field(default_factory=list)
    figures: list[pictures.Picture] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    alarms: list[tuple[int, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    config: str = ""
    playable: str = ""
    """JSON of the trained model, for the reader's browser to run."""
    atlas: Atlas | None = None
    """Thumbnails placed by their features."""
    open: bool = False
    """Whether all coordinates are shown from the start."""


def run_section(run: Run, anchor: str) -> Section:
    """Everything of one run."""
    method = str(run.config.get("method", {}).get("name", "run"))
    heading, what = METHODS.get(method, (method, method))
    # First, since it refuses arrays that others would stumble over.
    placed = atlas(run)
    frames = [make(run) for make in (pictures.filmstrip, pictures.shifts, pictures.interpolation)]
    return Section(
        anchor,
        run.path.name,
        f"{heading}: {what}" if heading != what else what,
        setting(run, seed=True),
        run.status(),
        run.reason(),
        findings(run),
        charts(run),
        [f for f in frames if f is not None],
        _drawn(run),
        rows(run.results()),
        run.alarms(),
        _commands(run, method),
        _environment(run),
        (run.path / "config.toml").read_text(encoding="utf-8"),
        _playable(run),
        placed,
    )


def _playable(run: Run) -> str:
    """The trained model for the reader's browser, where it was written."""
    path = run.path / "playable.json"
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TriptychError(f"'{path}' is damaged: {error}; delete it first") from None
    return text


def study_section(path: Path, anchor: str) -> Section:
    """Everything of one study: its comparison, not its single runs."""
    folder = StudyFolder(path)
    found: Mapping[str, Any] = folder.found
    said = [s for metric in found["metrics"].values() for s in metric["findings"]]
    states = [r["state"] for arm in found["arms"].values() for r in arm["runs"].values()]
    with styled():
        drawn = [
            pictures.picture(figure, make.__name__.replace("_", "-"))
            for make in STUDY_FIGURES
            if (figure := make(folder)) is not None
        ]
    verdicts = [
        Finding(f"{arm}, seed {seed}", run["evidence"])
        for arm, about in found["arms"].items()
        for seed, run in about["runs"].items()
        if run.get("evidence")
    ]
    seeds = ", ".join(str(seed) for seed in found["seeds"])
    return Section(
        anchor,
        path.name,
        f"A study: {found['study']}",
        f"{len(found['arms'])} arms × seeds {seeds}; the control is {found['control']}",
        "done" if all(state == "done" for state in states) else "running",
        f"{states.count('done')} of {len(states)} runs are done",
        [*(Finding("", sentence) for sentence in said), *verdicts],
        figures=drawn,
        commands=[shlex.join(["triptych", "study", "study.toml", "--out", path.name])],
        config=(path / "study.toml").read_text(encoding="utf-8"),
    )


def _drawn(run: Run) -> list[pictures.Picture]:
    with styled():
        made = ((make, make(run)) for make in FIGURES)
        return [
            pictures.picture(figure, make.__name__.replace("_", "-"))
            for make, figure in made
            if figure is not None
        ]


def _commands(run: Run, method: str) -> list[str]:
    """What repeats the run: its config has every choice in it."""
    name = run.path.name
    return [
        shlex.join(["triptych", "train", method, "--preset", "config.toml", "--out", name]),
        shlex.join(["triptych", "evaluate", name]),
    ]


def _environment(run: Run) -> list[tuple[str, str]]:
    """What ran it, without the paths of the machine."""
    path = run.path / "environment.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = ("triptych", "torch", "python", "platform", "device", "threads", "commit")
    return [(key, str(found[key])) for key in kept if found.get(key) is not None]
