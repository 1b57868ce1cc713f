"""A finding: one sentence that follows from numbers, and what another report says of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["APART", "ERRORS", "Claim", "Finding", "Standing", "both", "percent"]

Standing = Literal["within", "better", "worse", "outside", "undecided", "not comparable", ""]
"""``outside`` is for numbers of which neither more nor less is better."""

ERRORS, APART = 2.0, 3.0
"""Standard errors up to which two numbers may be the same, and from which on they are not: between them it is undecided."""


class Claim(NamedTuple):
    """Whether the statement that a sentence is about holds, and the evidence.

    Where it is ``undecided`` nothing follows, and ``because`` says why. Sentence and claim are made of one
    condition, so that no badge can say other than its sentence.
    """

    holds: Literal["yes", "no", "undecided"]
    because: str


class Finding(NamedTuple):
    """A sentence, what a reference says of the same, and how the two stand to each other.

    ``standing`` compares numbers and is empty where there is no reference; ``why`` says what makes two
    numbers not comparable, or by what rule they were compared. ``agreement`` compares what is said in
    words, and ``because`` is its evidence.
    """

    title: str
    sentence: str
    shows: tuple[str, ...] = ()
    """Names of what on the page shows it: charts, sliders, figures."""
    claim: Claim | None = None
    """What the sentence claims; a reference may claim the same."""
    reference: str = ""
    standing: Standing = ""
    why: str = ""
    figures: tuple[int, ...] = ()
    """Which of the reference's figures it is about."""
    agreement: Literal["agrees", "disagrees", "undecided", ""] = ""
    because: str = ""


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
