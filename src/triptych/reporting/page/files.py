"""What is written into one folder beside the page, for a paper: figures as PDF and SVG, tables as CSV and LaTeX."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from triptych import __version__
from triptych.errors import TriptychError
from triptych.files import write
from triptych.reporting.figures.style import body_as_pdf, styled
from triptych.reporting.parts.pictures import Picture
from triptych.reporting.parts.section import Section
from triptych.reporting.parts.tables import as_csv, as_latex, rows
from triptych.reporting.safe import Attempts
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.tables import study_csv, study_latex
from triptych.reporting.words import called
from triptych.runs import Run

__all__ = ["beside", "write_figures", "write_tables"]

KINDS = ("svg", "pdf")

LONGEST = 80
"""Letters of a folder's name that go into that of a file."""


def write_tables(paths: Sequence[Path], out: Path) -> list[Path]:
    """Write the numbers of every run and study into the folder of the page ``out``; returns the files.

    Raises `TriptychError` where the page itself could not be written, since ``out`` is a folder.
    """
    if out.is_dir():
        raise TriptychError(f"'{out}' is a folder; name the page, report.html in it say")
    written = []
    for number, path in enumerate(paths, 1):
        for kind, text in _tables(path).items():
            table = beside(out) / "tables" / f"{number}-{_plain(called(path))}.{kind}"
            _write(table, text.encode("utf-8", "replace"))
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
    """Write the body of every figure of the sections into the folder of the page ``out``; returns the files.

    A paper has captions of its own: title, protocol and caption are among what a file says of itself. What is the same
    as before is left as it is.
    """
    folder, written = beside(out) / "figures", []
    with styled():
        for number, section in enumerate(found, 1):
            for shown in section.figures:
                begin = folder / f"{number}-{_plain(section.name)}-{shown.name}"
                as_svg, as_pdf = (begin.with_name(f"{begin.name}.{kind}") for kind in KINDS)
                mark = _mark(shown)
                _write(as_svg, shown.svg.encode())
                # The fonts of a PDF take most of the time of a page that was made before.
                if not _has(as_pdf, mark):
                    _write(as_pdf, body_as_pdf(shown.figure, mark))
                written += [as_pdf, as_svg]
    return written


def beside(out: Path) -> Path:
    """The folder of what lies beside a page."""
    return out.with_name(f"{out.stem}-files")


def _write(path: Path, content: bytes) -> None:
    """Write a file, and its folders, where it is not there as it is."""
    if not (path.is_file() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)


def _mark(shown: Picture) -> str:
    """A digest of a figure and its words, and of the versions that drew it."""
    drawn = f"{__version__} {matplotlib.__version__} {shown.figure.words} {shown.svg}"
    return f"triptych-{hashlib.sha256(drawn.encode()).hexdigest()[:32]}"


def _has(path: Path, mark: str) -> bool:
    """Whether a file from an earlier report carries this mark."""
    return path.is_file() and mark.encode() in path.read_bytes()


def _plain(name: str) -> str:
    """A folder's name, which may be a stranger's, as part of a file's that needs no quoting."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")
    return plain[:LONGEST] or "run"
