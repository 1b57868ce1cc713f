"""What the page shows of a study: its comparison, not its single runs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from triptych import records
from triptych.files import read_text
from triptych.metrics import label
from triptych.reporting.fields import field_words
from triptych.reporting.figures.quantities import slug
from triptych.reporting.findings.finding import Finding
from triptych.reporting.parts.charts import Chart, plot
from triptych.reporting.parts.pictures import Picture
from triptych.reporting.parts.section import Hero, Section, directed, first_chart
from triptych.reporting.safe import Attempts
from triptych.reporting.study.arms import KNN, evaluated_again, means_of
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.panels import StudyOverlay, study_panels
from triptych.reporting.study.tables import study_tables
from triptych.reporting.words import value_with_error
from triptych.runs import Run

__all__ = ["study_charts", "study_section"]


def study_section(
    folder: StudyFolder,
    anchor: str,
    findings: list[Finding],
    figures: list[Picture],
    attempt: Attempts,
    not_comparable: str = "",
    laid_over: StudyOverlay | None = None,
) -> Section:
    """Everything of one study; what cannot be read is left out and named.

    ``not_comparable`` says why it is not held against a reference that was asked for.
    """
    found: Mapping[str, Any] = folder.found
    runs = [run for arm in found["arms"].values() for run in arm["runs"].values()]
    states = Counter(run["state"] for run in runs)
    lines = attempt("curves", lambda: study_charts(folder, laid_over)) or []
    config, name = folder.path / "study.toml", folder.path.resolve().name
    return Section(
        anchor=anchor,
        name=name,
        title=f"A study: {found['study']}",
        setting=_setting(folder),
        status="done" if states["done"] == len(runs) else _unfinished(states),
        reason=", ".join(f"{count} of {len(runs)} runs {state}" for state, count in states.items())
        + ".",
        bar="Study",
        idea=_idea(folder),
        changes=attempt("what the arms change", lambda: _changes(folder)) or [],
        findings=findings,
        charts=lines,
        figures=figures,
        tables=attempt("tables", lambda: study_tables(found)) or [],
        ended=_ended(found),
        said=[s for about in found["metrics"].values() for s in about["findings"]],
        evidence=_evidence(found),
        hero=attempt("headline", lambda: _hero(folder, lines)),
        commands=[shlex.join(["triptych", "study", "study.toml", "--out", name])],
        config=(attempt("study.toml", lambda: read_text(config)) or "") if config.is_file() else "",
        cautions=attempt("what speaks against it", lambda: _cautions(folder)) or [],
        not_comparable=not_comparable,
        lost=attempt.lost,
    )


def _idea(folder: StudyFolder) -> str:
    """What a study is; of several methods it says what they share, and that their losses are not held against each other."""
    if len(set(folder.methods.values())) < 2:
        return (
            "One training several times over, each time with something changed and the same seeds, so that any "
            "difference comes from the change."
        )
    return (
        "Several methods with the same seeds: the runs of one seed share the order of the images, the draws of views and noise, "
        "and the first weights of layers of one name and shape. What each minimises is its own, so losses are not compared."
    )


def _changes(folder: StudyFolder) -> list[tuple[str, str]]:
    """Every arm but the control, and in what it differs from it; nothing where study.toml is not there any more.

    A variant differs from the arm that it is of. Of another method it is said that it is one, and what differs of the fields
    that both have.
    """
    path, control = folder.path / "study.toml", folder.found["control"]
    if not path.is_file():
        return []
    arms = records.toml(path).get("arms", {})
    flat = {arm: records.flat(arms[arm]) for arm in folder.arms if arm in arms}
    found = []
    for arm, fields in flat.items():
        if arm == control:
            continue
        base = flat.get(folder.of.get(arm, control), {})
        own, other = folder.methods.get(arm), folder.methods.get(folder.of.get(arm, control))
        said = [f"of {folder.of[arm]}"] if arm in folder.of else []
        said += [f"method {own}"] if own != other else []
        said += [
            f"{field_words(key)} {_said(v)}"
            for key, v in fields.items()
            if key not in ("of", "method.name")
            and (own == other or key in base)
            and base.get(key) != v
        ]
        found.append((arm, "; ".join(said)))
    return found


def _said(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _cautions(folder: StudyFolder) -> list[str]:
    """The runs that have other weights now than when the study was compared: its numbers are not theirs any more."""
    went_on = [
        f"{arm}, seed {seed}"
        for arm, about in folder.found["arms"].items()
        for seed, ended in about["runs"].items()
        if "weights" in ended
        and (now := Run(folder.path / arm / f"seed-{seed}").chosen()) is not None
        and now.digest != ended["weights"]
    ]
    again = [
        f"{arm}, {run.path.name.replace('-', ' ')}"
        for arm in folder.arms
        for run in folder.runs(arm)
        if evaluated_again(folder, arm, run)
    ]
    said = [
        f"Evaluated again since the study was compared, to other numbers: {', '.join(again)}; "
        "run triptych study again."
    ] * bool(again)
    if not went_on:
        return said
    return [
        *said,
        f"Stale: {', '.join(went_on)} {'has' if len(went_on) == 1 else 'have'} other weights now than when the "
        "study was compared; run triptych study again.",
    ]


def _setting(folder: StudyFolder) -> str:
    """The shape of the study, the data of its runs, and the control."""
    seeds = len(folder.found["seeds"])
    shape = f"{len(folder.arms)} arms × {seeds} seed{'s' * (seeds != 1)}"
    return f"{shape} · {folder.protocol()}"


def _unfinished(states: Mapping[str, int]) -> str:
    return "failed" if states.get("failed", 0) == sum(states.values()) else "incomplete"


def _ended(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every run that has no number, by name, and why."""
    return [
        (
            f"{arm}, seed {seed}",
            f"failed: {run.get('reason', '')}" if run["state"] == "failed" else run["state"],
        )
        for arm, about in found["arms"].items()
        for seed, run in about["runs"].items()
        if run["state"] != "done"
    ]


def _evidence(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The verdict of every run, in its own words."""
    return [
        (f"{arm}, seed {seed}", run["evidence"])
        for arm, about in found["arms"].items()
        for seed, run in about["runs"].items()
        if run.get("evidence")
    ]


def _hero(folder: StudyFolder, charts: Sequence[Chart]) -> Hero | None:
    """The control's accuracy among its arms, with all their curves; without labels its verdict, else its first metric."""
    control, metrics = folder.found["control"], folder.found["metrics"]
    chart = first_chart(charts, (slug(KNN),))
    about = folder.found["arms"][control]
    if control not in means_of(folder, KNN) and about["verdicts"]:
        given = ", ".join(
            f"{word} {n}/{len(about['runs'])}" for word, n in about["verdicts"].items()
        )
        said = f"verdict of the arm {control}, one of {len(folder.arms)}"
        return Hero(f"{given[:1].upper()}{given[1:]}", said, chart=chart)
    for name in dict.fromkeys([KNN, *metrics]):
        summary = metrics.get(name, {}).get("arms", {}).get(control)
        if summary is not None and summary["mean"] is not None:
            value = value_with_error(name, summary["mean"], summary["stderr"])
            said = directed(f"{label(name)} of the arm {control}, one of {len(folder.arms)}", name)
            return Hero(value, said, chart=chart)
    return Hero("", "", chart=chart) if chart else None


def study_charts(folder: StudyFolder, laid_over: StudyOverlay | None = None) -> list[Chart]:
    """A chart for each curve that the study names and the runs logged."""
    found = []
    for panel in study_panels(folder, laid_over):
        lines = [line for line in panel.lines if len(line.epochs) > 1]
        if not all(line.over for line in lines):
            found.append(plot(replace(panel, lines=lines)))
    return found
