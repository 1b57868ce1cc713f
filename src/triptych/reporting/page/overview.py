"""The reference report, figure by figure: what these runs say of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from triptych.reporting.findings.finding import Finding
from triptych.reporting.parts.section import Section

__all__ = ["Entry", "Mention", "overview"]

FIGURES = (
    ("1", (1,), "Validation ELBO of the VAE"),
    ("2", (2,), "Samples over the training of the WGAN"),
    ("3–5", (3, 4, 5), "One latent coordinate shifted by ε"),
    ("6", (6,), "Interpolation in latent space"),
    ("7", (7,), "Interpolation in pixel space"),
    ("8", (8,), "SimSiam and its three ablations"),
)
"""The figures of the reference report: how they are numbered, which they are, and what they show."""


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
    for number, figures, title in FIGURES:
        mentions = [
            Mention(told.anchor, section.name, told.finding)
            for section in sections
            for told in section.told
            if set(figures) & set(told.finding.figures)
        ]
        found.append(Entry(number, title, mentions))
    return found if any(entry.mentions for entry in found) else []
