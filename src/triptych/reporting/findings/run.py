"""What a run found, in sentences that follow from its numbers.

A sentence says the opposite where the numbers do, and nothing where they are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triptych.reporting.families import family, in_order
from triptych.reporting.findings.divergence import diverged
from triptych.reporting.findings.finding import Finding
from triptych.reporting.findings.likelihood import coordinates_in_use, elbo, log_likelihood
from triptych.reporting.findings.representation import neighbours, verdict
from triptych.reporting.findings.samples import (
    classes,
    coordinates,
    dimension,
    distance,
    latent_interpolation,
    pixel_interpolation,
    shifted_coordinates,
)
from triptych.reporting.safe import Attempts
from triptych.runs import Run

__all__ = ["FINDINGS", "findings"]

FINDINGS: Mapping[str, Callable[[Run, Mapping[str, Any]], Finding | None]] = {
    find.__name__: find
    for find in (
        *(diverged, elbo, log_likelihood, coordinates_in_use),
        *(classes, distance, shifted_coordinates, coordinates, dimension),
        *(latent_interpolation, pixel_interpolation, verdict, neighbours),
    )
}
"""Name → what says it of a run and its results, or nothing where they do not tell."""


def findings(run: Run, attempt: Attempts | None = None) -> dict[str, Finding]:
    """Everything that can be said of a run by its name, first what the methods of its family are about.

    With ``attempt`` what cannot be read is noted there and left out.
    """
    attempt = attempt or Attempts(strict=True)
    results = attempt("results", run.results)
    if results is None:
        return {}
    of = attempt("the family", lambda: family(run.method()))
    found = {}
    for name, find in in_order(of.findings if of else (), FINDINGS).items():
        said = attempt(name.replace("_", " "), lambda find=find: find(run, results))  # type: ignore[misc]
        if said is not None:
            found[name] = said
    return found
