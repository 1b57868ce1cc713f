"""Every figure of a run, drawn into its folder as PNG to look at and PDF for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from triptych.files import write
from triptych.reporting.figures.classes import class_histogram
from triptych.reporting.figures.coordinate_grids import coordinate_grids
from triptych.reporting.figures.coordinates import coordinates
from triptych.reporting.figures.estimates import k_curve, kl_per_dimension
from triptych.reporting.figures.feature_map import feature_map
from triptych.reporting.figures.game import critic_curves, filmstrip
from triptych.reporting.figures.interpolations import sample_interpolation, scorecard
from triptych.reporting.figures.lipschitz import lipschitz
from triptych.reporting.figures.neighbours import neighbours
from triptych.reporting.figures.pictures import interpolation, reconstructions, samples, traversal
from triptych.reporting.figures.principal import principal_directions, principal_spectrum
from triptych.reporting.figures.representation import representation_curves
from triptych.reporting.figures.style import styled
from triptych.reporting.figures.training import elbo_curve
from triptych.reporting.safe import Attempts
from triptych.runs import Run

T = TypeVar("T")

__all__ = ["FIGURES", "draw", "drawings", "save"]

FIGURES: tuple[Callable[[Run], Figure | None], ...] = (
    elbo_curve,
    reconstructions,
    samples,
    traversal,
    interpolation,
    k_curve,
    kl_per_dimension,
    critic_curves,
    filmstrip,
    class_histogram,
    coordinate_grids,
    coordinates,
    principal_directions,
    principal_spectrum,
    sample_interpolation,
    scorecard,
    lipschitz,
    representation_curves,
    feature_map,
    neighbours,
)
"""Each gives a figure, or none where the run folder does not hold its data. Its name is the file's."""


def draw(run: Run, attempt: Attempts | None = None) -> list[Path]:
    """Draw every figure that the run folder holds the data of, and remove those of before that it does not; returns the files written.

    With ``attempt`` what cannot be drawn, since its data are not as an evaluation keeps them, is noted there.

    Example:
        >>> run = Run.create(tmp_path / "drawn", {"data": {"name": "mnist-5k"}})
        >>> run.log({"step": 781, "epoch": 1.0, "train/elbo": -190.0})
        >>> [path.name for path in draw(run)]
        ['elbo-curve.png', 'elbo-curve.pdf']
    """
    written, attempt = [], attempt or Attempts(strict=True)
    with styled():
        for make in FIGURES:
            name = make.__name__.replace("_", "-")
            figure = attempt(f"the figure {name}", lambda make=make: make(run))  # type: ignore[misc]
            for kind in ("png", "pdf"):
                path = run.path / "figures" / f"{name}.{kind}"
                if figure is not None:
                    written.append(save(figure, path))
                else:
                    # One of before would show what is not so any more.
                    path.unlink(missing_ok=True)
    return written


def drawings(
    shown: T, makes: Sequence[Callable[[T], Figure | None]], attempt: Attempts
) -> Iterator[tuple[str, Figure]]:
    """Names and figures that a run or study holds the data of, one after the other, in the style in which they are to be saved."""
    with styled():
        for make in makes:
            name = make.__name__.replace("_", "-")
            figure = attempt(f"the figure {name}", lambda make=make: make(shown))  # type: ignore[misc]
            if figure is not None:
                yield name, figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in one step, never half-written, and to the same bytes each time."""
    drawn = BytesIO()
    kind = path.suffix[1:]
    dates = {"pdf": "CreationDate", "svg": "Date"}
    figure.savefig(drawn, format=kind, metadata={dates[kind]: None} if kind in dates else None)
    path.parent.mkdir(exist_ok=True)
    write(path, drawn.getvalue())
    return path
