"""Every figure of a study, drawn into its folder as PNG to look at and PDF for papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from triptych.reporting.figures.draw import save
from triptych.reporting.figures.style import styled
from triptych.reporting.study.curves import study_curves
from triptych.reporting.study.differences import study_differences
from triptych.reporting.study.folder import StudyFolder

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
