"""Every figure of a run or a study: drawn for a page, or into its folder as PNG to look at and PDF for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from triptych.reporting.families import family, in_order
from triptych.reporting.figures.classes import class_histogram
from triptych.reporting.figures.features import feature_map, neighbours
from triptych.reporting.figures.game import critic_curves, filmstrip, lipschitz
from triptych.reporting.figures.latent_space import (
    coordinate_grids,
    coordinates,
    principal_directions,
    principal_spectrum,
)
from triptych.reporting.figures.likelihood import elbo_curve, k_curve, kl_per_dimension
from triptych.reporting.figures.pictures import (
    interpolation,
    reconstructions,
    sample_interpolation,
    samples,
    scorecard,
    traversal,
)
from triptych.reporting.figures.representation import representation_curves
from triptych.reporting.figures.style import save, styled
from triptych.reporting.figures.training import training_curves
from triptych.reporting.reference import ablation, report
from triptych.reporting.safe import Attempts
from triptych.reporting.snapshot import Snapshot
from triptych.reporting.study.figures import study_curves, study_differences
from triptych.reporting.study.folder import StudyFolder
from triptych.runs import Run

__all__ = ["FIGURES", "draw", "draw_study", "drawings", "figures", "study_figures"]

T = TypeVar("T")

Make = Callable[[Run], Figure | None]

FIGURES: Mapping[str, Make] = {
    make.__name__.replace("_", "-"): make
    for make in (
        *(elbo_curve, critic_curves, representation_curves, training_curves, reconstructions),
        *(samples, traversal, interpolation, k_curve, kl_per_dimension, filmstrip),
        *(class_histogram, coordinate_grids, coordinates, principal_directions),
        *(principal_spectrum, sample_interpolation, scorecard, lipschitz, feature_map, neighbours),
    )
}
"""Name → what gives the figure, or none where the run folder does not hold its data."""


def figures(run: Run, *, reference: bool = False) -> dict[str, Make]:
    """All figures by name, those of the run's family first; with ``reference`` that report's numbers are laid over its own."""
    of = family(run.method())
    found = in_order(of.figures if of else (), FIGURES)
    return {**found, **(report.figures(run) if reference else {})}


def study_figures(
    folder: StudyFolder, *, reference: bool = False
) -> dict[str, Callable[[StudyFolder], Figure | None]]:
    """The same of a study."""
    overlay = ablation.study_overlay(folder) if reference else None
    return {
        "study-curves": lambda study: study_curves(study, overlay),
        "study-differences": study_differences,
    }


def drawings(
    shown: T, makes: Mapping[str, Callable[[T], Figure | None]], attempt: Attempts
) -> Iterator[tuple[str, Figure | None]]:
    """Each name with its figure, or none where its data are not there, in the style in which it is to be saved."""
    with styled():
        for name, make in makes.items():
            yield name, attempt(f"the figure {name}", lambda make=make: make(shown))  # type: ignore[misc]


def draw(
    run: Run | str | Path, attempt: Attempts | None = None, *, reference: bool = False
) -> list[Path]:
    """Draw every figure that the folder of a run holds the data of, and remove those of before that it does not.

    With ``attempt`` what cannot be drawn, since its data are not as an evaluation keeps them, is noted there.
    With ``reference`` the reference report's numbers are laid over the figures of its own methods.

    Returns:
        The files written.

    Example:
        >>> run = Run.create(tmp_path / "drawn", {"data": {"name": "mnist-5k"}})
        >>> run.log({"step": 781, "epoch": 1.0, "train/elbo": -190.0})
        >>> [path.name for path in draw(run)]
        ['elbo-curve.png', 'elbo-curve.pdf']
    """
    path = Run.open(run.path if isinstance(run, Run) else run).path
    shown = Snapshot(path)
    makes = figures(shown, reference=reference)
    return _written(path, drawings(shown, makes, attempt or Attempts(strict=True)))


def draw_study(path: Path, *, reference: bool = False) -> list[Path]:
    """The same of the study in a folder."""
    folder = StudyFolder(path)
    makes = study_figures(folder, reference=reference)
    return _written(path, drawings(folder, makes, Attempts(strict=True)))


def _written(folder: Path, drawn: Iterator[tuple[str, Figure | None]]) -> list[Path]:
    written = []
    for name, figure in drawn:
        for kind in ("png", "pdf"):
            path = folder / "figures" / f"{name}.{kind}"
            if figure is not None:
                written.append(save(figure, path))
            else:
                # One of before would show what is not so any more.
                path.unlink(missing_ok=True)
    return written
