"""What a run found, in sentences that follow from its numbers, beside what the reference report says.

A sentence says the opposite where the numbers do, and nothing where they are missing.
"""

from __future__ import annotations

from triptych.reporting.findings import likelihood as findings_vae
from triptych.reporting.findings import representation as findings_simsiam
from triptych.reporting.findings import samples as findings_wgan
from triptych.reporting.findings.finding import Finding, measured_against
from triptych.reporting.safe import Attempts
from triptych.runs import Run

__all__ = ["Finding", "findings", "measured_against"]

SAYINGS = (*findings_vae.SAYINGS, *findings_wgan.SAYINGS, *findings_simsiam.SAYINGS)


def findings(
    run: Run, attempt: Attempts | None = None, *, reference: bool = False
) -> list[Finding]:
    """Everything that can be said of a run, in the order of the reference's figures.

    With ``attempt`` what cannot be read is noted there and left out. What the reference report says stands beside
    runs of its methods on its data; with ``reference`` beside those on other data too, as not comparable.
    """
    attempt = attempt or Attempts(strict=True)
    results = attempt("results", run.results)
    if results is None:
        return []
    said = (
        attempt(say.__name__.replace("_", " "), lambda say=say: say(run, results, reference))  # type: ignore[misc]
        for say in SAYINGS
    )
    return [finding for finding in said if finding is not None]
