"""What the page shows of folders: everything that they have the numbers for."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from triptych import records
from triptych.errors import TriptychError
from triptych.files import read_text
from triptych.metrics import label
from triptych.reporting.draw import drawings, figures, study_figures
from triptych.reporting.families import family, in_order, titled
from triptych.reporting.fields import field_words
from triptych.reporting.findings.run import findings
from triptych.reporting.parts import pictures
from triptych.reporting.parts.atlas import atlas
from triptych.reporting.parts.charts import charts
from triptych.reporting.parts.formula import formula
from triptych.reporting.parts.section import Section, run_hero
from triptych.reporting.parts.tables import rows
from triptych.reporting.reference import ablation, report
from triptych.reporting.safe import Attempts, check
from triptych.reporting.snapshot import Snapshot
from triptych.reporting.study.findings import study_findings
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.section import study_section
from triptych.reporting.words import called, setting
from triptych.runs import MethodFacts, Run, grouped

__all__ = ["SLIDERS", "Section", "of_run", "of_study", "sections"]

SHOWN = 3
"""Coordinates that an evaluation shows unless others are asked for."""

SLIDERS = {
    make.__name__: make for make in (pictures.filmstrip, pictures.shifts, pictures.interpolation)
}
"""Name → what gives the slider, or none where the run folder does not hold its pictures."""


def sections(paths: Sequence[Path], *, reference: bool = False) -> list[Section]:
    """What the page shows of each folder, in the order given; `TriptychError` for one that is neither run nor study.

    With ``reference`` that report's numbers and words stand with the parts of its own methods, whatever their data.
    """
    return [_section(path, f"part-{number}", reference) for number, path in enumerate(paths, 1)]


def _section(path: Path, anchor: str, reference: bool) -> Section:
    check(path)
    try:
        if (path / "study.json").is_file():
            return of_study(StudyFolder(path), anchor, reference=reference)
        if (path / "config.toml").is_file():
            return of_run(Run.open(path), anchor, reference=reference)
    except TriptychError:
        raise
    except Exception as error:
        # The parts that may be missing are attempted one by one; this one is what a folder must have.
        raise TriptychError(
            f"'{path}' is damaged, so that nothing can be said of it: {error or type(error).__name__}"
        ) from error
    raise TriptychError(
        f"'{path}' is neither a run, which has a config.toml, nor a study that has ended, "
        "which has a study.json"
    )


def of_run(opened: Run, anchor: str, *, reference: bool = False) -> Section:
    """Everything of one run as it is now; what cannot be read is left out and named."""
    run, attempt = Snapshot(opened.path), Attempts()
    name = str(run.config.get("method", {}).get("name", "run"))
    facts = attempt("the method", run.method) or MethodFacts(name, name, "", frozenset())
    of = family(facts)
    # First, since it refuses arrays that others would stumble over.
    placed = atlas(run)
    plays = _playable(run)
    over = report.lines(run) if reference else {}
    lines = attempt("curves", lambda: charts(run, over)) or []
    sliders = in_order(of.sliders if of else (), SLIDERS)
    frames = [attempt(f"the slider of {n}", lambda m=m: m(run)) for n, m in sliders.items()]  # type: ignore[misc]
    found = findings(run, attempt)
    drawn = attempt("figures", lambda: figures(run, reference=reference)) or {}
    return Section(
        anchor=anchor,
        name=called(run.path),
        title=titled(facts),
        setting=attempt("setting", lambda: setting(run, seed=True)) or "",
        status=run.status(),
        reason=run.reason(),
        bar=of.title if of else facts.title or facts.name,
        idea=of.idea if of else "",
        about=facts.about,
        formula=attempt("the formula", lambda: formula(facts.formula)),
        look=_look(plays, placed is not None),
        findings=report.findings(run, found, attempt) if reference else list(found.values()),
        charts=lines,
        frames=[f for f in frames if f is not None],
        figures=_pictures(drawings(run, drawn, attempt), attempt),
        rows=attempt("table of results", lambda: rows(run.results())) or [],
        alarms=attempt("alarms", run.alarms) or [],
        hero=attempt("headline", lambda: run_hero(run, lines)),
        commands=attempt("how to repeat it", lambda: _commands(run, name)) or [],
        environment=attempt("environment", lambda: _environment(run)) or [],
        config=read_text(run.path / "config.toml"),
        opens=of.opens if of else (),
        playable=plays,
        atlas=placed,
        cautions=attempt("what speaks against it", lambda: _cautions(run)) or [],
        left_out=attempt("what was left out", lambda: _left_out(run)) or [],
        not_comparable=attempt("the reference", lambda: report.not_comparable(run)) or ""
        if reference
        else "",
        lost=attempt.lost,
    )


def of_study(folder: StudyFolder, anchor: str, *, reference: bool = False) -> Section:
    """Everything of one study."""
    attempt = Attempts()
    found = attempt("findings", lambda: study_findings(folder)) or {}
    told, other = list(found.values()), ""
    if reference:
        told = attempt("the reference", lambda: ablation.study_against(folder, found)) or told
        other = attempt("the reference", lambda: ablation.study_not_comparable(folder)) or ""
    makes = attempt("figures", lambda: study_figures(folder, reference=reference)) or {}
    shown = _pictures(drawings(folder, makes, attempt), attempt)
    over = ablation.study_overlay(folder) if reference else None
    return study_section(folder, anchor, told, shown, attempt, other, over)


def _pictures(
    drawn: Iterable[tuple[str, Figure | None]], attempt: Attempts
) -> list[pictures.Picture]:
    """The figures that there are, as the page shows them."""
    found = [
        attempt(f"the figure {name}", lambda f=figure, n=name: pictures.picture(f, n))  # type: ignore[misc]
        for name, figure in drawn
        if figure is not None
    ]
    return [picture for picture in found if picture is not None]


def _left_out(run: Run) -> list[tuple[str, list[str]]]:
    """What was not measured: each reason with what it kept from being measured."""
    return [(why, [label(name) for name in names]) for why, names in grouped(run.left_out())]


def _look(plays: str, placed: bool) -> str:
    """What somebody can do with what is shown of a run."""
    if plays:
        return "Below, the trained model runs in your browser: each slider is one of its hidden numbers."
    if placed:
        return (
            "Below, images lie near those that the network finds alike; it was never told a label."
        )
    return "Below are its curves, and what they came to."


def _playable(run: Run) -> str:
    """The trained model for the reader's browser, where it was written."""
    text, made_with = _written(run)
    return "" if run.stale(made_with) else text


def _written(run: Run) -> tuple[str, Mapping[str, Any]]:
    """The text of playable.json, and the weights that it says it was made with; empty where there is none."""
    path = run.path / "playable.json"
    if not path.is_file():
        return "", {}
    found = records.parsed(path, {}, "delete it first") or {}
    made_with = found.get("made_with")
    return read_text(path), made_with if isinstance(made_with, dict) else {}


def _cautions(run: Run) -> list[str]:
    """What a reader must know before believing the rest."""
    edited = run.edited(field_words)
    said = [f"This is not as it was trained: {'; '.join(edited)}."] * bool(edited)
    if run.status() in ("running", "interrupted"):
        reached = run.weights("last")
        so_far = f" so far, to step {reached.step:,}" if reached else ""
        said.append(f"The training is not at its end: all this is of what was trained{so_far}.")
    if why := run.stale(_written(run)[1]):
        said.append(
            f"The model to play with is left out, as it is {why.replace('evaluate', 'explore')}."
        )
    if any("trained_on" in result["protocol"] for result in run.results().values()):
        said.append("The numbers are of other images than those that the run was trained on.")
    if doubt := run.doubt():
        said.append(f"{doubt}.")
    return said


def _commands(run: Run, method: str) -> list[str]:
    """What repeats the run and its numbers: the config has every choice of the training in it."""
    name = run.path.resolve().name
    if (run.path / f"{method}.py").is_file():
        # The file that a method of one's own was trained with lies beside config.toml.
        method = f"./{method}.py"
    return [
        shlex.join(["triptych", "train", method, "--preset", "config.toml", "--out", name]),
        shlex.join(["triptych", "evaluate", name, *_evaluated(run)]),
    ]


def _evaluated(run: Run) -> list[str]:
    """The options with which the results were measured, where they are not the defaults."""
    results = run.results()
    # The verdict is on the last weights whatever the others were measured with.
    protocols = {name: r["protocol"] for name, r in results.items() if name != "verdict"}
    weights = {p["checkpoint"] for p in protocols.values() if "checkpoint" in p}
    # A likelihood is measured on the validation split too.
    splits = {p["split"] for name, p in protocols.items() if name.startswith(f"{p.get('split')}/")}
    # Baselines are of no weights, or of those before the training.
    options = ["--checkpoint", "last"] if weights & {"best", "last"} == {"last"} else []
    split = next(iter(splits - {"valid"} or splits), "test")
    if "test" not in splits and split != "test":
        options += ["--split", split]
    return options + _shown(run, results)


def _shown(run: Run, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The coordinates that were asked for; those that move the image most are shown anyway."""
    arrays, found = run.arrays("coordinates"), results.get("latent/coordinates")
    if arrays is None or found is None:
        return []
    shown = arrays["coordinates"].tolist()
    if shown == found["value"].get("order", [])[: len(shown)] and len(shown) == SHOWN:
        return []
    return ["--coordinates", *map(str, shown)]


def _environment(run: Run) -> list[tuple[str, str]]:
    """What ran it, without the paths of the machine."""
    found = run.environment()
    kept = ("triptych", "torch", "python", "platform", "device", "threads", "commit")
    there = [(w.checkpoint, w) for which in ("best", "last") if (w := run.weights(which))]
    weights = [(f"{name} weights", f"step {w.step:,}, {w.digest}") for name, w in there]
    told = [(key, str(found[key])) for key in kept if found.get(key) is not None]
    resumed = found.get("resumed", [])
    told += [
        ("went on", ", ".join(f"{key} {value}" for key, value in each.items()))
        for each in (resumed if isinstance(resumed, list) else [])
        if isinstance(each, Mapping)
    ]
    return weights + told
