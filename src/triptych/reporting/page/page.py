"""One HTML file of any runs and studies: no server, no network, nothing that a folder could smuggle in."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from triptych.files import sweep, write
from triptych.reporting.page.compare import Comparison
from triptych.reporting.page.files import write_figures, write_tables
from triptych.reporting.page.sections import Section, sections
from triptych.reporting.parts.charts import Chart
from triptych.reporting.reference.report import ABOUT, overview

__all__ = [
    "Page",
    "Written",
    "asset",
    "compose",
    "environment",
    "policy",
    "sections",
    "write_page",
    "write_tables",
    "write_whole",
]

SCRIPTS = ("bar.js", "page.js", "model.js", "playground.js", "atlas.js")
STYLES = ("style.css", "playground.css", "atlas.css")

HEAVIEST = 8_000_000
"""Bytes above which a page is no more to be sent by mail or opened on a phone."""

SIZE = "\ue000size\ue000"
"""Stands for the page's size until it is known; of a plane that no text has a use for."""


class Page(NamedTuple):
    """The report as text, the bytes of the kinds of things in it, and what it was made of."""

    html: str
    parts: Mapping[str, int]
    sections: Sequence[Section]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.html.encode())

    @property
    def warning(self) -> str:
        """A sentence on what takes the room in a page that is too heavy; else nothing."""
        if self.size <= HEAVIEST:
            return ""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])
        takes = ", ".join(f"{name} {_megabytes(count)}" for name, count in largest if count)
        return (
            f"the page has {_megabytes(self.size)}, more than the {_megabytes(HEAVIEST)} that mail and phones bear "
            f"({takes}); name fewer runs, or delete their playable.json"
        )

    def write(self, out: Path) -> Path:
        """Write it in one step; returns where."""
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out.parent)
        write(out, self.html)
        return out


class Written(NamedTuple):
    """The files of a report: the page, and what lies beside it for a paper."""

    page: Path
    tables: list[Path]
    figures: list[Path]


def write_whole(page: Page, paths: Sequence[Path], out: Path) -> Written:
    """Write the composed page of these runs and studies to ``out``, with their tables and figures beside it; the page comes last."""
    out.parent.mkdir(parents=True, exist_ok=True)
    tables, figures = write_tables(paths, out), write_figures(page.sections, out)
    # A killed report leaves a half-written file there, and whatever is as it was is not written again.
    sweep(*{path.parent for path in (*tables, *figures)})
    return Written(page.write(out), tables, figures)


def write_page(
    paths: Sequence[Path],
    out: Path,
    title: str = "Triptych report",
    comparison: Comparison | None = None,
    *,
    explore: bool = False,
    reference: bool = False,
) -> Path:
    """`compose` the report on runs and studies and write it to ``out``."""
    return compose(paths, title, comparison, explore=explore, reference=reference).write(out)


def compose(
    paths: Sequence[Path],
    title: str = "Triptych report",
    comparison: Comparison | None = None,
    *,
    explore: bool = False,
    reference: bool = False,
) -> Page:
    """The report on runs and studies; a comparison of two comes first.

    With ``explore`` the sliders of all latent coordinates are open from the start. With ``reference``, as a
    reproduction asks for it, the page goes through the reference report figure by figure, and that report's
    numbers and words stand with the parts of its own methods, on other data as not comparable. Otherwise nothing
    is said of it.

    The page may run the scripts that Triptych wrote, named by their hashes, and no other; it may
    fetch nothing (Content Security Policy). All texts of a folder are escaped.

    Raises `TriptychError` where a folder is neither run nor study, or links lead out of it.
    """
    given = sections(paths, reference=reference)
    found = [dataclasses.replace(section, open=explore) for section in given]
    parts = _parts(found)
    scripts = [asset(name) for name in SCRIPTS]
    html = (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            sections=found,
            bars=_bars(found),
            lead=_lead(found),
            overview=overview(found) if reference else [],
            about_reference=ABOUT,
            comparison=comparison,
            style=Markup("".join(asset(name) for name in STYLES)),
            scripts=[Markup(script) for script in scripts],
            policy=policy(scripts),
            size=SIZE,
            parts={name: _megabytes(count) for name, count in parts.items() if count},
        )
    )
    # A surrogate, which no file can hold, may come from a stranger's JSON.
    clean = html.encode("utf-8", "replace").decode("utf-8")
    return Page(clean.replace(SIZE, _megabytes(len(clean.encode()))), parts, found)


def _bars(found: Sequence[Section]) -> list[str]:
    """What the bar calls each: two of one kind by their folders."""
    kinds = Counter(section.bar for section in found)
    return [s.bar if s.bar and kinds[s.bar] == 1 else s.name for s in found]


def _lead(found: Sequence[Section]) -> str:
    """What the page is about, in a sentence or two."""
    ways = len({section.idea for section in found if section.idea and not section.tables})
    many = {2: "Two ways of learning", 3: "Three ways of learning"}.get(ways, "Learning")
    return f"{many} from images without labels. Below every part are its numbers, and how they were measured."


def _parts(found: Sequence[Section]) -> dict[str, int]:
    return {
        "figures": sum(len(p.url) for s in found for p in s.figures),
        "sliders": sum(len(frame.url) for s in found for f in s.frames for frame in f.frames),
        "models that play": sum(len(s.playable) for s in found),
        "atlases": sum(len(s.atlas.data) for s in found if s.atlas),
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def environment() -> Environment:
    """What makes pages of templates: every text is escaped, and the macros of ``show.html.j2`` are at hand."""
    environment = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    environment.filters["points"] = _points
    return environment


def embedded(text: str) -> Markup:
    r"""JSON for a ``<script type="application/json">``, which nothing in it can end.

    Example:
        >>> embedded('{"a": "</script>"}')
        Markup('{"a":"\\u003c/script\\u003e"}')
    """
    clean = json.dumps(json.loads(text), ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        clean = clean.replace(character, f"\\u{ord(character):04x}")
    return Markup(clean)


def _points(chart: Chart) -> str:
    """The numbers behind a chart's lines, for the pointer to read."""
    lines = [
        {
            "name": line.name,
            "epochs": [round(epoch, 3) for epoch in line.epochs],
            "values": [float(f"{value:.9g}") for value in line.values],
        }
        for line in chart.series
    ]
    return json.dumps(lines)


def asset(name: str) -> str:
    """A template, style or script of the page."""
    return (files("triptych.reporting.page") / "assets" / name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str]) -> str:
    """The Content Security Policy of a page that runs these scripts, no other, and fetches nothing."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
