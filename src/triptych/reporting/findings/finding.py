"""A finding: one sentence that follows from numbers, beside what the reference report says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = [
    "ERRORS",
    "Agreement",
    "Claim",
    "Finding",
    "Standing",
    "both",
    "differs",
    "held",
    "measured_against",
    "percent",
]

Standing = Literal["within", "better", "worse", "outside", "undecided", "not comparable", ""]
"""``outside`` is for numbers of which neither more nor less is better."""

Agreement = Literal["agrees", "disagrees", "undecided", ""]

ERRORS, APART = 2.0, 3.0
"""Standard errors up to which two numbers may be the same, and from which on they are not: between them it is undecided."""

NAMED = 4
"""Fields of a protocol that a sentence names; of more it says how many."""


class Claim(NamedTuple):
    """Whether what the reference says in words holds here, with the sentence on the run and the evidence.

    One condition gives all three, so that no badge can say other than its sentence. What is ``undecided``
    neither agrees nor disagrees: nothing follows, and ``because`` says why.
    """

    holds: Literal["yes", "no", "undecided"]
    sentence: str
    because: str

    @property
    def agreement(self) -> Agreement:
        """The badge."""
        badges: dict[str, Agreement] = {"yes": "agrees", "no": "disagrees"}
        return badges.get(self.holds, "undecided")


class Finding(NamedTuple):
    """A sentence, what the reference report says of the same, and how the two stand to each other.

    ``standing`` compares numbers and is empty where the reference has none; ``why`` says what makes two
    numbers not comparable, or by what rule they were compared. ``agreement`` compares what is said in
    words, and ``because`` is its evidence.
    """

    title: str
    sentence: str
    reference: str = ""
    standing: Standing = ""
    why: str = ""
    figures: tuple[int, ...] = ()
    """Numbers of the reference report's figures that it is about."""
    shows: tuple[str, ...] = ()
    """Names of what on the page shows it: charts, sliders, figures."""
    agreement: Agreement = ""
    because: str = ""


def measured_against(
    value: float, stderr: float | None, known: tuple[float, float]
) -> Literal["within", "better", "worse", "undecided", ""]:
    """How a number, higher being better, stands to a range that the reference gives; not at all if it is not finite.

    A number without an error is undecided up to the width of the range outside of it.

    Example:
        >>> measured_against(-95.5, 0.26, (-95.75, -95.75)), measured_against(-99.0, 0.26, (-95.75, -95.75))
        ('within', 'worse')
        >>> measured_against(-96.4, 0.26, (-95.75, -95.75)), measured_against(-95.7, None, (-95.75, -95.75))
        ('undecided', 'undecided')
    """
    if not math.isfinite(value):
        return ""
    low, high = min(known), max(known)
    off = max(low - value, value - high)
    same, other = ERRORS * (stderr or 0.0), APART * (stderr or 0.0)
    if stderr is None:
        other = high - low or math.inf
    if off <= same:
        return "within"
    if off <= other:
        return "undecided"
    return "better" if value > high else "worse"


def held(told: Finding, claim: Claim, changed: Sequence[str]) -> Finding:
    """A finding with the badge of its claim, and the fields in which the run leaves the reference's protocol."""
    other = f"; {differs(changed)}" if changed else ""
    return told._replace(agreement=claim.agreement, because=claim.because + other)


def differs(fields: Sequence[str]) -> str:
    """Why two numbers are not comparable.

    Example:
        >>> differs(["data.name", "method.latent"])
        'the protocol differs in data.name, method.latent'
    """
    shown = ", ".join(fields[:NAMED])
    more = f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
    return f"the protocol differs in {shown}{more}"


def both(names: Sequence[str]) -> str:
    """Names as a sentence lists them.

    Example:
        >>> both(["1", "7", "9"]), both(["5"])
        ('1, 7 and 9', '5')
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def percent(result: Mapping[str, Any]) -> str:
    """A share with its error, in per cent.

    Example:
        >>> percent({"value": 0.425, "stderr": 0.005})
        '42.5 ± 0.5 %'
    """
    error = result["stderr"]
    return f"{100 * result['value']:.1f}{f' ± {100 * error:.1f}' if error is not None else ''} %"
