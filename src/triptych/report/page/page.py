"""One HTML file of any runs and studies: no server, no network, nothing that a folder could smuggle in."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from triptych.errors import TriptychError
from triptych.report.page.charts import Chart
from triptych.report.page.compare import Comparison
from triptych.report.page.sections import Section, run_section, study_section
from triptych.report.page.tables import as_csv, as_latex, rows
from triptych.runs import Run

__all__ = ["sections", "write_page", "write_tables"]

SCRIPTS = ("page.js", "model.js", "playground.js", "atlas.js")
STYLES = ("style.css", "playground.css", "atlas.css")


def sections(paths: Sequence[Path]) -> list[Section]:
    """What the page shows of each folder, in the order given; `TriptychError` for one that is neither run nor study."""
    found = []
    for number, path in enumerate(paths, 1):
        _closed(path)
        if (path / "study.json").is_file():
            found.append(study_section(path, f"part-{number}"))
        elif (path / "config.toml").is_file():
            found.append(run_section(Run.open(path), f"part-{number}"))
        else:
            raise TriptychError(
                f"'{path}' is neither a run, which has a config.toml, nor a study that has ended, "
                "which has a study.json"
            )
    return found


def _closed(folder: Path) -> None:
    """Refuse a folder with links that lead out of it: what they point to is not the sender's to show."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise TriptychError(f"'{path}' is a link that leads out of '{folder}'; delete it first")


def write_page(
    paths: Sequence[Path],
    out: Path,
    title: str = "Triptych report",
    comparison: Comparison | None = None,
    *,
    explore: bool = False,
) -> Path:
    """Write the report on runs and studies to ``out``, in one step; a comparison of two comes first.

    With ``explore`` the sliders of all latent coordinates are open from the start.

    The page may run the scripts that Triptych wrote, named by their hashes, and no other; it may
    fetch nothing (Content Security Policy). All texts of a folder are escaped.

    Raises `TriptychError` where a folder is neither run nor study, or links lead out of it.
    """
    found = [dataclasses.replace(section, open=explore) for section in sections(paths)]
    scripts = [_asset(name) for name in SCRIPTS]
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded"] = embedded
    environment.filters["points"] = _points
    page = environment.get_template("page.html.j2").render(
        title=title,
        sections=found,
        comparison=comparison,
        style=Markup("".join(_asset(name) for name in STYLES)),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(out)
    return out


def write_tables(paths: Sequence[Path], out: Path) -> list[Path]:
    """Every run's numbers beside the page ``out``, as CSV and as LaTeX; returns the files written."""
    written = []
    for number, path in enumerate(paths, 1):
        results = Run(path).results()
        for kind, text in (("csv", as_csv(results)), ("tex", as_latex(rows(results)))):
            if rows(results):
                table = out.with_name(f"{out.stem}-{number}-{path.resolve().name}.{kind}")
                table.write_text(text, encoding="utf-8")
                written.append(table)
    return written


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
            "values": [float(f"{value:.6g}") for value in line.values],
        }
        for line in chart.series
    ]
    return json.dumps(lines)


def _asset(name: str) -> str:
    return (files("triptych.report.page") / "assets" / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
