"""A finding: one sentence that follows from numbers, beside what the reference report says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = [
    "ERRORS",
    "Agreement",
    "Finding",
    "Standing",
    "both",
    "differs",
    "measured_against",
    "percent",
]

Standing = Literal["within", "better", "worse", "outside", "not comparable", ""]
"""``outside`` is for numbers of which neither more nor less is better."""

Agreement = Literal["agrees", "disagrees", ""]

ERRORS = 2.0
"""Standard errors that a number may lie from another before it counts as another one."""

NAMED = 4
"""Fields of a protocol that a sentence names; of more it says how many."""


class Finding(NamedTuple):
    """A sentence, what the reference report says of the same, and how the two stand to each other.

    ``standing`` compares numbers and is empty where the reference has none; ``why`` says what makes two
    numbers not comparable, or by what rule they were compared. ``agreement`` compares what is said in
    words, which may hold on other data too, and ``because`` is its evidence.
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
) -> Literal["within", "better", "worse", ""]:
    """How a number, higher being better, stands to a range that the reference gives; not at all if it is not finite.

    Example:
        >>> measured_against(-95.5, 0.26, (-95.75, -95.75)), measured_against(-99.0, 0.26, (-95.75, -95.75))
        ('within', 'worse')
    """
    if not math.isfinite(value):
        return ""
    slack = ERRORS * (stderr or 0.0)
    if value > max(known) + slack:
        return "better"
    return "worse" if value < min(known) - slack else "within"


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
