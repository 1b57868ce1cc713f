"""Every figure of a run, drawn into its folder as PNG to look at and PDF for papers."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from triptych.files import write
from triptych.report.coordinate_grids import coordinate_grids
from triptych.report.coordinates import coordinates
from triptych.report.diversity import class_histogram
from triptych.report.estimates import k_curve, kl_per_dimension
from triptych.report.feature_map import feature_map
from triptych.report.game import critic_curves, filmstrip
from triptych.report.interpolations import sample_interpolation, scorecard
from triptych.report.lipschitz import lipschitz
from triptych.report.neighbours import neighbours
from triptych.report.page.safe import Attempts
from triptych.report.pictures import interpolation, reconstructions, samples, traversal
from triptych.report.principal import principal_directions, principal_spectrum
from triptych.report.representation import representation_curves
from triptych.report.style import styled
from triptych.report.training import elbo_curve
from triptych.runs import Run

__all__ = ["FIGURES", "draw", "save"]

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


def save(figure: Figure, path: Path) -> Path:
    """Write a figure in one step, never half-written, and to the same bytes each time."""
    drawn = BytesIO()
    kind = path.suffix[1:]
    dates = {"pdf": "CreationDate", "svg": "Date"}
    figure.savefig(drawn, format=kind, metadata={dates[kind]: None} if kind in dates else None)
    path.parent.mkdir(exist_ok=True)
    write(path, drawn.getvalue())
    return path
