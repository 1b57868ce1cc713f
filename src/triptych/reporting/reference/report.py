"""What the reference report says of the runs and studies of a page: with its own methods' parts, and figure by figure.

Nothing else knows the report. Its numbers and words hold for its own methods, by name; on a page they stand only
where somebody asked for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from triptych.reporting.findings.finding import Finding
from triptych.reporting.parts.charts import Line
from triptych.reporting.parts.section import Section
from triptych.reporting.reference import simsiam, vae, wgan
from triptych.reporting.reference.protocol import Reference, apart, differing, scope, silenced
from triptych.reporting.safe import Attempts
from triptych.runs import Run

__all__ = [
    "ABOUT",
    "Entry",
    "Mention",
    "figures",
    "findings",
    "lines",
    "not_comparable",
    "overview",
]

ABOUT = (
    "What it shows in Figures 1 to 8 (IFT6135, assignment 3, April 2022), and what these runs say of each. "
    "A run is held against it only where it follows the same protocol; of any other its part says why not."
)

REFERENCES = (vae.REFERENCE, wgan.REFERENCE, simsiam.REFERENCE)

FIGURES = (
    ("1", (1,), "Validation ELBO of the VAE"),
    ("2", (2,), "Samples over the training of the WGAN"),
    ("3–5", (3, 4, 5), "One latent coordinate shifted by ε"),
    ("6", (6,), "Interpolation in latent space"),
    ("7", (7,), "Interpolation in pixel space"),
    ("8", (8,), "SimSiam and its three ablations"),
)
"""Its figures: how they are numbered, which they are, and what they show."""


def _of(run: Run) -> Reference | None:
    """The reference for a run's method; none for other methods."""
    return next((known for known in REFERENCES if scope(known.protocol, run.config)), None)


def _by_protocol(run: Run) -> Reference | None:
    """The reference for a run that follows its protocol, so that its curves may be drawn over the run's."""
    of = _of(run)
    return of if of and not differing(of.protocol, run.config) else None


def findings(run: Run, found: Mapping[str, Finding], attempt: Attempts) -> list[Finding]:
    """The findings of a run, each with what the report says of the same; what cannot be read stays without.

    How the two stand is said of a run of its protocol alone; of any other `not_comparable` says why not, once.
    """
    of = _of(run)
    if of is None:
        return list(found.values())
    ways, results, other = of.findings, run.results(), not_comparable(run)

    def against(name: str, finding: Finding) -> Finding:
        if name not in ways:
            return finding
        told = attempt(name.replace("_", " "), lambda: ways[name](run, results, finding)) or finding
        return silenced(told) if other else told

    return [against(name, finding) for name, finding in found.items()]


def not_comparable(run: Run) -> str:
    """Why a run is not held against the report; empty where it is, and for another method, of which the report has no word."""
    of = _of(run)
    return apart(of.protocol, run.config, of.changed(run)) if of else ""


def figures(run: Run) -> Mapping[str, Callable[[Run], Figure | None]]:
    """Figures by name with its numbers laid over them; none for a run that is not of its protocol."""
    of = _by_protocol(run)
    return of.figures if of else {}


def lines(run: Run) -> Mapping[str, Line]:
    """The same for charts."""
    of = _by_protocol(run)
    return of.lines if of else {}


class Mention(NamedTuple):
    """A finding on a figure, and where it stands on the page."""

    anchor: str
    name: str
    """The run's or the study's, where the page has several."""
    finding: Finding


class Entry(NamedTuple):
    """One figure of the reference report; without mentions it is not in this one."""

    number: str
    title: str
    mentions: list[Mention]


def overview(sections: Sequence[Section]) -> list[Entry]:
    """Every figure, whether the sections say something of it or not; nothing where they say something of none."""
    found = []
    for number, shown, title in FIGURES:
        mentions = [
            Mention(told.anchor, section.name, told.finding)
            for section in sections
            for told in section.told
            if set(shown) & set(told.finding.figures)
        ]
        found.append(Entry(number, title, mentions))
    return found if any(entry.mentions for entry in found) else []
