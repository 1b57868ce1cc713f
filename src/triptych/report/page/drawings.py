"""Every figure that a folder holds the data of, drawn and not yet written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from triptych.report.figures import FIGURES
from triptych.report.page.safe import Attempts
from triptych.report.study import STUDY_FIGURES
from triptych.report.study_folder import StudyFolder
from triptych.report.style import styled
from triptych.runs import Run

__all__ = ["drawings"]


def drawings(path: Path, attempt: Attempts) -> Iterator[tuple[str, Figure]]:
    """Names and figures of a run or a study, one after the other, in the style in which they are to be saved."""
    if (path / "study.json").is_file():
        folder = StudyFolder(path)
        makes = [(make.__name__, lambda make=make: make(folder)) for make in STUDY_FIGURES]
    else:
        run = Run.open(path)
        makes = [(make.__name__, lambda make=make: make(run)) for make in FIGURES]
    with styled():
        for name, make in makes:
            figure = attempt(f"the figure {name.replace('_', '-')}", make)
            if figure is not None:
                yield name.replace("_", "-"), figure
