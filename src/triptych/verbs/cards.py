"""What a notebook shows of a run, its results, a study or a data set: HTML that stands for itself.

Nothing is fetched, every text of a folder is escaped, the style holds for the card alone and follows the reader's
light or dark theme.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych.data.spec import Dataset
from triptych.errors import TriptychError, printable
from triptych.reporting.families import headline
from triptych.reporting.parts.charts import Chart, charts
from triptych.reporting.parts.pictures import inlined, mosaic
from triptych.reporting.parts.section import first_chart, run_hero
from triptych.reporting.parts.tables import rows
from triptych.reporting.safe import Attempts, check
from triptych.reporting.snapshot import Snapshot
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.terminal import result_lines
from triptych.reporting.words import called, joined, number, plain, setting
from triptych.runs import Run, grouped

__all__ = ["card", "results_card", "study_card"]

IMAGES = 16
"""Images of a data set that are shown."""

MOST = 60
"""Rows of a table that are shown; who wants more asks for a frame."""

# Jupyter and VS Code say their own colours by variables; elsewhere the reader's preference decides.
STYLE = """
.triptych-card{--ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#1d2129));
--dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#5b6470));
--paper:var(--jp-layout-color1,var(--vscode-editor-background,#fff));--line:#8884;--accent:#0b62a4;--good:#1a7f37;
--bad:#b3261e;--warn:#8a5a00;max-width:58em;box-sizing:border-box;color:var(--ink);background:var(--paper);
border:1px solid var(--line);border-radius:8px;padding:.8em 1em;margin:.3em 0;font:14px/1.45 system-ui,sans-serif}
@media (prefers-color-scheme:dark){.triptych-card{--ink:var(--jp-content-font-color1,var(--vscode-editor-foreground,#e6e9ee));
--dim:var(--jp-content-font-color2,var(--vscode-descriptionForeground,#a3abb6));
--paper:var(--jp-layout-color1,var(--vscode-editor-background,#15181d));--accent:#6cb6ff;--good:#5fd07a;--bad:#ff8f87;--warn:#e3b341}}
.triptych-card *{box-sizing:border-box}
.triptych-card .head{display:flex;flex-wrap:wrap;gap:.2em .7em;align-items:baseline}
.triptych-card b.name{font-size:1.15em;overflow-wrap:anywhere}
.triptych-card .dim{color:var(--dim);overflow-wrap:anywhere}
.triptych-card .state{border:1px solid currentColor;border-radius:99px;padding:0 .6em;font-size:.85em}
.triptych-card .done{color:var(--good)}.triptych-card .failed{color:var(--bad)}
.triptych-card .running{color:var(--accent)}.triptych-card .interrupted{color:var(--warn)}
.triptych-card .body{display:flex;flex-wrap:wrap;gap:.8em 1.6em;align-items:center;margin-top:.6em}
.triptych-card .number{font-size:1.7em;line-height:1.2;white-space:nowrap}
.triptych-card .part{flex:1 1 15em;min-width:0}
.triptych-card svg{display:block;width:100%;height:7em;color:var(--accent);border-left:1px solid var(--line);border-bottom:1px solid var(--line)}
.triptych-card path{fill:none;stroke:currentColor;stroke-width:1.6;vector-effect:non-scaling-stroke}
.triptych-card path.l1{stroke-dasharray:5 3;opacity:.75}.triptych-card path.alarm{stroke:var(--bad)}
.triptych-card img{max-width:100%;height:auto;image-rendering:pixelated;border-radius:3px;background:#fff}
.triptych-card .wide{overflow-x:auto;max-width:100%}
.triptych-card table{border-collapse:collapse;margin:.5em 0 0;font-variant-numeric:tabular-nums}
.triptych-card th,.triptych-card td{padding:.15em .9em .15em 0;border:0;border-bottom:1px solid var(--line);text-align:left;
vertical-align:top;background:none;color:inherit;font-size:13px}
.triptych-card td:first-child{white-space:nowrap}
.triptych-card td.n{text-align:right;white-space:nowrap}
.triptych-card summary{cursor:pointer;color:var(--dim);white-space:nowrap}
.triptych-card ul{margin:.5em 0 0;padding-left:1.2em}
.triptych-card .bad{color:var(--bad)}
"""


def card(thing: Run | Dataset) -> str:
    """What a notebook shows of a run or a data set, as HTML to be put anywhere else too.

    Nothing is raised over a folder that is damaged: the card says so.

    Example:
        >>> run = Run.create(tmp_path / "<i>mine", {})
        >>> "interrupted" in card(run), "&lt;i&gt;mine" in card(run), "<i>mine" in card(run)
        (True, True, False)
    """
    if isinstance(thing, Dataset):
        return dataset_card(thing)
    if not isinstance(thing, Run):
        raise TriptychError(
            f"there is no card of a {type(thing).__name__}; give a run or a data set"
        )
    try:
        check(thing.path)
        return run_card(Snapshot(thing.path))
    except (TriptychError, OSError) as error:
        said = _tag("div", error, "bad")
        return _framed(_head(called(thing.path), "damaged", thing.path, "failed") + said)


def run_card(run: Run) -> str:
    """How a run ended, its headline number, its curve, what it draws, and what speaks against it."""
    attempt = Attempts()
    status = run.status()
    about = attempt("setting", lambda: setting(run, seed=True)) or ""
    title = attempt("method", lambda: run.method().title) or ""
    lines = attempt("curves", lambda: charts(run)) or []
    hero = attempt("headline", lambda: run_hero(run, lines))
    drawn = hero.chart if hero is not None and hero.chart is not None else first_chart(lines, ())
    parts = []
    if hero is not None and hero.value:
        found = attempt("headline", lambda: headline(run))
        label = joined(hero.label, found.aside if found is not None else "")
        parts.append(_tag("div", hero.value, "number") + _tag("div", label, "dim"))
    if drawn is not None:
        parts.append(_curve(drawn) + _tag("div", _told(drawn), "dim"))
    if hero is not None and hero.url:
        parts.append(f'<img src="{_plain(hero.url)}" alt="{_plain(hero.alt)}">')
    body = "".join(f'<div class="part">{part}</div>' for part in parts)
    facts = _tag(
        "div", joined(title, about, *(attempt("how far it came", lambda: _far(run)) or [])), "dim"
    )
    cautions = [f"{said}." for said in (attempt("doubts", run.doubt),) if said]
    cautions += [f"alarm at step {s:,}: {said}" for s, said in attempt("alarms", run.alarms) or []]
    cautions += [run.reason()] if status == "failed" else []
    cautions += [f"not read: {lost}" for lost in attempt.lost]
    return _framed(
        f'{_head(called(run.path), status, run.path, status)}{facts}<div class="body">{body}</div>'
        + _list(cautions, "bad")
    )


def _far(run: Run) -> list[str]:
    """Step and epoch that a run came to, and how many numbers were measured of it."""
    last = run.metrics()[-1:]
    far = [f"step {line['step']:,}" for line in last]
    far += [f"{plain(line['epoch'], 2)} epochs" for line in last if "epoch" in line]
    measured = len(run.results())
    return [*far, f"{measured} results" if measured else "not evaluated yet"]


def dataset_card(data: Dataset) -> str:
    """Shape, splits, classes, what is to be said of the images, and some of them."""
    train = data.splits["train"]
    shown = np.ascontiguousarray(train.pixels[:: max(1, len(train) // IMAGES)][:IMAGES])
    strip = inlined(mosaic(shown, min(len(shown), IMAGES // 2)))
    splits = [["split", "images", "labelled"]] + [
        [name, f"{len(images):,}", "no" if images.labels is None else "yes"]
        for name, images in data.splits.items()
    ]
    classes = (
        _tag("div", f"{len(data.classes)} classes: {_few(data.classes)}", "dim")
        if data.classes
        else ""
    )
    facts = joined("×".join(map(str, data.shape)), data.values, f"fingerprint {data.fingerprint}")
    return _framed(
        _head(data.title, "", data.name, "")
        + _tag("div", facts, "dim")
        + f'<div class="body"><div class="part"><img src="{strip}" alt="{len(shown)} training images"></div>'
        + f'<div class="part">{_table(splits)}{classes}</div></div>'
        + _list(data.remarks)
    )


def results_card(results: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str]) -> str:
    """A table of numbers, the protocol of each folded away, then what was found in words and what was left out."""
    found = rows(results)
    body = [
        f"<tr>{_tag('td', row.name)}{_tag('td', row.value, 'n')}{_tag('td', row.n, 'n')}"
        f"<td><details><summary>protocol</summary>{_plain(row.protocol)}"
        f"{_plain(f' ({row.note})' if row.note else '')}</details></td></tr>"
        for row in found
    ]
    head = "".join(_tag("th", name) for name in ("result", "value", "n", ""))
    numbers = {row.name for row in found}
    others = {name: result for name, result in results.items() if name not in numbers}
    said = [line for line in result_lines(others)[1:] if line.strip()] if others else []
    missing = [f"left out: {', '.join(names)}: {why}" for why, names in grouped(left_out)]
    table = f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>' if body else ""
    return _framed((table or _tag("div", "no results", "dim")) + _list([*said, *missing]))


def study_card(
    folder: StudyFolder, table: Sequence[Sequence[str]], problems: Mapping[str, str]
) -> str:
    """How the runs of a study ended, its table of arms and metrics, and what was found."""
    found = folder.found
    ended = [run["state"] for arm in found["arms"].values() for run in arm["runs"].values()]
    state = "done" if set(ended) == {"done"} and not problems else "interrupted"
    counted = ", ".join(f"{ended.count(word)} {word}" for word in dict.fromkeys(ended))
    verdicts = [["arm", "verdict"]] + [
        [
            arm,
            ", ".join(f"{said} {n}/{len(about['runs'])}" for said, n in about["verdicts"].items()),
        ]
        for arm, about in found["arms"].items()
        if about["verdicts"]
    ]
    findings = [said for metric in found["metrics"].values() for said in metric["findings"]]
    stuck = [f"no outcome: {cell}: {why}" for cell, why in problems.items()]
    return _framed(
        _head(found["study"], counted, folder.path, state)
        + _tag("div", folder.protocol(), "dim")
        + f'<div class="wide">{_table(table)}</div>'
        + (_table(verdicts, "") if len(verdicts) > 1 else "")
        + _list(stuck, "bad")
        + f"<details><summary>findings</summary>{_list(findings)}</details>"
    )


def _curve(chart: Chart) -> str:
    """A chart without its axes; the lines were drawn for the page, and fill the card."""
    box = f"0 0 {chart.width} {chart.height}"
    lines = [
        f'<path class="l{series.number}" d="{_plain(series.path)}"/>' for series in chart.series
    ]
    alarms = [f'<path class="alarm" d="M{x} 0V{chart.height}"/>' for x in chart.alarms]
    return (
        f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="{_plain(chart.said)}">'
        f"{''.join(lines + alarms)}</svg>"
    )


def _told(chart: Chart) -> str:
    """What a curve is of, and its ends."""
    ends = [f"{s.name} {number(s.values[0])} to {number(s.values[-1])}" for s in chart.series]
    return f"{chart.title} over {plain(chart.ranges[1], 2)} epochs: {'; '.join(ends)}"


def _head(name: str, state: str, path: Path | str, look: str) -> str:
    badge = _tag("span", state, f"state {look}") if state else ""
    return f'<div class="head">{_tag("b", name, "name")}{badge}{_tag("span", path, "dim")}</div>'


def _table(lines: Sequence[Sequence[str]], look: str = "n") -> str:
    """A head and rows, each named by its first cell; the others are numbers unless they ``look`` otherwise."""
    head, *body = lines
    shown = "".join(
        f"<tr>{_tag('td', row[0])}{''.join(_tag('td', each, look) for each in row[1:])}</tr>"
        for row in body[:MOST]
    )
    return f"<table><tr>{''.join(_tag('th', name) for name in head)}</tr>{shown}</table>"


def _list(sentences: Iterable[str], look: str = "") -> str:
    items = "".join(_tag("li", said) for said in sentences if said)
    return f'<ul class="{look}">{items}</ul>' if items else ""


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:IMAGES])
    return shown if len(names) <= IMAGES else f"{shown} and {len(names) - IMAGES:,} more"


def _tag(name: str, text: object, look: str = "") -> str:
    inside = _plain(text)
    return f'<{name} class="{look}">{inside}</{name}>' if look else f"<{name}>{inside}</{name}>"


def _plain(text: object) -> str:
    """Any text as one that HTML shows and does not obey."""
    return html.escape(printable(str(text)))


def _framed(inside: str) -> str:
    return f'<div class="triptych-card"><style>{STYLE}</style>{inside}</div>'
