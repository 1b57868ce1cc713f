"""Whether a run may be held against what somebody else reported, where it leaves the protocol of that, and how two numbers stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matplotlib.figure import Figure

from triptych.reporting.figures.panels import Line
from triptych.reporting.findings.finding import APART, ERRORS, Claim, Finding, Standing
from triptych.runs import Run

__all__ = [
    "Allowed",
    "Reference",
    "Results",
    "Scope",
    "agreeing",
    "differing",
    "differs",
    "look_up",
    "measured_against",
    "number_against",
    "other_data",
    "scope",
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
    findings: Mapping[str, Callable[[Run, Results, Finding], Finding]]
    """Finding → the same with what the report says of it, for a run of its method."""
    figures: Mapping[str, Callable[[Run], Figure | None]] = {}
    """Figure → what draws it with the report's numbers laid over it, for a run of its protocol."""
    lines: Mapping[str, Line] = {}
    """Chart → a line of the report's, for a run of its protocol."""


def scope(protocol: Allowed, config: Mapping[str, Any]) -> Scope:
    """Whether the reference's numbers and words hold for a run: for its own method, by name.

    On other data than its own they are shown as not comparable.

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


def other_data(config: Mapping[str, Any]) -> str:
    """Why a run on other data is not comparable.

    Example:
        >>> other_data({"data": {"name": "/home/me/photos"}})
        'other data: photos'
    """
    return f"other data: {Path(str(look_up(config, 'data.name'))).name}"


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
        >>> differs(["data.name", "method.latent"])
        'the protocol differs in data.name, method.latent'
    """
    shown = ", ".join(fields[:NAMED])
    more = f" and {len(fields) - NAMED} more" if len(fields) > NAMED else ""
    return f"the protocol differs in {shown}{more}"


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
    found: Finding,
    given: str,
    config: Mapping[str, Any],
    changed: Sequence[str],
    standing: tuple[Standing, str],
    of: Scope,
) -> Finding:
    """A finding with the reference's number: how the two stand, if the data and all fields are the same."""
    if of == "other data":
        standing = "not comparable", other_data(config)
    elif changed:
        standing = "not comparable", differs(changed)
    return found._replace(reference=given, standing=standing[0], why=standing[1])


def agreeing(found: Finding, claim: Claim, changed: Sequence[str]) -> Finding:
    """A finding with the badge of a claim that the reference makes too, and the fields in which the run leaves its protocol."""
    badges: dict[str, Literal["agrees", "disagrees", "undecided"]] = {
        **{"yes": "agrees", "no": "disagrees", "undecided": "undecided"}
    }
    other = f"; {differs(changed)}" if changed else ""
    return found._replace(agreement=badges[claim.holds], because=claim.because + other)
