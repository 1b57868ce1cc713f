"""Whether a run may be held against what somebody else reported, where it leaves the protocol of that, and how two numbers stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib.figure import Figure

from triptych.reporting.fields import field_words
from triptych.reporting.findings.finding import APART, ERRORS, Claim, Finding, Standing
from triptych.reporting.parts.charts import Line
from triptych.runs import Run

__all__ = [
    "Allowed",
    "Reference",
    "Results",
    "Scope",
    "agreeing",
    "apart",
    "differing",
    "differs",
    "look_up",
    "measured_against",
    "number_against",
    "scope",
    "silenced",
]

Allowed = Mapping[str, tuple[Any, ...]]
"""Field of a config → the values that it may have."""

Results = Mapping[str, Any]

Scope = Literal["same data", "other data", ""]
"""Of what a run is whose method is the reference's; empty where nothing may be said of it."""

NAMED = 4
"""Fields of a protocol that a sentence names; of more it says how many."""


class Reference(NamedTuple):
    """What a report says of one method: its protocol, and what is added to the parts of a page by their names."""

    protocol: Allowed
    changed: Callable[[Run], list[str]]
    """The fields in which a run of its method leaves the protocol, its length among them."""
    findings: Mapping[str, Callable[[Run, Results, Finding], Finding]]
    """Finding → the same with what the report says of it and how the two stand, as for a run of its protocol."""
    figures: Mapping[str, Callable[[Run], Figure | None]] = {}
    """Figure → what draws it with the report's numbers laid over it, for a run of its protocol."""
    lines: Mapping[str, Line] = {}
    """Chart → a line of the report's, for a run of its protocol."""


def scope(protocol: Allowed, config: Mapping[str, Any]) -> Scope:
    """Whether the reference's numbers and words hold for a run: for its own method, by name.

    On other data than its own they are not comparable, nor are they by another protocol: see `apart`.

    Example:
        >>> known = {"method.name": ("vae",), "data.name": ("binarized-mnist",)}
        >>> scope(known, {"method": {"name": "vae"}, "data": {"name": "/home/me/photos"}})
        'other data'
        >>> scope(known, {"method": {"name": "iwae"}, "data": {"name": "binarized-mnist"}})
        ''
    """
    if differing({"method.name": protocol["method.name"]}, config):
        return ""
    return "other data" if differing({"data.name": protocol["data.name"]}, config) else "same data"


def apart(protocol: Allowed, config: Mapping[str, Any], changed: Sequence[str]) -> str:
    """Why nothing of a run is held against the reference, for a page to say once; empty for a run of its protocol.

    Example:
        >>> known = {"data.name": ("svhn",)}
        >>> apart(known, {"data": {"name": "/home/me/photos"}}, ["data.name", "method.latent"])
        'other data: photos'
        >>> apart(known, {"data": {"name": "svhn"}}, ["method.latent"])
        'the protocol differs: latent coordinates'
    """
    if differing({"data.name": protocol["data.name"]}, config):
        return f"other data: {Path(str(look_up(config, 'data.name'))).name}"
    return differs(changed) if changed else ""


def silenced(found: Finding) -> Finding:
    """A finding with what the reference says, and no word on how the two stand: `apart` says why, once."""
    return found._replace(standing="", why="", agreement="", because="")


def differing(protocol: Allowed, config: Mapping[str, Any]) -> list[str]:
    """The fields of a protocol in which a config has none of the values that it may have.

    Example:
        >>> differing({"data.name": ("svhn",), "train.dtype": ("fp32", None)}, {"data": {"name": "mnist"}})
        ['data.name']
    """
    return [field for field, allowed in protocol.items() if look_up(config, field) not in allowed]


def look_up(config: Mapping[str, Any], field: str) -> Any:
    """What a config has under a name with dots; none where it has nothing."""
    value: Any = config
    for key in field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def differs(fields: Sequence[str]) -> str:
    """Why two numbers are not comparable.

    Example:
        >>> differs(["method.optimizer.lr", "train.duration"])
        'the protocol differs: learning rate, length of the training'
    """
    named = list(dict.fromkeys(map(field_words, fields)))
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"the protocol differs: {', '.join(named[:NAMED])}{more}"


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


def number_against(
    found: Finding, given: str, otherwise: Sequence[str], standing: tuple[Standing, str]
) -> Finding:
    """A finding with the reference's number: how the two stand, if both were measured in one way."""
    if otherwise:
        standing = "not comparable", differs(otherwise)
    return found._replace(reference=given, standing=standing[0], why=standing[1])


def agreeing(found: Finding, claim: Claim) -> Finding:
    """A finding with the badge of a claim that the reference makes too."""
    badges: dict[str, Literal["agrees", "disagrees", "undecided"]] = {
        **{"yes": "agrees", "no": "disagrees", "undecided": "undecided"}
    }
    return found._replace(agreement=badges[claim.holds], because=claim.because)
