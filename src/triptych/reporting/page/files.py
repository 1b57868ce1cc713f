"""What is written next to the page, for a paper: figures as PDF and SVG, tables as CSV and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from triptych.files import write
from triptych.reporting.figures.style import save, styled
from triptych.reporting.parts.section import Section
from triptych.reporting.parts.tables import as_csv, as_latex, rows
from triptych.reporting.safe import Attempts
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.tables import study_csv, study_latex
from triptych.reporting.words import called
from triptych.runs import Run

__all__ = ["write_figures", "write_tables"]

KINDS = ("pdf", "svg")

LONGEST = 80
"""Letters of a folder's name that go into that of a file."""


def write_tables(paths: Sequence[Path], out: Path) -> list[Path]:
    """Write the numbers of every run and study next to the page ``out``; returns the files."""
    written = []
    for number, path in enumerate(paths, 1):
        for kind, text in _tables(path).items():
            table = out.with_name(f"{out.stem}-{number}-{_plain(called(path))}.{kind}")
            write(table, text)
            written.append(table)
    return written


def _tables(path: Path) -> dict[str, str]:
    if (path / "study.json").is_file():
        found = StudyFolder(path).found
        return {"csv": study_csv(found), "tex": study_latex(found)} if found["metrics"] else {}
    # The page says what could not be read.
    attempt = Attempts()
    results = attempt("results", Run(path).results)
    table = attempt("table of results", lambda: rows(results)) if results else None
    return {"csv": as_csv(results), "tex": as_latex(table)} if results and table else {}


def write_figures(found: Sequence[Section], out: Path) -> list[Path]:
    """Write every figure of the sections into a folder next to the page ``out``; returns the files."""
    folder, written = out.with_name(f"{out.stem}-figures"), []
    with styled():
        for number, section in enumerate(found, 1):
            for shown in section.figures:
                folder.mkdir(exist_ok=True)
                begin = f"{number}-{_plain(section.name)}-{shown.name}"
                written += [save(shown.figure, folder / f"{begin}.{kind}") for kind in KINDS]
    return written


def _plain(name: str) -> str:
    """A folder's name, which may be a stranger's, as part of a file's that needs no quoting."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")
    return plain[:LONGEST] or "run"
