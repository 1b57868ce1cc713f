"""Every figure of a study, drawn into its folder as PNG to look at and PDF for papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from triptych.report.figures import save
from triptych.report.study_curves import study_curves
from triptych.report.study_differences import study_differences
from triptych.report.study_folder import StudyFolder
from triptych.report.style import styled

__all__ = ["STUDY_FIGURES", "draw_study"]

STUDY_FIGURES: Sequence[Callable[[StudyFolder], Figure | None]] = (study_curves, study_differences)
"""Each gives a figure, or none where the study does not hold its data. Its name is the file's."""


def draw_study(path: Path) -> list[Path]:
    """Draw every figure of the study in a folder; returns the files written."""
    folder, written = StudyFolder(path), []
    with styled():
        for make in STUDY_FIGURES:
            figure = make(folder)
            if figure is not None:
                name = make.__name__.replace("_", "-")
                written += [
                    save(figure, path / "figures" / f"{name}.{kind}") for kind in ("png", "pdf")
                ]
    return written
