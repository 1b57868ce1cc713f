"""What is written next to the page, for a paper: figures as PDF and SVG, tables as CSV and LaTeX."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from triptych import __version__
from triptych.errors import TriptychError
from triptych.files import write
from triptych.reporting.figures.style import save, styled
from triptych.reporting.parts.pictures import Picture
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
    """Write the numbers of every run and study next to the page ``out``; returns the files.

    Raises `TriptychError` where the page itself could not be written, since ``out`` is a folder.
    """
    if out.is_dir():
        raise TriptychError(f"'{out}' is a folder; name the page, report.html in it say")
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
    """Write every figure of the sections into a folder next to the page ``out``, those of before that are the same left as they are; returns the files."""
    folder, written = out.with_name(f"{out.stem}-figures"), []
    with styled():
        for number, section in enumerate(found, 1):
            for shown in section.figures:
                folder.mkdir(exist_ok=True)
                begin, mark = f"{number}-{_plain(section.name)}-{shown.name}", _mark(shown)
                for kind in KINDS:
                    path = folder / f"{begin}.{kind}"
                    # To draw letters once more takes most of the time of a page that was made before.
                    if not _has(path, mark):
                        save(shown.figure, path, mark)
                    written.append(path)
    return written


def _mark(shown: Picture) -> str:
    """A digest of a figure as the page shows it and of the versions that drew it."""
    drawn = f"{__version__} {matplotlib.__version__} {shown.title} {shown.caption} {shown.url}"
    return f"triptych-{hashlib.sha256(drawn.encode()).hexdigest()[:32]}"


def _has(path: Path, mark: str) -> bool:
    """Whether a file from an earlier report carries this mark."""
    return path.is_file() and mark.encode() in path.read_bytes()


def _plain(name: str) -> str:
    """A folder's name, which may be a stranger's, as part of a file's that needs no quoting."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")
    return plain[:LONGEST] or "run"
